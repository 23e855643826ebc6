//! E-22: few descriptors, little memory and a processor that others use: executors go on to be heard of.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use shipway_integration_tests::cluster::Shape;

use crate::given::{Given, sized};

/// Descriptors that a process may have.
const DESCRIPTORS: &str = "--nofile=256";
/// Memory that an executor and a scheduler may have, in bytes. Programs for debugging are large.
const MEMORY: &str = "268435456";

/// A control group of a test's own, of version 1 or 2, whichever has the memory; gone with the value.
struct Group(PathBuf);

impl Group {
    fn new() -> Self {
        let name = format!("shipway-test-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let (folder, limit) = match root.join("memory").is_dir() {
            true => (root.join("memory").join(name), "memory.limit_in_bytes"),
            false => (root.join(name), "memory.max"),
        };
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(limit), MEMORY).unwrap();
        Self(folder)
    }

    fn take(&self, pid: rustix::process::Pid) {
        fs::write(self.0.join("cgroup.procs"), pid.as_raw_nonzero().to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whatever is still in it goes to where it was before.
        let parent = self.0.parent().map(|parent| parent.join("cgroup.procs"));
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = parent.as_ref().map(|parent| fs::write(parent, pid));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// Uses all of the processor until told to stop.
fn burn(stop: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<()>> {
    let burners = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    (0..burners)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_22_nobody_is_given_up_who_is_short_of_something() {
    let mut given = Given::new("e22", Shape::default());
    let group = Group::new();
    for name in given.cluster.services() {
        let process = given.cluster.process(&name);
        process.start_by("prlimit", &[DESCRIPTORS]);
        process.kill().unwrap();
        process.spawn().unwrap();
    }
    for name in ["executor-1", "executor-2", "scheduler-1"] {
        group.take(given.cluster.process(name).pid().unwrap());
    }
    for name in given.cluster.services() {
        given.cluster.wait_ready(&name).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let burners = burn(&stop);
    let begin = Instant::now();
    let (mut ended, lasts) = (Vec::new(), Duration::from_secs(sized(12, 1800)));
    while begin.elapsed() < lasts {
        ended.extend(given.load(sized(20, 200), 20).ended().await);
    }
    stop.store(true, Ordering::Relaxed);
    burners.into_iter().for_each(|burner| burner.join().unwrap());
    let verdict = given.judge(&ended);
    let events = given.cluster.shipway(&["events", "-o", "json"]).unwrap();
    let orphans = events.lines().filter(|line| line.contains("\"run.attempt_lost\"")).count();
    let said = |given: &mut Given, name: &str, words: &str| {
        let log = given.cluster.process(name).folder().join("log");
        fs::read_to_string(log).unwrap_or_default().matches(words).count()
    };
    let leases: usize = ["scheduler-1", "scheduler-2"]
        .iter()
        .map(|name| said(&mut given, name, "an executor's lease is over"))
        .sum();
    for name in given.cluster.services() {
        assert!(given.cluster.process(&name).runs(), "{name}: {}", given.cluster.process(&name).said());
    }
    println!(
        "ROW E-22 runs={} lasted={:?} orphans={orphans} leases_over={leases} repeats={}",
        ended.len(),
        begin.elapsed(),
        verdict.repeats
    );
    assert_eq!((orphans, leases), (0, 0));
}
