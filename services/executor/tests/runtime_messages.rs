//! Messages and comments: limits of receivers, and comments that a repeat changes.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{sync::Arc, time::Duration};

use common::Data;
use scheduler::{Scheduler, assignment, executor, log as node_log};
use serde_json::{Value, json};
use shipway_events::{Fence, Timestamp};
use shipway_forge::{Account, HostKind};
use shipway_nodes::{
    Workload,
    workload::{Channel, Comment, Message},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use zeroize::Zeroizing;

/// A request as it came: its first line and headers, and its body.
type Request = (String, String);

/// Answers each request with the next of these, and passes it on.
async fn receiver(answers: Vec<String>) -> (String, mpsc::UnboundedReceiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut client, _) = listener.accept().await.unwrap();
            sender.send(read(&mut client).await).unwrap();
            client.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, requests)
}

async fn read(client: &mut TcpStream) -> Request {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return (head.to_owned(), body.to_owned());
            }
        }
        let count = client.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the request broke off: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

fn answer(status: &str, headers: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn message(address: &str) -> Workload {
    let url = json!(format!("http://{address}/hook"));
    Workload::Message(Message { channel: Channel::Slack, url, message: json!("released") })
}

fn comment(address: &str, message: &str) -> Workload {
    Workload::Comment(Comment {
        service: "self-hosted".into(),
        repository: format!("http://{address}/acme/api"),
        pull_request: 7,
        account: None,
        self_hosted: Some("git".into()),
        message: json!(message),
    })
}

fn fence(number: u64) -> Fence {
    Fence::from_raw(number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_says_when_is_asked_then() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let executor = executor(&data, &scheduler).await;
    let (address, mut requests) = receiver(vec![
        answer("429 Too Many Requests", "retry-after: 1\r\n", &Value::Null),
        answer("503 Service Unavailable", "retry-after: 0\r\n", &Value::Null),
        answer("200 OK", "", &Value::Null),
        answer("429 Too Many Requests", "retry-after: 3600\r\n", &Value::Null),
        answer("429 Too Many Requests", "", &Value::Null),
    ])
    .await;
    let begun = std::time::Instant::now();
    executor.offer(assignment(1, "run/1", message(&address)));
    scheduler.succeed(fence(1)).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "it was asked again too soon");
    for _ in 0..3 {
        let (head, body) = requests.recv().await.unwrap();
        assert!(head.contains("webhook-id: run/1") && body == r#"{"text":"released"}"#, "{head}");
    }

    // Longer than it would ever wait: the scheduler's turn.
    executor.offer(assignment(2, "run/2", message(&address)));
    let failed = scheduler.fail(fence(2)).await;
    assert!(failed.transient && failed.message.contains("left alone for 3600 s"), "{failed:?}");
    executor.offer(assignment(3, "run/3", message(&address)));
    let failed = scheduler.fail(fence(3)).await;
    assert!(failed.transient && failed.message.contains("429"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_wait_beyond_its_time() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let executor = executor(&data, &scheduler).await;
    let limited = answer("429 Too Many Requests", "retry-after: 30\r\n", &Value::Null);
    let (address, _requests) = receiver(vec![limited]).await;
    let mut given = assignment(1, "run/1", message(&address));
    given.deadline = Some(Timestamp::from_micros(jiff::Timestamp::now().as_microsecond() + 10_000_000));
    executor.offer(given);
    let failed = scheduler.fail(fence(1)).await;
    assert!(failed.transient && failed.message.contains("longer than the node has"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_is_made_once_and_changed_after_that() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let executor = executor(&data, &scheduler).await;
    let marked = |text: &str| format!("<!-- shipway run/1 -->\n{text}");
    let (address, mut requests) = receiver(vec![
        answer("200 OK", "", &json!([])),
        answer("201 Created", "", &json!({"id": 5})),
        answer("200 OK", "", &json!([{"id": 4, "body": "hi"}, {"id": 5, "body": marked("at one")}])),
        answer("200 OK", "", &json!([{"id": 5, "body": marked("at one")}])),
        answer("200 OK", "", &json!({"id": 5})),
        answer("200 OK", "", &json!([])),
        answer("404 Not Found", "", &json!({"message": "The target couldn't be found."})),
        answer("429 Too Many Requests", "retry-after: 0\r\n", &Value::Null),
        answer("200 OK", "", &json!([])),
        answer("201 Created", "", &json!({"id": 6})),
    ])
    .await;
    // Without an account nothing is said.
    executor.offer(assignment(9, "run/9", comment(&address, "x")));
    let failed = scheduler.fail(fence(9)).await;
    assert_eq!(failed.code, "no_account", "{failed:?}");
    assert!(failed.message.contains("no linked account fits"), "{failed:?}");

    let (api, token) = (format!("http://{address}/api/v1"), Zeroizing::new("t0ken".to_owned()));
    let account = Account::new(HostKind::Gitea, &address, Some(&api), "bot", token).unwrap();
    *scheduler.account.lock().unwrap() = Some(account);
    for (number, text) in [(1, "at one"), (2, "at one"), (3, "at two")] {
        executor.offer(assignment(number, "run/1", comment(&address, text)));
        scheduler.succeed(fence(number)).await;
    }
    let mut lines = Vec::new();
    for _ in 0..5 {
        let (head, body) = requests.recv().await.unwrap();
        assert!(head.contains("authorization: token t0ken"), "{head}");
        lines.push(format!("{} {body}", head.lines().next().unwrap()));
    }
    let path = "/api/v1/repos/acme/api/issues";
    assert_eq!(
        lines,
        [
            format!("GET {path}/7/comments HTTP/1.1 "),
            format!("POST {path}/7/comments HTTP/1.1 {}", json!({"body": marked("at one")})),
            format!("GET {path}/7/comments HTTP/1.1 "),
            format!("GET {path}/7/comments HTTP/1.1 "),
            format!("PATCH {path}/comments/5 HTTP/1.1 {}", json!({"body": marked("at two")})),
        ]
    );

    executor.offer(assignment(4, "run/4", comment(&address, "x")));
    let failed = scheduler.fail(fence(4)).await;
    assert!(failed.code == "comment_refused" && !failed.transient, "{failed:?}");
    assert!(failed.message.contains("The target couldn't be found."), "{failed:?}");
    let given = assignment(5, "run/5", comment(&address, "x"));
    executor.offer(given.clone());
    scheduler.succeed(fence(5)).await;
    let noted = node_log(&executor, &given).await;
    assert!(
        noted.contains("asked again in 0.2 s") && noted.contains("commented on pull request 7"),
        "{noted}"
    );
}
