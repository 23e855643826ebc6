//! The bench of many processes: what it counts, and that it leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use shipway_integration_tests::shipway::{binary, wait};

fn bench(arguments: &[&str]) -> Child {
    let mut command = Command::new(binary().unwrap());
    command.args(["bench", "--distributed"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// Whether figures are judged: the build is optimised, and the machine idle.
fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1")
}

fn folder(bench: &Child) -> PathBuf {
    std::env::temp_dir().join(format!("shipway-bench-{}", bench.id()))
}

/// The processes that the bench has started.
fn children(bench: &Child) -> Vec<PathBuf> {
    let parent = format!("PPid:\t{}", bench.id());
    let of = |process: &Path| fs::read_to_string(process.join("status")).unwrap_or_default();
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes.filter(|process| of(process).lines().any(|line| line == parent)).collect()
}

#[test]
fn the_bench_of_many_processes_counts_what_a_node_takes() {
    let size: &[&str] = if full() {
        &["--only", "W1,W2,W3"]
    } else {
        &["--only", "W1,W2", "--repetitions", "2", "--runs", "20"]
    };
    let mut bench = bench(size);
    let lines = BufReader::new(bench.stdout.take().unwrap()).lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let figures: BTreeMap<String, f64> = lines
        .map(|line| {
            assert_eq!(line["mode"], "distributed", "{line}");
            (line["metric"].as_str().unwrap().to_owned(), line["value"].as_f64().unwrap())
        })
        .collect();
    assert!(bench.wait().unwrap().success());
    assert!(!folder(&bench).exists());

    // These do not depend on how fast the machine is: runs of ten nodes, one at a time.
    assert!(figures["C1.commits_per_node"] <= 1.2, "{figures:?}");
    assert!(figures["C4.js_messages_per_node"] <= 3.0, "{figures:?}");
    assert!(figures["C4.hops_per_node"] <= 2.2, "{figures:?}");
    assert!(figures["C4.completions_per_node"] >= 1.0, "{figures:?}");
    // These have what services do now and then by the clock in them.
    if full() {
        assert!(figures["C2.tx_per_node"] <= 1.5, "{figures:?}");
        assert!(figures["C3.wal_bytes_per_node.log"] <= 2_000.0, "{figures:?}");
        assert!(figures["C3.stored_bytes_per_node.log"] <= 1_300.0, "{figures:?}");
        assert!(figures["C4.hops_per_node_parallel"] <= 4.0, "{figures:?}");
        assert!(figures["W6.rss_idle"] <= 100.0 && figures["W6.rss_after_w2"] <= 200.0, "{figures:?}");
        let slow = figures.iter().any(|(figure, ms)| figure.starts_with("W6.ready.") && *ms > 300.0);
        assert!(!slow, "{figures:?}");
    }
    let counted = [
        "C2.tx_per_node",
        "C3.wal_bytes_per_node.log",
        "C3.stored_bytes_per_node.log",
        "W1.per_node",
        "W2.cpu_ms_per_node.shipway",
        "W2.cpu_ms_per_node.postgres",
        "W6.rss_idle",
        "W6.ready.scheduler",
        "floor.node",
    ];
    for figure in counted {
        assert!(figures.get(figure).is_some_and(|value| *value > 0.0), "{figure}: {figures:?}");
    }
}

#[test]
fn what_the_bench_has_started_ends_with_it() {
    let mut bench = bench(&["--only", "W1", "--repetitions", "100000"]);
    let mut lines = BufReader::new(bench.stdout.take().unwrap()).lines();
    // All of them are there before the first figure.
    lines.next().unwrap().unwrap();
    let children = children(&bench);
    let folder = folder(&bench);
    assert_eq!(children.len(), 7, "five services, PostgreSQL and NATS: {children:?}");
    bench.kill().unwrap();
    bench.wait().unwrap();
    wait("the end of what was started", || Ok((!children.iter().any(|child| child.exists())).then_some(())))
        .unwrap();
    fs::remove_dir_all(folder).unwrap();
}
