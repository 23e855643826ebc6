//! What a run's expressions come to when it is planned.

use serde_json::json;
use shipway_contracts::v1;
use shipway_events::{
    Actor, Cause, Meta, ResourceId, RunId,
    project::ResourceKind,
    run::{HeldLock, Parent},
};

use super::*;
use crate::start::FlowChoice;

const FLOW: &str = "00000000-0000-0000-0000-000000000007";

/// A flow with one message, which says this.
fn plan_of(message: &Value, skip: &Value) -> Result<Plan, Vec<Problem>> {
    let document = json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "ref": "all", "spec": {"type": "sequential", "steps": [{
            "kind": "Message", "ref": "tell", "skipNodeExecution": skip,
            "spec": {"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "https://x.example", "message": message}},
        }]}},
    });
    let group = PinnedResource {
        project: ProjectId::new(Uuid::nil()),
        id: ResourceId::new(Uuid::nil()),
        kind: ResourceKind::SecretGroup,
        spec: json!({"secrets": {"variables": {"HOOK": {"$secret": "group/team/HOOK@4"}}}}),
        ports: BTreeMap::new(),
        environment: Map::from_iter([("HOOK".to_owned(), json!({"$secret": "group/team/HOOK@4"}))]),
        login: None,
    };
    let reply = FlowForRunReply {
        resources: vec![v1::PinnedResource {
            slug: "team".to_owned(),
            json: serde_json::to_string(&group).unwrap(),
            ..v1::PinnedResource::default()
        }],
        ..flow(document.to_string())
    };
    planned(&reply)
}

/// What the home of a flow says of it.
fn flow(document_json: String) -> FlowForRunReply {
    FlowForRunReply {
        flow: FLOW.to_owned(),
        document_json,
        stage: "Development".to_owned(),
        ..FlowForRunReply::default()
    }
}

/// What a run of it, asked for by hand, has as its plan.
fn planned(reply: &FlowForRunReply) -> Result<Plan, Vec<Problem>> {
    planned_below(reply, None)
}

/// What a run of it that a node of another run wants has as its plan.
fn planned_below(reply: &FlowForRunReply, parent: Option<Parent>) -> Result<Plan, Vec<Problem>> {
    let now = Timestamp::from_micros(1_767_604_023_045_678);
    plan(&by_hand(parent), reply, World::default(), now).map(|started| started.plan)
}

fn by_hand(parent: Option<Parent>) -> Asked {
    let choice = FlowChoice::Published { project: String::new(), flow: FLOW.to_owned() };
    let meta = Meta { actor: Actor::System("test".into()), cause: Cause::Request, trace: None };
    Asked { parent, ..Asked::by_hand(RunId::new(Uuid::nil()), choice, meta) }
}

fn message(plan: &Plan) -> &Value {
    plan.nodes[1].spec.pointer("/spec/message").unwrap()
}

#[test]
fn the_date_is_the_plans() {
    let plan = plan_of(&json!("at ${fn.date()}"), &json!(false)).unwrap();
    assert_eq!(message(&plan), "at 2026-01-05T09:07:03.045Z");
    assert_eq!(plan.at, Some(Timestamp::from_micros(1_767_604_023_045_678)));
    assert_eq!(plan_of(&json!("now"), &json!(false)).unwrap().at, None, "no plan is dated in vain");
}

#[test]
fn secrets_are_names() {
    let text = json!("${secrets.team.values.HOOK} ${fn.get(fn.fetchSecret('team'), 'values.HOOK')}");
    let plan = plan_of(&text, &json!(false)).unwrap();
    let hook = json!({"$secret": "group/team/HOOK@4"});
    assert_eq!(message(&plan), &json!({"$text": [hook, " ", hook]}));
    let problems = plan_of(&json!("${secrets.taem.values.HOOK}"), &json!(false)).unwrap_err();
    assert_eq!(
        (problems[0].message.as_str(), problems[0].help.as_str()),
        ("no secret is called `taem`", "did you mean `team`?")
    );
}

#[test]
fn a_random_secret_is_named_by_flow_node_and_path() {
    let plan = plan_of(&json!({"raw": ["${fn.randomSecret(16, 'hex')}"]}), &json!(false)).unwrap();
    let name = format!("random/{FLOW}/tell/spec/spec/message/raw/0@1");
    assert_eq!(
        message(&plan)["raw"][0],
        json!({"$random": {"secret": name, "length": 16, "encoding": "hex"}})
    );
}

#[test]
fn a_secret_decides_nothing() {
    for skip in ["${secrets.team.values.HOOK}", "${fn.eq(fn.randomSecret(16), 'x')}"] {
        let problems = plan_of(&json!("x"), &json!(skip)).unwrap_err();
        assert!(problems[0].message.contains("is a secret and cannot decide what happens"), "{problems:?}");
        assert_eq!(problems[0].pointer, "/spec/spec/steps/0/skipNodeExecution");
    }
}

#[test]
fn a_lock_that_is_held_above_is_waited_for_by_nobody() {
    let held = |name: &str, project: u128| HeldLock {
        name: name.to_owned(),
        project: ProjectId::new(Uuid::from_u128(project)),
        run: RunId::new(Uuid::nil()),
        flow: "shop/staging".to_owned(),
        node: "rollout".to_owned(),
    };
    let node = |name: &str, skip: bool| json!({"kind": "Noop", "ref": name, "locks": ["${args.LOCK}"], "skipNodeExecution": skip, "spec": {}});
    let looped = json!({"kind": "LoopWorkflow", "ref": "each", "spec": {"iterations": [1], "steps": [node("inner", false)]}});
    let document = |steps: Value| {
        let spec = json!({"kind": "Workflow", "ref": "all", "spec": {"type": "sequential", "steps": steps}});
        flow(json!({"arguments": {"LOCK": "db"}, "spec": spec}).to_string())
    };
    let below = |steps: Value, held: HeldLock| {
        let parent = Parent { run: RunId::new(Uuid::nil()), node: 3, flows: Vec::new(), held: vec![held] };
        let reply = FlowForRunReply { project: Uuid::from_u128(1).to_string(), ..document(steps) };
        planned_below(&reply, Some(parent)).map(drop)
    };
    for (steps, name, at) in [
        (json!([node("migrate", false)]), "migrate", "/spec/spec/steps/0/locks"),
        (json!([looped]), "inner", "/spec/spec/steps/0/spec/steps/0/locks"),
    ] {
        let problems = below(steps, held("db", 1)).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        let expected = format!(
            "`{name}` needs the lock `db`, which `rollout` of shop/staging (run 00000000-0000-0000-0000-000000000000) holds \
             until this run has ended"
        );
        assert_eq!(
            (problem.message.as_str(), problem.pointer.as_str(), problem.code.as_str()),
            (expected.as_str(), at, "lock.held")
        );
        assert!(problem.help.contains("leave the `condition` of the `RunTemplate` away"), "{}", problem.help);
    }
    for (steps, held) in [
        (json!([node("migrate", false)]), held("dns", 1)),
        (json!([node("migrate", false)]), held("db", 2)),
        (json!([node("migrate", true)]), held("db", 1)),
    ] {
        below(steps, held).unwrap();
    }
}

/// A flow of so many nodes, each of which names the one before; the last one names what `last` says.
fn chain(count: usize, last: &str) -> String {
    let step = |n: usize| {
        let before = n.saturating_sub(1);
        let value = match n {
            0 => "${args.REGION}".to_owned(),
            n if n + 1 == count => last.to_owned(),
            _ => format!("${{refs.n{before}.a}}"),
        };
        let waits: Vec<String> = (n > 0).then(|| format!("n{before}")).into_iter().collect();
        json!({"kind": "Noop", "ref": format!("n{n}"), "dependsOn": waits, "spec": {"outputs": {"a": value}}})
    };
    json!({
        "apiVersion": "v1.2",
        "arguments": {"REGION": "eu"},
        "spec": {"kind": "Workflow", "spec": {"type": "graph", "steps": (0..count).map(step).collect::<Vec<_>>()}},
    })
    .to_string()
}

#[test]
fn five_thousand_nodes_are_read_checked_and_planned_at_once() {
    let full = std::env::var_os("SHIPWAY_FULL").is_some();
    let judged = full && !cfg!(debug_assertions);
    let (count, times) = if full { (5_000, 5) } else { (300, 1) };
    let before = count - 2;
    let best = |document: String| {
        let reply = flow(document);
        let measured = (0..times).map(|_| {
            let since = std::time::Instant::now();
            let plan = planned(&reply);
            (since.elapsed(), plan)
        });
        measured.min_by_key(|(took, _)| *took).unwrap()
    };
    let (good, plan) = best(chain(count, &format!("${{refs.n{before}.a}}")));
    let plan = plan.unwrap();
    assert_eq!(plan.nodes.len(), count + 1);
    assert_eq!(plan.nodes[1].spec.pointer("/outputs/a").unwrap(), "eu");
    let (bad, problems) = best(chain(count, "${refs.nn.a}"));
    assert_eq!(problems.unwrap_err().len(), 1, "the one that is wrong");
    println!("PLAN nodes={count} ms={} with_error_ms={}", good.as_millis(), bad.as_millis());
    if judged {
        let limit = std::time::Duration::from_millis(150);
        assert!(good < limit && bad < limit, "{good:?} {bad:?}");
    }
}

#[test]
fn as_many_random_secrets_resources_and_builds_are_planned_at_once() {
    let full = std::env::var_os("SHIPWAY_FULL").is_some();
    let count = if full { 5_000 } else { 200 };
    let step = |n: usize| {
        let spec = json!({"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "https://x.example", "message": "${fn.randomSecret(16)}"}});
        json!({"kind": "Message", "ref": format!("n{n}"), "spec": spec})
    };
    let steps: Vec<Value> = (0..count).map(step).collect();
    let document = json!({"spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}}});
    let since = std::time::Instant::now();
    let plan = planned(&flow(document.to_string())).unwrap();
    let took = since.elapsed();
    println!("PLAN random_secrets={count} ms={}", took.as_millis());
    let name = format!("random/{FLOW}/n{}/spec/spec/message@1", count - 1);
    assert_eq!(plan.nodes[count].spec.pointer("/spec/message/$random/secret").unwrap(), &name);
    if full && !cfg!(debug_assertions) {
        assert!(took < std::time::Duration::from_millis(300), "{took:?}");
    }
}

/// A flow with a trigger, an approval, a message and a release, and its run with other values.
fn given(fields: Value, releases: Value) -> Result<Plan, Vec<Problem>> {
    let document = json!({
        "apiVersion": "v1.2",
        "triggers": [{"ref": "push", "repoUrl": "https://git.example/team/shop", "branchRestrictions": ["main"]}],
        "spec": {"kind": "Workflow", "ref": "all", "spec": {"type": "sequential", "steps": [
            {"kind": "Approval", "ref": "gate", "spec": {"amount": 2}},
            {"kind": "Message", "ref": "tell",
                "spec": {"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "https://x.example", "message": "as ever"}}},
            {"kind": "Release", "ref": "web", "spec": {"type": "build",
                "origin": {"id": "web-build", "branch": "main", "build": "latest"},
                "target": {"id": "shop-web", "type": "service"}}},
        ]}},
    });
    // Nobody wrote the flow of a rollback: what it names is not looked for.
    let reply = flow(document.to_string());
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    let given = Given { fields: object(fields), releases: object(releases), ..Given::default() };
    let asked = Asked { given, origin: Origin::Resource, ..by_hand(None) };
    plan(&asked, &reply, World::default(), Timestamp::from_micros(1_000_000)).map(|started| started.plan)
}

#[test]
fn a_run_may_have_other_values_for_fields_and_say_so() {
    let plan = given(
        json!({"tell": {"spec/message": "for once", "spec/extra": 1}, "push": {"branch": "hotfix", "sha": "9c1e"}}),
        json!({}),
    )
    .unwrap();
    assert_eq!(plan.nodes[2].spec.pointer("/spec/message"), Some(&json!("for once")));
    assert_eq!(plan.nodes[2].spec.pointer("/spec/extra"), Some(&json!(1)));
    assert_eq!(plan.triggers["push"]["branch"], "hotfix");
    assert_eq!(plan.triggers["push"]["sha"], "9c1e");
    assert_eq!(plan.given.fields["tell"]["spec/message"], "for once");
    let usual = given(json!({}), json!({})).unwrap();
    assert_eq!(usual.triggers["push"]["branch"], "main");
    assert_eq!(usual.given, Given::default());
    assert_ne!(plan.hash(plan.nodes.len()), usual.hash(usual.nodes.len()), "it is another plan");
    let same = given(json!({"tell": {"spec/message": "as ever"}}), json!({})).unwrap();
    assert_eq!(
        same.hash(same.nodes.len()),
        usual.hash(usual.nodes.len()),
        "that somebody asked for it is no plan"
    );
}

#[test]
fn a_run_may_release_something_else_to_a_target() {
    let release = json!({"type": "registry", "origin": {"imagePath": "ghcr.io/team/web:1.4"}});
    let plan = given(json!({}), json!({"shop-web": release})).unwrap();
    let spec = &plan.nodes[3].spec;
    assert_eq!(
        (&spec["type"], &spec["origin"]["imagePath"]),
        (&json!("registry"), &json!("ghcr.io/team/web:1.4"))
    );
    assert!(spec["origin"].get("build").is_none(), "nothing is left of what it was: {spec}");
    assert_eq!(spec["target"]["id"], "shop-web");
}

#[test]
fn what_cannot_be_another_is_refused_where_it_was_asked() {
    let refused = |fields: Value, releases: Value| {
        let problem = given(fields, releases).unwrap_err().remove(0);
        (problem.pointer, problem.message, problem.help)
    };
    let none = || json!({});
    let (pointer, message, help) = refused(json!({"tel": {"spec/message": "x"}}), none());
    assert_eq!((pointer.as_str(), help.as_str()), ("/fields/tel", "did you mean `tell`?"));
    assert!(message.contains("no node and no trigger"), "{message}");
    let (pointer, message, _) = refused(json!({"gate": {"amount": 0}}), none());
    assert_eq!(pointer, "/fields/gate");
    assert!(message.contains("what people approve"), "{message}");
    let (_, message, _) = refused(json!({"all": {"steps": []}}), none());
    assert!(message.contains("a workflow"), "{message}");
    let (pointer, message, _) = refused(json!({"tell": {"spek/message": "x"}}), none());
    assert_eq!(pointer, "/fields/tell/spek~1message");
    assert!(message.contains("no object `spek`"), "{message}");
    let (pointer, _, help) = refused(json!({"push": {"brnch": "x"}}), none());
    assert_eq!((pointer.as_str(), help.as_str()), ("/fields/push/brnch", "did you mean `branch`?"));
    let release = json!({"type": "registry", "origin": {"imagePath": "a"}});
    let (pointer, _, help) = refused(none(), json!({"shop-wep": release}));
    assert_eq!((pointer.as_str(), help.as_str()), ("/releases/shop-wep", "did you mean `shop-web`?"));
    let (pointer, message, _) = refused(none(), json!({"shop-web": {"imagePath": "a"}}));
    assert_eq!(pointer, "/releases/shop-web");
    assert!(message.contains("`type` and `origin`"), "{message}");
}

#[test]
fn what_an_input_must_fill_is_filled_by_whoever_starts_a_run() {
    let document = json!({
        "apiVersion": "v1.2",
        "arguments": {"BRANCH": "", "BUILD": "", "NOTE": ""},
        "richInputs": [{"kind": "BuildSelector", "spec": {"inputs": {"source": "web-build"}, "required": true,
            "outputs": {"branch": "BRANCH", "buildId": "BUILD"}}}],
        "spec": {"kind": "Workflow", "ref": "all", "spec": {"type": "sequential", "steps": []}},
    });
    let reply = flow(document.to_string());
    let plan_with = |arguments: Value, origin| {
        let arguments = arguments.as_object().cloned().unwrap();
        let asked = Asked { arguments, origin, ..by_hand(None) };
        plan(&asked, &reply, World::default(), Timestamp::from_micros(1_000_000))
    };
    let told = plan_with(json!({"BRANCH": "main"}), Origin::Manual).unwrap_err();
    let told: Vec<_> = told.iter().map(|problem| (&*problem.pointer, &*problem.message)).collect();
    assert_eq!(told, [("/arguments/BUILD", "the argument `BUILD` needs a value")]);
    assert!(plan_with(json!({"BRANCH": "main", "BUILD": "b-1"}), Origin::Manual).is_ok());
    assert!(plan_with(json!({}), Origin::Schedule).is_ok(), "nobody is asked");
}
