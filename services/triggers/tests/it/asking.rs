//! What people ask of the inbox: lists, single deliveries, replays.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    Delivery, DeliveryFilter, GetDeliveryReply, GetDeliveryRequest, ListDeliveriesRequest, Page,
    ReplayDeliveriesReply, ReplayDeliveriesRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::support::*;

crate::on_both! {
    deliveries_are_chosen_by_what_is_known_of_them,
    one_is_shown_with_all_that_is_known_of_it,
    a_replay_is_a_delivery_of_its_own_by_the_triggers_of_now,
    a_range_is_replayed_page_by_page_in_its_order,
}

async fn chosen(world: &World, filter: DeliveryFilter) -> Vec<Delivery> {
    let request = ListDeliveriesRequest { page: None, filter: Some(filter) };
    world.api().list_deliveries(request).await.unwrap().into_inner().deliveries
}

async fn shown(world: &World, delivery: &str) -> GetDeliveryReply {
    let request = GetDeliveryRequest { delivery: delivery.to_owned(), body: true };
    world.api().get_delivery(request).await.unwrap().into_inner()
}

fn named(deliveries: &[&str], dry_run: bool) -> ReplayDeliveriesRequest {
    ReplayDeliveriesRequest {
        command: Uuid::now_v7().to_string(),
        deliveries: deliveries.iter().map(|&id| id.to_owned()).collect(),
        dry_run,
        ..ReplayDeliveriesRequest::default()
    }
}

async fn replayed(world: &World, request: ReplayDeliveriesRequest) -> ReplayDeliveriesReply {
    world.api().replay_deliveries(request).await.unwrap().into_inner()
}

fn id(answer: &Answer) -> String {
    answer.json()["delivery"].as_str().unwrap().to_owned()
}

async fn deliveries_are_chosen_by_what_is_known_of_them(place: Place) {
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| {
        reply.hooks.push(flow_hook());
        let mut hook = trigger(&json!({"kind": "webhook", "ref": "hook", "spec": {}}));
        hook.path = "shop/100%_sure".to_owned();
        reply.triggers.push(hook);
    });
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let push = |branch: &str, n: u64| push_body(REPOSITORY, branch, &commit(n), &commit(n + 1));
    let first = id(&send(&router, delivery(&push("main", 1), "d-1")).await);
    let topic = id(&send(&router, delivery(&push("topic", 2), "d-2")).await);
    send(&router, delivery(&push("main", 1), "d-3")).await;
    let address = format!("/hooks/flow/{FLOW_HOOK}?name=Nightly");
    let by_flow = axum::http::Request::post(address).body(axum::body::Body::empty()).unwrap();
    let by_flow = id(&send(&router, by_flow).await);
    world.matched_are(2).await;

    let all = DeliveryFilter::default;
    let ids = |deliveries: Vec<Delivery>| deliveries.into_iter().map(|d| d.id).collect::<Vec<_>>();
    assert_eq!(chosen(&world, all()).await.len(), 4);
    let by_state =
        async |state: &str| ids(chosen(&world, DeliveryFilter { state: state.into(), ..all() }).await);
    assert_eq!(by_state("matched").await, [by_flow.clone(), first.clone()]);
    assert_eq!(by_state("unmatched").await, std::slice::from_ref(&topic));
    let repeated = chosen(&world, DeliveryFilter { state: "repeated".into(), ..all() }).await;
    assert_eq!((repeated.len(), repeated[0].original.as_str()), (1, first.as_str()));
    let hook = chosen(&world, DeliveryFilter { hook: FLOW_HOOK.into(), ..all() }).await;
    assert_eq!((hook.len(), hook[0].of.as_str()), (1, "shop/development"));
    let flow = |flow: &str| DeliveryFilter { flow: flow.into(), ..all() };
    assert_eq!(ids(chosen(&world, flow("shop/development")).await), [topic.clone(), first.clone()]);
    assert_eq!(ids(chosen(&world, flow("shop/100%_sure")).await), std::slice::from_ref(&by_flow));
    assert!(chosen(&world, flow("shop/1%")).await.is_empty(), "signs of patterns are plain text");
    let text = |text: &str| DeliveryFilter { text: text.into(), ..all() };
    assert_eq!(ids(chosen(&world, text("BRANCH TOPIC")).await), std::slice::from_ref(&topic));
    assert_eq!(ids(chosen(&world, text(&commit(2))).await), std::slice::from_ref(&first), "a whole commit");
    let at =
        chosen(&world, DeliveryFilter { state: "unmatched".into(), ..all() }).await[0].received_at.clone();
    let since = chosen(&world, DeliveryFilter { since: at.clone(), ..all() }).await;
    let until = chosen(&world, DeliveryFilter { until: at, ..all() }).await;
    assert_eq!(since.len() + until.len(), 4);
    assert!(ids(since).contains(&topic) && ids(until).contains(&first));

    for (filter, says) in [
        (DeliveryFilter { state: "lost".into(), ..all() }, "filter.state"),
        (DeliveryFilter { since: "yesterday".into(), ..all() }, "filter.since"),
        (DeliveryFilter { hook: "x".into(), ..all() }, "filter.hook"),
    ] {
        let request = ListDeliveriesRequest { page: None, filter: Some(filter) };
        let refused = world.api().list_deliveries(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(says), "{refused}");
    }
    world.end().await;
}

async fn one_is_shown_with_all_that_is_known_of_it(place: Place) {
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| {
        reply.hooks.push(flow_hook());
        reply.triggers.push(trigger(&json!({"kind": "webhook", "ref": "hook", "spec": {}})));
    });
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let body = push_body(REPOSITORY, "main", ZERO, &commit(1));
    let first = id(&send(&router, delivery(&body, "d-1")).await);
    let repeat = send(&router, delivery(&body, "d-2")).await;
    assert_eq!(id(&repeat), first);
    let found = shown(&world, &first).await;
    assert_eq!((found.method.as_str(), found.path.as_str()), ("POST", &*format!("/hooks/github/{HOOK}")));
    assert_eq!(found.verified, "what it has in x-hub-signature-256 was right");
    assert_eq!((found.body.as_slice(), found.body_problem.as_str()), (body.as_bytes(), ""));
    let header = |name: &str| found.headers.iter().find(|header| header.name == name).unwrap().value.clone();
    assert_eq!(header("x-hub-signature-256"), "(71 bytes, not kept)");
    assert_eq!(header("x-github-delivery"), "d-1");
    let listed = found.delivery.unwrap();
    assert_eq!((listed.of.as_str(), listed.verdicts.len()), (REPOSITORY, 1));
    // A repeat has the body of the first one; the beginning of an id is enough.
    let all = world.list("", 10).await.deliveries;
    let second = shown(&world, &all[0].id[..30]).await;
    assert_eq!(second.body, body.as_bytes());
    assert_eq!(second.delivery.unwrap().original, first);
    let without = GetDeliveryRequest { delivery: first.clone(), body: false };
    assert!(world.api().get_delivery(without).await.unwrap().into_inner().body.is_empty());

    let request = axum::http::Request::post(format!("/hooks/flow/{FLOW_HOOK}?a=b"))
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{\"x\":1}"))
        .unwrap();
    let by_flow = shown(&world, &id(&send(&router, request).await)).await;
    assert_eq!((by_flow.query.as_str(), by_flow.body.as_slice()), ("a=b", &b"{\"x\":1}"[..]));
    assert_eq!(by_flow.path, "/hooks/flow/…", "the address is secret");
    assert_eq!(by_flow.verified, "the address is the credential");

    for (name, code) in
        [("0190", Code::InvalidArgument), ("0190aaaa-%", Code::InvalidArgument), ("ffffffff", Code::NotFound)]
    {
        let request = GetDeliveryRequest { delivery: name.to_owned(), body: false };
        assert_eq!(world.api().get_delivery(request).await.unwrap_err().code(), code, "{name}");
    }
    world.end().await;
}

async fn a_replay_is_a_delivery_of_its_own_by_the_triggers_of_now(place: Place) {
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| {
        reply.hooks.push(flow_hook());
        reply.triggers.push(trigger(&json!({"kind": "webhook", "ref": "hook", "spec": {}})));
        reply.triggers.iter_mut().for_each(|trigger| trigger.paused = true);
    });
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    let body = push_body(REPOSITORY, "main", ZERO, &commit(1));
    let answer = send(&router, delivery(&body, "d-1")).await;
    assert_eq!(answer.runs(), 0);
    assert!(answer.json()["message"].as_str().unwrap().contains("is paused: its Git triggers are off"));
    let by_flow = axum::http::Request::post(format!("/hooks/flow/{FLOW_HOOK}?name=Nightly&foo=1"))
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{\"x\":1}"))
        .unwrap();
    let by_flow = send(&router, by_flow).await;
    assert_eq!((by_flow.status, by_flow.runs()), (StatusCode::ACCEPTED, 0));
    let (push, flow) = (id(&answer), id(&by_flow));

    // Still paused: a test says so, and nothing is written.
    let dry = replayed(&world, named(&[&push], true)).await.replayed.remove(0);
    let would = dry.delivery.unwrap();
    assert_eq!((dry.original, would.id.as_str(), would.state.as_str()), (push.clone(), "", "unmatched"));
    home.change(|reply| reply.triggers.iter_mut().for_each(|trigger| trigger.paused = false));
    world.touch_project().await;
    let dry = replayed(&world, named(&[&push, &flow], true)).await;
    for one in &dry.replayed {
        let verdict = &one.delivery.as_ref().unwrap().verdicts[0];
        assert!(verdict.matched && verdict.run.is_empty(), "{one:?}");
    }
    assert_eq!(world.rows("").await, 2);
    assert!(world.matched().await.is_empty());

    // For real, and the same command once more: once.
    let request = named(&[&push, &flow], false);
    let first = replayed(&world, request.clone()).await;
    let ids = |reply: &ReplayDeliveriesReply| -> Vec<String> {
        reply.replayed.iter().map(|one| one.delivery.as_ref().unwrap().id.clone()).collect()
    };
    assert_eq!(ids(&replayed(&world, request).await), ids(&first));
    let matched = world.matched_are(2).await;
    assert_eq!(matched[0].verdicts[0].values["sha"], commit(1).as_str());
    let verdict = &matched[1].verdicts[0];
    assert_eq!((verdict.name.as_deref(), &verdict.arguments["foo"]), (Some("Nightly"), &json!("1")));
    assert_eq!(verdict.values["body"], json!({"x": 1}));
    for (one, original) in first.replayed.iter().zip([&push, &flow]) {
        let again = one.delivery.as_ref().unwrap();
        assert_eq!((&one.original, &again.replay_of), (original, original));
        assert_ne!(again.id, *original);
        assert!(!again.verdicts[0].run.is_empty());
        let shown_again = shown(&world, &again.id).await;
        assert!(shown_again.verified.ends_with("asked for it once more"), "{}", shown_again.verified);
        assert_eq!(shown(&world, original).await.replays, std::slice::from_ref(&again.id));
    }
    assert_eq!(shown(&world, &push).await.body, body.as_bytes());
    // Another command is another replay, of the replay too; its sender's repeat hears what the first one heard.
    let last = first.replayed[0].delivery.as_ref().unwrap().id.clone();
    replayed(&world, named(&[&last], false)).await;
    world.matched_are(3).await;
    assert_eq!(send(&router, delivery(&body, "d-1")).await.text, answer.text);

    for request in [
        named(&[], false),
        ReplayDeliveriesRequest { command: "x".to_owned(), ..named(&[&push], false) },
        ReplayDeliveriesRequest {
            filter: Some(DeliveryFilter { state: "matched".to_owned(), ..DeliveryFilter::default() }),
            ..named(&[&push], false)
        },
    ] {
        let refused = world.api().replay_deliveries(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    // A hook that is no longer can judge nothing.
    home.change(|reply| reply.hooks.clear());
    world.touch_project().await;
    let gone = replayed(&world, named(&[&push], false)).await.replayed.remove(0);
    assert_eq!((gone.delivery, gone.problem.as_str()), (None, "its hook is no longer"));
    world.end().await;
}

async fn a_range_is_replayed_page_by_page_in_its_order(place: Place) {
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| reply.triggers.iter_mut().for_each(|trigger| trigger.paused = true));
    let world = World::start(&place, &home, config()).await;
    let router = world.router();
    for n in 0..7 {
        let body = push_body(REPOSITORY, "main", &commit(n), &commit(n + 1));
        send(&router, delivery(&body, &format!("d-{n}"))).await;
        send(&router, delivery(&body, &format!("again-{n}"))).await;
    }
    home.change(|reply| reply.triggers.iter_mut().for_each(|trigger| trigger.paused = false));
    world.touch_project().await;
    let mut request = ReplayDeliveriesRequest {
        filter: Some(DeliveryFilter { flow: "shop/development".to_owned(), ..DeliveryFilter::default() }),
        page: Some(Page { after: String::new(), limit: 3 }),
        ..named(&[], false)
    };
    let mut pages = Vec::new();
    loop {
        let reply = replayed(&world, request.clone()).await;
        pages.push(reply.replayed.len());
        if reply.next.is_empty() {
            break;
        }
        request.page = Some(Page { after: reply.next, limit: 3 });
    }
    assert_eq!(pages, [3, 3, 1], "repeats and what was replayed meanwhile are left out");
    let matched = world.matched_are(7).await;
    let commits: Vec<&Value> = matched.iter().map(|matched| &matched.verdicts[0].values["sha"]).collect();
    let expected: Vec<Value> = (1..8).map(|n| json!(commit(n))).collect();
    assert_eq!(commits, expected.iter().collect::<Vec<_>>());
    world.end().await;
}
