//! One port, seen from outside: readiness over HTTP and gRPC, a stop that says so first, metrics.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shipway_service_kit::{Health, Lifecycle, Server, Telemetry, TelemetryOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Status and body of a GET.
async fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn serving(health: &mut HealthClient<tonic::transport::Channel>) -> bool {
    let reply = health.check(HealthCheckRequest { service: String::new() }).await.unwrap();
    reply.into_inner().status() == ServingStatus::Serving
}

/// Asks again until gRPC says so: it follows within a second.
async fn until_serving(health: &mut HealthClient<tonic::transport::Channel>, wanted: bool) {
    let asked = async {
        while serving(health).await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_says_whether_it_is_ready_and_that_it_stops_before_it_stops() {
    let options =
        TelemetryOptions { filter: "off", json: true, otlp: None, interval: Duration::from_secs(60) };
    let telemetry = Telemetry::start("probe", &options).unwrap();
    let (lifecycle, _failures) = Lifecycle::new();
    let health = Health::new(lifecycle.retiring());
    let fine = Arc::new(AtomicBool::new(false));
    let look = fine.clone();
    health.check("log", move || {
        let fine = look.load(Ordering::SeqCst);
        async move { if fine { Ok(()) } else { Err("the database is away".to_owned()) } }
    });
    let hangs = Arc::new(AtomicBool::new(false));
    let asked = tokio::sync::mpsc::unbounded_channel();
    let (hanging, tell) = (hangs.clone(), asked.0);
    health.check("consumers", move || {
        tell.send(()).unwrap();
        let hangs = hanging.load(Ordering::SeqCst);
        async move { if hangs { std::future::pending().await } else { Ok(()) } }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::new().health(health.clone());
    let stopping = lifecycle.stopping();
    lifecycle.spawn("server", async move { server.serve(listener, stopping).await });
    let channel = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap().connect_lazy();
    let mut grpc = HealthClient::new(channel);

    // A check that fails is named with its reason; the process lives.
    assert_eq!(get(&address, "/healthz").await, (200, "ok\n".to_owned()));
    let (status, body) = get(&address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains(r#""log":{"ok":false,"reason":"the database is away"}"#), "{body}");
    assert!(body.contains(r#""consumers":{"ok":true}"#), "{body}");
    until_serving(&mut grpc, false).await;

    fine.store(true, Ordering::SeqCst);
    assert_eq!(get(&address, "/readyz").await.0, 200);
    until_serving(&mut grpc, true).await;

    // It says that it stops, and goes on serving for a while.
    lifecycle.retire();
    let (status, body) = get(&address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains(r#""draining":true"#), "{body}");
    until_serving(&mut grpc, false).await;
    assert_eq!(get(&address, "/healthz").await.0, 200);

    // Calls are counted by what was served, whatever was asked for.
    assert_eq!(get(&address, "/made/up/by/somebody").await.0, 404);
    let (_, metrics) = get(&address, "/metrics").await;
    for line in [
        r#"shipway_requests_total{code="503",method="GET /readyz",protocol="http"} 2"#,
        r#"shipway_build_info{service="probe""#,
        "shipway_ready 0",
        "shipway_watchdog_stuck_runs 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(
        metrics.contains(r#"code="Ok",method="/grpc.health.v1.Health/Check",protocol="grpc""#),
        "{metrics}"
    );
    assert!(!metrics.contains("made/up"), "{metrics}");

    // Also those whose callers have gone before the answer.
    let mut asked = asked.1;
    while asked.try_recv().is_ok() {}
    hangs.store(true, Ordering::SeqCst);
    let mut impatient = TcpStream::connect(&address).await.unwrap();
    impatient.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    asked.recv().await.unwrap();
    drop(impatient);
    let counted = async {
        let line = r#"shipway_requests_total{code="499",method="GET /readyz",protocol="http"} 1"#;
        while !get(&address, "/metrics").await.1.contains(line) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap();

    drop(grpc);
    assert!(lifecycle.stop(PATIENCE).await, "everything ends");
    telemetry.shutdown();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_does_not_answer_has_failed() {
    let (lifecycle, _failures) = Lifecycle::new();
    let health = Health::new(lifecycle.retiring());
    health.check("log", std::future::pending);
    let report = health.look().await;
    assert!(!report.ready());
    assert_eq!(report.checks, [("log", Err("no answer within 1s".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_may_be_asked_for_again() {
    // As a service that is killed between the head and the end of its answer.
    let killed = Arc::new(tokio::sync::Notify::new());
    let until = killed.clone();
    let dies = move || async move {
        let end = futures::stream::once(async move {
            until.notified().await;
            Err::<axum::body::Bytes, _>(std::io::Error::other("killed"))
        });
        ([("content-type", "application/grpc")], axum::body::Body::from_stream(end))
    };
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let server = axum::serve(socket, axum::Router::new().fallback(dies));
    let server = tokio::spawn(async move { server.await });
    let (_, way) = shipway_contracts::Targets::new(&[address]).unwrap();
    let mut runs = shipway_contracts::v1::runs_client::RunsClient::new(way);
    let watched = runs.watch_run(shipway_contracts::v1::WatchRunRequest::default()).await;
    let mut watch = watched.unwrap().into_inner();
    killed.notify_one();
    let status = watch.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    assert!(status.message().contains("broke off"), "{status}");
    server.abort();
}
