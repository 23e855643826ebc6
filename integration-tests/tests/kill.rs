//! Shipway is killed without a word, again and again, while it brings releases to production. Its keepers and shims
//! live on; it is started again each time. Nothing is lost and nothing happens twice.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use rand::RngExt;
use shipway_contracts::v1::{Run, StartRunRequest, WatchRunRequest, runs_client::RunsClient};
use shipway_integration_tests::{
    lab::Lab,
    shipway::{PATIENCE, Shipway, wait},
};
use uuid::Uuid;

/// How often Shipway is killed, over all rounds.
const KILLS: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_lose_nothing_and_double_nothing() {
    let shipway = Shipway::up("kill").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    lab.tell_pushes(&shipway).unwrap();
    let url = shipway.url().unwrap();
    let receiver = Receiver::start().await;

    let killed = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut asking: Option<(Arc<AtomicBool>, thread::JoinHandle<Asked>)> = None;
    let shipway = Arc::new(Mutex::new(shipway));
    let killer = thread::spawn({
        let (shipway, killed, done) = (shipway.clone(), killed.clone(), done.clone());
        move || kill_now_and_then(&shipway, &killed, &done)
    });
    let (mut rounds, mut staged) = (0, Vec::new());
    while killed.load(Ordering::Relaxed) < KILLS || rounds < 3 {
        rounds += 1;
        let release = format!("r{rounds}");
        let commit = lab.release(&release).unwrap();
        let development = run_of_commit(&url, &commit).await;
        ended_well(&url, &development, "development", &commit).await;
        if asking.is_none() {
            let address = lab.address(&shipway.lock().unwrap(), "lab-web-dev").unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let handle = thread::spawn({
                let stop = stop.clone();
                move || ask(&address, &stop)
            });
            asking = Some((stop, handle));
        }
        for (flow, arguments) in [
            ("lab/staging", "{}".to_owned()),
            ("lab/production", format!("{{\"NOTIFY\": \"{}\"}}", receiver.url)),
        ] {
            let run = start(&url, flow, &arguments).await;
            staged.extend((flow == "lab/staging").then(|| run.clone()));
            ended_well(&url, &run, flow, &commit).await;
        }
    }
    done.store(true, Ordering::Relaxed);
    killer.join().unwrap().unwrap();
    let (stop, handle) = asking.unwrap();
    stop.store(true, Ordering::Relaxed);
    let asked = handle.join().unwrap();

    let mut shipway = shipway.lock().unwrap();
    let verdict = shipway.shipway(&["verify"]).unwrap();
    let keys = receiver.keys.lock().unwrap().clone();
    let migrations: usize =
        staged.iter().map(|run| lines(&shipway.shipway(&["logs", run]).unwrap(), "migrated to")).sum();
    let served = served_lines(&shipway, "serving r");
    println!(
        "KILL kills={} rounds={rounds} requests={} refused={} bad={} keys={} migrations={migrations} instances={served}",
        killed.load(Ordering::Relaxed),
        asked.requests,
        asked.refused,
        asked.bad,
        keys.len()
    );
    assert!(verdict.contains("as they were written"), "{verdict}");
    assert_eq!((asked.refused, asked.bad), (0, 0), "the app answers throughout");
    assert_eq!(keys.len(), rounds, "each production run sent one message of its own");
    assert_eq!(migrations, rounds, "each staging run migrated once");
    // Two instances in Development, one in Staging, one in Production, each started once a round.
    assert_eq!(served, rounds * 4, "nothing was deployed twice");
    shipway.stop().unwrap();
}

fn kill_now_and_then(shipway: &Mutex<Shipway>, killed: &AtomicUsize, done: &AtomicBool) -> Result<()> {
    let mut random = rand::rng();
    while !done.load(Ordering::Relaxed) && killed.load(Ordering::Relaxed) < KILLS {
        thread::sleep(Duration::from_millis(random.random_range(50..1500)));
        let mut shipway = shipway.lock().unwrap();
        shipway.kill()?;
        shipway.start()?;
        killed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// How often a text is in the logs of the host's services.
fn served_lines(shipway: &Shipway, text: &str) -> usize {
    let mut count = 0;
    let mut folders = vec![shipway.data().join("host")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if name.starts_with("service.log") {
                let content = fs::read(&path).unwrap_or_default();
                count += lines(&String::from_utf8_lossy(&content), text);
            }
        }
    }
    count
}

fn lines(content: &str, text: &str) -> usize {
    content.lines().filter(|line| line.contains(text)).count()
}

#[derive(Debug, Default)]
struct Asked {
    requests: usize,
    refused: usize,
    bad: usize,
}

/// Asks every 20 ms, each time on a connection of its own.
fn ask(address: &str, stop: &AtomicBool) -> Asked {
    use std::io::{Read, Write};
    let address = address.trim_start_matches("http://");
    let mut asked = Asked::default();
    while !stop.load(Ordering::Relaxed) {
        let next = Instant::now() + Duration::from_millis(20);
        asked.requests += 1;
        match std::net::TcpStream::connect(address) {
            Err(_) => asked.refused += 1,
            Ok(mut stream) => {
                let mut answer = String::new();
                let request =
                    format!("GET /version HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
                let got =
                    stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
                if got.is_err() || !answer.starts_with("HTTP/1.1 200") {
                    asked.bad += 1;
                }
            }
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    asked
}

/// Calls until Shipway answers: it may be on its way up again.
async fn patiently<T, F>(what: &str, mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) if Instant::now() > until => panic!("{what}: {error:#}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn client(url: &str) -> Result<RunsClient<tonic::transport::Channel>> {
    Ok(RunsClient::connect(url.to_owned()).await?)
}

/// Starts a run; the command's id is the same however often it has to be said.
async fn start(url: &str, flow: &str, arguments: &str) -> String {
    let command = Uuid::now_v7().to_string();
    patiently(flow, || async {
        let request = StartRunRequest {
            command: command.clone(),
            flow: flow.to_owned(),
            arguments_json: arguments.to_owned(),
            ..StartRunRequest::default()
        };
        let reply = client(url).await?.start_run(request).await?.into_inner();
        anyhow::ensure!(reply.problems.is_empty(), "{:?}", reply.problems);
        Ok(reply.run)
    })
    .await
}

async fn run_of_commit(url: &str, commit: &str) -> String {
    patiently("the run of the push", || async {
        let listed = client(url)
            .await?
            .list_runs(shipway_contracts::v1::ListRunsRequest::default())
            .await?
            .into_inner();
        let of: Vec<&Run> = listed.runs.iter().filter(|run| run.triggers_json.contains(commit)).collect();
        assert!(of.len() < 2, "the push started {} runs", of.len());
        of.first().map(|run| run.id.clone()).ok_or_else(|| anyhow::anyhow!("no run yet"))
    })
    .await
}

async fn ended_well(url: &str, run: &str, flow: &str, commit: &str) {
    let ended = patiently(flow, || async {
        let mut watch =
            client(url).await?.watch_run(WatchRunRequest { run: run.to_owned() }).await?.into_inner();
        while let Some(run) = watch.message().await? {
            if run.concluded {
                return Ok(run);
            }
        }
        anyhow::bail!("the watch ended")
    })
    .await;
    let errors: BTreeMap<_, _> = ended
        .nodes
        .iter()
        .filter(|n| !n.error_message.is_empty())
        .map(|n| (&n.r#ref, &n.error_message))
        .collect();
    assert_eq!(ended.status, "success", "{flow} of {commit}: {errors:#?}");
}

struct Receiver {
    url: String,
    keys: Arc<Mutex<std::collections::BTreeSet<String>>>,
}

impl Receiver {
    async fn start() -> Self {
        let keys = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
        let seen = keys.clone();
        let app = axum::Router::new().route(
            "/",
            axum::routing::post(move |headers: axum::http::HeaderMap| async move {
                let key =
                    headers.get("webhook-id").and_then(|key| key.to_str().ok()).unwrap_or("none").to_owned();
                seen.lock().unwrap().insert(key);
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, keys }
    }
}

#[test]
fn what_runs_goes_on_when_shipway_stops_and_up_again_finds_it() {
    let mut shipway = Shipway::up("again").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    let commit = lab.release("first").unwrap();
    let run = ["run", "lab/development", "-w"];
    shipway.shipway(&run).unwrap();
    let address = lab.address(&shipway, "lab-web-dev").unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&address, &stop));
        shipway.stop().unwrap();
        assert!(
            shipway.said().contains("lab-web-dev"),
            "the farewell names what goes on: {}",
            shipway.said()
        );
        shipway.start().unwrap();
        stop.store(true, Ordering::Relaxed);
        let asked = asking.join().unwrap();
        assert_eq!((asked.refused, asked.bad), (0, 0));
    });
    let state = shipway.shipway(&["state"]).unwrap();
    assert!(state.contains(&commit[..8]), "{state}");
    wait("the service as running", || {
        Ok(shipway.shipway(&["status"])?.contains("running 2/2").then_some(()))
    })
    .unwrap();
}
