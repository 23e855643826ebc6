//! Pull requests with real commits: forks, which wait for somebody, and what a push tells of as well.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use shipway_contracts::{
    Channel,
    v1::{self, triggers_client::TriggersClient},
};
use shipway_events::{StreamEvent as _, TokenId, delivery, org, roster};
use shipway_triggers::signature::hub_signature;

use crate::{
    support::*,
    waiting::{by_path, deliver, forced, home, judged},
};

pub(crate) fn pull_request(
    address: &str,
    action: &str,
    head: &str,
    source: &str,
    of: Option<&str>,
) -> String {
    let repository = json!({"id": 1, "clone_url": address, "html_url": address, "full_name": "acme/shop"});
    let from = match of {
        None => repository.clone(),
        Some(fork) => {
            json!({"id": 2, "clone_url": fork, "html_url": fork, "full_name": "mallory/shop", "fork": true})
        }
    };
    json!({
        "action": action, "number": 7, "repository": repository, "sender": {"login": "ada"},
        "pull_request": {
            "number": 7, "title": "Add a cart", "draft": false, "labels": [], "state": "open", "merged": false,
            "html_url": format!("{address}/pull/7"), "updated_at": uuid::Uuid::now_v7().to_string(),
            "head": {"ref": source, "sha": head, "repo": from},
            "base": {"ref": "main", "sha": commit(0), "repo": repository},
        },
    })
    .to_string()
}

pub(crate) async fn tell(world: &World, body: &str) -> Answer {
    let request = Request::post(format!("/hooks/github/{HOOK}"))
        .header("content-type", "application/json")
        .header("x-github-event", "pull_request")
        .header("x-github-delivery", uuid::Uuid::now_v7().to_string())
        .header("x-hub-signature-256", hub_signature(SECRET.as_bytes(), body.as_bytes()))
        .body(Body::from(body.to_owned()))
        .unwrap();
    send(&world.router(), request).await
}

async fn approve(world: &World, id: &str, secrets: bool, head: &str) -> Result<v1::Delivery, tonic::Status> {
    approve_by(world, id, secrets, head, ("shipway-actor", "grace")).await
}

async fn approve_by(
    world: &World,
    id: &str,
    secrets: bool,
    head: &str,
    (header, who): (&'static str, &str),
) -> Result<v1::Delivery, tonic::Status> {
    let request =
        v1::ApproveDeliveryRequest { delivery: id.to_owned(), with_secrets: secrets, head: head.to_owned() };
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert(header, who.parse().unwrap());
    let channel = Channel::local(world.service.triggers_server());
    TriggersClient::new(channel).approve_delivery(request).await.map(tonic::Response::into_inner)
}

async fn approved(world: &World) -> Vec<delivery::Approved> {
    let events = world.log.read(0, 100_000).await.unwrap();
    let approved = events.iter().filter(|event| event.kind == "delivery.approved");
    approved
        .map(|raw| match delivery::Event::from_raw(raw).unwrap().event {
            delivery::Event::Approved(approved) => approved,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The files of a pull request are those since it parted from its target, also of a fork whose commits the repository
/// keeps under a ref of its own.
#[tokio::test]
async fn a_pull_request_of_a_fork_is_judged_held_and_approved() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let address = git.address();
    git.files("main", &["src/a"]);
    git.git(&["checkout", "-q", "-b", "fix"]);
    git.write("src/fix", "x");
    git.git(&["add", "-A"]);
    let head = git.commit("Fix it");
    git.git(&["push", "-q", "origin", "HEAD:refs/pull/7/head"]);
    git.git(&["checkout", "-q", "main"]);
    git.files("main", &["docs/later"]);
    let home = home(&address, vec![by_path(&address, &["src/**"], true)]);
    let world = World::start(&place, &home, config()).await;
    let fork = Some("https://github.com/mallory/shop");
    let answer = tell(&world, &pull_request(&address, "opened", &head, "fix", fork)).await;
    let held = judged(&world, &answer).await;
    assert_eq!(held.state, "held", "{held:?}");
    let verdict = &held.verdicts[0];
    assert_eq!(
        verdict.rules.last().unwrap().words,
        "path rule `src/**` allowed the only changed file src/fix"
    );
    assert!(!verdict.matched && verdict.run.is_empty());
    assert_eq!(verdict.held.as_ref().unwrap().head, head);
    assert!(world.matched().await.is_empty());

    for (id, head, code) in [
        ("ffffffff", "", tonic::Code::NotFound),
        (&held.id[..18], "abcdef0", tonic::Code::FailedPrecondition),
        (&held.id, &commit(3), tonic::Code::FailedPrecondition),
    ] {
        assert_eq!(approve(&world, id, false, head).await.unwrap_err().code(), code, "{id} {head}");
    }
    assert!(approved(&world).await.is_empty());
    let said = approve(&world, &held.id[..18], false, &head[..9]).await.unwrap();
    assert_eq!(said.verdicts[0].reason, "approved by grace without secrets");
    let done = judged(&world, &answer).await;
    assert_eq!(
        (done.state.as_str(), done.verdicts[0].held.as_ref().unwrap().approved_by.as_str()),
        ("matched", "grace")
    );
    // Again it changes nothing, also not whether there are secrets.
    approve(&world, &held.id, true, "").await.unwrap();
    let events = approved(&world).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].by.name(), &events[0].head, events[0].secrets), ("grace", &head, false));
    let values = Value::Object(events[0].verdicts[0].values.clone());
    assert_eq!((&values["sha"], &values["pullRequestId"]), (&json!(head), &json!(7)));

    // Another commit needs another approval; the one before is not approved any more once there is a later one.
    git.git(&["checkout", "-q", "fix"]);
    let mut later = Vec::new();
    for n in 0..2 {
        git.write("src/fix", &n.to_string());
        git.git(&["add", "-A"]);
        let next = git.commit("Fix more");
        git.git(&["push", "-q", "origin", "HEAD:refs/pull/7/head"]);
        let answer = tell(&world, &pull_request(&address, "synchronize", &next, "fix", fork)).await;
        later.push(judged(&world, &answer).await);
        assert_eq!(later[n].state, "held");
    }
    let refused = approve(&world, &later[0].id, false, "").await.unwrap_err();
    assert!(refused.message().contains("newer commit of pull request #7"), "{}", refused.message());
    approve(&world, &later[1].id, true, "").await.unwrap();
    judged(&world, &answer).await;
    for _ in 0..1000 {
        if approved(&world).await.len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(approved(&world).await[1].secrets);
    world.end().await;
}

/// Once people are known by tokens, one of them approves, and another than who sent it.
#[tokio::test]
async fn a_forks_commit_is_approved_by_somebody_who_can_be_told_from_its_sender() {
    let place = Place::sqlite();
    let pulls = json!({"vcs": {"repoUrl": REPOSITORY}, "branchNamePatterns": ["*"]});
    let home = home(REPOSITORY, vec![trigger(&json!({"kind": "vcs-pr", "ref": "app", "spec": pulls}))]);
    let world = World::start(&place, &home, config()).await;
    let fork = Some("https://github.com/mallory/shop");
    let held = async |number: u64| {
        let answer =
            tell(&world, &pull_request(REPOSITORY, "synchronize", &commit(number), "fix", fork)).await;
        judged(&world, &answer).await.id
    };
    let first = held(1).await;
    // Names are what people say while nobody has a token: everybody could say another one.
    approve_by(&world, &first, false, "", ("shipway-actor", "ada")).await.unwrap();
    for name in ["Ada", "grace"] {
        let event = org::Event::TokenCreated(org::TokenCreated {
            token: TokenId::new(uuid::Uuid::now_v7()),
            name: name.to_owned(),
            roles: Vec::new(),
            hash: roster::hash(&format!("token of {name}")),
        });
        tell_org(&*world.log, event).await;
    }
    let second = held(2).await;
    for (header, who, code) in [
        ("shipway-actor", "grace", tonic::Code::Unauthenticated),
        ("authorization", "Bearer token of mallory", tonic::Code::Unauthenticated),
        // The host calls the sender `ada`.
        ("authorization", "Bearer token of Ada", tonic::Code::PermissionDenied),
    ] {
        let refused = approve_by(&world, &second, false, "", (header, who)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{who}: {}", refused.message());
    }
    approve_by(&world, &second, false, "", ("authorization", "Bearer token of grace")).await.unwrap();
    world.end().await;
}

/// The push and the pull request of one commit are one run, whichever comes first.
#[tokio::test]
async fn a_push_and_its_pull_request_are_one_run() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let address = git.address();
    let first = git.files("main", &["src/a"]);
    let second = git.files("topic", &["src/b"]);
    let home = home(&address, vec![by_path(&address, &["docs/**"], false)]);
    let world = World::start(&place, &home, config()).await;
    let push = |before: &str, after: &str| forced(&push_body(&address, "topic", before, after));
    let pull = |action: &str, head: &str| pull_request(&address, action, head, "topic", None);
    let force = |to: &str| git.git(&["push", "-q", "--force", "origin", &format!("{to}:refs/heads/topic")]);
    let mut runs = 0;
    let mut round = async |deliveries: [(bool, String); 2], new: usize| {
        for (is_pull, body) in deliveries {
            let answer = if is_pull { tell(&world, &body).await } else { deliver(&world, &body).await };
            assert_eq!(answer.status, StatusCode::ACCEPTED);
            judged(&world, &answer).await;
        }
        runs += new;
        world.matched_are(runs).await;
    };
    // Opened with a commit that was pushed before, and forced back and forth: B comes three times.
    round([(false, push(ZERO, &second)), (true, pull("opened", &second))], 1).await;
    let third = {
        git.git(&["reset", "-q", "--hard", &first]);
        git.files("topic", &["src/c"])
    };
    round([(true, pull("synchronize", &third)), (false, push(&second, &third))], 1).await;
    force(&second);
    round([(false, push(&third, &second)), (true, pull("synchronize", &second))], 1).await;
    force(&third);
    round([(true, pull("synchronize", &third)), (false, push(&second, &third))], 1).await;
    // It is opened again: nothing came.
    round([(true, pull("closed", &third)), (true, pull("reopened", &third))], 0).await;
    let matched = world.matched().await;
    let commits: Vec<_> = matched.iter().map(|m| m.verdicts[0].values["sha"].as_str().unwrap()).collect();
    assert_eq!(commits, [&second, &third, &second, &third]);
    world.end().await;
}

/// Bitbucket Cloud and Azure tell of a new title, or of somebody's vote, as they tell of new commits.
#[tokio::test]
async fn what_does_not_change_the_commits_of_a_pull_request_starts_nothing() {
    for source in ["bitbucket", "azure"] {
        let place = Place::sqlite();
        let git = Git::new(place.path());
        let address = git.address();
        git.files("main", &["src/a"]);
        let one = git.files("topic", &["src/b"]);
        let other = git.files("topic", &["src/c"]);
        let of_pulls = json!({"vcs": {"repoUrl": address}, "branchNamePatterns": ["*"]});
        let home = home(&address, vec![trigger(&json!({"kind": "vcs-pr", "ref": "app", "spec": of_pulls}))]);
        home.change(|reply| reply.hooks[0].sources = vec![source.to_owned()]);
        let world = World::start(&place, &home, config()).await;
        let mut title = 0;
        let mut runs = 0;
        for (event, head, new) in [
            ("created", &one, true),
            ("updated", &one, false),
            ("updated", &other, true),
            ("updated", &other, false),
            ("updated", &other, false),
            // Forced back, and looked at again.
            ("updated", &one, true),
            ("updated", &one, false),
        ] {
            title += 1;
            git.git(&["push", "-q", "--force", "origin", &format!("{head}:refs/heads/topic")]);
            let answer = match source {
                "azure" => tell_azure(&world, &address, event, head, title).await,
                _ => tell_bitbucket(&world, &address, event, head, title).await,
            };
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
            let delivery = judged(&world, &answer).await;
            let words = &delivery.verdicts[0].reason;
            assert_eq!(delivery.verdicts[0].matched, new, "{source} {title}: {words}");
            assert!(new || words.contains("has told of commit"), "{source} {title}: {words}");
            runs += usize::from(new);
            world.matched_are(runs).await;
        }
        world.end().await;
    }
}

async fn tell_bitbucket(world: &World, address: &str, event: &str, head: &str, title: usize) -> Answer {
    let repository = json!({"uuid": "{1}", "links": {"html": {"href": address}}});
    let end = |branch: &str, commit: &str| json!({"branch": {"name": branch}, "commit": {"hash": &commit[..12]}, "repository": repository});
    let body = json!({
        "repository": repository,
        "pullrequest": {"id": 7, "title": format!("Title {title}"), "source": end("topic", head),
            "destination": end("main", &"a".repeat(40))},
    })
    .to_string();
    let request = Request::post(format!("/hooks/bitbucket/{HOOK}"))
        .header("content-type", "application/json")
        .header("x-event-key", format!("pullrequest:{event}"))
        .header("x-hub-signature", hub_signature(SECRET.as_bytes(), body.as_bytes()))
        .body(Body::from(body))
        .unwrap();
    send(&world.router(), request).await
}

async fn tell_azure(world: &World, address: &str, event: &str, head: &str, title: usize) -> Answer {
    let body = json!({
        "id": uuid::Uuid::now_v7().to_string(), "eventType": format!("git.pullrequest.{event}"),
        "resource": {"repository": {"id": "1", "remoteUrl": address}, "pullRequestId": 7, "status": "active",
            "title": format!("Title {title}"), "sourceRefName": "refs/heads/topic", "targetRefName": "refs/heads/main",
            "lastMergeSourceCommit": {"commitId": head}},
    })
    .to_string();
    let request = Request::post(format!("/hooks/azure/{HOOK}"))
        .header("content-type", "application/json")
        .header("x-shipway-token", SECRET)
        .body(Body::from(body))
        .unwrap();
    send(&world.router(), request).await
}
