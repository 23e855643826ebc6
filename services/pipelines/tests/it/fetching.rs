//! Values of secrets: for an open attempt or a target's last release, and nowhere else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipway_contracts::v1::{
    AddAccountRequest, FetchSecretsRequest, FlowForRunReply, RemoveAccountRequest, problem::Severity,
};
use shipway_eventing::log::{Expected, Item};
use shipway_events::{
    Actor, Cause, CommandId, EffectClass, ExecutorId, Fence, FlowId, Meta, ProjectId, RegistrationId,
    ResourceId, RunId, StreamEvent, StreamName,
    plan::{Artifact, Plan, PlanNode},
    run::{
        AttemptFailed, AttemptRequested, Effect, Event, NodeError, NodeFailed, NodeSucceeded, Origin, Started,
    },
};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Lab, SHOP, request};

const PASSWORD: &str = "addon/shop-db/password@1";
const API_KEY: &str = "group/shop-env/API_KEY@1";

/// A run with one release node, as the scheduler would write it.
struct Run<'a> {
    lab: &'a Lab,
    id: RunId,
}

impl<'a> Run<'a> {
    async fn start(lab: &'a Lab, flow: &FlowForRunReply) -> Self {
        Self::start_with(lab, flow, None).await
    }

    async fn start_with(lab: &'a Lab, flow: &FlowForRunReply, without_secrets: Option<String>) -> Self {
        let node = |kind: &str, parent, pointer: &str| PlanNode {
            reference: kind.to_lowercase(),
            kind: kind.into(),
            parent,
            pointer: pointer.into(),
            spec: json!({"type": "sequential"}),
            condition: Some("running".into()),
            interruptible: true,
            ..PlanNode::default()
        };
        let nodes = vec![node("Workflow", None, "/spec"), node("Release", Some(0), "/spec/spec/steps/0")];
        let run = Self { lab, id: RunId::new(Uuid::now_v7()) };
        run.append(
            Started {
                run: run.id,
                project: flow.project.parse().unwrap(),
                pipeline: None,
                flow: FlowId::new(Uuid::nil()),
                path: flow.path.clone(),
                flow_version: 1,
                name: "test".into(),
                description: String::new(),
                origin: Origin::Manual,
                author: None,
                parent: None,
                policy: shipway_events::ConcurrencyPolicy::Allow,
                rollback: None,
                plan: Plan { nodes, without_secrets, ..Plan::default() },
            }
            .into(),
        )
        .await;
        run
    }

    async fn append(&self, event: Event) -> u64 {
        let meta = Meta { actor: Actor::System("test".into()), cause: Cause::Request, trace: None };
        let command = CommandId::new(Uuid::now_v7());
        let stream = StreamName::run(self.id);
        let item = Item::one(command, meta, stream, Expected::Any, vec![event.encode()]);
        self.lab.log.append(item).await.unwrap().last
    }

    async fn request(&self, environment: Value) -> Fence {
        self.work(json!({"work": "release", "service": {"environment": environment}})).await
    }

    async fn work(&self, work: Value) -> Fence {
        let position = self
            .append(
                AttemptRequested {
                    node: 1,
                    attempt: 1,
                    executor: ExecutorId::new(Uuid::nil()),
                    registration: RegistrationId::new(Uuid::nil()),
                    effect: EffectClass::Fenced,
                    work,
                    deadline: None,
                    detached: false,
                }
                .into(),
            )
            .await;
        Fence::new(self.lab.log.generation(), position)
    }

    async fn succeed(&self, fence: Fence, target: ResourceId) {
        let artifact = Artifact {
            digest: "sha256:00".into(),
            build: "b".into(),
            service: "shop-builder".into(),
            commit: "0".repeat(40),
            branch: "main".into(),
        };
        let effects = vec![Effect::Released { target, slug: "web-dev".into(), artifact }];
        let done = NodeSucceeded { node: 1, fence: Some(fence), outputs: serde_json::Map::new(), effects };
        self.append(done.into()).await;
    }

    async fn fail(&self, fence: Fence) {
        let error = NodeError { code: "unhealthy".into(), message: "no".into(), transient: false };
        self.append(AttemptFailed { node: 1, fence: Some(fence), error: error.clone() }.into()).await;
        self.append(NodeFailed { node: 1, fence: Some(fence), error }.into()).await;
    }

    async fn fetch(&self, fence: Fence, names: &[&str]) -> Result<BTreeMap<String, String>, tonic::Status> {
        fetch(self.lab, &project(self.lab).await, fence.raw(), &self.id.to_string(), names).await
    }
}

async fn project(lab: &Lab) -> String {
    lab.flow("shop/development").await.unwrap().project
}

async fn fetch(
    lab: &Lab,
    project: &str,
    fence: u64,
    run: &str,
    names: &[&str],
) -> Result<BTreeMap<String, String>, tonic::Status> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let asked = FetchSecretsRequest { project: project.into(), fence, run: run.into(), names };
    lab.home().fetch_secrets(asked).await.map(|reply| reply.into_inner().values.into_iter().collect())
}

fn environment() -> Value {
    json!({"A": {"$text": ["x", {"$secret": PASSWORD}]}, "B": {"$secret": API_KEY}})
}

fn web_dev(flow: &FlowForRunReply) -> ResourceId {
    let resource = flow.resources.iter().find(|resource| resource.slug == "web-dev").unwrap();
    let pinned: Value = serde_json::from_str(&resource.json).unwrap();
    pinned["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_secret_that_a_group_asks_for_is_made_when_it_is_applied_and_then_kept() {
    let lab = Lab::new().await;
    let asks = SHOP.replace("\"canary of the group\"", "\"k-${fn.randomSecret(32, 'hex')}\"");
    lab.applied(&asks).await;
    let flow = lab.flow("shop/development").await.unwrap();
    let run = Run::start(&lab, &flow).await;
    let fence = run.request(environment()).await;
    let made = run.fetch(fence, &[API_KEY]).await.unwrap().remove(API_KEY).unwrap();
    assert!(made.len() == 34 && made.starts_with("k-"), "{made}");
    lab.applied(&asks).await;
    lab.applied(&asks.replace("(32, 'hex')", "(64)")).await;
    assert_eq!(run.fetch(fence, &[API_KEY]).await.unwrap()[API_KEY], made);
    // Whoever gives a value means it.
    lab.applied(SHOP).await;
    let second = API_KEY.replace("@1", "@2");
    let fence = run.request(json!({"B": {"$secret": second}})).await;
    assert_eq!(run.fetch(fence, &[&second]).await.unwrap()[&second], "canary of the group");
}

#[tokio::test]
async fn a_secret_that_a_node_asks_for_is_made_when_it_is_first_fetched_and_then_kept() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("shop/development").await.unwrap();
    let name = format!("random/{}/migrate/spec/runtimeEnvironment/TOKEN@1", flow.flow);
    let environment =
        json!({"A": {"$text": ["x", {"$random": {"secret": name, "length": 32, "encoding": "hex"}}]}});
    let first = Run::start(&lab, &flow).await;
    let fence = first.request(environment.clone()).await;
    let made = first.fetch(fence, &[&name]).await.unwrap().remove(&name).unwrap();
    assert!(made.len() == 32 && made.chars().all(|c| c.is_ascii_hexdigit()), "{made}");
    assert_eq!(first.fetch(fence, &[&name]).await.unwrap()[&name], made);
    let second = Run::start(&lab, &flow).await;
    let fence = second.request(environment).await;
    assert_eq!(second.fetch(fence, &[&name]).await.unwrap()[&name], made, "later runs have the same");
    // Nobody makes one by naming it.
    let other = "random/x/y/z@1";
    let fence = second.request(json!({"A": {"$secret": other}})).await;
    assert_eq!(second.fetch(fence, &[other]).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_open_attempt_gets_what_its_work_names() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("shop/development").await.unwrap();
    let run = Run::start(&lab, &flow).await;
    let fence = run.request(environment()).await;
    let values = run.fetch(fence, &[PASSWORD, API_KEY]).await.unwrap();
    assert_eq!(values[API_KEY], "canary of the group");
    assert_eq!(values[PASSWORD].len(), 43);
    assert_eq!(run.fetch(fence, &[]).await.unwrap().len(), 0);
    // The fence alone says which run it is.
    assert_eq!(fetch(&lab, &flow.project, fence.raw(), "", &[PASSWORD]).await.unwrap().len(), 1);
    let none = fetch(&lab, &flow.project, fence.raw() - 1, "", &[PASSWORD]).await.unwrap_err();
    assert_eq!(none.code(), Code::PermissionDenied);
    let future = Fence::new(fence.generation(), fence.position() + 1).raw();
    let none = fetch(&lab, &flow.project, future, "", &[PASSWORD]).await.unwrap_err();
    assert_eq!(none.code(), Code::PermissionDenied);

    run.fail(fence).await;
    let over = run.fetch(fence, &[PASSWORD]).await.unwrap_err();
    assert_eq!(over.code(), Code::PermissionDenied);
    assert!(over.message().contains("is over"), "{}", over.message());
}

#[tokio::test]
async fn nobody_else_gets_anything() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    lab.applied("kind: Project\nspec: { name: Blog }\n").await;
    let flow = lab.flow("shop/development").await.unwrap();
    let (run, other) = (Run::start(&lab, &flow).await, Run::start(&lab, &flow).await);
    let fence = run.request(json!({"B": {"$secret": API_KEY}})).await;
    let of_other = other.request(environment()).await;
    let ok = flow.project.clone();
    let blog = ProjectId::new(Uuid::from_u128(1)).to_string();
    let (id, stranger) = (run.id.to_string(), RunId::new(Uuid::now_v7()).to_string());
    let later = Fence::new(fence.generation() + 1, fence.position()).raw();
    let cases: [(&str, u64, &str, &[&str]); 8] = [
        (&blog, fence.raw(), &id, &[API_KEY]),
        (&ok, fence.raw(), &id, &[PASSWORD]),
        (&ok, fence.raw(), &id, &[API_KEY, "hook/x@1"]),
        (&ok, of_other.raw(), &id, &[API_KEY]),
        (&ok, fence.raw() - 1, &id, &[API_KEY]),
        (&ok, later, &id, &[API_KEY]),
        (&ok, fence.raw(), &other.id.to_string(), &[API_KEY]),
        (&ok, fence.raw(), &stranger, &[API_KEY]),
    ];
    for (n, (project, fence, run, names)) in cases.into_iter().enumerate() {
        let status = fetch(&lab, project, fence, run, names).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "case {n}: {}", status.message());
    }
    for (name, code) in
        [("no version", Code::InvalidArgument), ("group/shop-env/API_KEY", Code::InvalidArgument)]
    {
        assert_eq!(run.fetch(fence, &[name]).await.unwrap_err().code(), code);
    }
    assert_eq!(run.fetch(fence, &[API_KEY]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_request_for_the_node_ends_the_old_fence() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let run = Run::start(&lab, &lab.flow("shop/development").await.unwrap()).await;
    let old = run.request(environment()).await;
    let lost = shipway_events::run::AttemptLost {
        node: 1,
        fence: old,
        reason: "its executor is gone".into(),
        never_started: false,
    };
    run.append(lost.into()).await;
    assert_eq!(run.fetch(old, &[API_KEY]).await.unwrap_err().code(), Code::PermissionDenied);
    let new = run.request(environment()).await;
    assert_eq!(run.fetch(old, &[API_KEY]).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(run.fetch(new, &[API_KEY]).await.unwrap().len(), 1);
}

/// A keeper asks for its secrets again after the machine was restarted, long after its release.
#[tokio::test]
async fn a_targets_last_release_keeps_its_secrets_until_the_next_one() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("shop/development").await.unwrap();
    let target = web_dev(&flow);
    let first = Run::start(&lab, &flow).await;
    let first_fence = first.request(environment()).await;
    first.succeed(first_fence, target).await;
    let first_id = first.id;

    let lab = lab.restarted().await;
    let first = Run { lab: &lab, id: first_id };
    assert_eq!(first.fetch(first_fence, &[PASSWORD]).await.unwrap().len(), 1);

    // A release that fails changes nothing.
    let failing = Run::start(&lab, &flow).await;
    let fence = failing.request(environment()).await;
    failing.fail(fence).await;
    assert_eq!(first.fetch(first_fence, &[PASSWORD]).await.unwrap().len(), 1);
    assert_eq!(failing.fetch(fence, &[PASSWORD]).await.unwrap_err().code(), Code::PermissionDenied);

    let next = Run::start(&lab, &flow).await;
    let fence = next.request(environment()).await;
    next.succeed(fence, target).await;
    assert_eq!(next.fetch(fence, &[PASSWORD]).await.unwrap().len(), 1);
    let over = first.fetch(first_fence, &[PASSWORD]).await.unwrap_err();
    assert_eq!(over.code(), Code::PermissionDenied);
    assert!(over.message().contains("its target has another release"), "{}", over.message());
}

/// Every value that is secret, looked for in every event and in every byte of the data folder but the keys.
#[tokio::test]
async fn no_value_is_in_any_event_or_file() {
    let lab = Lab::new().await;
    let hooks = lab.applied(SHOP).await.hooks;
    lab.set("shop/development", "GREETING", "canary-of-the-override", false).await.unwrap();
    lab.applied(&SHOP.replace("canary of the group", "canary of the second")).await;
    let flow = lab.flow("shop/development").await.unwrap();
    let run = Run::start(&lab, &flow).await;
    let fence = run.request(environment()).await;
    let values = run.fetch(fence, &[PASSWORD, API_KEY]).await.unwrap();
    run.succeed(fence, web_dev(&flow)).await;

    let mut canaries: Vec<String> = values.into_values().collect();
    canaries.extend(hooks.into_iter().map(|hook| hook.secret).filter(|secret| !secret.is_empty()));
    canaries.extend(
        ["canary-of-the-override", "canary of the second", "canary-token-canary-token-canary-token"]
            .map(str::to_owned),
    );
    assert_eq!(canaries.len(), 6);
    for event in lab.events().await {
        for canary in &canaries {
            assert!(!event.data.contains(canary), "{} at {}", event.kind, event.position);
        }
    }
    let listed = format!("{:?}", lab.flow("shop/development").await.unwrap());
    assert!(canaries.iter().all(|canary| !listed.contains(canary)));
    let mut files = 0;
    for entry in std::fs::read_dir(lab.folder()).unwrap().map(Result::unwrap) {
        let Ok(bytes) = std::fs::read(entry.path()) else { continue };
        files += 1;
        for canary in &canaries {
            let found = bytes.windows(canary.len()).any(|part| part == canary.as_bytes());
            assert!(!found, "{}", entry.path().display());
        }
    }
    assert!(files >= 2);
}

/// All projects share an account: no document may name its credential, only the place that Shipway fills.
#[tokio::test]
async fn an_accounts_credential_is_given_for_the_login_of_the_work_and_for_nothing_else() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let request = AddAccountRequest {
        command: Uuid::now_v7().to_string(),
        name: "team".into(),
        kind: "github".into(),
        credential: "canary-of-the-account".into(),
        ..AddAccountRequest::default()
    };
    let account = lab.accounts().add_account(request.clone()).await.unwrap().into_inner().account.unwrap();
    let secret = format!("account/{}/github.com@1", account.id);
    let flow = lab.flow("shop/development").await.unwrap();
    let run = Run::start(&lab, &flow).await;
    let mark = json!({"$secret": &secret});
    let fence =
        run.work(json!({"work": "build", "arguments": {"login": {"secret": &mark}, "A": &mark}})).await;
    let refused = run.fetch(fence, &[&secret]).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let run = Run::start(&lab, &flow).await;
    let fence = run.work(json!({"work": "build", "login": {"account": "team", "secret": mark}})).await;
    let given = run.fetch(fence, &[&secret]).await.unwrap();
    assert_eq!(given[&secret], "canary-of-the-account");

    // A run that goes on is given what the account has by now, and nothing once nobody has linked it any more.
    let command = || Uuid::now_v7().to_string();
    let newer =
        AddAccountRequest { command: command(), credential: "the-canary-that-came-after".into(), ..request };
    lab.accounts().add_account(newer).await.unwrap();
    assert_eq!(run.fetch(fence, &[&secret]).await.unwrap()[&secret], "the-canary-that-came-after");
    let gone = RemoveAccountRequest { command: command(), account: "team".into() };
    lab.accounts().remove_account(gone).await.unwrap();
    let refused = run.fetch(fence, &[&secret]).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("linked no more"), "{}", refused.message());
}

#[tokio::test]
async fn a_run_of_a_fork_that_was_approved_without_secrets_gets_none_and_is_told_why() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let flow = lab.flow("shop/development").await.unwrap();
    let why = "commit 9c1185a is of a fork, and ada approved it without secrets";
    let run = Run::start_with(&lab, &flow, Some(why.to_owned())).await;
    let fence = run.request(environment()).await;
    for names in [&[PASSWORD][..], &[API_KEY], &[PASSWORD, API_KEY]] {
        let refused = run.fetch(fence, names).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains(why), "{}", refused.message());
    }
    // Nor does what it released get any later.
    run.succeed(fence, web_dev(&flow)).await;
    assert!(run.fetch(fence, &[API_KEY]).await.unwrap_err().message().contains(why));
    assert!(run.fetch(fence, &[]).await.is_ok());
}

#[tokio::test]
async fn a_secret_file_is_kept_like_any_secret_and_fetched_by_who_is_given_its_path() {
    let lab = Lab::new().await;
    let tls = "kind: SecretGroup\nspec: { name: tls, secrets: { files: { CERT: { data: aGVsbG8= } } } }\n";
    let reply = lab.send(request(&[("shop.yaml", SHOP), ("tls.yaml", tls)])).await;
    let errors = reply.problems.iter().filter(|problem| problem.severity() == Severity::Error);
    assert_eq!(errors.count(), 0, "{:?}", reply.problems);
    let flow = lab.flow("shop/development").await.unwrap();
    let group = flow.resources.iter().find(|resource| resource.slug == "tls").unwrap();
    let pinned: Value = serde_json::from_str(&group.json).unwrap();
    let files = &pinned["spec"]["secrets"]["files"];
    assert_eq!(*files, json!({"CERT": {"data": {"$secret": "file/tls/CERT@1"}}}));

    let run = Run::start(&lab, &flow).await;
    let fence = run.request(json!({"CERT": {"$file": {"$secret": "file/tls/CERT@1"}}})).await;
    let found = run.fetch(fence, &["file/tls/CERT@1"]).await.unwrap();
    assert_eq!(found["file/tls/CERT@1"], "aGVsbG8=");
    let other = run.request(json!({"CERT": "none"})).await;
    assert_eq!(run.fetch(other, &["file/tls/CERT@1"]).await.unwrap_err().code(), Code::PermissionDenied);
}
