//! The documented examples of programs outside, against a real server whose store is lost on the way.

use std::{
    collections::BTreeSet,
    io::BufRead,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use shipway_integration_tests::nats::NatsServer;

use crate::given::{Given, until};

/// A running example. Killed with the value, as by an operator who has no patience.
pub(crate) struct Example {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Example {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        let told = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                told.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// Positions that it has by events or knows to be missing.
    pub(crate) fn positions(&self) -> BTreeSet<u64> {
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        let mut all = BTreeSet::new();
        for line in self.lines.lock().unwrap().iter() {
            let mut words = line.split(' ');
            match words.next() {
                Some("gap") => all.extend(number(words.next()).unwrap()..=number(words.next()).unwrap()),
                first => drop(all.insert(number(first).unwrap())),
            }
        }
        all
    }

    pub(crate) async fn reach(&self, position: u64) {
        until(&format!("the example reaches {position}"), || self.positions().contains(&position)).await;
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Follows, is killed and goes on, while the store is rolled back and lost.
async fn misses_nothing(start: impl Fn(&[&str]) -> Command) {
    let mut given = Given::new();
    let one = given.member().await;
    let relay = one.publishing().await;
    let folder = tempfile::tempdir().unwrap();
    let (url, place) = (given.server.url(), folder.path().join("place"));
    let kept = |place: &Path| std::fs::read_to_string(place).ok()?.split(' ').next()?.parse::<u64>().ok();
    let arguments = [url.as_str(), one.log.id(), place.to_str().unwrap()];
    let first = Example::start(start(&arguments));
    let last = one.append(100).await;
    first.reach(last).await;
    let line = first.lines.lock().unwrap()[0].clone();
    assert!(line.starts_with("1 test.happened run-a {\"n\":0,"), "{line}");
    let mut seen = first.positions();
    // It tells of an event before it writes down that it has it: killed in between, it rightly tells of it again.
    until("the example has kept its place", || kept(&place) == Some(last)).await;
    drop(first);
    // Goes on where it was.
    let last = one.append(50).await;
    let second = Example::start(start(&arguments));
    second.reach(last).await;
    assert!(!second.positions().contains(&100), "it handled an event a second time");
    given.server(|server| server.copy());
    second.reach(one.append(50).await).await;
    given.server(|server| server.restore(Some("msgs")));
    second.reach(one.append(100).await).await;
    given.server(NatsServer::wipe);
    let last = one.append(50).await;
    second.reach(last).await;
    seen.extend(second.positions());
    assert_eq!(seen, (1..=last).collect(), "an event is missing");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_example_misses_nothing() {
    let example = tokio::task::block_in_place(example);
    misses_nothing(|arguments| {
        let mut command = Command::new(&example);
        command.args(arguments);
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_example_misses_nothing() {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../infra/examples/consume.py");
    if Command::new("python3").arg("--version").output().is_err() {
        println!("python3 is not installed: its example was not run");
        return;
    }
    misses_nothing(|arguments| {
        let mut command = Command::new("python3");
        command.arg(&program).args(arguments);
        command
    })
    .await;
}

/// The built example, which `cargo test` builds with the tests; made here if only these tests were built.
fn example() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    let example = folder.join("examples/consume");
    if !example.exists() {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--offline", "--workspace", "--example", "consume"]);
        let built = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status();
        assert!(built.is_ok_and(|status| status.success()) && example.exists(), "the example is not built");
    }
    example
}
