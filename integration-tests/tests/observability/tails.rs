//! What nodes print, followed through any scheduler while they run, and read from the store once they have ended.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    git::Repository,
    shipway::{binary, wait},
};

/// How much of one node's log is kept, and more than that.
const LIMIT: &str = "64KiB";
const FLOOD: usize = 200;

/// Says five lines and waits until somebody lets it go on, three times.
const PRINT: &str = r#"set -e
for step in 1 2 3; do
  for line in 1 2 3 4 5; do echo "$1 $step.$line"; done
  read -r _ < "/dev/tcp/127.0.0.1/$2"
done
for line in $(seq "$3"); do printf '%01000d\n' "$line"; done
"#;

/// Two builds at the same time, which do not fit on one executor; the second prints more than is kept.
fn project(repository: &Path, gates: [&Gate; 2]) -> String {
    let build = |name: &str, gate: &Gate, flood: usize| {
        format!(
            r#"---
kind: BuildService
spec:
  name: {name}
  projectId: tails
  vcsData: {{projectUrl: "file://{}", projectType: self-hosted}}
  buildSettings: {{command: {{run: "bash print.sh {name} {} {flood}", include: [print.sh]}}}}
"#,
            repository.display(),
            gate.port()
        )
    };
    let step = |name: &str| {
        format!(
            "                      - {{kind: Build, ref: {name}, condition: success, spec: {{id: {name}, type: service, branch: main}}}}\n"
        )
    };
    format!(
        "kind: Project
spec: {{name: tails, region: local}}
{}{}---
kind: Pipeline
spec:
  name: tails
  projectId: tails
  stages:
    - name: Work
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - kind: Workflow
                  ref: both
                  spec:
                    type: parallel
                    steps:
{}{}    - name: Rest",
        build("left", gates[0], 0),
        build("right", gates[1], FLOOD),
        step("left"),
        step("right")
    )
}

/// Where a node waits until it is let go on.
struct Gate(TcpListener);

impl Gate {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Waits for it and lets it go on.
    fn open(&self) {
        let came = wait("a node at its gate", || Ok(Some(self.0.accept()?.0)));
        came.unwrap().write_all(b"go on\n").unwrap();
    }
}

/// Somebody who follows a node's log. Killed with the value.
struct Follower {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Follower {
    /// Through that process alone.
    fn start(cluster: &mut Cluster, through: &str, arguments: &[&str]) -> Self {
        let mut command = logs(cluster, through, arguments);
        let mut child = command.arg("--follow").stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                told.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines }
    }

    /// Waits until it has read a line.
    fn reads(&self, text: &str) {
        wait(&format!("a reader of `{text}`"), || Ok(self.has(text).then_some(()))).unwrap();
    }

    fn has(&self, text: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line["line"] == text)
    }

    /// All that it has read, once it has ended by itself and well.
    fn ended(mut self) -> Vec<Value> {
        let status = wait("the end of a reader", || Ok(self.child.try_wait()?)).unwrap();
        assert!(status.success(), "{status}");
        // What was written before its end may still be on its way to the list.
        wait("the reader's last line", || Ok((Arc::strong_count(&self.lines) == 1).then_some(()))).unwrap();
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The verb, asked of one process.
fn logs(cluster: &mut Cluster, of: &str, arguments: &[&str]) -> Command {
    let server = format!("http://{}", cluster.process(of).address());
    let mut command = Command::new(binary().unwrap());
    command.arg("logs").args(arguments).args(["-o", "json", "--server", &server]);
    command.env_remove("SHIPWAY_DATA").stdin(Stdio::null());
    command
}

/// What there is at the moment.
fn now(cluster: &mut Cluster, of: &str, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = logs(cluster, of, arguments).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Every line is there once, in its place; the texts that begin like that.
fn whole(lines: &[Value], from: u64, begin: &str) -> Vec<String> {
    for (line, number) in lines.iter().zip(from..) {
        assert_eq!(line["number"], number, "{lines:#?}");
        assert_ne!(line["kind"], "gap", "{lines:#?}");
    }
    let texts = lines.iter().filter_map(|line| line["line"].as_str());
    texts.filter(|text| text.starts_with(begin)).map(str::to_owned).collect()
}

/// What the node prints in these steps.
fn printed(name: &str, steps: std::ops::RangeInclusive<u32>) -> Vec<String> {
    steps.flat_map(|step| (1..=5).map(move |line| format!("{name} {step}.{line}"))).collect()
}

#[test]
fn a_log_is_followed_through_any_scheduler_and_is_whole_in_the_end() {
    let settings = [("HEAVY_SLOTS", "1"), ("LOG_LIMIT", LIMIT)];
    let settings = settings.map(|(key, value)| (format!("SHIPWAY_EXECUTOR__{key}"), value.to_owned()));
    let shape = Shape { services: [1, 1, 2, 2, 1], settings: settings.into(), ..Shape::default() };
    let mut cluster = Cluster::start("tails", shape).unwrap();
    let gates = [Gate::new(), Gate::new()];
    let repository = Repository::create(&cluster.folder().join("tails"), "app").unwrap();
    repository.write("print.sh", PRINT).unwrap();
    repository.commit("prints").unwrap();
    repository.push().unwrap();
    cluster.apply(&project(repository.bare(), [&gates[0], &gates[1]])).unwrap();
    let run = cluster.json(&["run", "tails/work"]).unwrap()["run"].as_str().unwrap().to_owned();

    // Each executor writes one of them, and each scheduler shows both while they are written.
    let mut readers = Vec::new();
    for scheduler in ["scheduler-1", "scheduler-2"] {
        for name in ["left", "right"] {
            let reader = Follower::start(&mut cluster, scheduler, &[&run, name]);
            reader.reads(&format!("{name} 1.5"));
            readers.push((scheduler, name, reader));
        }
    }
    assert!(!readers.iter().any(|(_, name, reader)| reader.has(&format!("{name} 2.1"))));

    cluster.process("scheduler-1").kill().unwrap();
    let last = readers[0].2.lines.lock().unwrap().last().unwrap()["number"].as_u64().unwrap();
    let from = (last + 1).to_string();
    let again = Follower::start(&mut cluster, "scheduler-2", &[&run, "left", "--from", &from]);
    gates.iter().for_each(Gate::open);
    again.reads("left 2.5");
    for (_, name, reader) in readers.iter().filter(|(through, ..)| *through == "scheduler-2") {
        reader.reads(&format!("{name} 2.5"));
    }
    // Who followed through the dead one goes on when it is back.
    cluster.process("scheduler-1").start().unwrap();
    for (_, name, reader) in &readers {
        reader.reads(&format!("{name} 2.5"));
    }
    gates.iter().for_each(Gate::open);
    gates.iter().for_each(Gate::open);

    assert_eq!(whole(&again.ended(), last + 1, "left "), printed("left", 2..=3));
    let followed: Vec<_> = readers.into_iter().map(|(_, name, reader)| (name, reader.ended())).collect();
    for (name, lines) in &followed {
        assert_eq!(whole(lines, 0, &format!("{name} ")), printed(name, 1..=3));
    }
    // What is beyond the limit is not kept, and the last line says so.
    let right = &followed[1].1;
    let kept: usize = right.iter().map(|line| line["line"].as_str().unwrap().len() + 1).sum();
    assert_eq!(right.last().unwrap()["kind"], "full", "{right:#?}");
    assert!((60_000..66_000).contains(&kept), "{kept} bytes are kept");
    assert!(followed[0].1.iter().all(|line| line["kind"] == "line"), "{:#?}", followed[0].1);

    // Nobody is there who wrote it.
    for executor in ["executor-1", "executor-2"] {
        cluster.process(executor).kill().unwrap();
        cluster.age_executor(executor, Duration::from_secs(60)).unwrap();
    }
    for (name, lines) in followed {
        for scheduler in ["scheduler-1", "scheduler-2"] {
            wait("the stored log", || {
                let stored = now(&mut cluster, scheduler, &[&run, name])?;
                let differ = stored.iter().zip(&lines).find(|(stored, followed)| stored != followed);
                anyhow::ensure!(stored.len() == lines.len() && differ.is_none(), "{differ:#?}");
                Ok(Some(()))
            })
            .unwrap();
        }
    }
    let part = now(&mut cluster, "scheduler-2", &[&run, "left", "--from", "3"]).unwrap();
    assert_eq!(part[0]["number"], json!(3));
}
