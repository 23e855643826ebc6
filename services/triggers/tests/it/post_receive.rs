//! A plain Git repository that tells of its pushes itself.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use shipway_triggers::post_receive::{OUTBOX, Options, flush, post_receive, post_receive_script};

use crate::support::*;

/// The hook's options; the address is one where nobody listens until `serve` was called.
fn options(folder: &Path, git: &Git, port: u16) -> Options {
    let secret_file = folder.join("secret");
    fs::write(&secret_file, format!("{SECRET}\n")).unwrap();
    Options {
        url: format!("http://127.0.0.1:{port}/hooks/github/{HOOK}"),
        secret_file,
        repository: git.bare.clone(),
        address: None,
        pusher: Some("ada".to_owned()),
        timeout: Duration::from_secs(5),
    }
}

async fn serve(world: &World) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (router, stop) = (world.router(), world.stop.clone());
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
    });
    port
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn kept(git: &Git) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(git.bare.join(OUTBOX))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

fn body(file: &Path) -> Value {
    let parcel: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    serde_json::from_str(parcel["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn pushes_become_payloads_that_start_flows() {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path());
    let world = World::start(folder.path(), &Home::with_repository(&git.address()), config()).await;
    let options = options(folder.path(), &git, serve(&world).await);
    let first = git.push("First");
    let lines = format!("{ZERO} {first} refs/heads/main\n");
    let report = post_receive(&options, lines.as_bytes()).await.unwrap();
    assert_eq!((report.delivered, report.kept), (1, 0), "{report:?}");
    assert!(report.lines[0].contains("1 run follows"), "{report:?}");
    assert!(report.lines[1].starts_with("shop/development: run main-push-"), "{report:?}");
    let matched = world.matched_are(1).await;
    assert_eq!(matched[0].verdicts[0].values["sha"], first.as_str());
    // A flagged commit in the middle, and two refs in one push, one of them gone.
    git.commit("Middle\n\n[skip ci]");
    let third = git.push("Third");
    let lines = format!("{first} {third} refs/heads/main\n{third} {ZERO} refs/heads/release/1\n");
    let report = post_receive(&options, lines.as_bytes()).await.unwrap();
    assert_eq!((report.delivered, report.kept), (2, 0), "{report:?}");
    assert!(report.lines[0].contains("says `[skip ci]`"), "{report:?}");
    assert!(report.lines[1].contains("was deleted"), "{report:?}");
    assert_eq!(world.matched().await.len(), 1);
    assert!(kept(&git).is_empty());
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_kept_in_order_and_delivered_once() {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path());
    let home = Home::with_repository(&git.address());
    let mut options = options(folder.path(), &git, closed_port());
    let first = git.push("First");
    let second = git.push("Second");
    for (old, new) in [(ZERO, first.as_str()), (&first, &second)] {
        let report =
            post_receive(&options, format!("{old} {new} refs/heads/main\n").as_bytes()).await.unwrap();
        assert_eq!(report.delivered, 0);
        assert!(report.lines[0].ends_with("is away"), "{report:?}");
    }
    assert_eq!(kept(&git).len(), 2);
    assert!(flush(&options, Duration::ZERO).await.unwrap().kept == 2);

    let world = World::start(folder.path(), &home, config()).await;
    let port = serve(&world).await;
    // It got its answer, but died before it could take the delivery out of the outbox.
    let copy = fs::read(&kept(&git)[0]).unwrap();
    let name = kept(&git)[0].clone();
    options.url = format!("http://127.0.0.1:{port}/hooks/github/{HOOK}");
    let third = git.push("Third");
    let report =
        post_receive(&options, format!("{second} {third} refs/heads/main\n").as_bytes()).await.unwrap();
    assert_eq!((report.delivered, report.kept), (3, 0), "the next push takes the kept ones along");
    fs::write(&name, copy).unwrap();
    assert_eq!(flush(&options, Duration::ZERO).await.unwrap().delivered, 1);
    let matched = world.matched_are(3).await;
    let commits: Vec<_> = matched.iter().map(|m| m.verdicts[0].values["sha"].as_str().unwrap()).collect();
    assert_eq!(commits, [first, second, third]);
    world.end().await;
}

#[tokio::test]
async fn flushing_goes_on_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path());
    let world = World::start(folder.path(), &Home::with_repository(&git.address()), config()).await;
    // The port is known but nobody listens on it yet.
    let port = closed_port();
    let options = options(folder.path(), &git, port);
    let first = git.push("First");
    let lines = format!("{ZERO} {first} refs/heads/main\n");
    assert_eq!(post_receive(&options, lines.as_bytes()).await.unwrap().kept, 1);
    let flushing = tokio::spawn(async move { flush(&options, Duration::from_secs(60)).await.unwrap() });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let (router, stop) = (world.router(), world.stop.clone());
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
    });
    let report = flushing.await.unwrap();
    assert_eq!((report.delivered, report.kept), (1, 0));
    world.matched_are(1).await;
    world.end().await;
}

#[tokio::test]
async fn a_payload_has_what_github_says() {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path());
    let options = options(folder.path(), &git, closed_port());
    let first = git.push("First");
    let second = git.push("Second\n\nWith a body");
    git.git(&["checkout", "-q", "-b", "topic"]);
    let topic = git.push("On the topic");
    git.git(&["checkout", "-q", "main"]);
    git.git(&["reset", "-q", "--hard", &first]);
    let rewritten = git.commit("Rewritten");
    git.git(&["push", "-q", "--force", "origin", "main"]);
    let lines = format!(
        "{ZERO} {topic} refs/heads/topic\n{second} {rewritten} refs/heads/main\n{topic} {ZERO} refs/heads/gone\n"
    );
    post_receive(&options, lines.as_bytes()).await.unwrap();
    let files = kept(&git);
    let (created, forced, deleted) = (body(&files[0]), body(&files[1]), body(&files[2]));
    let messages = |payload: &Value| -> Vec<String> {
        let commits = payload["commits"].as_array().unwrap();
        commits.iter().map(|commit| commit["message"].as_str().unwrap().to_owned()).collect()
    };
    let flags = |payload: &Value| json!([payload["created"], payload["deleted"], payload["forced"]]);
    assert_eq!(flags(&created), json!([true, false, false]));
    assert_eq!(messages(&created), ["Second\n\nWith a body", "On the topic"], "what no other branch has");
    assert_eq!(created["head_commit"]["id"], topic.as_str());
    assert_eq!(flags(&forced), json!([false, false, true]));
    assert_eq!(messages(&forced), ["Rewritten"]);
    assert_eq!((&forced["before"], &forced["after"]), (&json!(second), &json!(rewritten)));
    assert_eq!(flags(&deleted), json!([false, true, false]));
    assert_eq!((&deleted["after"], &deleted["head_commit"]), (&json!(ZERO), &Value::Null));
    assert_eq!(created["repository"]["clone_url"], fs::canonicalize(&git.bare).unwrap().to_str().unwrap());
    assert_eq!(
        (&created["repository"]["name"], &created["sender"]["login"]),
        (&json!("shop"), &json!("ada"))
    );
}

#[tokio::test]
async fn a_wrong_secret_keeps_and_a_refused_delivery_goes_aside() {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path());
    let small = shipway_triggers::Config { max_body: 2_000, ..config() };
    let world = World::start(folder.path(), &Home::with_repository(&git.address()), small).await;
    let options = options(folder.path(), &git, serve(&world).await);
    let first = git.push("First");
    fs::write(&options.secret_file, "wrong\n").unwrap();
    let lines = format!("{ZERO} {first} refs/heads/main\n");
    let report = post_receive(&options, lines.as_bytes()).await.unwrap();
    assert_eq!(report.kept, 1);
    assert!(report.lines[0].contains("does not know the hook or its secret"), "{report:?}");
    fs::write(&options.secret_file, SECRET).unwrap();
    let second = git.push(&"x".repeat(4_000));
    let lines = format!("{first} {second} refs/heads/main\n");
    let report = post_receive(&options, lines.as_bytes()).await.unwrap();
    assert_eq!((report.delivered, report.kept), (1, 0), "{report:?}");
    assert!(report.lines.iter().any(|line| line.contains("413")), "{report:?}");
    assert_eq!(fs::read_dir(git.bare.join(OUTBOX).join("refused")).unwrap().count(), 1);
    fs::remove_file(&options.secret_file).unwrap();
    let report = post_receive(&options, format!("{first} {second} refs/heads/x\n").as_bytes()).await.unwrap();
    assert!(report.kept == 1 && report.lines[0].contains("could not read the hook's secret"), "{report:?}");
    world.end().await;
}

#[test]
fn the_script_quotes_its_words_and_never_fails_the_push() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("post-receive");
    let out = folder.path().join("out");
    let words =
        ["sh", "-c", "printf '%s|' \"$@\" > \"$0\"; exit 7", out.to_str().unwrap(), "a b", "it's", "$HOME"];
    let text = post_receive_script(&words.map(str::to_owned));
    fs::write(&script, text).unwrap();
    let status = std::process::Command::new("sh").arg(&script).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(&out).unwrap(), "a b|it's|$HOME|");
}
