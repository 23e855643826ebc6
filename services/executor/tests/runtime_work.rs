//! Work from assignment to outcome: real repositories, builds, services, databases, receivers.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{Data, eventually, free_port, target, walk};
use scheduler::{Scheduler, assignment, executor, log as node_log};
use serde_json::{Map, json};
use shipway_events::{Fence, plan::Artifact, run::Effect};
use shipway_nodes::{
    Outcome, Workload,
    workload::{
        Await, Build, Channel, Command as Run, Exec, HealthCheck, Job, Message, Noop, Port, Release, Restart,
        ServiceSpec, Target, Watch,
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with a Rust program that serves its version; gives its folder and its commit.
fn repository(data: &Data, version: &str) -> (PathBuf, String) {
    let folder = data.path().join("demo/shop");
    if !folder.exists() {
        std::fs::create_dir_all(folder.join("src/bin")).unwrap();
        git(&folder, &["init", "-q", "-b", "main"]);
    }
    std::fs::write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("Cargo.lock"),
        "version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("Procfile"),
        "web: ./bin/web --greeting \"hello $GREETED\"\nmigrate: ./bin/migrate\n",
    )
    .unwrap();
    let web = r#"
use std::io::{Read, Write};
fn main() {
    let port = std::env::var("PORT").unwrap();
    let listener = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let text = format!("VERSION {} {}", std::env::args().last().unwrap(), std::env::var("SHIPWAY_COMMIT").unwrap());
    println!("serving with {}", std::env::var("PASSWORD").unwrap_or_default());
    for client in listener.incoming() {
        let mut client = client.unwrap();
        let mut buffer = [0; 1024];
        let _ = client.read(&mut buffer);
        let _ = write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
    }
}
"#;
    std::fs::write(folder.join("src/bin/web.rs"), web.replace("VERSION", version)).unwrap();
    let migrate = r#"fn main() { println!("migrated as {}", std::env::var("PASSWORD").unwrap_or_default());
        println!("uid {:?} sees {:?}", std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap(),
                 std::fs::read_dir(std::env::args().nth(1).unwrap_or("/".into())).map(|d| d.count())); }"#;
    std::fs::write(folder.join("src/bin/migrate.rs"), migrate).unwrap();
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-q", "-m", version]);
    let commit = git(&folder, &["rev-parse", "HEAD"]);
    (folder, commit)
}

fn build(service: &Target, repository: &Path, id: &str, sha: Option<&str>) -> Build {
    Build {
        service: service.clone(),
        build: id.to_owned(),
        repository: repository.to_str().unwrap().to_owned(),
        login: None,
        branch: "main".to_owned(),
        pull_request: None,
        sha: sha.map(str::to_owned),
        reuse: false,
        apart: false,
        command: None,
        include: Vec::new(),
        work_dir: None,
        arguments: Map::new(),
    }
}

fn built(effects: &[Effect]) -> Artifact {
    match effects {
        [Effect::Built { artifact, .. }] => artifact.clone(),
        other => panic!("{other:?}"),
    }
}

fn fence(raw: u64) -> Fence {
    Fence::from_raw(raw)
}

async fn text(url: &str) -> String {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

/// A mount that goes with the test, however that ends.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The whole way: a commit is built, released, promoted, run as a job, executed in, restarted and waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_commit_to_a_running_service() {
    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    scheduler.secrets.lock().unwrap().insert("addon/db/password".into(), "correct-horse-battery".into());
    let executor = executor(&data, &scheduler).await;
    let (builder, web, job) = (target(), target(), target());
    let (repository, commit) = repository(&data, "one");

    executor.offer(assignment(1, "run/1", Workload::Build(build(&builder, &repository, "b-1", None))));
    let (outputs, effects) = scheduler.succeed(fence(1)).await;
    let artifact = built(&effects);
    assert_eq!((artifact.commit.as_str(), &outputs["sha"]), (commit.as_str(), &json!(commit)));
    // Again with a higher fence, as after a lost answer: the record answers.
    executor.offer(assignment(2, "run/1", Workload::Build(build(&builder, &repository, "b-1", None))));
    assert_eq!(built(&scheduler.succeed(fence(2)).await.1), artifact);
    // The same commit built anew is the same archive; reused it is not built at all.
    executor.offer(assignment(
        3,
        "run/3",
        Workload::Build(build(&builder, &repository, "b-2", Some(&commit))),
    ));
    assert_eq!(built(&scheduler.succeed(fence(3)).await.1).digest, artifact.digest);
    let mut reuse = build(&builder, &repository, "b-3", Some(&commit));
    reuse.reuse = true;
    let before = std::time::Instant::now();
    executor.offer(assignment(4, "run/4", Workload::Build(reuse)));
    let (outputs, effects) = scheduler.succeed(fence(4)).await;
    assert_eq!((outputs["reused"].clone(), built(&effects).digest), (json!(true), artifact.digest.clone()));
    assert!(before.elapsed() < Duration::from_secs(1));

    let port = free_port();
    let password = json!({"PASSWORD": {"$secret": "addon/db/password@1"}, "GREETED": "you & me"});
    let spec = ServiceSpec {
        instances: 1,
        command: Run::Process("web".into()),
        environment: password.as_object().unwrap().clone(),
        ports: vec![Port { name: "http".into(), public: port, http: true }],
        health: vec![HealthCheck {
            path: Some("/".into()),
            port: None,
            period_ms: 100,
            timeout_ms: 1000,
            successes: 2,
            failures: 3,
        }],
        grace_seconds: 5,
    };
    let release = Release {
        target: web.clone(),
        artifact: artifact.clone(),
        service: Some(spec),
        wait: true,
        timeout_seconds: 30,
    };
    executor.offer(assignment(10, "run/10", Workload::Release(release.clone())));
    assert!(
        matches!(&scheduler.succeed(fence(10)).await.1[..], [Effect::Released { artifact: given, .. }] if *given == artifact)
    );
    assert_eq!(text(&format!("http://127.0.0.1:{port}/")).await, format!("one hello you & me {commit}"));
    let log = std::fs::read_to_string(executor.service_log(web.id)).unwrap();
    assert!(log.contains("serving with ***") && !log.contains("horse"), "{log}");

    let run = Job {
        job: job.clone(),
        job_run: "migrate-1".into(),
        artifact: artifact.clone(),
        command: Run::Words(vec!["./bin/migrate".into(), data.path().to_str().unwrap().into()]),
        environment: password.as_object().unwrap().clone(),
        deadline_seconds: Some(60),
    };
    let given = assignment(11, "run/11", Workload::Job(run.clone()));
    executor.offer(given.clone());
    scheduler.succeed(fence(11)).await;
    let log = node_log(&executor, &given).await;
    assert!(log.contains("migrated as ***") && !log.contains("horse"), "{log}");
    if rustix::process::geteuid().is_root() {
        assert!(
            !log.contains("uid 0 ") && (log.contains("sees Err") || log.contains("sees Ok(0)")),
            "not isolated: {log}"
        );
    }

    // Secret files are there while the job runs, whatever is in them, and their lines are masked.
    let pem = "-----BEGIN KEY-----\nbattery-staple-correct\n-----END KEY-----\n";
    let secrets = [("file/tls/KEY", STANDARD.encode(pem)), ("file/tls/STORE", STANDARD.encode([0, 255, 10]))];
    scheduler.secrets.lock().unwrap().extend(secrets.map(|(name, data)| (name.to_owned(), data)));
    let files = Job {
        command: Run::Words(
            ["sh", "-c", "cat $KEY; od -An -tu1 $STORE; echo $PASSWORD"].map(str::to_owned).into(),
        ),
        environment: Map::from_iter([
            ("KEY".to_owned(), json!({"$file": {"$secret": "file/tls/KEY@1"}})),
            ("STORE".to_owned(), json!({"$file": {"$secret": "file/tls/STORE@1"}})),
            ("PASSWORD".to_owned(), json!({"$secret": "addon/db/password@1"})),
        ]),
        ..run.clone()
    };
    let given = assignment(17, "run/17", Workload::Job(files));
    executor.offer(given.clone());
    scheduler.succeed(fence(17)).await;
    let log = node_log(&executor, &given).await;
    assert!(log.contains("0 255  10") && !log.contains("battery"), "{log}");

    let exec = Exec {
        target: web.clone(),
        command: vec!["./bin/migrate".into()],
        environment: Map::new(),
        dispatch_only: false,
        timeout_seconds: 30,
    };
    executor.offer(assignment(12, "run/12", Workload::Exec(exec.clone())));
    assert!(scheduler.succeed(fence(12)).await.0["output"].as_str().unwrap().starts_with("migrated as"));
    let restart = Restart { target: web.clone(), wait: true, timeout_seconds: 30 };
    executor.offer(assignment(13, "run/13", Workload::Restart(restart)));
    scheduler.succeed(fence(13)).await;
    for (number, watch) in [
        (14, Watch::Service { target: web.clone() }),
        (
            15,
            Watch::Http {
                url: json!(format!("http://127.0.0.1:{port}/")),
                status: 200,
                body: Some("one".into()),
            },
        ),
    ] {
        executor.offer(assignment(
            number,
            &format!("run/{number}"),
            Workload::Await(Await { watch, timeout_seconds: 20 }),
        ));
        scheduler.succeed(fence(number)).await;
    }
    let missing = Exec { command: vec!["no-such-program".into()], ..exec };
    executor.offer(assignment(16, "run/16", Workload::Exec(missing)));
    assert!(scheduler.fail(fence(16)).await.message.contains("no-such-program"));

    // A release of what was superseded is refused by the keeper.
    executor.offer(assignment(9, "run/9", Workload::Release(release)));
    assert!(matches!(scheduler.end(fence(9)).await, Outcome::Refused { .. }));
    let statuses = executor.statuses().await.unwrap();
    assert_eq!(
        statuses.iter().map(|status| (status.target.id, status.healthy)).collect::<Vec<_>>(),
        [(web.id, true)]
    );
    executor.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_builds_say_what_to_do_and_keep_nothing() {
    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    let executor = executor(&data, &scheduler).await;
    let builder = target();
    let (repository, commit) = repository(&data, "one");
    let mut broken = build(&builder, &repository, "b-1", Some(&commit));
    broken.command = Some("for i in $(seq 1 30); do echo output $i; done; exit 3".into());
    executor.offer(assignment(1, "run/1", Workload::Build(broken)));
    let failed = scheduler.fail(fence(1)).await;
    assert_eq!(failed.code, "build_failed");
    assert!(
        failed.message.contains("exited with code 3") && failed.message.contains("output 11\n"),
        "{}",
        failed.message
    );
    assert!(
        !failed.message.contains("output 10\n") && failed.message.ends_with("output 30"),
        "{}",
        failed.message
    );

    let mut elsewhere = build(&builder, &repository, "b-2", Some(&"a1".repeat(20)));
    executor.offer(assignment(2, "run/2", Workload::Build(elsewhere.clone())));
    assert!(scheduler.fail(fence(2)).await.message.contains("fetching the commit"));
    elsewhere.sha = None;
    elsewhere.branch = "no-such-branch".into();
    executor.offer(assignment(3, "run/3", Workload::Build(elsewhere.clone())));
    let failed = scheduler.fail(fence(3)).await;
    assert!(failed.message.contains("no-such-branch"), "{}", failed.message);
    elsewhere.repository = "ext::sh -c id".into();
    executor.offer(assignment(4, "run/4", Workload::Build(elsewhere)));
    assert_eq!(scheduler.fail(fence(4)).await.code, "bad_repository");
    let base = data.path().join(format!("host/builds/{}", builder.id));
    let left =
        std::fs::read_dir(base).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let left: Vec<_> = left.filter(|name| name.starts_with("src-") || name.starts_with("tmp-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_nothing_half_done_stays() {
    let data = Data::new();
    let host = data.path().join("host");
    std::fs::create_dir_all(&host).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(&host).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: mounting a small file system needs root");
        return;
    }
    let _mounted = Mounted(host.clone());
    let scheduler = Arc::new(Scheduler::default());
    let executor = executor(&data, &scheduler).await;
    let (repository, commit) = repository(&data, "one");
    let mut big = build(&target(), &repository, "b-1", Some(&commit));
    big.command = Some("head -c 20000000 /dev/urandom > big".into());
    big.include = vec!["big".into()];
    executor.offer(assignment(1, "run/1", Workload::Build(big)));
    let failed = scheduler.fail(fence(1)).await;
    drop(executor);
    let left: Vec<_> =
        walk(&host).into_iter().filter(|path| path.contains("big") || path.contains("artifact")).collect();
    assert_eq!(failed.code, "disk_full", "{}", failed.message);
    assert!(
        failed.message.contains("no room left on the disk of") && failed.message.contains("host/builds"),
        "{}",
        failed.message
    );
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_carries_one_key_on_every_attempt() {
    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    scheduler.secrets.lock().unwrap().insert("hook/token".into(), "t0ken-value".into());
    let executor = executor(&data, &scheduler).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = tokio::spawn(async move {
        let mut received = Vec::new();
        for status in ["503 Busy", "200 OK", "400 Bad", "200 OK"] {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.contains('}') {
                let count = client.read(&mut buffer).await.unwrap();
                text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await.unwrap();
            received.push(text);
        }
        received
    });
    let message = |channel, message| {
        let url = json!({"$text": [format!("http://{address}/hook/"), {"$secret": "hook/token@1"}]});
        Workload::Message(Message { channel, url, message })
    };
    executor.offer(assignment(1, "run/1", message(Channel::RawWebhook, json!("released"))));
    let failed = scheduler.fail(fence(1)).await;
    assert!(
        failed.transient && failed.message.contains("503") && !failed.message.contains("t0ken"),
        "{failed:?}"
    );
    executor.offer(assignment(2, "run/1", message(Channel::RawWebhook, json!("released"))));
    scheduler.succeed(fence(2)).await;
    executor.offer(assignment(3, "run/3", message(Channel::RawWebhook, json!("{\"a\": 1}"))));
    assert!(!scheduler.fail(fence(3)).await.transient);
    executor.offer(assignment(4, "run/4", message(Channel::Slack, json!("*bold*"))));
    scheduler.succeed(fence(4)).await;
    let received = receiver.await.unwrap();
    assert!(received.iter().all(|text| text.starts_with("POST /hook/t0ken-value ")), "{received:?}");
    assert!(received[0].contains("webhook-id: run/1\r\n") && received[1].contains("webhook-id: run/1\r\n"));
    assert!(received[0].ends_with("{\"message\":\"released\"}") && received[2].ends_with("{\"a\":1}"));
    assert!(received[3].ends_with("{\"text\":\"*bold*\"}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn light_work_is_nearly_free_and_is_taken_once() {
    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    let executor = executor(&data, &scheduler).await;
    let count = 20_000_u64;
    let begun = std::time::Instant::now();
    for number in 1..=count {
        let noop = assignment(number, "run/1", Workload::Noop(Noop::default()));
        executor.offer(noop.clone());
        executor.offer(noop);
    }
    eventually("all are done", async || executor.held().is_empty()).await;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} Noops a second");
    assert_eq!(
        (1..=count).map(|number| scheduler.outcomes(fence(number)).len()).sum::<usize>() as u64,
        count
    );

    executor.offer(assignment(count + 1, "run/2", Workload::Noop(Noop { fib: Some(25), ..Noop::default() })));
    assert_eq!(scheduler.succeed(fence(count + 1)).await.0["fib"], 75025);
    executor.offer(assignment(
        count + 2,
        "run/3",
        Workload::Noop(Noop { sleep_ms: Some(600_000), ..Noop::default() }),
    ));
    executor.stop(fence(count + 2));
    assert!(matches!(scheduler.end(fence(count + 2)).await, Outcome::Stopped));
    let mut detached =
        assignment(count + 3, "run/4", Workload::Noop(Noop { sleep_ms: Some(50), ..Noop::default() }));
    detached.detached = true;
    executor.offer(detached);
    scheduler.succeed(fence(count + 3)).await;
    assert!(matches!(
        &scheduler.outcomes(fence(count + 3))[..],
        [Outcome::Started { .. }, Outcome::Succeeded { .. }]
    ));
    executor.drain(Duration::from_secs(5), Duration::ZERO).await;
    executor.offer(assignment(count + 4, "run/5", Workload::Noop(Noop::default())));
    assert!(executor.held().is_empty());
}
