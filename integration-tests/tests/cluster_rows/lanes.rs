//! E-11: what each concurrency policy promises, while the schedulers that keep it are killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use shipway_contracts::v1::{
    GetRunRequest, ReadEventsRequest, events_client::EventsClient, runs_client::RunsClient,
};
use shipway_events::{StreamEvent, lane::Event as Lane};
use shipway_integration_tests::{
    cluster::Shape,
    workload::{self, Ended, Workload, patiently, percentile},
};

use crate::{
    freezes::lines_stop_everywhere,
    given::{Given, sized},
};

const POLICIES: [&str; 5] = ["allow", "queue", "forbid", "latest", "replace"];

#[tokio::test(flavor = "multi_thread")]
async fn row_e_11_each_policy_is_kept_while_schedulers_die() {
    let mut given = Given::new("e11-policies", Shape { services: [1, 1, 4, 2, 1], ..Shape::default() });
    for policy in POLICIES {
        let options = format!("          options: {{concurrencyPolicy: {policy}}}\n");
        given.cluster.apply(&workload::project_of(policy, &options)).unwrap();
    }
    let flows = POLICIES.map(|policy| format!("{policy}/work"));
    let (rounds, triggers) = (sized(1, 200), sized(8, 50));
    let mut all: Vec<Ended> = Vec::new();
    let mut kills = 0;
    for _ in 0..rounds {
        let load = given.load_each(&flows, triggers);
        let ended = load.meanwhile(Duration::from_millis(700), || {
            given.kill_one(&["scheduler"]);
            kills += 1;
        });
        all.extend(ended.await);
    }
    let statuses: BTreeMap<&str, &str> =
        all.iter().map(|ended| (ended.run.as_str(), ended.status.as_str())).collect();
    let mut of_each = Vec::new();
    for (policy, runs) in POLICIES.into_iter().zip(by_flow(&all, rounds, triggers)) {
        let steps = lane(&given, runs[0]).await;
        let violations = judge(policy, &steps, &statuses);
        assert!(violations.is_empty(), "{policy}: {violations:#?}\n{steps:#?}");
        let count = |status: &str| runs.iter().filter(|run| statuses[*run] == status).count();
        let (success, skipped, aborted) = (count("success"), count("skipped"), count("aborted"));
        assert_eq!(success + skipped + aborted, rounds * triggers, "{policy}: {statuses:#?}");
        of_each.push(format!("{policy}={success}/{skipped}/{aborted}"));
    }
    // Whatever gave way: nothing has happened twice, and of what went well all has happened.
    let verdict = given.sink.judge(all.iter().flat_map(|ended| Workload::targets(ended.number))).unwrap();
    assert_eq!(
        (verdict.doubled.len(), verdict.unordered.len(), verdict.unknown.len()),
        (0, 0, 0),
        "{verdict:#?}"
    );
    let well = all.iter().filter(|ended| ended.status == "success");
    let verdict = given.sink.judge(well.flat_map(|ended| Workload::targets(ended.number))).unwrap();
    assert!(verdict.lost.is_empty(), "{verdict:#?}");
    given.cluster.verify().unwrap();
    println!(
        "ROW E-11 policies triggers={} kills={kills} violations=0 (success/skipped/aborted) {} p99={:?}",
        all.len(),
        of_each.join(" "),
        percentile(&all, 99)
    );
    assert!(kills > 0, "the runs had ended before a scheduler was killed");
    let last = all.iter().map(|ended| ended.number).max().unwrap_or_default();
    lines_stop_everywhere(&given, &POLICIES, last).await;
}

/// The runs of each flow: each round numbers them flow after flow.
fn by_flow(all: &[Ended], rounds: usize, triggers: usize) -> Vec<Vec<&str>> {
    let first = all.iter().map(|ended| ended.number).min().unwrap_or_default();
    let mut flows = vec![Vec::with_capacity(rounds * triggers); POLICIES.len()];
    for ended in all {
        flows[(ended.number - first) / triggers % POLICIES.len()].push(ended.run.as_str());
    }
    flows
}

/// What has happened in the lane of a run.
async fn lane(given: &Given, run: &str) -> Vec<Lane> {
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let shown = patiently(|| {
        let (mut runs, request) = (runs.clone(), GetRunRequest { run: run.to_owned() });
        async move { runs.get_run(request).await }
    });
    let stream = format!("lane-{}", shown.await.unwrap().flow);
    let events = EventsClient::new(given.cluster.channel().unwrap());
    let mut read = patiently(|| {
        let request = ReadEventsRequest { stream: stream.clone(), ..ReadEventsRequest::default() };
        let mut events = events.clone();
        async move { events.read_events(request).await }
    })
    .await
    .unwrap();
    let mut steps = Vec::new();
    while let Some(event) = read.message().await.unwrap() {
        steps.push(Lane::decode(&event.r#type, event.schema as u16, &event.data_json).unwrap());
    }
    steps
}

/// What a lane's events say against its policy and the ends of its runs.
fn judge(policy: &str, steps: &[Lane], ended: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut broken = Vec::new();
    let (mut active, mut queued) = (BTreeSet::new(), Vec::new());
    for step in steps {
        match step {
            Lane::Admitted(it) => {
                if queued.first().is_some_and(|first| *first != it.run) && policy != "allow" {
                    broken.push(format!("{step:?}, and {queued:?} wait"));
                }
                queued.retain(|run| *run != it.run);
                active.insert(it.run);
                if policy != "allow" && active.len() > 1 {
                    broken.push(format!("{active:?} are active at once"));
                }
            }
            Lane::Queued(it) => queued.push(it.run),
            Lane::Rejected(it) => {
                if it.by.is_none_or(|by| !active.contains(&by)) || policy != "forbid" {
                    broken.push(format!("{step:?}, and {active:?} are active"));
                }
            }
            Lane::Superseded(it) => queued.retain(|run| *run != it.run),
            Lane::Replaced(it) => queued.retain(|run| *run != it.run),
            Lane::Left(it) => {
                active.remove(&it.run);
                queued.retain(|run| *run != it.run);
            }
        }
        let superseded = matches!(step, Lane::Superseded(_) | Lane::Replaced(_));
        let fits = match policy {
            "allow" => matches!(step, Lane::Admitted(_) | Lane::Left(_)),
            "queue" => !superseded,
            "forbid" => queued.is_empty() && !superseded,
            // Who comes is there a moment before the others are gone.
            _ => superseded || matches!(step, Lane::Queued(_)) || queued.len() <= 1,
        };
        if !fits {
            broken.push(format!("{step:?} is not what `{policy}` does"));
        }
        let status = |run: shipway_events::RunId| ended.get(run.to_string().as_str()).copied();
        let right = match step {
            Lane::Rejected(it) => status(it.run) == Some("skipped"),
            Lane::Superseded(it) => status(it.run) == Some("skipped"),
            // One that went on may have ended before it heard of it.
            Lane::Replaced(it) => {
                status(it.run) == Some("aborted")
                    || (active.contains(&it.run) && status(it.run) == Some("success"))
            }
            _ => true,
        };
        if !right {
            broken.push(format!("{step:?}, and it ended otherwise"));
        }
    }
    if !active.is_empty() || !queued.is_empty() {
        broken.push(format!("at the end {active:?} are active and {queued:?} wait"));
    }
    broken
}
