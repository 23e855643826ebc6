//! For each kind of blocker: what is told is done, word for word, and the answer is another one.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

#[expect(dead_code, reason = "it uses a part of it")]
#[path = "../shop/mod.rs"]
mod shop;
mod world;

use serde_json::{Map, json};
use shipway_contracts::{
    blockers::Kind,
    v1::{Blocker, ResumeRunRequest, WhyReply},
};
use shipway_events::run::NodeError;
use shipway_nodes::Outcome;

use self::world::{EXECUTOR, World};

/// What is asked about once a kind of blocker is there.
struct Asked {
    what: String,
    node: String,
}

/// Makes a blocker of a kind; none for kinds that only several hosts, deliveries or defects have.
async fn make(kind: Kind, world: &mut World) -> Option<Asked> {
    let about = |what: String, node: &str| Some(Asked { what, node: node.to_owned() });
    match kind {
        Kind::Approval => about(world.start("gate").await, ""),
        Kind::Child => about(world.start("parent").await, ""),
        Kind::Condition => about(world.start("condition").await, "ready"),
        Kind::Steps => about(world.start("steps").await, "second"),
        Kind::Work => about(world.start("one").await, ""),
        Kind::NoExecutor => about(world.start("one").await, ""),
        Kind::Freeze | Kind::Stopped => {
            world.freeze(kind == Kind::Stopped).await;
            about(world.start("one").await, "")
        }
        Kind::Labels => {
            let run = world.start("labels").await;
            world.until(&run, "failure").await;
            about(run, "")
        }
        Kind::Retry => {
            let run = world.start("retry").await;
            world.end(&run, 1, failed()).await;
            about(run, "")
        }
        Kind::Failed => {
            let run = world.start("one").await;
            world.end(&run, 1, failed()).await;
            about(run, "")
        }
        Kind::Lock | Kind::Room | Kind::Lane => {
            let flow = match kind {
                Kind::Lock => "lock",
                Kind::Room => "two",
                _ => "queue",
            };
            let first = world.start(flow).await;
            world.until(&first, "running").await;
            about(world.start(flow).await, "")
        }
        Kind::Finish => {
            let first = world.start("replace").await;
            world.start("replace").await;
            world.until(&first, "aborting").await;
            about(first, "one")
        }
        Kind::Stop | Kind::Process | Kind::Aborted => {
            let run = world.start("one").await;
            world.assigned(&run, 1).await;
            world.abort(&run).await;
            match kind {
                Kind::Process => world.does_not_end(&run, 77).await,
                Kind::Aborted => world.confirm_stops(&run).await,
                _ => {}
            }
            about(run, "")
        }
        Kind::Refused => {
            let first = world.start("forbid").await;
            let second = world.start("forbid").await;
            world.abort(&first).await;
            world.confirm_stops(&first).await;
            about(second, "")
        }
        Kind::Superseded => {
            world.start("latest").await;
            let second = world.start("latest").await;
            world.start("latest").await;
            world.until(&second, "skipped").await;
            about(second, "")
        }
        Kind::Replaced => {
            world.start("replace").await;
            let second = world.start("replace").await;
            world.start("replace").await;
            world.until(&second, "aborted").await;
            about(second, "")
        }
        Kind::Unknown => {
            let run = world.start("once").await;
            let words = "its host died while it ran".to_owned();
            world.end(&run, 1, Outcome::Unknown { reason: words }).await;
            about(run, "")
        }
        Kind::Hold => {
            let run = world.start("direct").await;
            world.hold("shop/direct").await;
            world.release_there(&run).await;
            about(run, "")
        }
        Kind::Frozen => {
            world.freeze(false).await;
            about("shop/one".to_owned(), "")
        }
        Kind::HeldBack => {
            world.hold("shop/direct").await;
            about("shop/direct".to_owned(), "")
        }
        Kind::Bad => {
            let first = world.start("direct").await;
            world.release_there(&first).await;
            world.end(&first, 2, succeeded()).await;
            world.until(&first, "success").await;
            world.mark_bad().await;
            let second = world.start("direct").await;
            world.release_there(&second).await;
            about(second, "")
        }
        Kind::Paused => {
            world.pause();
            about("shop/one".to_owned(), "")
        }
        // The engine's own tests make one that is stuck; hosts and executors go away and releases go on only where there are
        // real ones (E-6, `cluster_rows/why.rs`, `what_was_built_once…`); the triggers service has the others.
        Kind::Stuck
        | Kind::ExecutorAway
        | Kind::ExecutorDraining
        | Kind::HostLost
        | Kind::Restoring
        | Kind::NotStarted
        | Kind::Fork
        | Kind::Repository
        | Kind::Stored
        | Kind::Schedule
        | Kind::Unmatched
        | Kind::Repeated => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doing_what_is_told_changes_the_answer() {
    let mut shown = 0;
    for &kind in Kind::ALL {
        let executors = if kind == Kind::NoExecutor { 0 } else { 1 };
        let mut world = World::with(executors).await;
        let Some(Asked { what, node }) = make(kind, &mut world).await else { continue };
        let told = world.until_told(&what, &node, kind).await;
        assert_eq!(
            (told.kind.as_str(), told.run.is_empty()),
            (kind.as_str(), matches!(kind, Kind::Paused | Kind::HeldBack | Kind::Frozen))
        );
        assert!(!told.words.is_empty(), "{told:#?}");
        let is_taken = matches!(kind, Kind::Lock | Kind::Room | Kind::Lane);
        assert!(!is_taken || told.expected.is_some(), "when it may come free: {told:#?}");
        let acted = world.act(&told).await;
        match acted {
            // A run that has ended stays as it is: the one that is told to be started must not end so, too.
            Some(run) => world.until_not_told(&run, "", &told).await,
            None => world.until_not_told(&what, &node, &told).await,
        }
        world.over().await;
        shown += 1;
    }
    assert_eq!(shown, 27);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocker_names_its_holder_and_why_that_one_does_not_go_on() {
    let mut world = World::with(1).await;
    let first = world.start("gated-queue").await;
    world.until(&first, "approval_wait").await;
    let second = world.start("gated-queue").await;
    let lane = world.until_told(&second, "", Kind::Lane).await;
    assert_eq!((lane.holder_run.as_str(), lane.holder), (first.as_str(), format!("run {first}")));
    assert!(lane.because.starts_with("`gate` waits for 1 approval"), "{}", lane.because);
    let gate = world.until_told(&first, "gate", Kind::Approval).await;
    assert_eq!(gate.who, ["release-lead"]);
    assert_eq!(gate.action, format!("shipway approve {first} gate"));
    assert!(!gate.until.is_empty(), "it has a limit");

    let work = world.start("one").await;
    world.assigned(&work, 1).await;
    let told = world.until_told(&work, "", Kind::Work).await;
    assert_eq!(told.holder, format!("executor {EXECUTOR}"));
    let WhyReply { sentence, subject, status, .. } = world.why("shop/gated-queue", "").await.unwrap();
    assert_eq!((subject.as_str(), status.as_str()), ("stage", "1 approval_wait, 1 queued"));
    assert!(sentence.contains("`gate` waits for 1 approval"), "{sentence}");
    let missing = world.why(&first, "nothing").await.unwrap_err();
    assert_eq!(missing.message(), "the run has no node `nothing`");
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expected_is_what_it_took_before() {
    let mut world = World::with(1).await;
    for done in 0..4 {
        let run = world.start("one").await;
        let told = world.until_told(&run, "", Kind::Work).await;
        let expected = told.expected.unwrap();
        assert_eq!(expected.successes, done);
        assert_eq!(expected.median_at.is_empty(), done < 3, "fewer than 3 tell nothing");
        world.end(&run, 1, succeeded()).await;
        world.until(&run, "success").await;
        // The next one asks the read tables.
        world.caught_up().await;
    }
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_holds_up_what_has_ended_well() {
    let mut world = World::with(1).await;
    let run = world.start("one").await;
    world.end(&run, 1, succeeded()).await;
    world.until(&run, "success").await;
    let reply = world.why(&run, "").await.unwrap();
    assert!(reply.blockers.is_empty() && reply.sentence.ends_with("nothing holds it up"), "{reply:?}");
    let node = world.why(&run, "one").await.unwrap();
    assert_eq!((node.sentence.as_str(), node.subject.as_str()), ("`one` is success", "node"));
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_goes_on_in_one_of_its_own_and_stays_as_it_was() {
    let mut world = World::with(1).await;
    let first = world.start("steps").await;
    world.end(&first, 1, succeeded()).await;
    world.end(&first, 2, failed()).await;
    world.until(&first, "failure").await;
    let request = |dry_run| ResumeRunRequest {
        command: uuid::Uuid::now_v7().to_string(),
        run: first.clone(),
        dry_run,
        ..ResumeRunRequest::default()
    };
    let told = world.runs.resume_run(request(true)).await.unwrap().into_inner();
    let stale: Vec<_> = told.stale.iter().map(|node| (node.r#ref.as_str(), node.was.as_str())).collect();
    assert_eq!((stale, told.kept, told.other_plan, told.run), (vec![("second", "failure")], 1, false, None));

    let asked = request(false);
    let second = world.runs.resume_run(asked.clone()).await.unwrap().into_inner().run.unwrap();
    assert_eq!(world.runs.resume_run(asked.clone()).await.unwrap().into_inner().run.unwrap().id, second.id);
    assert_eq!((second.id.as_str(), second.resumes.as_str()), (asked.command.as_str(), first.as_str()));
    assert!(second.nodes[1].kept && second.nodes[1].status == "success", "{second:#?}");
    world.end(&second.id, 2, succeeded()).await;
    world.until(&second.id, "success").await;
    world.until(&first, "failure").await;
    let refused =
        world.runs.resume_run(ResumeRunRequest { run: second.id, ..request(false) }).await.unwrap_err();
    assert!(refused.message().contains("has ended well"), "{}", refused.message());
    world.over().await;
}

fn failed() -> Outcome {
    let (code, message) = ("broken".to_owned(), "it broke".to_owned());
    Outcome::Failed { error: NodeError { code, message, transient: false } }
}

fn succeeded() -> Outcome {
    let outputs = Map::from_iter([("ok".to_owned(), json!(true))]);
    Outcome::Succeeded { outputs, effects: Vec::new() }
}

/// Whether an answer has a blocker that was told before.
fn has(reply: &WhyReply, told: &Blocker) -> bool {
    let key = |blocker: &Blocker| (blocker.kind.clone(), blocker.node.clone(), blocker.holder.clone());
    reply.blockers.iter().any(|blocker| key(blocker) == key(told))
}
