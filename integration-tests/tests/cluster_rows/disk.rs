//! L-9: the disk takes what is written and fails to make it safe. Whoever is answered that all is well finds it there;
//! what could not be synced is refused.

use std::{
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use reqwest::StatusCode;
use shipway_contracts::{
    Channel, Targets,
    v1::{StartRunRequest, runs_client::RunsClient},
};
use shipway_integration_tests::{
    shipway::{Shipway, binary, http},
    sink::{Sink, Verdict, What},
    strace::{FailingSyncs, Sync, program, syncs, with_failing_sync},
    workload::{self, Ended, project_of},
};
use uuid::Uuid;

use crate::given::sized;

const TOKEN: &str = "a-token-of-the-disk-row-with-32-characters";

/// A Shipway with a flow that deliveries start.
struct Disk {
    shipway: Shipway,
    sink: Arc<Sink>,
    runs: RunsClient<Channel>,
}

/// What was asked, under the id that it keeps.
struct Asked {
    number: usize,
    id: Uuid,
}

impl Asked {
    fn new(number: usize) -> Self {
        Self { number, id: Uuid::now_v7() }
    }
}

/// When it was asked and answered, in seconds since 1970.
type Span = (f64, f64);

impl Disk {
    fn new() -> Self {
        let shipway = Shipway::up_with("l9", &["--hook-rate=0", "--reconcile=0"]).unwrap();
        let more = format!("          webhook: {{enabled: true, token: {TOKEN}}}\n");
        let file = shipway.data().join("declared.yaml");
        std::fs::write(&file, project_of("disk", &more)).unwrap();
        shipway.shipway(&["apply", "-f", file.to_str().unwrap()]).unwrap();
        let runs = RunsClient::new(Targets::new(&[shipway.url().unwrap()]).unwrap().1);
        Self { shipway, sink: Arc::new(Sink::start().unwrap()), runs }
    }

    fn sink(&self, number: usize) -> String {
        format!("{}/effect/{number}", self.sink.url())
    }

    /// A delivery; its run if it was taken.
    async fn deliver(&self, asked: &Asked) -> Option<(String, Span)> {
        let url = self.shipway.url().unwrap();
        let address = format!("{url}/hooks/flow/{TOKEN}?SINK={}", self.sink(asked.number));
        let begin = now();
        let request = http().post(address).header("webhook-id", asked.id.to_string());
        let answer = request.timeout(Duration::from_secs(20)).send().await.ok()?;
        let end = now();
        if answer.status() != StatusCode::ACCEPTED {
            return None;
        }
        let answer: serde_json::Value = answer.json().await.unwrap();
        Some((answer["runs"][0]["id"].as_str().unwrap().to_owned(), (begin, end)))
    }

    /// A run that is asked for; its id if it was started.
    async fn start(&self, asked: &Asked) -> Option<(String, Span)> {
        let request = StartRunRequest {
            command: asked.id.to_string(),
            flow: "disk/work".to_owned(),
            arguments_json: serde_json::json!({ "SINK": self.sink(asked.number) }).to_string(),
            ..StartRunRequest::default()
        };
        let begin = now();
        let reply = self.runs.clone().start_run(request).await.ok()?.into_inner();
        assert!(reply.problems.is_empty(), "{:?}", reply.problems);
        Some((reply.run, (begin, now())))
    }

    async fn ask(&self, asked: &Asked) -> Option<(String, Span)> {
        if asked.number.is_multiple_of(2) { self.deliver(asked).await } else { self.start(asked).await }
    }

    /// The same until it is taken.
    async fn insist(&self, asked: &Asked) -> (String, Span) {
        for _ in 0..600 {
            if let Some(taken) = self.ask(asked).await {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} was not taken in a minute", asked.number);
    }

    /// After a kill everything that was taken is there, and happens once.
    async fn judge(&mut self, taken: Vec<(usize, String)>) -> Verdict {
        self.shipway.kill().unwrap();
        self.shipway.start().unwrap();
        let mut ended = Vec::new();
        for (number, run) in taken {
            let run = workload::end(&self.runs, &run).await.unwrap();
            assert_eq!(run.status, "success", "{run:#?}");
            ended.push(Ended { number, run: run.id, status: run.status, took: Duration::ZERO });
        }
        let verdict = workload::judge(&self.sink, &ended).unwrap();
        let clean = Verdict { repeats: verdict.repeats, refused: verdict.refused, ..Verdict::default() };
        assert_eq!(verdict, clean, "lost or doubled effects");
        assert!(self.shipway.shipway(&["verify"]).unwrap().contains("as they were written"));
        verdict
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn failed(all: &[Sync]) -> usize {
    all.iter().filter(|sync| sync.failed).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_l_9_nothing_is_taken_that_was_not_synced() {
    program().unwrap();
    let mut disk = Disk::new();
    let pid = disk.shipway.pid().unwrap();

    // No sync works: nothing is taken.
    let all: Vec<Asked> = (0..sized(4, 40)).map(Asked::new).collect();
    let failing = FailingSyncs::attach(pid, None).unwrap();
    for asked in &all {
        assert!(disk.ask(asked).await.is_none(), "taken, and not on disk: {}", asked.number);
    }
    let project = disk.shipway.data().join("declared.yaml");
    std::fs::write(&project, project_of("other", "")).unwrap();
    let applied = disk.shipway.attempt(&["apply", "-f", project.to_str().unwrap()]).unwrap();
    assert!(!applied.status.success(), "declared, and not on disk");
    let refused = failed(&failing.detach().unwrap());
    assert!(refused >= all.len(), "only {refused} syncs failed");

    // All of it is taken afterwards, once.
    let mut taken = Vec::new();
    for asked in &all {
        taken.push((asked.number, disk.insist(asked).await.0));
    }

    // The nth sync of each thread fails: what is taken was synced between question and answer. Not the first: a
    // connection that failed is replaced, by one with a thread of its own.
    let mut once = 0;
    for nth in 2..=sized(4, 30) {
        let failing = FailingSyncs::attach(pid, Some(nth)).unwrap();
        let mut spans = Vec::new();
        for more in 0..2 {
            let asked = Asked::new(all.len() + nth * 2 + more);
            let (run, span) = disk.insist(&asked).await;
            taken.push((asked.number, run));
            spans.push(span);
        }
        let seen = failing.detach().unwrap();
        once += failed(&seen);
        for (begin, end) in spans {
            let synced = seen.iter().any(|sync| !sync.failed && (begin..=end).contains(&sync.at));
            assert!(synced, "taken without a sync between {begin} and {end}: {seen:#?}");
        }
    }
    assert!(once > 0, "no sync failed alone");
    let count = taken.len();
    let verdict = disk.judge(taken).await;
    println!(
        "ROW L-9 refused_by={refused} failed_alone={once} taken={count} lost=0 doubled=0 repeats={}",
        verdict.repeats
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn row_l_9_a_hook_keeps_what_it_says_it_keeps() {
    program().unwrap();
    let sink = Sink::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut failed_at = 0;
    for nth in 1.. {
        let before = marks(&sink);
        let (ok, injected) = post_receive(&sink, &folder.path().join(nth.to_string()), nth).unwrap();
        if injected == 0 {
            assert!(ok && marks(&sink) == before + 1, "nothing failed, and it was not delivered");
            break;
        }
        assert!(!ok && marks(&sink) == before, "sync {nth} failed, and the hook was content");
        failed_at = nth;
    }
    println!("ROW L-9 spool_syncs_failed={failed_at}");
    assert!(failed_at >= 2, "a file and its folder are synced");
}

fn marks(sink: &Sink) -> usize {
    sink.ledger().unwrap().iter().filter(|entry| entry.what == What::Mark).count()
}

/// Tells of a push while the nth sync fails; whether that went well, and how many syncs failed.
fn post_receive(sink: &Sink, repository: &Path, nth: usize) -> Result<(bool, usize)> {
    let hooks = repository.join("hooks");
    std::fs::create_dir_all(&hooks)?;
    let config = serde_json::json!({
        "url": format!("{}/mark/push/hook", sink.url()), "secret": "secret", "repository": "file:///srv/app.git",
    });
    std::fs::write(hooks.join("shipway.json"), config.to_string())?;
    let log = repository.join("strace");
    let mut hook = with_failing_sync(&binary()?, &log, nth);
    hook.args(["hook", "post-receive"]).current_dir(repository).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = hook.spawn()?;
    // A branch that went: Git need not be asked about it.
    let push = format!("{} {} refs/heads/main\n", "a".repeat(40), "0".repeat(40));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), push.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok((output.status.success(), failed(&syncs(&log)?)))
}
