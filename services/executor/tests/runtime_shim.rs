//! Commands under their shims: once, with an end, whatever happens to Shipway.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;

use std::{path::Path, time::Duration};

use common::{BINARY, Data, eventually, map, target, task};
use shipway_events::Timestamp;
use shipway_executor::runtime::{Runtime, RuntimeError};

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_once_however_often_it_is_started() {
    let (data, target) = (Data::new(), target());
    let effects = data.shared().join("effects");
    let effect = effects.to_str().unwrap();
    let append = task(&data, &target, "run/1", &["./program", "append", effect, "x", "300"]);
    let runtime = data.runtime().await;
    let first = runtime.start(&append).await.unwrap();
    // Another executor on the same folder, as after a restart, finds it.
    let other = data.runtime().await;
    let again = other.start(&append).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(other.running().await.unwrap(), [(append.id.clone(), first.clone())]);
    let (one, two) = tokio::join!(runtime.wait(&first), other.wait(&again));
    assert_eq!(one.as_ref().unwrap().code, Some(0));
    assert_eq!(two.unwrap(), one.unwrap());
    let late = other.start(&append).await.unwrap();
    assert!(other.wait(&late).await.unwrap().is_success());
    assert!(other.running().await.unwrap().is_empty());
    assert_eq!(lines(&effects), 1);
    // The next attempt is another command.
    let mut next = append.clone();
    next.id.attempt = 2;
    let next = runtime.start(&next).await.unwrap();
    assert!(runtime.wait(&next).await.unwrap().is_success());
    assert_eq!(lines(&effects), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_shows_its_last_lines_and_secrets_are_masked() {
    let (data, target) = (Data::new(), target());
    let runtime = data.runtime().await;
    let failing = runtime.start(&task(&data, &target, "run/1", &["./program", "fail"])).await.unwrap();
    let end = runtime.wait(&failing).await.unwrap();
    let text = end.describe();
    assert!(
        text.starts_with("exited with code 7. Its last lines:\nline 11\n") && text.ends_with("line 30"),
        "{text}"
    );

    let mut printing = task(&data, &target, "run/2", &["./program", "print", "SECRET"]);
    printing.secrets = map(&[("SECRET", "correct horse battery")]);
    let handle = runtime.start(&printing).await.unwrap();
    assert_eq!(runtime.wait(&handle).await.unwrap().tail, ["***"]);
    for file in [printing.log.clone(), handle.0.join("spec.json"), handle.0.join("exit.json")] {
        assert!(!std::fs::read_to_string(file).unwrap().contains("horse"));
    }

    let missing = runtime.start(&task(&data, &target, "run/3", &["no-such-program"])).await.unwrap();
    let end = runtime.wait(&missing).await.unwrap();
    assert_eq!(end.code, Some(127));
    assert!(
        end.describe().contains("executing `no-such-program` failed: No such file or directory"),
        "{end:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_and_a_stop_end_the_whole_tree() {
    let data = Data::new();
    let runtime = data.runtime().await;
    for (key, stop) in [("run/stop", true), ("run/deadline", false)] {
        let target = target();
        let folder = data.shared();
        let marker =
            format!("{}-{key}", data.path().file_name().unwrap().to_str().unwrap()).replace('/', "-");
        let mut tree = task(&data, &target, key, &["./program", "tree", "4", folder.to_str().unwrap()]);
        tree.environment = map(&[("TREE", &marker)]);
        if !stop {
            tree.deadline = Some(now().plus(Duration::from_secs(1)));
        }
        let handle = runtime.start(&tree).await.unwrap();
        eventually("the tree has grown", async || {
            (0..=4).all(|depth| folder.join(format!("{marker}-{depth}")).exists())
        })
        .await;
        let end = if stop {
            runtime.stop(&handle, Duration::from_millis(200)).await.unwrap()
        } else {
            runtime.wait(&handle).await.unwrap()
        };
        assert_eq!((end.stopped, end.timed_out), (stop, !stop));
        let left = alive(&marker);
        assert!(left.is_empty(), "{key}: {left:?} still run");
    }
}

/// Processes of a tree, by its marker in their environment.
fn alive(marker: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&format!("TREE={marker}"))
                && !state.contains(") Z ")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_shim_is_lost_and_said_so() {
    let (data, target) = (Data::new(), target());
    let runtime = data.runtime().await;
    let effects = data.shared().join("effects");
    let words = ["./program", "append", effects.to_str().unwrap(), "x", "600000"];
    let long = task(&data, &target, "run/1", &words);
    let handle = runtime.start(&long).await.unwrap();
    eventually("it works", async || lines(&effects) == 1).await;
    for pid in common::processes(&format!("shim {}", handle.0.display())) {
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }
    assert!(matches!(runtime.wait(&handle).await, Err(RuntimeError::Lost)));
    let again = runtime.start(&long).await.unwrap();
    assert!(matches!(runtime.wait(&again).await, Err(RuntimeError::Lost)));
    assert_eq!(lines(&effects), 1);
    eventually("the command died with it", async || common::processes(effects.to_str().unwrap()).is_empty())
        .await;
}

/// E-7: an executor is killed with 50 process trees, double forks included; at its next start it learns which
/// attempts are current. Five seconds later the others have no process left, and the current one lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_e_7_trees_of_attempts_that_are_not_current_die() {
    let (data, target) = (Data::new(), target());
    let folder = data.shared();
    let marker = data.path().file_name().unwrap().to_str().unwrap().to_owned();
    let trees = 50;
    {
        let runtime = data.runtime().await;
        for number in 0..trees {
            let key = format!("run/{number}");
            let mut tree = task(&data, &target, &key, &["./program", "tree", "4", folder.to_str().unwrap()]);
            tree.environment = map(&[("TREE", &format!("{marker}-{number}-"))]);
            runtime.start(&tree).await.unwrap();
        }
        eventually("all trees have grown", async || std::fs::read_dir(&folder).unwrap().count() == trees * 5)
            .await;
        // Nothing of the executor is left but its folder: shims and keepers are nobody's children.
    }
    let before = alive(&marker).len();
    let runtime = data.runtime().await;
    let begun = std::time::Instant::now();
    let swept = runtime.sweep(|key| key == "run/7").await.unwrap();
    let took = begun.elapsed();
    let left = alive(&marker);
    let current = alive(&format!("{marker}-7-"));
    println!(
        "ROW E-7 trees={trees} processes={before} swept={swept} survivors={} seconds={:.2}",
        left.len() - current.len(),
        took.as_secs_f64()
    );
    assert_eq!((swept, left.len()), (trees - 1, current.len()));
    assert!(!current.is_empty(), "the current attempt was ended too");
    assert!(took < Duration::from_secs(5), "{took:?}");
    runtime.sweep(|_| false).await.unwrap();
    assert!(alive(&marker).is_empty());
    assert!(Path::new(BINARY).exists());
}
