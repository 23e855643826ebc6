//! For this crate's tests only: Shipway's small processes, and real programs for them to run.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    io::Write as _,
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use shipway_events::{Fence, ProjectId, RunId, SecretRef};
use shipway_executor::{
    Assignment, BootTime, Executor, ExecutorConfig, LeaseTimes, ReportError, Reports, Secrets, SecretsError,
    Way,
};
use shipway_forge::Account;
use shipway_nodes::Outcome;
use zeroize::Zeroizing;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let text = |at: usize| words.get(at).and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    match text(0).as_str() {
        "keeper" => shipway_executor::keeper::main(Path::new(&words[1])),
        "shim" => shipway_executor::shim::main(Path::new(&words[1])),
        "way" => shipway_executor::ways::main(Path::new(&words[1])),
        "sandbox" => shipway_executor::sandbox::main(&words[1..]),
        "serve" => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(serve());
            ExitCode::SUCCESS
        }
        "attempt" => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(attempt(Path::new(&words[1]), &text(2)));
            ExitCode::SUCCESS
        }
        "tree" => tree(text(1).parse().unwrap_or(0), &text(2)),
        "append" => append(&text(1), &text(2), text(3).parse().unwrap_or(0)),
        "effects" => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(effects(&text(1)));
            ExitCode::SUCCESS
        }
        "get" => get(&text(1)),
        "storm" => storm(text(1).parse().unwrap_or(0)),
        "print" => {
            println!("{}", env::var(text(1)).unwrap_or_default());
            ExitCode::SUCCESS
        }
        "fail" => {
            for number in 1..=30 {
                eprintln!("line {number}");
            }
            ExitCode::from(7)
        }
        other => {
            eprintln!("unknown: {other}");
            ExitCode::FAILURE
        }
    }
}

/// An executor that does one piece of work and says what came of it, to be killed in between.
async fn attempt(data: &Path, given: &str) {
    let given: Value = serde_json::from_str(given).expect("JSON");
    let blobs = shipway_eventing::Blobs::open(&data.join("blobs")).await.expect("blobs");
    let own = env::current_exe().expect("a program");
    let mut config = ExecutorConfig::new(data.to_owned(), own, blobs);
    let milliseconds = |name: &str| Duration::from_millis(given["lease"][name].as_u64().unwrap_or_default());
    if let Some(listen) = given["listen"].as_str() {
        config.listen = listen.parse().expect("an address");
    }
    config.lease = given
        .get("lease")
        .map(|_| LeaseTimes { stop_after: milliseconds("stop"), dead_after: milliseconds("dead") });
    let executor = Executor::open(config, Arc::new(Printing), Arc::new(Printing)).await.expect("an executor");
    let ways = given["ways"].as_array().into_iter().flatten().map(|way| Way {
        port: way["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port"),
        host: way["host"].as_str().expect("a host").to_owned(),
    });
    executor.set_ways(ways.collect()).await.expect("ways");
    if given["work"].is_null() {
        println!("ready");
        return std::future::pending().await;
    }
    println!("offered");
    let beating = executor.clone();
    tokio::spawn(async move {
        // Every beat is good; that none is sent while this process is stopped is what the tests are about.
        loop {
            beating.renew(BootTime::now());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    executor.offer(Assignment {
        project: ProjectId::new(uuid::Uuid::nil()),
        run: RunId::new(uuid::Uuid::nil()),
        node: 1,
        attempt: 1,
        fence: Fence::from_raw(given["fence"].as_u64().expect("a fence")),
        effect: serde_json::from_value(given["class"].clone()).expect("a class"),
        effect_key: given["key"].as_str().expect("a key").to_owned(),
        work: serde_json::from_value(given["work"].clone()).expect("work"),
        deadline: None,
        detached: false,
        registration: None,
        labels: BTreeSet::new(),
        trace: None,
    });
    std::future::pending::<()>().await;
}

struct Printing;

#[async_trait::async_trait]
impl Reports for Printing {
    async fn complete(
        &self,
        _fence: Fence,
        _run: RunId,
        _node: u32,
        outcome: Outcome,
    ) -> Result<Option<Vec<Assignment>>, ReportError> {
        println!("outcome {outcome:?}");
        Ok(None)
    }
}

#[async_trait::async_trait]
impl Secrets for Printing {
    async fn fetch(
        &self,
        _project: ProjectId,
        _fence: Fence,
        _names: &BTreeSet<SecretRef>,
    ) -> Result<BTreeMap<SecretRef, Zeroizing<String>>, SecretsError> {
        Ok(BTreeMap::new())
    }

    async fn account(&self, _project: ProjectId, _fence: Fence) -> Result<Account, SecretsError> {
        Err(SecretsError::Refused("nobody is linked".to_owned()))
    }
}

/// Appends a line to a file, then stays for a while: an effect that can be counted.
fn append(path: &str, line: &str, stay_ms: u64) -> ExitCode {
    let mut file = std::fs::File::options().create(true).append(true).open(path).expect("the file opens");
    writeln!(file, "{line}").expect("the file takes a line");
    std::thread::sleep(Duration::from_millis(stay_ms));
    println!("appended {line}");
    ExitCode::SUCCESS
}

/// Prints what an address answers, or why it does not.
fn get(address: &str) -> ExitCode {
    use std::io::Read as _;
    let ask = || -> std::io::Result<String> {
        let mut server = std::net::TcpStream::connect(address)?;
        server.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        server.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) => println!("{}", answer.lines().last().unwrap_or_default()),
        Err(error) => println!("error {:?}", error.kind()),
    }
    ExitCode::SUCCESS
}

/// Prints so many bytes: a line of 10 MB, bytes that are no text, then numbered lines.
fn storm(bytes: u64) -> ExitCode {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let (mut written, mut number) = (0, 0_u64);
    for letter in *b"xyz" {
        let mut long = vec![letter; 10_000_000];
        long.extend(b"\n\0\xff\xfe\xc3(\n");
        out.write_all(&long).expect("output");
        written += long.len() as u64;
    }
    while written < bytes {
        let line = format!("line {number} of a storm that says nothing but how long it is\n");
        out.write_all(line.as_bytes()).expect("output");
        written += line.len() as u64;
        number += 1;
    }
    out.flush().expect("output");
    ExitCode::SUCCESS
}

/// Has an effect on the sink at that address again and again, with its attempt's fence, and does not heed SIGTERM.
async fn effects(sink: &str) {
    let _deaf = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a handler");
    let fence = env::var("SHIPWAY_FENCE").expect("a fence");
    loop {
        if let Ok(mut sink) = TcpStream::connect(sink).await {
            let _ = sink.write_all(format!("{fence}\n").as_bytes()).await;
            let _ = sink.read(&mut [0; 16]).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A process with children, the last of which is a daemon in a session of its own; each writes its marker.
#[expect(clippy::zombie_processes, reason = "what is left behind is what the tests look for")]
fn tree(depth: u32, folder: &str) -> ExitCode {
    std::fs::write(format!("{folder}/{}-{depth}", env::var("TREE").unwrap_or_default()), b"")
        .expect("a marker");
    if depth > 0 {
        let own = env::current_exe().expect("a program");
        let mut command = Command::new(own);
        command.args(["tree", &(depth - 1).to_string(), folder]);
        command.spawn().expect("a child");
        if depth == 2 {
            // The middle one ends at once: its child is an orphan.
            return ExitCode::SUCCESS;
        }
    }
    if depth <= 1 {
        let _ = rustix::process::setsid();
    }
    std::thread::sleep(Duration::from_secs(600));
    ExitCode::SUCCESS
}

/// A web service that drains on SIGTERM. `PORT`, `VERSION`, `HEALTH` (status), `START_DELAY_MS` say how it is.
async fn serve() {
    let port: u16 = env::var("PORT").ok().and_then(|port| port.parse().ok()).expect("PORT");
    let delay = env::var("START_DELAY_MS").ok().and_then(|delay| delay.parse().ok()).unwrap_or(0);
    for number in 1..=30 {
        println!("starting, line {number}");
    }
    println!("secret {}", env::var("SECRET").unwrap_or_default());
    tokio::time::sleep(Duration::from_millis(delay)).await;
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a handler");
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port");
    let (stop, stopped) = watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                clients.spawn(client_of(client, stopped.clone()));
            },
            _ = terminate.recv() => break,
        }
    }
    drop(listener);
    let _ = stop.send(true);
    while clients.join_next().await.is_some() {}
}

async fn client_of(client: TcpStream, mut stopped: watch::Receiver<bool>) {
    let mut client = BufReader::new(client);
    loop {
        let mut head = Vec::new();
        let read = async {
            loop {
                let mut line = String::new();
                if client.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return false;
                }
                if line.trim().is_empty() {
                    return true;
                }
                head.push(line.trim().to_owned());
            }
        };
        tokio::select! {
            whole = read => if !whole { return },
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        if !answer(&head, &mut client).await {
            return;
        }
    }
}

async fn answer(head: &[String], client: &mut BufReader<TcpStream>) -> bool {
    let mut words = head[0].split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<String, String> = head[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length").and_then(|length| length.parse().ok()) {
        body = vec![0; length];
        if client.read_exact(&mut body).await.is_err() {
            return false;
        }
    } else if headers.contains_key("transfer-encoding") {
        loop {
            let mut size = String::new();
            if client.read_line(&mut size).await.is_err() {
                return false;
            }
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            if client.read_exact(&mut chunk).await.is_err() {
                return false;
            }
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    let version = env::var("VERSION").unwrap_or_default();
    let (status, text) = match path {
        "/health" => (env::var("HEALTH").unwrap_or_else(|_| "200".to_owned()), "health".to_owned()),
        "/echo" => ("200".to_owned(), String::from_utf8_lossy(&body).into_owned()),
        "/length" => ("200".to_owned(), body.len().to_string()),
        "/headers" => ("200".to_owned(), head.join("\n")),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(query.parse().unwrap_or(0))).await;
            ("200".to_owned(), version)
        }
        "/crash" => std::process::exit(3),
        "/chunked" => {
            let text =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
            return client.write_all(text.as_bytes()).await.is_ok();
        }
        "/early" => {
            let text = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            return client.write_all(text.as_bytes()).await.is_ok();
        }
        "/upgrade" => {
            let text = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
            let _ = client.write_all(text.as_bytes()).await;
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = client.read(&mut buffer).await {
                let _ = client.write_all(&buffer[..count]).await;
            }
            return false;
        }
        _ => ("200".to_owned(), version),
    };
    let shown = if method == "HEAD" { "" } else { &text };
    let reply = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n{shown}", text.len());
    client.write_all(reply.as_bytes()).await.is_ok()
}
