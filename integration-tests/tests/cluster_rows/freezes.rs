//! A line that is stopped is stopped in every scheduler, whichever of them heard it, and nothing is lost by it.

use std::time::{Duration, Instant};

use serde_json::json;
use shipway_contracts::v1::runs_client::RunsClient;
use shipway_integration_tests::{
    shipway::wait,
    workload::{self, Workload},
};

use crate::given::{Given, judged, sized};

/// What may pass between the answer and the moment from which nothing begins any more.
const HEARD: Duration = Duration::from_secs(1);

/// Stops these projects' lines and lets them go on, again and again. Their flows are those of [`workload::project_of`], and
/// have their lanes with different schedulers.
pub(crate) async fn lines_stop_everywhere(given: &Given, projects: &[&str], first: usize) {
    let runs = RunsClient::new(given.cluster.channel().unwrap());
    let rounds = sized(1, 20);
    let (mut number, mut slowest, mut passed) = (first, Duration::ZERO, 0);
    for _ in 0..rounds {
        let mut held = Vec::new();
        for project in projects {
            let (stop, flow) = (["stop-the-line", project, "--name", project], format!("{project}/work"));
            given.cluster.shipway(&stop).unwrap();
            let answered = Instant::now();
            loop {
                number += 1;
                let sink = json!({ "SINK": format!("{}/effect/{number}", given.sink.url()) });
                let asked = answered.elapsed();
                let run = workload::start(&runs, &flow, "", &sink).await.unwrap().run;
                let is_held = wait("a run to be held or to end", || {
                    let told = given.cluster.json(&["why", &run])?;
                    let is_held = told["blockers"][0]["kind"] == "stopped";
                    Ok((is_held || told["status"] == "success").then_some(is_held))
                });
                if is_held.unwrap() {
                    held.push((number, run));
                    break;
                }
                // Its scheduler had not heard of it when this one was asked for.
                (slowest, passed) = (slowest.max(asked), passed + 1);
            }
        }
        let begun = |number: usize| {
            let begin = format!("{number}-");
            given.sink.ledger().unwrap().iter().any(|entry| entry.target.starts_with(&begin))
        };
        assert!(held.iter().all(|(number, _)| !begun(*number)), "something has begun: {held:?}");
        for project in projects {
            given.cluster.shipway(&["unfreeze", project]).unwrap();
        }
        for (number, run) in held {
            assert_eq!(workload::end(&runs, &run).await.unwrap().status, "success");
            let verdict = given.sink.judge(Workload::targets(number)).unwrap();
            assert!(verdict.lost.is_empty() && verdict.doubled.is_empty(), "{verdict:#?}");
        }
    }
    println!(
        "ROW E-11 stopped_lines={} begun_after_that={passed} heard_after={slowest:?}",
        rounds * projects.len()
    );
    if judged() {
        assert!(slowest < HEARD, "a run began {slowest:?} after its line was stopped");
    }
}
