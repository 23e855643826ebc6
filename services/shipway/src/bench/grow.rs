//! GROW over stored runs: writes histories that could have been before Shipway is started, and measures lists of them.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Map, Value, json};
use shipway_contracts::v1::{ListRunsRequest, Page, runs_client::RunsClient};
use shipway_eventing::{Expected, Item, Log};
use shipway_events::{
    Actor, Cause, CommandId, ConcurrencyPolicy, EffectClass, ExecutorId, Fence, FlowId, Meta, NewEvent,
    PipelineId, ProjectId, RegistrationId, RunId, RunStatus, StreamEvent, StreamName,
    plan::{Plan, PlanNode},
    run::{AttemptRequested, Ended, Event, NodeError, NodeFailed, NodeSucceeded, Origin, Started},
};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

use super::report::{Report, percentile};

/// How many runs are handed to the log at a time.
const AT_ONCE: u64 = 256;
/// How often each page is asked for.
const TIMES: usize = 100;
/// The position up to which the last pages are.
const EARLY: &str = "20000";

/// Writes so many runs that are over into a log, each of one node.
pub(crate) async fn fill(log: &dyn Log, runs: u64) -> anyhow::Result<()> {
    let begin = Instant::now();
    for from in (0..runs).step_by(usize::try_from(AT_ONCE)?) {
        let items = (from..runs.min(from + AT_ONCE)).map(history);
        for appended in log.append_all(items.collect()).await {
            appended.context("writing the history of a run")?;
        }
    }
    eprintln!("{runs} runs are written after {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// A number that looks like chance.
const fn mix(n: u64) -> u64 {
    let z = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn uuid(kind: u64, n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n) << 80 | 0x7000_8000_0000_0000_0000 | u128::from(kind))
}

/// All that happened in a run, by its number.
fn history(n: u64) -> Item {
    let chance = mix(n + 1);
    let author = format!("dev-{}", chance % 40);
    let started = started(n, chance, &author);
    let stream = StreamName::run(started.run);
    let asked = AttemptRequested {
        node: 1,
        attempt: 1,
        #[cfg(feature = "next-schema")]
        of: 1,
        executor: ExecutorId::new(uuid(5, 1)),
        registration: RegistrationId::new(uuid(6, 1)),
        effect: EffectClass::Keyed,
        work: Value::Null,
        deadline: None,
        detached: false,
    };
    let fence = Some(Fence::new(0, n + 1));
    let fails = chance.is_multiple_of(10);
    let (done, status) = if fails {
        let (code, message) = ("exit_status".to_owned(), "it ended with 1".to_owned());
        let error = NodeError { code, message, transient: false };
        (Event::NodeFailed(NodeFailed { node: 1, fence, error }), RunStatus::Failure)
    } else {
        let (outputs, effects) = (Map::new(), Vec::new());
        (Event::NodeSucceeded(NodeSucceeded { node: 1, fence, outputs, effects }), RunStatus::Success)
    };
    let ended = Event::Ended(Ended { status, reason: None, by: None });
    let events = [Event::Started(started), Event::AttemptRequested(asked), done, ended];
    let events: Vec<NewEvent> = events.iter().map(StreamEvent::encode).collect();
    let meta = Meta { actor: Actor::Person(author), cause: Cause::Request, trace: None };
    Item::one(CommandId::new(uuid(8, n + 1)), meta, stream, Expected::New, events)
}

fn started(n: u64, chance: u64, author: &str) -> Started {
    let node = |kind: &str, parent, spec| PlanNode {
        reference: kind.to_lowercase(),
        kind: kind.to_owned(),
        parent,
        spec,
        interruptible: true,
        ..PlanNode::default()
    };
    let nodes = vec![node("Workflow", None, json!({"type": "sequential"})), node("Noop", Some(0), json!({}))];
    let branch =
        if chance.is_multiple_of(7) { format!("feature-{}", chance % 300) } else { "main".to_owned() };
    let sha = format!("{:016x}{:024x}", mix(n / 4), n / 4);
    let stage = ["development", "staging", "production"][usize::try_from(chance % 3).unwrap_or(0)];
    let pipeline = chance % 20;
    Started {
        run: RunId::new(uuid(2, n + 1)),
        project: ProjectId::new(uuid(1, 1)),
        pipeline: Some(PipelineId::new(uuid(3, pipeline))),
        flow: FlowId::new(uuid(4, pipeline)),
        path: format!("shop-{pipeline:02}/{stage}"),
        flow_version: 1,
        name: format!("calm-otter-{:06x}", chance & 0xff_ffff),
        description: String::new(),
        origin: Origin::Git,
        author: Some(Actor::Person(author.to_owned())),
        parent: None,
        policy: ConcurrencyPolicy::Allow,
        rollback: None,
        plan: Plan {
            nodes,
            triggers: Map::from_iter([("app".to_owned(), json!({"branch": branch, "sha": sha}))]),
            ..Plan::default()
        },
    }
}

/// Waits until lists hold all that is stored, and measures the first and the last page of each filter.
pub(crate) async fn lists(channel: &Channel, report: &Report) -> anyhow::Result<()> {
    let mut client = RunsClient::new(channel.clone());
    let begin = Instant::now();
    loop {
        match client.list_runs(ListRunsRequest::default()).await {
            Ok(_) => break,
            // It has waited some seconds for the read tables.
            Err(status) if status.code() == Code::Unavailable => {}
            Err(status) => return Err(status).context("waiting for lists"),
        }
    }
    report.figure("GROW.read", "one", begin.elapsed().as_secs_f64(), "s");
    let nothing = ListRunsRequest::default;
    let text = str::to_owned;
    for (name, request) in [
        ("all", nothing()),
        ("status", ListRunsRequest { status: text("failure"), ..nothing() }),
        ("open", ListRunsRequest { concluded: Some(false), ..nothing() }),
        ("concluded", ListRunsRequest { concluded: Some(true), ..nothing() }),
        ("project", ListRunsRequest { project: uuid(1, 1).to_string(), ..nothing() }),
        ("pipeline", ListRunsRequest { pipeline: text("shop-07"), ..nothing() }),
        ("stage", ListRunsRequest { stage: text("production"), ..nothing() }),
        ("flow", ListRunsRequest { flow: text("shop-07/production"), ..nothing() }),
        ("branch", ListRunsRequest { branch: text("feature-7"), ..nothing() }),
        ("commit", ListRunsRequest { commit: format!("{:016x}", mix(0)), ..nothing() }),
        ("author", ListRunsRequest { author: text("dev-7"), ..nothing() }),
        ("origin", ListRunsRequest { origin: text("git"), ..nothing() }),
        ("since", ListRunsRequest { since: text("2020-01-01T00:00:00Z"), ..nothing() }),
        ("text", ListRunsRequest { text: text("no such name"), ..nothing() }),
        (
            "several",
            ListRunsRequest {
                branch: text("main"),
                stage: text("staging"),
                author: text("dev-7"),
                ..nothing()
            },
        ),
    ] {
        let mut samples = Vec::with_capacity(2 * TIMES);
        for after in [String::new(), EARLY.to_owned()] {
            samples.append(&mut pages(&mut client, &request, &after).await?);
        }
        report.time(&format!("GROW.list_{name}"), "p50", percentile(&mut samples, 0.5));
        report.time(&format!("GROW.list_{name}"), "p99", percentile(&mut samples, 0.99));
    }
    Ok(())
}

/// How long a page took, again and again.
async fn pages(
    client: &mut RunsClient<Channel>,
    request: &ListRunsRequest,
    after: &str,
) -> anyhow::Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let page = Some(Page { after: after.to_owned(), limit: 50 });
        let request = ListRunsRequest { page, ..request.clone() };
        let begin = Instant::now();
        client.list_runs(request).await.context("listing runs")?;
        samples.push(begin.elapsed());
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use shipway_engine::RunState;
    use shipway_events::{RawEvent, Timestamp};

    use super::*;

    #[test]
    fn every_history_is_one_that_could_have_been() {
        for n in 0..50 {
            let item = history(n);
            let [write] = item.writes.as_slice() else { panic!("one stream") };
            let raw = |(version, event): (u64, &NewEvent)| RawEvent {
                position: version,
                stream: write.stream.clone(),
                version,
                kind: event.kind.to_owned(),
                schema: event.schema,
                data: event.data.clone(),
                command: item.command,
                meta: item.meta.clone(),
                at: Timestamp::from_micros(1),
            };
            let events: Vec<RawEvent> = (1..).zip(&write.events).map(raw).collect();
            let state = RunState::fold(&events, 0).unwrap();
            assert!(state.is_over(), "{n}");
            let failed = events.iter().any(|event| event.kind == "run.node_failed");
            assert_eq!(state.status(), if failed { RunStatus::Failure } else { RunStatus::Success });
        }
    }
}
