//! A run that nothing will move is counted, and nobody has to look for it.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod world;

use std::time::{Duration, Instant};

use shipway_contracts::v1::AbortRunRequest;
use shipway_eventing::{Expected, Item};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, StreamName};
use shipway_service_kit::{Telemetry, TelemetryOptions, metrics};
use uuid::Uuid;
use world::World;

fn stuck() -> Option<String> {
    let text = metrics::text();
    let line = text.lines().find_map(|line| line.strip_prefix("shipway_watchdog_stuck_runs "));
    line.map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_can_read_is_counted() {
    let interval = Duration::from_secs(60);
    let options = TelemetryOptions { filter: "off", json: false, otlp: None, interval };
    let _telemetry = Telemetry::start("scheduler", &options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    let run = world.start("allow").await.run;
    let until = async |value: &str| {
        let begin = Instant::now();
        while stuck().as_deref() != Some(value) {
            assert!(begin.elapsed() < Duration::from_secs(120), "stuck: {:?}, not {value}", stuck());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    until("0").await;
    // A newer Shipway beside this one has written what only that one understands.
    let meta = Meta { actor: Actor::System("newer".to_owned()), cause: Cause::Clock, trace: None };
    let event = NewEvent { kind: "run.forked", schema: 1, data: "{}".to_owned() };
    let (command, stream) = (CommandId::new(Uuid::now_v7()), StreamName::run(run.parse().unwrap()));
    world.log.append(Item::one(command, meta, stream, Expected::Any, vec![event])).await.unwrap();
    let request = AbortRunRequest { command: Uuid::now_v7().to_string(), run, ..Default::default() };
    world.runs.clone().abort_run(request).await.unwrap_err();
    until("1").await;
    world.lifecycle.stop(Duration::from_secs(5)).await;
}
