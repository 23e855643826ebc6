//! W5: signed webhooks that are durably accepted, over 50 connections that are kept open: requests and pushes that nothing
//! follows from, and pushes that start runs, with how far the runs are behind.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use shipway_contracts::v1::{
    ApplyRequest, Hook, ListRunsRequest, Page, RotateHookRequest, SourceFile,
    projects_client::ProjectsClient, runs_client::RunsClient,
};
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

/// How many pushes are sent that start runs, and of which flow.
const WANTED: u64 = 1000;
const FLOW: &str = "bench/staging";
/// How long the last run may be behind the last delivery.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes 1,000 hooks of each kind by one apply, whose time is told too, and sends as fast as answers come what nothing
/// follows from: requests to flows that are paused, then pushes that no trigger wants. Then pushes of which each starts
/// a run.
pub(crate) async fn flood(
    url: &str,
    projects: &Channel,
    runs: &Channel,
    seconds: u64,
    report: &Report,
) -> anyhow::Result<()> {
    let hooks = Hooks::make(projects, report).await?;
    let (time, most) = (Duration::from_secs(seconds), seconds * MOST_PER_SECOND);
    known(url, &hooks.flows).await?;
    let (accepted, took) = Flood::make(url, &hooks.flows, most)?.send(time).await?;
    report_rate("W5", "is paused: nothing runs", &accepted, took, report)?;
    let (accepted, took) = Flood::make(url, &hooks.unwanted, most)?.send(time).await?;
    report_rate("W5.pushes", "matches none of the rules `release`", &accepted, took, report)?;

    let (accepted, took) = Flood::make(url, &[hooks.wanted], WANTED)?.send(PATIENCE).await?;
    let mut behind = lags(runs, &accepted).await?;
    report_rate("W5.matches", FLOW, &accepted, took, report)?;
    report.time("W5.matches.lag", "p50", percentile(&mut behind, 0.5));
    report.time("W5.matches.lag", "p99", percentile(&mut behind, 0.99));
    Ok(())
}

/// Waits until the ingress has heard of the hooks' secrets.
async fn known(url: &str, hooks: &[Hook]) -> anyhow::Result<()> {
    let flood = Flood::make(url, hooks, hooks.len() as u64)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match flood.send(PATIENCE).await {
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(_) => return Ok(()),
        }
    }
}

/// `answer` is what stands in the answers: what is measured is not how fast a body is put away that says nothing.
fn report_rate(
    metric: &str,
    answer: &str,
    accepted: &[Accepted],
    took: Duration,
    report: &Report,
) -> anyhow::Result<()> {
    let first = accepted.first().context("nothing was accepted")?;
    let first = String::from_utf8_lossy(&first.answer);
    if !first.contains(answer) {
        bail!("a delivery should have been answered with `{answer}`, and was with {first}");
    }
    let mut samples: Vec<_> = accepted.iter().map(|accepted| accepted.took).collect();
    let rate = samples.len() as f64 / took.as_secs_f64();
    report.figure(&format!("{metric}.accepts_per_s"), "mean", rate, "accepts/s");
    report.time(&format!("{metric}.p99"), "p99", percentile(&mut samples, 0.99));
    Ok(())
}

/// How long after its 202 each push's run had ended.
async fn lags(channel: &Channel, accepted: &[Accepted]) -> anyhow::Result<Vec<Duration>> {
    let mut at: BTreeMap<String, Timestamp> = BTreeMap::new();
    for accepted in accepted {
        let text = String::from_utf8_lossy(&accepted.answer);
        let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap_or_default().1)
            .with_context(|| format!("reading {text}"))?;
        let run = body["runs"][0]["id"].as_str().with_context(|| format!("no run was started: {text}"))?;
        at.insert(run.to_owned(), accepted.at);
    }
    let mut client = RunsClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let until = Instant::now() + PATIENCE;
    let mut behind = Vec::new();
    let mut request = ListRunsRequest { flow: FLOW.to_owned(), ..ListRunsRequest::default() };
    while !at.is_empty() {
        if Instant::now() > until {
            bail!("{} runs of accepted pushes have not ended after {} s", at.len(), PATIENCE.as_secs());
        }
        request.page.get_or_insert_default().limit = 500;
        request.concluded = Some(true);
        let reply = client.list_runs(request.clone()).await?.into_inner();
        for run in &reply.runs {
            if let Some(accepted) = at.remove(&run.id) {
                let ended: Timestamp = run.ended_at.parse().context("when a run ended")?;
                // A run may be over before its 202 has been read.
                behind.push(Duration::try_from(ended.duration_since(accepted)).unwrap_or_default());
            }
        }
        // From the beginning once all were looked at: some had not ended.
        if reply.next.is_empty() && !at.is_empty() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        request.page = Some(Page { after: reply.next, limit: 0 });
    }
    Ok(behind)
}

/// Requests that are ready to be sent: what is measured is Shipway, not the sender's cryptography.
struct Flood {
    address: String,
    requests: Arc<Vec<Vec<u8>>>,
}

/// A delivery that was answered with 202.
struct Accepted {
    at: Timestamp,
    took: Duration,
    answer: Vec<u8>,
}

impl Flood {
    fn make(url: &str, hooks: &[Hook], count: u64) -> anyhow::Result<Self> {
        let address = url.trim_start_matches("http://").to_owned();
        let requests = (0..count)
            .map(|number| request(&address, &hooks[number as usize % hooks.len()], number))
            .collect::<Result<_, _>>()?;
        Ok(Self { address, requests: Arc::new(requests) })
    }

    /// Sends until all are sent or the time is over: what was accepted, and how long it took.
    async fn send(&self, time: Duration) -> anyhow::Result<(Vec<Accepted>, Duration)> {
        let next = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let until = start + time;
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::spawn(send(self.address.clone(), self.requests.clone(), next.clone(), until)))
            .collect();
        let mut accepted = Vec::new();
        for sender in senders {
            accepted.extend(sender.await??);
        }
        Ok((accepted, start.elapsed()))
    }
}

/// Where deliveries are sent to.
struct Hooks {
    /// Of flows that are paused, each with a secret that requests are signed with.
    flows: Vec<Hook>,
    /// Of repositories whose triggers want nothing that is sent.
    unwanted: Vec<Hook>,
    /// Of the repository whose trigger wants every push.
    wanted: Hook,
}

impl Hooks {
    async fn make(channel: &Channel, report: &Report) -> anyhow::Result<Self> {
        let mut client = ProjectsClient::new(channel.clone()).max_decoding_message_size(64 << 20);
        let request = ApplyRequest {
            command: Uuid::now_v7().to_string(),
            files: vec![SourceFile { name: "bench.json".into(), text: project().to_string() }],
            ..ApplyRequest::default()
        };
        let start = Instant::now();
        let reply = client.apply(request).await.context("applying the project of W5")?.into_inner();
        report.time("W5.apply", "one", start.elapsed());
        if let Some(problem) = reply.problems.iter().find(|problem| problem.severity == 1) {
            bail!("the project of W5: {}: {}", problem.pointer, problem.message);
        }
        let (repositories, flows): (Vec<_>, Vec<_>) =
            reply.hooks.into_iter().partition(|hook| hook.kind == "git");
        let (mut wanted, unwanted): (Vec<_>, Vec<_>) =
            repositories.into_iter().partition(|hook| hook.of.ends_with("/wanted"));
        let flows = stream::iter(flows).map(|hook| signed(client.clone(), hook)).buffer_unordered(16);
        let flows: Vec<_> = flows.try_collect().await?;
        if unwanted.len() < HOOKS || flows.len() < HOOKS {
            bail!("W5 wants {HOOKS} hooks of each kind and got {} and {}", unwanted.len(), flows.len());
        }
        let wanted = wanted.pop().context("W5 got no hook for what is wanted")?;
        Ok(Self { flows, unwanted, wanted })
    }
}

/// The hook with a secret: from now on requests to it are signed.
async fn signed(mut client: ProjectsClient<Channel>, hook: Hook) -> anyhow::Result<Hook> {
    let command = Uuid::now_v7().to_string();
    let request = RotateHookRequest { command, hook: hook.id, ..RotateHookRequest::default() };
    let reply = client.rotate_hook(request).await.context("giving a hook a secret")?.into_inner();
    reply.hook.context("a hook without itself")
}

fn project() -> Value {
    let trigger = |name: String, branches: &[&str]| {
        json!({"ref": name, "vcsService": "github", "repoUrl": format!("https://github.com/bench/{name}"),
               "branchRestrictions": branches, "prRestrictions": []})
    };
    let flow = |members: Value| {
        let node = json!({"kind": "Noop", "ref": "n", "spec": {}});
        let mut spec = json!({"apiVersion": "v1.2",
            "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [node]}}});
        for (name, value) in members.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        json!({"kind": "ReleaseFlow", "spec": spec})
    };
    let pipeline = |name: &str, flows: [Value; 3]| {
        let [development, staging, production] = flows;
        json!({"kind": "Pipeline", "spec": {"name": name, "projectId": "bench", "stages": [
            {"name": "Development", "releaseFlow": development}, {"name": "Staging", "releaseFlow": staging},
            {"name": "Production", "releaseFlow": production}]}})
    };
    let unwanted: Vec<_> = (0..HOOKS).map(|n| trigger(format!("r{n}"), &["release"])).collect();
    let wanted = vec![trigger("wanted".to_owned(), &["*"])];
    let paused = || flow(json!({"options": {"paused": true}, "webhook": {"enabled": true}}));
    let mut all = vec![
        json!({"kind": "Project", "ref": "project", "spec": {"name": "bench", "region": "local"}}),
        pipeline(
            "bench",
            [flow(json!({ "triggers": unwanted })), flow(json!({ "triggers": wanted })), flow(json!({}))],
        ),
    ];
    all.extend(
        (0..HOOKS.div_ceil(3)).map(|n| pipeline(&format!("pipeline {n}"), [paused(), paused(), paused()])),
    );
    Value::Array(all)
}

async fn send(
    address: String,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicU64>,
    until: Instant,
) -> anyhow::Result<Vec<Accepted>> {
    let mut socket = TcpStream::connect(&address).await.context("connecting to the ingress")?;
    socket.set_nodelay(true)?;
    let mut accepted = Vec::new();
    while Instant::now() < until {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(number as usize) else { break };
        let mut answer = Vec::with_capacity(1024);
        let start = Instant::now();
        socket.write_all(request).await?;
        read_answer(&mut socket, &mut answer).await?;
        let took = start.elapsed();
        if !answer.starts_with(b"HTTP/1.1 202") {
            bail!("a signed delivery was answered {}", String::from_utf8_lossy(&answer));
        }
        accepted.push(Accepted { at: Timestamp::now(), took, answer });
    }
    Ok(accepted)
}

fn request(address: &str, hook: &Hook, number: u64) -> anyhow::Result<Vec<u8>> {
    // Not 0, which stands for no commit.
    let (before, after) = (format!("{:040x}", number + 1), format!("{:040x}", number + 2));
    let commit = json!({"id": after, "message": format!("commit {number}")});
    let body = json!({"ref": "refs/heads/main", "before": before, "after": after, "commits": [commit],
        "repository": {"clone_url": hook.of}, "head_commit": commit})
    .to_string();
    let key = match &*hook.kind {
        "git" => "x-github-event: push\r\nx-github-delivery",
        _ => "idempotency-key",
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(hook.secret.as_bytes()).context("a hook's secret")?;
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    Ok(format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{key}: {}\r\n\
         x-hub-signature-256: sha256={signature}\r\ncontent-length: {}\r\n\r\n{body}",
        hook.path,
        Uuid::now_v7(),
        body.len()
    )
    .into_bytes())
}

/// Reads one answer with a content length into an empty buffer.
async fn read_answer(socket: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
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
