//! A machine dies with all that it runs: its services are moved, also if the first move fails; its addon is restored
//! on another when a person asks; and what comes back with it ends.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use shipway_contracts::{Channel, v1::runs_client::RunsClient};
use shipway_integration_tests::{
    cluster::{Cluster, Shape, machines::Machine},
    lab::Lab,
    shipway::wait,
    sink::Sink,
    workload,
};

use crate::given::{full, sized};

/// How long after the last good beat of an executor its host is given up.
const GIVEN_UP: Duration = Duration::from_secs(90);
/// The services of the project.
const SERVICES: [&str; 3] = ["lab-web-dev", "lab-web-staging", "lab-web"];

/// Runs a flow of the project to its end.
async fn run(runs: &RunsClient<Channel>, flow: &str, arguments: Value) {
    let started = workload::start(runs, flow, "", &arguments).await.unwrap();
    let ended = workload::end(runs, &started.run).await.unwrap();
    assert_eq!(ended.status, "success", "{ended:#?}");
}

/// What `status` says of each target.
fn rows(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let state = cluster.json(&["state"])?;
    state["deployed"].as_array().cloned().context("no targets")
}

fn row(cluster: &Cluster, target: &str) -> anyhow::Result<Value> {
    let rows = rows(cluster)?;
    rows.into_iter().find(|row| row["resource"] == target).with_context(|| format!("{target} is not there"))
}

/// What has become of a target's place.
fn history(cluster: &Cluster, id: &str) -> anyhow::Result<Vec<String>> {
    let events = cluster.shipway(&["events", "--stream", &format!("place-{id}"), "-o", "json"])?;
    let kind = |line: &str| {
        let event: Value = serde_json::from_str(line)?;
        Ok(event["type"].as_str().context("an event has a type")?.to_owned())
    };
    events.lines().map(kind).collect()
}

/// What holds a run up before all.
fn blocker(cluster: &Cluster, run: &str) -> anyhow::Result<Value> {
    Ok(cluster.json(&["why", run])?["blockers"][0].clone())
}

fn resource_id(cluster: &Cluster, target: &str) -> String {
    row(cluster, target).unwrap()["id"].as_str().unwrap().to_owned()
}

/// Whether a target answers where Shipway says that it is.
fn answers(cluster: &Cluster, target: &str) -> anyhow::Result<bool> {
    let row = row(cluster, target)?;
    let address = row["addresses"][0].as_str().context("it has no address")?;
    let address = address.trim_start_matches("http://").parse()?;
    Ok(std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok())
}

/// A connection from one machine to a target of another, through the way there; ends with it.
fn connection(from: &Machine, port: u16) -> std::process::Child {
    let words = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3 >/dev/null");
    from.command("bash").args(["-c", &words]).stdin(Stdio::null()).spawn().unwrap()
}

/// Puts the artifacts aside: what is not on a host by now cannot be started there.
fn hide(cluster: &Cluster) -> Vec<(PathBuf, PathBuf)> {
    let hidden = cluster.folder().join("hidden");
    fs::create_dir_all(&hidden).unwrap();
    let aside = |(n, object): (usize, PathBuf)| (object, hidden.join(n.to_string()));
    let moves: Vec<_> = cluster.objects().into_iter().enumerate().map(aside).collect();
    moves.iter().for_each(|(object, aside)| fs::rename(object, aside).unwrap());
    moves
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_6_what_a_dead_machine_ran_is_moved_or_restored() {
    let shape = Shape { services: [1, 1, 2, 2, 1], machines: true, ..Shape::default() };
    let mut cluster = Cluster::start("lost", shape).unwrap();
    let _lab = Lab::create_on(&cluster).unwrap();
    let runs = RunsClient::new(cluster.channel().unwrap());
    run(&runs, "lab/development", json!({})).await;
    // The first makes a row and the second, which begins with a backup, one that is not in it.
    run(&runs, "lab/staging", json!({"SQL": "CREATE TABLE t (n int); INSERT INTO t VALUES (1)"})).await;
    run(&runs, "lab/staging", json!({"SQL": "INSERT INTO t VALUES (2)"})).await;
    let sink = Sink::start_at(cluster.at()).unwrap();
    run(&runs, "lab/production", json!({"NOTIFY": format!("{}/mark/lab/released", sink.url())})).await;

    let addon = row(&cluster, "lab-db").unwrap();
    let host = addon["executor"].as_str().unwrap().to_owned();
    let (victim, other) = match cluster.executor_id("executor-1").unwrap() == host {
        true => ("executor-1", "executor-2"),
        false => ("executor-2", "executor-1"),
    };
    let lost: Vec<_> = SERVICES
        .into_iter()
        .filter(|service| row(&cluster, service).unwrap()["executor"] == host.as_str())
        .collect();
    assert!(!lost.is_empty(), "the addon's host has no service: {:#?}", rows(&cluster));
    let (service, kept) = (lost[0], resource_id(&cluster, lost[0]));
    let database = resource_id(&cluster, "lab-db");
    let machine = cluster.process(victim).machine().unwrap().clone();
    let survivor = cluster.process(other).machine().unwrap().clone();
    let port = row(&cluster, service).unwrap()["addresses"][0].as_str().unwrap().to_owned();
    let port: u16 = port.rsplit(':').next().unwrap().parse().unwrap();
    let mut open = connection(&survivor, port);

    machine.power_off().unwrap();
    cluster.process(victim).kill().unwrap();
    let dead = Instant::now();
    let hidden = hide(&cluster);
    if full() {
        // Nobody tells the other side: it asks, and ends the connection before the host is given up.
        wait("the end of a connection to the dead host", || Ok(open.try_wait()?)).unwrap();
        assert!(dead.elapsed() < Duration::from_secs(30), "{:?}", dead.elapsed());
    } else {
        open.kill().unwrap();
        open.wait().unwrap();
        cluster.age_executor(victim, GIVEN_UP).unwrap();
    }
    // Its move fails as long as the artifact cannot be had, and is made again.
    wait("a move that failed", || {
        Ok(history(&cluster, &kept)?.contains(&"place.move_failed".to_owned()).then_some(()))
    })
    .unwrap();
    let given_up = dead.elapsed();
    let told = row(&cluster, service).unwrap();
    assert!(told["help"].as_str().unwrap().contains("it is moved again at"), "{told:#}");
    hidden.iter().for_each(|(object, aside)| fs::rename(aside, object).unwrap());
    wait("the move of what the dead host ran", || {
        let moved = lost.iter().all(|service| answers(&cluster, service).unwrap_or(false));
        Ok((moved && history(&cluster, &kept)?.contains(&"place.settled".to_owned())).then_some(()))
    })
    .unwrap();
    let moved = dead.elapsed();
    let events = history(&cluster, &kept).unwrap();
    assert_eq!(events[..4], ["place.chosen", "place.lost", "place.moved", "place.move_failed"], "{events:?}");
    assert!(given_up >= sized(Duration::ZERO, GIVEN_UP), "{given_up:?}");

    // An addon is where its content is: lost, and said so.
    let told = row(&cluster, "lab-db").unwrap();
    let status = told["status"].as_str().unwrap();
    assert!(status.starts_with("lost since 2"), "{told:#}");
    assert!(status.ends_with(&format!("on host {}", machine.address())), "{told:#}");
    let help = told["help"].as_str().unwrap();
    assert!(help.contains("shipway addon move lab-db --project lab"), "{told:#}");
    let board = cluster.shipway(&["status"]).unwrap();
    assert!(board.contains(&format!("help: lab-db: {help}")), "{board}");
    let waiting = workload::start(&runs, "lab/staging", "", &json!({})).await.unwrap();
    wait("a node that says what it waits for", || {
        let shown = cluster.shipway(&["show", &waiting.run, "-o", "json"])?;
        Ok(shown.contains(&format!("its host {} has been lost since", machine.address())).then_some(()))
    })
    .unwrap();
    assert_eq!(history(&cluster, &database).unwrap(), ["place.chosen", "place.lost"]);
    let told = blocker(&cluster, &waiting.run).unwrap();
    assert_eq!(
        (&told["kind"], &told["action"]),
        (&"host_lost".into(), &"shipway addon move lab-db".into()),
        "{told:#}"
    );

    // A person has it restored elsewhere, knowing what it costs.
    let refused = cluster.attempt(&["addon", "move", "lab-db"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("What was written to it since 2"), "{said}");
    let refused = cluster.attempt(&["addon", "move", "lab-db", "--backup", "bk-none", "--yes"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("lab-db has no backup `bk-none`; its newest: bk-"), "{said}");
    let asked = cluster.json(&["addon", "move", "lab-db", "--backup", "latest", "--yes"]).unwrap();
    let asked = asked["run"].as_str().unwrap();
    wait("what waits for the addon to say that it is being restored", || {
        let told = blocker(&cluster, &waiting.run)?;
        Ok((told["kind"] == "restoring" && told["holderRun"] == asked).then_some(()))
    })
    .unwrap();
    let ended = workload::end(&runs, asked).await.unwrap();
    assert_eq!(ended.status, "success", "{ended:#?}");
    let restored = dead.elapsed();
    // What waited for it goes on only then, with what was in the backup and nothing else.
    assert_eq!(workload::end(&runs, &waiting.run).await.unwrap().status, "success");
    let one = "SELECT 1 / (CASE WHEN (SELECT array_agg(n) FROM t) = '{1}' THEN 1 ELSE 0 END)";
    run(&runs, "lab/staging", json!({"SQL": one})).await;

    // The machine comes back with everything on its disk, and lets go of it.
    machine.mend().unwrap();
    cluster.process(victim).start().unwrap();
    let records = cluster.process(victim).folder().join("host/host/keepers");
    wait("what came back has ended", || {
        let ends = |id: &str| records.join(id).join("record.evicted.json").exists();
        Ok((ends(&kept) && ends(&database)).then_some(()))
    })
    .unwrap();
    let refused = cluster.attempt(&["addon", "move", "lab-db", "--yes"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("is there: nothing is lost"), "{said}");
    cluster.verify().unwrap();
    println!(
        "ROW E-6 machine moved={} failed_first_after={given_up:?} moved_after={moved:?} restored_after={restored:?}",
        lost.len()
    );
}
