//! Holds and bad marks over a real log: what is pushed during a hold, what waits, what a person may do, and when it ends.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod shop;
#[path = "holds/world.rs"]
mod world;

use shipway_contracts::v1::{
    MarkBadRequest, PlaceHoldRequest, PlanRunRequest, ReleaseHoldRequest, RollbackRequest, StartRunRequest,
    UnmarkBadRequest, WhyRequest,
};
use tonic::Code;
use uuid::Uuid;

use self::{
    shop::{commit, digest_of, push},
    world::World,
};

/// Five versions are pushed during a hold: none is promoted, and each has an event that says why.
#[tokio::test(flavor = "multi_thread")]
async fn row_h_1_five_pushes_during_a_hold_are_five_events_and_no_promotion() {
    let mut world = World::new().await;
    world.pushed("shop/staging", "main", 1).await;
    let hold = world.hold("shop/production", |request| request.commit = commit(1)).await.unwrap();
    assert_eq!(hold.what, "what contains commit 0000000");
    assert_eq!(hold.note, "what came after it is known from builds of main of web");
    let mut skipped = Vec::new();
    for n in 2..=6 {
        assert_eq!(world.pushed("shop/staging", "main", n).await.status, "success");
        let run = world.pushed("shop/production", "main", n).await;
        assert_eq!(run.status, "skipped");
        let wanted = format!(
            "held by after-1 of somebody (broken): commit {} of main for `web-production`",
            &commit(n)[..7]
        );
        assert_eq!(run.reason, wanted);
        skipped.push((run.id, digest_of(&commit(n))));
    }
    let held = world.events("run.held").await;
    let told: Vec<_> = held
        .iter()
        .map(|event| (event["run"].as_str().unwrap(), event["artifact"]["digest"].as_str().unwrap()))
        .collect();
    let expected: Vec<_> = skipped.iter().map(|(run, digest)| (run.as_str(), digest.as_str())).collect();
    assert_eq!(told, expected, "every candidate that was skipped has its event");
    assert_eq!(world.released("web-production").await, Vec::<String>::new(), "nothing was promoted");
    println!("ROW H-1 5 pushes during a hold: {} held, 0 promoted", held.len());

    let request = WhyRequest { what: skipped[4].0.clone(), ..WhyRequest::default() };
    let why = world.runs.why(request).await.unwrap().into_inner();
    assert_eq!(
        (why.blockers[0].kind.as_str(), why.blockers[0].action.as_str()),
        ("held_back", "shipway unhold after-1")
    );
    // Another branch does not contain it, as far as anybody can tell.
    world.pushed("shop/staging", "hotfix", 9).await;
    assert_eq!(world.pushed("shop/production", "hotfix", 9).await.status, "success");
    assert_eq!(world.released("web-production").await, [commit(9)]);
    world.release("after-1").await.unwrap();
    world.pushed("shop/staging", "main", 7).await;
    assert_eq!(world.pushed("shop/production", "main", 7).await.status, "success");
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lineage_holds_what_came_before_and_lets_a_newer_one_pass() {
    let mut world = World::new().await;
    for n in 1..=2 {
        world.pushed("shop/staging", "main", n).await;
    }
    let hold = world.hold("shop/direct", |request| request.digest = digest_of(&commit(2))).await.unwrap();
    assert_eq!(hold.note, "what came before is known from builds of the same branch: 1 commit");
    // Built once more, an older commit is as old as it was. It is known before it is built.
    for n in [1, 2] {
        assert_eq!(world.pushed("shop/direct", "main", n).await.status, "skipped");
    }
    assert_eq!(world.pushed("shop/direct", "main", 3).await.status, "success");
    let again = world.hold("shop/direct", |request| request.below = "1.9".to_owned()).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists, "{again}");
    world.release("after-1").await.unwrap();
    assert_eq!(world.release("after-1").await.unwrap_err().code(), Code::NotFound);
    let named = |request: &mut PlaceHoldRequest| request.below = "1.9".to_owned();
    assert_eq!(world.hold("shop/direct", named).await.unwrap().what, "versions below 1.9.0");
    for (name, status) in [("v1.8.3", "skipped"), ("push-1", "skipped"), ("v1.9.0", "success")] {
        let run = world.pushed_as("shop/direct", name, 4).await;
        assert_eq!(run.status, status, "{name}: {}", run.reason);
    }
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_in_the_middle_waits_and_a_hold_ends_by_itself_or_by_a_person() {
    let mut world = World::new().await;
    world.pushed("shop/staging", "main", 1).await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(2_500);
    world
        .hold("shop/direct", |request| {
            (request.commit, request.until) = (commit(1), until.to_string());
        })
        .await
        .unwrap();
    // By hand nobody has named a commit: it is known when it is built.
    let first = world.start("shop/direct", "").await.unwrap();
    let held = world.settled(&first).await;
    assert_eq!(held.status, "waiting");
    let words = &held.nodes[2].waiting_for;
    let wanted = format!(
        "`release` is held back: `web-production` may not get commit {} of main: the hold `after-1` of somebody (broken)",
        &commit(1)[..7]
    );
    assert!(words.starts_with(&wanted), "{words}");
    let second = world.start("shop/direct", "").await.unwrap();
    assert_eq!(world.settled(&second).await.status, "waiting");
    let refused = world.let_release(&second, "").await.unwrap_err();
    assert!(refused.message().contains("field `reason`"), "{refused}");
    world.let_release(&second, "the fix").await.unwrap();
    assert_eq!(world.settled(&second).await.status, "success");
    assert!(jiff::Timestamp::now() < until, "a person let it go on, not the clock");
    world.until(&first, "success").await;
    assert!(jiff::Timestamp::now() >= until, "it went on before the hold was over");
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_starts_what_is_held_has_to_say_so() {
    let mut world = World::new().await;
    world.pushed("shop/staging", "main", 1).await;
    world.hold("shop/production", |request| request.commit = commit(1)).await.unwrap();
    let request = PlanRunRequest { flow: "shop/production".to_owned(), ..PlanRunRequest::default() };
    let plan = world.runs.plan_run(request).await.unwrap().into_inner();
    assert!(plan.gates[0].contains("the hold `after-1`"), "{plan:#?}");
    let refused = world.start("shop/production", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("`shipway run --despite-hold`"), "{refused}");
    let run = world.start("shop/production", "we need it").await.unwrap();
    assert_eq!(world.settled(&run).await.status, "success");
    let overridden = world.events("run.hold_overridden").await;
    assert_eq!(overridden.len(), 1);
    assert_eq!(overridden[0]["reason"], "we need it");
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_rolls_back_to_what_is_held_has_to_say_so() {
    let mut world = World::new().await;
    for n in 1..=2 {
        assert_eq!(world.pushed("shop/direct", "main", n).await.status, "success");
    }
    world.hold("shop/direct", |request| request.digest = digest_of(&commit(1))).await.unwrap();
    let what = RollbackRequest { flow: "shop/direct".to_owned(), ..RollbackRequest::default() };
    let planned = world.rollbacks.plan_rollback(what).await.unwrap().into_inner().plan.unwrap();
    assert!(planned.gates[0].contains("`shipway rollback --despite-hold`"), "{planned:#?}");
    let refused = world.roll_back("shop/direct", " ").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("the hold `after-1`"), "{refused}");
    assert!(refused.message().contains("`shipway rollback --despite-hold`"), "{refused}");
    assert!(world.events("run.hold_overridden").await.is_empty());
    let run = world.roll_back("shop/direct", "one is better than two").await.unwrap();
    assert_eq!(world.settled(&run).await.status, "success");
    assert_eq!(world.released("web-production").await, [commit(1), commit(2), commit(1)]);
    let overridden = world.events("run.hold_overridden").await;
    assert_eq!(overridden.len(), 1, "{overridden:#?}");
    assert_eq!(
        (&overridden[0]["run"], &overridden[0]["reason"]),
        (&run.into(), &"one is better than two".into())
    );
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_marked_bad_goes_no_further_until_it_is_good() {
    let mut world = World::new().await;
    let run = world.pushed("shop/staging", "main", 1).await;
    let request = |what: &str, reason: &str| MarkBadRequest {
        command: Uuid::now_v7().to_string(),
        what: what.to_owned(),
        project: String::new(),
        reason: reason.to_owned(),
    };
    let unsaid = world.holds.mark_bad(request(&run.id, "")).await.unwrap_err();
    assert!(unsaid.message().contains("field `reason`"), "{unsaid}");
    let marked = world.holds.mark_bad(request(&run.id, "loses orders")).await.unwrap().into_inner();
    let running: Vec<_> =
        marked.running.iter().map(|place| (place.resource.as_str(), place.path.as_str())).collect();
    assert_eq!(running, [("web-staging", "shop/staging")]);

    let request = PlanRunRequest { flow: "shop/production".to_owned(), ..PlanRunRequest::default() };
    let plan = world.runs.plan_run(request).await.unwrap().into_inner();
    assert_eq!(plan.nodes[0].would, "fail");
    assert!(plan.nodes[0].words.contains("(loses orders) marked it bad"), "{}", plan.nodes[0].words);
    assert!(plan.warnings.iter().any(|warning| warning.contains("marked it bad")), "{:?}", plan.warnings);
    let refused = world.start("shop/production", "all the same").await.unwrap_err();
    assert!(refused.message().contains("marked it bad"), "{refused}");
    let pushed = world.pushed("shop/production", "main", 1).await;
    assert_eq!(pushed.status, "skipped");
    assert!(pushed.reason.ends_with("is marked bad by somebody (loses orders)"), "{}", pushed.reason);
    // Nobody names what a run by hand builds: it fails when that is known.
    let built = world.start("shop/direct", "").await.unwrap();
    let failed = world.settled(&built).await;
    assert_eq!((failed.status.as_str(), failed.nodes[2].error_code.as_str()), ("failure", "marked_bad"));
    let listed = world.list().await;
    assert_eq!((listed.holds.len(), listed.bad.len(), listed.bad[0].run.as_str()), (0, 1, run.id.as_str()));

    let good = UnmarkBadRequest {
        command: Uuid::now_v7().to_string(),
        what: digest_of(&commit(1)),
        ..UnmarkBadRequest::default()
    };
    assert_eq!(world.holds.unmark_bad(good.clone()).await.unwrap().into_inner().marks.len(), 1);
    let once_more = UnmarkBadRequest { command: Uuid::now_v7().to_string(), ..good };
    assert_eq!(world.holds.unmark_bad(once_more).await.unwrap_err().code(), Code::NotFound);
    let run = world.start("shop/production", "").await.unwrap();
    assert_eq!(world.settled(&run).await.status, "success");
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_again_is_answered_as_before_and_changes_nothing() {
    let mut world = World::new().await;
    let run = world.pushed("shop/staging", "main", 1).await;
    let command = || Uuid::now_v7().to_string();
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(2_500);
    let hold = |name: &str, until: String| PlaceHoldRequest {
        command: command(),
        scope: "shop/production".to_owned(),
        name: name.to_owned(),
        reason: "broken".to_owned(),
        commit: commit(1),
        until,
        ..PlaceHoldRequest::default()
    };
    let (ends, stays) = (hold("ends", until.to_string()), hold("stays", String::new()));
    let short = world.holds.place_hold(ends.clone()).await.unwrap().into_inner();
    let held = world.holds.place_hold(stays.clone()).await.unwrap().into_inner();
    let release =
        ReleaseHoldRequest { command: command(), hold: "stays".to_owned(), ..ReleaseHoldRequest::default() };
    let released = world.holds.release_hold(release.clone()).await.unwrap().into_inner();
    assert_eq!(released.hold, held.hold);
    let bad = |what: &str| MarkBadRequest {
        command: command(),
        what: what.to_owned(),
        reason: "loses orders".to_owned(),
        ..MarkBadRequest::default()
    };
    let (one, two) = (bad(&run.id), bad(&digest_of(&commit(1))));
    let marked = world.holds.mark_bad(one.clone()).await.unwrap().into_inner();
    let twice = world.holds.mark_bad(two.clone()).await.unwrap().into_inner();
    assert_eq!(marked.running.len(), 1, "{marked:#?}");
    let good =
        UnmarkBadRequest { command: command(), what: digest_of(&commit(1)), ..UnmarkBadRequest::default() };
    let unmarked = world.holds.unmark_bad(good.clone()).await.unwrap().into_inner();
    assert_eq!(unmarked.marks, [marked.mark.clone().unwrap(), twice.mark.clone().unwrap()]);
    // Others of the same names are there by now, something else runs, and the first hold is over.
    world.hold("shop/staging", |it| (it.name, it.commit) = ("stays".to_owned(), commit(2))).await.unwrap();
    world.holds.mark_bad(bad(&run.id)).await.unwrap();
    assert_eq!(world.pushed("shop/staging", "other", 3).await.status, "success");
    world.over_at(until).await;

    let before = world.count().await;
    assert_eq!(world.holds.place_hold(ends).await.unwrap().into_inner(), short);
    assert_eq!(world.holds.place_hold(stays).await.unwrap().into_inner(), held);
    assert_eq!(world.holds.release_hold(release.clone()).await.unwrap().into_inner(), released);
    assert_eq!(world.holds.mark_bad(one).await.unwrap().into_inner(), marked);
    assert_eq!(world.holds.mark_bad(two).await.unwrap().into_inner(), twice);
    assert_eq!(world.holds.unmark_bad(good).await.unwrap().into_inner(), unmarked);
    assert_eq!(world.count().await, before, "nothing was written once more");
    let listed = world.list().await;
    assert_eq!((listed.holds.len(), listed.bad.len()), (1, 1), "{listed:#?}");
    // An id is of one command, a run's too.
    for id in [&release.command, &run.id] {
        let refused = world.holds.mark_bad(MarkBadRequest { command: id.clone(), ..bad(&run.id) }).await;
        let refused = refused.unwrap_err();
        assert!(refused.message().contains("did something else before"), "{refused}");
    }
    world.over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_is_refused_with_the_field() {
    let world = World::new().await;
    let refused = |wanted: &'static str, with: Box<dyn FnOnce(&mut PlaceHoldRequest) + Send>| {
        let world = &world;
        async move {
            let error = world.hold("shop/production", with).await.unwrap_err();
            assert!(error.message().contains(wanted), "{wanted}: {error}");
        }
    };
    refused("say what is held", Box::new(|_| {})).await;
    refused("say what is held", Box::new(|it| (it.commit, it.below) = (commit(1), "1".to_owned()))).await;
    refused("field `reason`", Box::new(|it| (it.commit, it.reason) = (commit(1), " ".to_owned()))).await;
    refused("field `until`", Box::new(|it| (it.commit, it.until) = (commit(1), "friday".to_owned()))).await;
    refused("field `commit`", Box::new(|it| it.commit = "main".to_owned())).await;
    refused("field `below`", Box::new(|it| it.below = "newest".to_owned())).await;
    refused("field `scope`", Box::new(|it| (it.commit, it.scope) = (commit(1), String::new()))).await;
    refused("nothing with the digest", Box::new(|it| it.digest = digest_of(&commit(7)))).await;
    let unknown = world.hold("shop/production", |it| it.commit = commit(7)).await.unwrap();
    assert!(unknown.note.starts_with("no build of that commit is known"), "{}", unknown.note);
    world.over().await;
}

/// However much of other services was built since.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_build_of_a_service_that_is_seldom_built_is_known() {
    let mut world = World::new().await;
    let first = world.pushed("shop/staging", "main", 1).await;
    world.also_built(&first.id, 300).await;
    let run = world.start("shop/again", "").await.unwrap();
    let run = world.settled(&run).await;
    assert_eq!((run.status.as_str(), run.reason.as_str()), ("success", ""));
    assert_eq!(world.released("web-staging").await, [commit(1), commit(1)]);
    world.over().await;
}
