//! W5: signed webhooks that are durably accepted, over 50 connections that are kept open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use shipway_contracts::v1::{ApplyRequest, Hook, SourceFile, projects_client::ProjectsClient};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::transport::Channel;
use uuid::Uuid;

use super::report::{Report, percentile};

const HOOKS: usize = 1000;
const CONNECTIONS: usize = 50;
/// Deliveries made for each second of load; more are not sent.
const MOST_PER_SECOND: u64 = 30_000;

/// Makes 1,000 hooks whose triggers match nothing, then sends as fast as answers come.
pub(crate) async fn flood(
    url: &str,
    projects: &Channel,
    seconds: u64,
    report: &Report,
) -> anyhow::Result<()> {
    let hooks = make_hooks(projects).await?;
    let address = url.trim_start_matches("http://").to_owned();
    // Made before the clock starts: what is measured is Shipway, not the sender's cryptography.
    let most = seconds * MOST_PER_SECOND;
    let requests: Vec<_> = (0..most)
        .map(|number| request(&address, &hooks[number as usize % hooks.len()], number))
        .collect::<Result<_, _>>()?;
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(send(address.clone(), requests.clone(), next.clone(), until)))
        .collect();
    let mut samples = Vec::new();
    for sender in senders {
        samples.extend(sender.await??);
    }
    report.figure(
        "W5.accepts_per_s",
        "mean",
        samples.len() as f64 / start.elapsed().as_secs_f64(),
        "accepts/s",
    );
    report.time("W5.p99", "p99", percentile(&mut samples, 0.99));
    Ok(())
}

async fn make_hooks(channel: &Channel) -> anyhow::Result<Vec<Hook>> {
    let triggers: Vec<_> = (0..HOOKS)
        .map(|n| {
            json!({"ref": format!("r{n}"), "vcsService": "github", "repoUrl": format!("https://github.com/bench/r{n}"),
                   "branchRestrictions": ["release"], "prRestrictions": []})
        })
        .collect();
    let flow = json!({"apiVersion": "v1.2", "triggers": triggers,
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [{"kind": "Noop", "ref": "n", "spec": {}}]}}});
    let text = json!([
        {"kind": "Project", "ref": "project", "spec": {"name": "bench", "region": "local"}},
        {"kind": "Pipeline", "spec": {"name": "bench", "projectId": "bench",
            "stages": [{"name": "Development", "releaseFlow": {"kind": "ReleaseFlow", "spec": flow}},
                {"name": "Staging"}, {"name": "Production"}]}}
    ]);
    let request = ApplyRequest {
        command: Uuid::now_v7().to_string(),
        files: vec![SourceFile { name: "bench.json".into(), text: text.to_string() }],
        ..ApplyRequest::default()
    };
    let mut client = ProjectsClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let reply = client.apply(request).await.context("applying the project of W5")?.into_inner();
    if let Some(problem) = reply.problems.iter().find(|problem| problem.severity == 1) {
        bail!("the project of W5: {}: {}", problem.pointer, problem.message);
    }
    if reply.hooks.len() < HOOKS {
        bail!("W5 wants {HOOKS} hooks and got {}", reply.hooks.len());
    }
    Ok(reply.hooks)
}

async fn send(
    address: String,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicU64>,
    until: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut socket = TcpStream::connect(&address).await.context("connecting to the ingress")?;
    socket.set_nodelay(true)?;
    let mut samples = Vec::new();
    let mut answer = Vec::with_capacity(1024);
    while Instant::now() < until {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(number as usize) else { break };
        let start = Instant::now();
        socket.write_all(request).await?;
        read_answer(&mut socket, &mut answer).await?;
        samples.push(start.elapsed());
        let is_first = samples.len() == 1;
        if !answer.starts_with(b"HTTP/1.1 202") || (is_first && !is_judged(&answer)) {
            bail!("a signed delivery was answered {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(samples)
}

fn request(address: &str, hook: &Hook, number: u64) -> anyhow::Result<Vec<u8>> {
    // Not 0, which stands for no commit.
    let (before, after) = (format!("{:040x}", number + 1), format!("{:040x}", number + 2));
    let commit = json!({"id": after, "message": format!("commit {number}")});
    let body = json!({"ref": "refs/heads/main", "before": before, "after": after, "commits": [commit],
        "repository": {"clone_url": hook.of}, "head_commit": commit})
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(hook.secret.as_bytes()).context("a hook's secret")?;
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    Ok(format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: {}\r\nx-hub-signature-256: sha256={signature}\r\ncontent-length: {}\r\n\r\n{body}",
        hook.path,
        Uuid::now_v7(),
        body.len()
    )
    .into_bytes())
}

/// Whether a trigger was asked about the push: what is measured is not how fast a body is put away that says nothing.
fn is_judged(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).contains("branch main matches none of the rules `release`")
}

/// Reads one answer with a content length.
async fn read_answer(socket: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    loop {
        if socket.read_buf(answer).await? == 0 {
            bail!("the ingress closed the connection");
        }
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let length = String::from_utf8_lossy(&answer[..head])
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(|text| text.trim().to_owned())
            })
            .and_then(|text| text.parse::<usize>().ok())
            .context("an answer without content-length")?;
        while answer.len() < head + 4 + length {
            if socket.read_buf(answer).await? == 0 {
                bail!("the ingress closed the connection");
            }
        }
        return Ok(());
    }
}
