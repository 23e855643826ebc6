//! Freezes over a real log: what waits, what goes on, and what a restart makes of it.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod world;

use std::time::Duration;

use shipway_contracts::v1::{
    Calendar, CreateFreezeReply, CreateFreezeRequest, LetPassRequest, LiftFreezeRequest, ListFreezesRequest,
    PlanRunRequest,
};
use tonic::{Code, Request, Status};
use uuid::Uuid;
use world::{World, well};

async fn freeze(
    world: &World,
    scope: &str,
    with: impl FnOnce(&mut CreateFreezeRequest),
) -> Result<CreateFreezeReply, Status> {
    let mut request = CreateFreezeRequest {
        command: Uuid::now_v7().to_string(),
        scope: scope.to_owned(),
        reason: "nobody is there".to_owned(),
        ..CreateFreezeRequest::default()
    };
    with(&mut request);
    world.freezes.clone().create_freeze(request).await.map(tonic::Response::into_inner)
}

async fn lift(world: &World, name: &str) -> Result<(), Status> {
    let request = LiftFreezeRequest {
        command: Uuid::now_v7().to_string(),
        freeze: name.to_owned(),
        ..LiftFreezeRequest::default()
    };
    world.freezes.clone().lift_freeze(request).await.map(drop)
}

async fn names(world: &World) -> Vec<String> {
    let list = world.freezes.clone().list_freezes(ListFreezesRequest::default()).await.unwrap().into_inner();
    list.freezes.into_iter().map(|freeze| freeze.name).collect()
}

async fn let_pass(world: &World, run: &str, reason: &str) -> Result<String, Status> {
    let mut request = Request::new(LetPassRequest {
        run: run.to_owned(),
        reason: reason.to_owned(),
        ..LetPassRequest::default()
    });
    request.metadata_mut().insert("shipway-actor", "ana".parse().unwrap());
    Ok(world.freezes.clone().let_pass(request).await?.into_inner().status)
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_for_the_end_of_a_freeze_over_a_restart_and_go_on_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    freeze(&world, "shop/queue", |request| request.name = "weekend".to_owned()).await.unwrap();
    let request = PlanRunRequest { flow: "shop/queue".to_owned(), ..PlanRunRequest::default() };
    let plan = world.runs.clone().plan_run(request).await.unwrap().into_inner();
    let gate = plan.gates.iter().find(|gate| gate.starts_with("it is held by the freeze `weekend`"));
    assert!(gate.is_some(), "a plan says what it would wait for: {:?}", plan.gates);
    let (one, two) = (world.start("queue").await, world.start("queue").await);
    assert_eq!([&one.status, &two.status], ["waiting", "queued"], "the first has its turn, and is held");
    let held = world.show(&one.run).await;
    let words = "is held by the freeze `weekend` (nobody is there) until somebody lifts it; `shipway \
         unfreeze weekend`, or for this run alone `shipway unfreeze --run`";
    assert_eq!(held.reason, words);
    assert_eq!(held.nodes[1].waiting_for, format!("`migrate` {words}"));
    assert_eq!(world.start("allow").await.status, "running", "another stage is not frozen");
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
    drop(world);

    let mut world = World::over(folder.path()).await;
    world.wait(&one.run, "waiting").await;
    assert_eq!(names(&world).await, ["weekend"]);
    lift(&world, "weekend").await.unwrap();
    for run in [&one.run, &two.run] {
        for node in [1, 2] {
            let work = world.assigned(run, node).await;
            world.end(&work, &well()).await;
        }
        assert_eq!(world.wait(run, "success").await.reason, "");
    }
    assert!(names(&world).await.is_empty());
    assert_eq!(lift(&world, "weekend").await.unwrap_err().code(), Code::NotFound);
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_stops_all_says_what_is_in_flight_and_nothing_more_begins() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let going = world.start("replace").await;
    let work = world.assigned(&going.run, 1).await;
    let stopped = freeze(&world, "shop", |request| {
        request.stops_all = true;
        request.name = "outage".to_owned();
    });
    let stopped = stopped.await.unwrap();
    let in_flight: Vec<_> =
        stopped.in_flight.iter().map(|work| (work.run.as_str(), work.node.as_str())).collect();
    assert_eq!(in_flight, [(going.run.as_str(), "migrate"), (going.run.as_str(), "rest")]);
    assert!(!stopped.more);
    let held = world.start("allow").await;
    assert_eq!(held.status, "waiting");
    // What has begun may end.
    world.end(&work, &well()).await;
    let refused = let_pass(&world, &held.run, "the fix").await.unwrap_err();
    assert!(refused.message().contains("`outage` stops all"), "{refused}");
    lift(&world, "outage").await.unwrap();
    world.assigned(&held.run, 1).await;
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_passes_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    freeze(&world, "shop/*", |_| {}).await.unwrap();
    let (fix, other) = (world.start("allow").await, world.start("allow").await);
    let refused = let_pass(&world, &fix.run, "").await.unwrap_err();
    assert!(refused.message().contains("field `reason`"), "{refused}");
    assert_eq!(let_pass(&world, &fix.run, "the fix").await.unwrap(), "running");
    assert_eq!(world.show(&other.run).await.status, "waiting");
    let refused = let_pass(&world, &fix.run, "again").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "no freeze holds the run"));
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(4_000);
    freeze(&world, "shop/allow", |request| request.until = until.to_string()).await.unwrap();
    let run = world.start("allow").await;
    assert_eq!(run.status, "waiting");
    world.assigned(&run.run, 1).await;
    assert!(jiff::Timestamp::now() >= until, "it began before the freeze was over");
    assert!(names(&world).await.is_empty());
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_again_is_answered_as_before_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::over(folder.path()).await;
    let client = || world.freezes.clone();
    let weekend = CreateFreezeRequest {
        command: Uuid::now_v7().to_string(),
        scope: "shop/queue".to_owned(),
        name: "weekend".to_owned(),
        ..CreateFreezeRequest::default()
    };
    let frozen = client().create_freeze(weekend.clone()).await.unwrap().into_inner();
    let outage = CreateFreezeRequest {
        command: Uuid::now_v7().to_string(),
        scope: "shop".to_owned(),
        name: "outage".to_owned(),
        stops_all: true,
        ..CreateFreezeRequest::default()
    };
    let going = world.start("allow").await;
    world.assigned(&going.run, 1).await;
    let client = || world.freezes.clone();
    let stopped = client().create_freeze(outage.clone()).await.unwrap().into_inner();
    assert_eq!(stopped.in_flight.len(), 2, "{stopped:#?}");
    let lifts: Vec<LiftFreezeRequest> = ["weekend", "outage"]
        .map(|name| LiftFreezeRequest {
            command: Uuid::now_v7().to_string(),
            freeze: name.to_owned(),
            ..LiftFreezeRequest::default()
        })
        .to_vec();
    let mut lifted = Vec::new();
    for lift in &lifts {
        lifted.push(client().lift_freeze(lift.clone()).await.unwrap().into_inner());
    }
    assert_eq!(lifted[1].freeze, stopped.freeze);
    // Another of that name is there by now: what was lifted is the first one all the same.
    freeze(&world, "shop/allow", |request| request.name = "weekend".to_owned()).await.unwrap();
    // What began later was not in flight.
    let later = world.start("queue").await;
    world.assigned(&later.run, 1).await;
    let client = || world.freezes.clone();
    assert_eq!(client().create_freeze(weekend.clone()).await.unwrap().into_inner(), frozen);
    assert_eq!(client().create_freeze(outage.clone()).await.unwrap().into_inner(), stopped);
    for (lift, answer) in lifts.iter().zip(lifted) {
        assert_eq!(client().lift_freeze(lift.clone()).await.unwrap().into_inner(), answer);
    }
    assert_eq!(names(&world).await, ["weekend"], "nothing was frozen or lifted once more");
    let list = client().list_freezes(ListFreezesRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.freezes[0].scope, "shop/shop/allow");
    // An id is of one command.
    let mixed = LiftFreezeRequest { command: weekend.command, ..lifts[0].clone() };
    let refused = client().lift_freeze(mixed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("did something else before"), "{refused}");
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_lifted_once_when_its_command_comes_twice_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    for _ in 0..20 {
        freeze(&world, "shop", |request| request.name = "weekend".to_owned()).await.unwrap();
        let lift = LiftFreezeRequest {
            command: Uuid::now_v7().to_string(),
            freeze: "weekend".to_owned(),
            ..LiftFreezeRequest::default()
        };
        let (mut one, mut two) = (world.freezes.clone(), world.freezes.clone());
        let (one, two) = tokio::join!(one.lift_freeze(lift.clone()), two.lift_freeze(lift));
        assert_eq!(one.unwrap().into_inner(), two.unwrap().into_inner());
    }
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_frozen_is_refused_with_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::over(folder.path()).await;
    let calendar = |cron: &str, minutes| {
        Some(Calendar { cron: cron.to_owned(), timezone: "Europe/Berlin".to_owned(), minutes })
    };
    let refused = |wanted: &'static str, with: Box<dyn FnOnce(&mut CreateFreezeRequest) + Send>| {
        let world = &world;
        async move {
            let error = freeze(world, "shop", with).await.unwrap_err();
            assert!(error.message().contains(wanted), "{wanted}: {error}");
        }
    };
    refused("field `scope`", Box::new(|request| request.scope.clear())).await;
    refused("no project `shpo`", Box::new(|request| request.scope = "shpo".to_owned())).await;
    refused("field `name`", Box::new(|request| request.name = "a b".to_owned())).await;
    refused("field `until`", Box::new(|request| request.until = "friday".to_owned())).await;
    refused("is over", Box::new(|request| request.until = "2020-01-01T00:00:00Z".to_owned())).await;
    refused("field `calendar`", Box::new(move |request| request.calendar = calendar("0 17 * *", 60))).await;
    refused("minutes", Box::new(move |request| request.calendar = calendar("0 17 * * FRI", 0))).await;
    freeze(&world, "shop", |request| {
        request.name = "weekend".to_owned();
        request.calendar = calendar("0 17 * * FRI", 64 * 60);
    })
    .await
    .unwrap();
    refused("has a freeze `weekend` already", Box::new(|request| request.name = "weekend".to_owned())).await;
    assert!(world.lifecycle.stop(Duration::from_secs(5)).await);
}
