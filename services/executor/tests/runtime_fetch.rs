//! Fetching what is not for everybody: the login of a linked account reaches the host, and nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "../../common/repository/tests/it/host.rs"]
#[expect(dead_code, reason = "a host that leads elsewhere or says nothing is for other tests")]
mod host;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use common::{Data, target, walk};
use host::{Answer, Host};
use scheduler::{Scheduler, assignment, executor, log as node_log};
use serde_json::{Map, json};
use shipway_events::{Fence, plan::RepositoryLogin};
use shipway_nodes::{Workload, workload::Build};

const TOKEN: &str = "hunter22-hunter22";
/// `bot:hunter22-hunter22`.
const BASIC: &str = "Ym90Omh1bnRlcjIyLWh1bnRlcjIy";

fn git(folder: &Path, words: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the arguments and environments of all processes show of the login.
fn leaks() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let files = processes.flat_map(|process| ["cmdline", "environ"].map(|file| process.path().join(file)));
    let texts = files.filter_map(|file| fs::read(file).ok());
    let texts = texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    texts.filter(|text| text.contains(TOKEN) || text.contains(BASIC)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_repository_is_fetched_with_the_accounts_login_which_is_seen_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    fs::write(folder.path().join("README.md"), "A shop").unwrap();
    // A link to elsewhere is checked out as a file that names it.
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("passwd")).unwrap();
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-q", "-m", "First"]);
    git(folder.path(), &["update-server-info"]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looked = Arc::clone(&seen);
    let answer = Answer::Files { folder: folder.path().join(".git"), login: BASIC.to_owned() };
    let host = Host::looking(answer, move || looked.lock().unwrap().extend(leaks()));

    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    let name = "account/1/127.0.0.1";
    scheduler.secrets.lock().unwrap().insert(name.into(), TOKEN.into());
    let executor = executor(&data, &scheduler).await;
    let login = |host: &str| RepositoryLogin {
        account: "team".into(),
        host: host.into(),
        login: "bot".into(),
        secret: json!({"$secret": format!("{name}@1")}),
        known_hosts: None,
    };
    let build = |id: &str, login: Option<RepositoryLogin>| {
        Workload::Build(Build {
            service: target(),
            build: id.to_owned(),
            repository: host.url(),
            login,
            branch: "main".to_owned(),
            pull_request: None,
            sha: None,
            reuse: false,
            apart: false,
            command: Some("test ! -L passwd && cat passwd README.md".to_owned()),
            include: vec!["README.md".to_owned()],
            work_dir: None,
            arguments: Map::new(),
        })
    };
    executor.offer(assignment(1, "run/1", build("b-1", None)));
    let error = scheduler.fail(Fence::from_raw(1)).await;
    assert_eq!(error.code, "fetch_failed", "{error:?}");
    executor.offer(assignment(2, "run/2", build("b-2", Some(login("evil.example.org")))));
    let error = scheduler.fail(Fence::from_raw(2)).await;
    assert!(error.code == "bad_account" && error.message.contains("sent to no other host"), "{error:?}");

    let given = assignment(3, "run/3", build("b-3", Some(login(&format!("127.0.0.1:{}", host.port)))));
    executor.offer(given.clone());
    scheduler.succeed(Fence::from_raw(3)).await;
    assert!(host.asked().iter().any(|asked| asked.contains(BASIC)), "{:?}", host.asked());
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new());
    let log = node_log(&executor, &given).await;
    assert!(log.contains("/etc/passwdA shop") && !log.contains("root:"), "{log}");
    assert!(!log.contains(TOKEN) && !log.contains(BASIC), "{log}");
    for file in walk(data.path()) {
        let bytes = fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(TOKEN) && !text.contains(BASIC), "{file}");
    }
}

/// A repository whose pull request #7 is kept under this ref and is on no branch: that of a fork. Its newest commit.
fn with_pull_request(folder: &Path, reference: &str) -> String {
    let said = |words: &[&str]| {
        let output = Command::new("git").args(words).current_dir(folder).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(folder, &["init", "-q", "-b", "main"]);
    fs::write(folder.join("README.md"), "base").unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "-m", "base"]);
    git(folder, &["checkout", "-q", "-b", "fork"]);
    fs::write(folder.join("README.md"), reference).unwrap();
    git(folder, &["commit", "-q", "-a", "-m", "theirs"]);
    let head = said(&["rev-parse", "HEAD"]);
    git(folder, &["checkout", "-q", "main"]);
    if reference.ends_with("/merge") {
        git(folder, &["checkout", "-q", "--detach"]);
        git(folder, &["merge", "-q", "--no-ff", "-m", "merge", "fork"]);
    } else {
        git(folder, &["checkout", "-q", "--detach", "fork"]);
    }
    git(folder, &["update-ref", reference, "HEAD"]);
    git(folder, &["checkout", "-q", "main"]);
    git(folder, &["branch", "-q", "-D", "fork"]);
    head
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_of_a_fork_is_fetched_by_whatever_ref_its_host_keeps() {
    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    let executor = executor(&data, &scheduler).await;
    let build = |folder: &Path, id: &str, number: u64, sha: Option<&str>| {
        Workload::Build(Build {
            service: target(),
            build: id.to_owned(),
            repository: folder.to_str().unwrap().to_owned(),
            login: None,
            branch: Build::of_pull_request(number),
            pull_request: Some(number),
            sha: sha.map(str::to_owned),
            reuse: false,
            apart: false,
            command: Some("cat README.md; echo; echo $SHIPWAY_BRANCH".to_owned()),
            include: vec!["README.md".to_owned()],
            work_dir: None,
            arguments: Map::new(),
        })
    };
    let refs =
        ["refs/pull/7/head", "refs/merge-requests/7/head", "refs/pull-requests/7/from", "refs/pull/7/merge"];
    for (number, reference) in (1..).zip(refs) {
        let folder = tempfile::tempdir().unwrap();
        let head = with_pull_request(folder.path(), reference);
        let given = assignment(
            number,
            &format!("run/{number}"),
            build(folder.path(), &format!("b-{number}"), 7, None),
        );
        executor.offer(given.clone());
        let (outputs, _) = scheduler.succeed(Fence::from_raw(number)).await;
        assert_eq!((&outputs["sha"], &outputs["pullRequestId"]), (&json!(head), &json!(7)), "{reference}");
        let log = node_log(&executor, &given).await;
        assert!(log.contains(reference) && log.contains("fetching pull request #7 of"), "{log}");

        // The commit that somebody has approved, also when the pull request has moved on or its host keeps none.
        let (fence, id) = (number + 10, format!("b-{}", number + 10));
        executor.offer(assignment(fence, &format!("run/{fence}"), build(folder.path(), &id, 8, Some(&head))));
        assert_eq!(scheduler.succeed(Fence::from_raw(fence)).await.0["sha"], json!(head), "{reference}");
        let (fence, id) = (number + 20, format!("b-{}", number + 20));
        executor.offer(assignment(fence, &format!("run/{fence}"), build(folder.path(), &id, 8, None)));
        let error = scheduler.fail(Fence::from_raw(fence)).await;
        assert!(
            error.code == "fetch_failed" && error.message.contains("keeps no pull request #8"),
            "{reference} {error:?}"
        );
    }
}

/// What a pull request leaves, no other build reads: neither what its programs wrote nor what was fetched for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_is_apart_finds_nothing_of_others_and_leaves_nothing() {
    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    let executor = executor(&data, &scheduler).await;
    let folder = tempfile::tempdir().unwrap();
    let head = with_pull_request(folder.path(), "refs/pull/7/head");
    let service = target();
    let command = "mkdir -p $GOCACHE; echo found $(ls $GOCACHE $HOME | sort | tr '\\n' ' '); touch $GOCACHE/$MARK $HOME/$MARK";
    let build = |mark: &str, apart: bool| Build {
        service: service.clone(),
        build: format!("b-{mark}"),
        repository: folder.path().to_str().unwrap().to_owned(),
        login: None,
        branch: if apart { Build::of_pull_request(7) } else { "main".to_owned() },
        pull_request: apart.then_some(7),
        sha: None,
        reuse: !apart,
        apart,
        command: Some(command.to_owned()),
        include: vec!["README.md".to_owned()],
        work_dir: None,
        arguments: json!({"MARK": mark}).as_object().unwrap().clone(),
    };
    let mut found = Vec::new();
    for (fence, (mark, apart)) in
        (1..).zip([("main1", false), ("theirs1", true), ("theirs2", true), ("main2", false)])
    {
        let given = assignment(fence, &format!("run/{fence}"), Workload::Build(build(mark, apart)));
        executor.offer(given.clone());
        let (outputs, _) = scheduler.succeed(Fence::from_raw(fence)).await;
        assert_eq!(outputs["sha"] == head.as_str(), apart);
        let log = node_log(&executor, &given).await;
        assert!(log.contains("found "), "{log}");
        found.push(["main1", "theirs1", "theirs2"].map(|mark| log.matches(&format!(" {mark}")).count()));
    }
    // The first build of `main` is in its cache and its home when the second begins, and nothing else is anywhere.
    assert_eq!(found, [[0, 0, 0], [0, 0, 0], [0, 0, 0], [2, 0, 0]]);
    let builds = data.path().join("host/builds");
    let mirror = builds.join(service.id.to_string()).join("mirror.git");
    let has = Command::new("git").args(["cat-file", "-e", &head]).current_dir(&mirror).output().unwrap();
    assert!(mirror.is_dir() && !has.status.success(), "the mirror has the fork's commit");
    let apart = builds.join(format!("{}-apart", service.id));
    let mut left: Vec<String> = fs::read_dir(&apart)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [".cargo", "config", "records"]);
}
