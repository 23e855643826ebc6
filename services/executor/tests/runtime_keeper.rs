//! A service under its keeper: roll-outs that nobody notices, refusals that change nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use common::{Data, eventually, free_port, map, service, target};
use shipway_events::Fence;
use shipway_executor::runtime::{Runtime, RuntimeError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn text(port: u16, path: &str) -> String {
    client().get(format!("http://127.0.0.1:{port}{path}")).send().await.unwrap().text().await.unwrap()
}

/// Asks every 20 ms, with or without keep-alive; counts good and bad answers.
fn ask(port: u16, keep_alive: bool, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<(u32, Vec<String>)> {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let idle = if keep_alive { 4 } else { 0 };
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(idle).build().unwrap();
        let (mut good, mut bad) = (0, Vec::new());
        while !stop.load(Ordering::SeqCst) {
            match client.get(format!("http://127.0.0.1:{port}/")).send().await {
                Ok(answer) if answer.status().is_success() => good += 1,
                Ok(answer) => bad.push(answer.status().to_string()),
                Err(error) => bad.push(format!("{error:?}")),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (good, bad)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_rollout() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime().await;
    client();
    runtime.apply(service(&data, &target, port, 1, "one")).await.unwrap();
    assert_eq!(text(port, "/").await, "one");
    let stop = Arc::new(AtomicBool::new(false));
    let clients = [ask(port, true, &stop), ask(port, false, &stop), ask(port, true, &stop)];
    for fence in 2..=5 {
        runtime.apply(service(&data, &target, port, fence, &format!("v{fence}"))).await.unwrap();
        assert_eq!(text(port, "/").await, format!("v{fence}"));
    }
    runtime.restart(target.id, Fence::from_raw(6), "run/6", Duration::from_secs(30)).await.unwrap();
    // An instance that dies under load is not noticed either, as long as another one is there.
    let private = runtime.status(target.id).await.unwrap().unwrap().instances[0].ports["http"];
    let _ = client().get(format!("http://127.0.0.1:{private}/crash")).send().await;
    eventually("the crashed instance is back", async || {
        let status = runtime.status(target.id).await.unwrap().unwrap();
        status.healthy && status.instances.iter().any(|instance| instance.restarts == 1)
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for asked in clients {
        let (good, bad) = asked.await.unwrap();
        assert!(bad.is_empty(), "{} of {} failed: {bad:?}", bad.len(), good + 1);
        assert!(good > 20, "only {good} answers");
    }
    runtime.down().await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the port is still open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unhealthy_rollout_changes_nothing_and_says_why() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime().await;
    runtime.apply(service(&data, &target, port, 10, "good")).await.unwrap();
    let record =
        || std::fs::read(data.path().join(format!("host/keepers/{}/record.json", target.id))).unwrap();
    let before = (record(), runtime.status(target.id).await.unwrap().unwrap());

    let mut ill = service(&data, &target, port, 11, "ill");
    ill.environment.insert("HEALTH".into(), "500".into());
    ill.environment.insert("SECRET".into(), "plain".into());
    ill.secrets = map(&[("SECRET", "correct horse battery")]);
    ill.timeout = Duration::from_secs(2);
    let Err(RuntimeError::Refused { code, message }) = runtime.apply(ill).await else {
        panic!("it was taken")
    };
    assert_eq!(code, "unhealthy");
    assert!(message.contains("GET /health on its port `http` answered 500"), "{message}");
    assert!(message.contains("starting, line 30") && !message.contains("starting, line 11\n"), "{message}");
    assert!(message.contains("secret ***") && !message.contains("horse"), "{message}");

    let mut crashing = service(&data, &target, port, 12, "crashing");
    crashing.words = vec!["./program".into(), "fail".into()];
    let Err(RuntimeError::Refused { message, .. }) = runtime.apply(crashing).await else {
        panic!("it was taken")
    };
    assert!(message.contains("exited with code 7 before it was healthy"), "{message}");
    assert!(message.contains("line 11\n") && message.ends_with("line 30"), "{message}");

    let mut deaf = service(&data, &target, port, 13, "deaf");
    deaf.environment.insert("START_DELAY_MS".into(), "60000".into());
    deaf.timeout = Duration::from_secs(1);
    let Err(RuntimeError::Refused { message, .. }) = runtime.apply(deaf).await else {
        panic!("it was taken")
    };
    assert!(message.contains("refused the connection"), "{message}");

    let after = (record(), runtime.status(target.id).await.unwrap().unwrap());
    assert_eq!(after.0, before.0);
    assert_eq!(after.1.instances, before.1.instances);
    assert_eq!(text(port, "/").await, "good");
    runtime.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lower_fences_are_refused_and_the_same_effect_is_made_once() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = Arc::new(data.runtime().await);
    runtime.apply(service(&data, &target, port, 10, "ten")).await.unwrap();
    let low = runtime.apply(service(&data, &target, port, 9, "nine")).await;
    assert!(matches!(low, Err(RuntimeError::Stale { current }) if current == Fence::from_raw(10)), "{low:?}");
    let again = runtime.apply(service(&data, &target, port, 10, "ten")).await.unwrap();
    assert!(again.already);

    // Two askers of one roll-out, the second with a higher fence: one roll-out, one answer for both.
    let mut slow = service(&data, &target, port, 20, "twenty");
    slow.environment.insert("START_DELAY_MS".into(), "700".into());
    let first = tokio::spawn({
        let (runtime, slow) = (Arc::clone(&runtime), slow.clone());
        async move { runtime.apply(slow).await }
    });
    eventually("the roll-out goes", async || runtime.status(target.id).await.unwrap().unwrap().rolling).await;
    let second =
        runtime.apply(shipway_executor::runtime::Deployment { fence: Fence::from_raw(21), ..slow }).await;
    assert!(second.unwrap().already);
    assert!(!first.await.unwrap().unwrap().already);
    let status = runtime.status(target.id).await.unwrap().unwrap();
    assert_eq!((status.fence, status.instances[0].name.as_str()), (Fence::from_raw(21), "2.1"));
    runtime.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_keeper_goes_on_from_its_record_once_it_has_its_secrets() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime().await;
    let mut with_secret = service(&data, &target, port, 5, "five");
    with_secret.secret_names.insert("SECRET".into(), serde_json::json!({"$secret": "override/x/y@1"}));
    with_secret.secrets = map(&[("SECRET", "correct horse battery")]);
    // As a service that wants its database when it starts.
    with_secret.words = ["/bin/sh", "-c", "test -e needed && exec ./program serve"].map(String::from).into();
    let needed = data.path().join("app/needed");
    std::fs::write(&needed, "").unwrap();
    runtime.apply(with_secret).await.unwrap();
    let folder = data.path().join(format!("host/keepers/{}", target.id));
    for file in std::fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("horse"), "{:?} holds the secret", file.path());
    }
    for pid in common::processes(&format!("keeper {}", folder.display())) {
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }
    eventually("the keeper is dead", async || !runtime.status(target.id).await.unwrap().unwrap().kept).await;
    runtime.revive().await.unwrap();
    let status = runtime.status(target.id).await.unwrap().unwrap();
    assert!(status.kept && status.needs_secrets.contains_key("SECRET") && !status.healthy);
    // What it needs comes up later, perhaps because it is given its own secrets after this one's.
    std::fs::remove_file(&needed).unwrap();
    runtime.give_secrets(target.id, map(&[("SECRET", "correct horse battery")])).await.unwrap();
    eventually("each instance was tried more than once", async || {
        let status = runtime.status(target.id).await.unwrap().unwrap();
        status.instances.iter().all(|instance| instance.restarts > 1)
    })
    .await;
    std::fs::write(&needed, "").unwrap();
    eventually("it serves", async || runtime.status(target.id).await.unwrap().unwrap().healthy).await;
    assert_eq!(text(port, "/").await, "five");
    let stale = runtime.apply(service(&data, &target, port, 4, "four")).await;
    assert!(matches!(stale, Err(RuntimeError::Stale { .. })), "the fence was forgotten: {stale:?}");
    runtime.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_without_its_folder_ends_with_all_that_it_kept() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let path = data.path().to_owned();
    data.runtime().await.apply(service(&data, &target, port, 1, "one")).await.unwrap();
    drop(data);
    eventually("everything has ended", async || {
        common::processes(path.to_str().unwrap()).is_empty()
            && TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_speaks_http() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime().await;
    runtime.apply(service(&data, &target, port, 1, "one")).await.unwrap();
    let http = client();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");

    let head = http.head(url("/")).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "3");
    assert_eq!(text(port, "/chunked").await, "abcdefg");
    assert_eq!(text(port, "/early").await, "ok");
    let big = vec![b'x'; 20 << 20];
    assert_eq!(
        http.post(url("/length")).body(big.clone()).send().await.unwrap().text().await.unwrap(),
        "20971520"
    );
    let stream = futures::stream::iter((0..200).map(|_| Ok::<_, std::io::Error>(vec![b'y'; 10_000])));
    let chunked = http.post(url("/length")).body(reqwest::Body::wrap_stream(stream)).send().await.unwrap();
    assert_eq!(chunked.text().await.unwrap(), "2000000");
    let headers = http.get(url("/headers")).header("X-Forwarded-For", "10.0.0.1").send().await.unwrap();
    let headers = headers.text().await.unwrap();
    assert!(headers.contains("X-Forwarded-For: 10.0.0.1, 127.0.0.1"), "{headers}");

    // Pipelined, the second with a body that looks like a request, the last one an upgrade.
    let mut raw = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    raw.write_all(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n\
          POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi\
          GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nping",
    )
    .await
    .unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with("ping") {
        let count = tokio::time::timeout(Duration::from_secs(10), raw.read(&mut buffer))
            .await
            .expect(&answer)
            .unwrap();
        assert!(count > 0, "closed after {answer}");
        answer.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let expected =
        ["\r\n\r\none", "GET / HTTP/1.1\r\n\r\nHTTP/1.1 100 Continue", "\r\n\r\nhi", "101 Switching"];
    let found: Vec<_> = expected.iter().map(|part| answer.find(part)).collect();
    drop(raw);
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{found:?} in {answer}");

    for bad in [
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut raw = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        raw.write_all(bad.as_bytes()).await.unwrap();
        let mut answer = String::new();
        raw.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad:?} gave {answer}");
    }
    runtime.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_instance_is_working_on_is_finished_before_it_ends() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime().await;
    runtime.apply(service(&data, &target, port, 1, "one")).await.unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let begun = Arc::clone(&begun);
            tokio::spawn(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                text(port, "/slow?1500").await
            })
        })
        .collect();
    eventually("all are asked", async || begun.load(Ordering::SeqCst) == 8).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    runtime.apply(service(&data, &target, port, 2, "two")).await.unwrap();
    assert_eq!(text(port, "/").await, "two");
    for answer in slow {
        assert_eq!(answer.await.unwrap(), "one");
    }
    runtime.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_not_http_carries_plain_bytes() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime().await;
    let mut plain = service(&data, &target, port, 1, "one");
    plain.ports[0].http = false;
    runtime.apply(plain).await.unwrap();
    let headers = text(port, "/headers").await;
    assert!(headers.starts_with("GET /headers") && !headers.contains("X-Forwarded-For"), "{headers}");
    // The port stays the same and speaks HTTP after the next roll-out.
    runtime.apply(service(&data, &target, port, 2, "two")).await.unwrap();
    assert!(text(port, "/headers").await.contains("X-Forwarded-For: 127.0.0.1"));
    runtime.down().await.unwrap();
}

/// The syncs of a process and its threads fail from the nth of each thread on, until it is dropped.
struct FailingSyncs(std::process::Child);

impl FailingSyncs {
    async fn attach(pid: i32, nth: usize) -> Self {
        let inject = format!("inject=fsync:error=EIO:when={nth}+");
        let mut strace = std::process::Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", &inject, "-p"]);
        let child = strace.arg(pid.to_string()).spawn().expect("the package strace is there");
        let this = Self(child);
        eventually("strace holds every thread", async || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
            let mut statuses =
                tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
            statuses.all(|status| !status.contains("TracerPid:\t0\n"))
        })
        .await;
        this
    }
}

impl Drop for FailingSyncs {
    fn drop(&mut self) {
        let strace = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(strace, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_l_9_what_a_keeper_cannot_record_it_does_not_do() {
    let (data, target, port) = (Data::new(), target(), free_port());
    let runtime = data.runtime().await;
    runtime.apply(service(&data, &target, port, 1, "one")).await.unwrap();
    let folder = data.path().join(format!("host/keepers/{}", target.id));
    let record = || std::fs::read_to_string(folder.join("record.json")).unwrap();
    let before = record();
    let keepers = common::processes(&format!("keeper {}", folder.display()));
    let keeper = *keepers.first().unwrap();
    // The fence, its folder, the record, its folder: each is synced.
    for nth in 1..=4 {
        let failing = FailingSyncs::attach(keeper, nth).await;
        let order = service(&data, &target, port, 1 + nth as u64, &format!("v{nth}"));
        let Err(RuntimeError::Refused { code, message }) = runtime.apply(order).await else {
            panic!("it was taken although sync {nth} failed")
        };
        drop(failing);
        assert_eq!(code, "record_failed", "{message}");
        assert_eq!(record(), before, "after sync {nth}");
        assert_eq!(text(port, "/").await, "one");
    }
    runtime.apply(service(&data, &target, port, 9, "two")).await.unwrap();
    assert_eq!(text(port, "/").await, "two");
    println!("ROW L-9 keeper_syncs_failed=4 taken=0");
    runtime.down().await.unwrap();
}
