//! E-13: machines whose clocks are wrong, run too fast or are set back. Only the database's clock decides.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use shipway_integration_tests::{cluster::Shape, sink::What};

use crate::given::{Given, full, sized};

/// Where Debian keeps what stands between a program and its clock.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// What the workload's flow says between two attempts.
const DELAY: Duration = Duration::from_secs(1);

/// A wrong clock.
#[derive(Clone, Copy, Debug)]
struct Skew {
    name: &'static str,
    /// As libfaketime reads it.
    time: &'static str,
    /// Whether the clock that people do not set is wrong, too.
    monotonic: bool,
}

const AHEAD: Skew = Skew { name: "ahead", time: "+3600", monotonic: false };
const BEHIND: Skew = Skew { name: "behind", time: "-3600", monotonic: false };
const FAST: Skew = Skew { name: "fast", time: "+0 x1.1", monotonic: true };
/// Ten minutes ahead, until it is set right while it runs.
const SET_BACK: Skew = Skew { name: "set_back", time: "+600", monotonic: false };

/// Starts a process again with a wrong clock.
fn skew(given: &mut Given, name: &str, skew: Skew) {
    let process = given.cluster.process(name);
    let file = process.folder().join("clock");
    fs::write(&file, skew.time).unwrap();
    process.set("LD_PRELOAD", Some(FAKETIME.to_owned()));
    process.set("FAKETIME_TIMESTAMP_FILE", Some(file.to_str().unwrap().to_owned()));
    process.set("FAKETIME_CACHE_DURATION", Some("1".to_owned()));
    process.set("FAKETIME_DONT_FAKE_MONOTONIC", Some((if skew.monotonic { "0" } else { "1" }).to_owned()));
    process.kill().unwrap();
    process.spawn().unwrap();
}

/// Whether its log has a line of another time than now, which it has if its clock is wrong.
fn is_wrong(folder: &Path) -> bool {
    let now = jiff::Timestamp::now();
    let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let at = |line: &str| {
        let begin = line.find("20")?;
        line.get(begin..)?.split(['Z', ' ']).next()?.get(..19)?.parse::<jiff::civil::DateTime>().ok()
    };
    let times = said.lines().filter_map(at).filter_map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok());
    times.into_iter().any(|at| (at.timestamp().as_second() - now.as_second()).abs() > 500)
}

/// Runs whose nodes have to be tried again, with these clocks.
async fn judged(name: &str, clocks: &[(&str, Skew)]) {
    let mut given = Given::new(name, Shape::default());
    for (process, wrong) in clocks {
        skew(&mut given, process, *wrong);
    }
    for (process, _) in clocks {
        given.cluster.wait_ready(process).unwrap();
    }
    let load = given.load_through("later", sized(30, 200), sized(15, 50));
    let set_back = clocks.iter().filter(|(_, wrong)| wrong.name == SET_BACK.name);
    let files: Vec<_> =
        set_back.map(|(name, _)| given.cluster.process(name).folder().join("clock")).collect();
    let ended = load
        .meanwhile(Duration::from_secs(2), || {
            files.iter().for_each(|file| fs::write(file, "+0").unwrap());
        })
        .await;
    given.judge(&ended);
    let ledger = given.sink.ledger().unwrap();
    let of = |what| ledger.iter().filter(move |entry| entry.what == what);
    let put_off: HashMap<_, _> = of(What::Later).map(|entry| (entry.target.as_str(), entry.at)).collect();
    let waited = |entry: &&shipway_integration_tests::sink::Entry| {
        Duration::from_micros(entry.at - put_off[entry.target.as_str()])
    };
    // A clock that runs too fast by a tenth is set right by the database every second.
    let slack = if clocks.iter().any(|(_, wrong)| wrong.monotonic) { DELAY / 10 } else { Duration::ZERO };
    let early: Vec<_> = of(What::Effect).filter(|entry| waited(entry) < DELAY - slack).collect();
    let fired = of(What::Effect).count();
    let events = given.cluster.shipway(&["events", "-o", "json"]).unwrap();
    let expired = events.lines().filter(|line| line.contains("\"run.attempt_lost\"")).count();
    let names: Vec<_> = clocks.iter().map(|(name, wrong)| format!("{name}:{}", wrong.name)).collect();
    println!(
        "ROW E-13 clocks={} timers={fired} early={} twice={} expired={expired}",
        names.join(","),
        early.len(),
        fired - ended.len() * 5,
    );
    assert!(early.is_empty(), "{early:#?}");
    assert_eq!(fired, ended.len() * 5, "each fires once");
    assert_eq!(expired, 0, "no attempt's lease was over");
    for (name, _) in clocks.iter().filter(|(_, wrong)| !wrong.monotonic) {
        let folder = given.cluster.process(name).folder().to_owned();
        assert!(is_wrong(&folder), "{name} had the right time: {}", given.cluster.process(name).said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_13_only_the_clock_of_the_database_decides() {
    assert!(Path::new(FAKETIME).exists(), "faketime is not installed: ./scripts/test sets it up");
    // All of them at once, each wrong in its own way.
    let all = [
        ("scheduler-1", AHEAD),
        ("scheduler-2", SET_BACK),
        ("executor-1", BEHIND),
        ("executor-2", FAST),
        ("pipelines-1", AHEAD),
    ];
    judged("e13", &all).await;
    if full() {
        for service in ["scheduler-1", "executor-1", "pipelines-1", "triggers-1", "console-1"] {
            for wrong in [AHEAD, BEHIND, SET_BACK, FAST] {
                judged(&format!("e13-{service}-{}", wrong.name), &[(service, wrong)]).await;
            }
        }
    }
}
