//! Every body with mutations of its examples: 20,000 inputs, a million with `SHIPWAY_FULL=1`, as many as one likes with
//! `SHIPWAY_FUZZ_INPUTS`. No input may panic;
//! none may take longer than 100 ms of the processor, which only the full run judges; memory stays bounded.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it like the test itself")]

use std::{panic::catch_unwind, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use shipway_fuzz::{TARGETS, mutate::Mutator};

/// What one input may take.
const LONGEST: Duration = Duration::from_millis(100);
/// What the process may hold at most, in KiB.
const MOST_MEMORY: u64 = 256 << 10;

fn full() -> bool {
    std::env::var("SHIPWAY_FULL").is_ok_and(|value| value == "1")
}

fn drive(name: &str) {
    println!("{}", driven(name));
}

/// Row W-4: what strangers send.
fn drive_row(name: &str) {
    println!("ROW W-4 {}", driven(name));
}

fn driven(name: &str) -> String {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let asked = std::env::var("SHIPWAY_FUZZ_INPUTS").ok().map(|count| count.parse().unwrap());
    let inputs = asked.unwrap_or(if full() { 1_000_000 } else { 20_000 });
    // One seed always, so that a failure comes again.
    let mut mutator = Mutator::new(target, 0x5eed);
    let (mut slow, mut slowest) = (Vec::new(), Duration::ZERO);
    let examples = mutator.examples().to_vec();
    for n in 0..inputs {
        let input = examples.get(n).cloned().unwrap_or_else(|| mutator.input());
        let started = worked();
        let result = catch_unwind(|| (target.body)(&input));
        let took = worked().saturating_sub(started);
        assert!(result.is_ok(), "{name}: input {n} panics: {:?}", String::from_utf8_lossy(&input));
        slowest = slowest.max(took);
        if took > LONGEST {
            slow.push((took, String::from_utf8_lossy(&input).into_owned()));
        }
    }
    let memory = peak_memory();
    let figures = format!(
        "{name}: {inputs} inputs, none panics; the slowest took {} ms, {} over {} ms; {} MiB at most",
        slowest.as_millis(),
        slow.len(),
        LONGEST.as_millis(),
        memory / 1024
    );
    assert!(memory < MOST_MEMORY, "{name}: {memory} KiB");
    assert!(slow.is_empty() || !full(), "{name}: {:?}", slow.first());
    figures
}

/// The processor's time of this thread: what others do on the machine does not count.
fn worked() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// The most memory that this process has held, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}

#[test]
fn expressions() {
    drive("expressions");
}

#[test]
fn json() {
    drive("json");
}

#[test]
fn yaml() {
    drive("yaml");
}

#[test]
fn schema() {
    drive("schema");
}

#[test]
fn row_w_4_github() {
    drive_row("github");
}

#[test]
fn row_w_4_gitlab() {
    drive_row("gitlab");
}

#[test]
fn row_w_4_gitea() {
    drive_row("gitea");
}

#[test]
fn row_w_4_forgejo() {
    drive_row("forgejo");
}

#[test]
fn row_w_4_bitbucket() {
    drive_row("bitbucket");
}

#[test]
fn row_w_4_bitbucket_dc() {
    drive_row("bitbucket-dc");
}

#[test]
fn row_w_4_azure() {
    drive_row("azure");
}

#[test]
fn row_w_4_verify() {
    drive_row("verify");
}

#[test]
fn every_target_is_driven() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    let documents = ["expressions", "json", "yaml", "schema"];
    let senders = ["github", "gitlab", "gitea", "forgejo", "bitbucket", "bitbucket-dc", "azure", "verify"];
    assert_eq!(names, [&documents[..], &senders[..]].concat());
    for target in TARGETS {
        let mut one = Mutator::new(target, 7);
        let mut other = Mutator::new(target, 7);
        assert!(one.examples().len() >= 3, "{}", target.name);
        assert_eq!(one.input(), other.input(), "the same seed makes the same inputs");
    }
}
