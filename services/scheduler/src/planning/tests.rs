//! What a run's expressions come to when it is planned.

use serde_json::json;
use shipway_contracts::v1;
use shipway_events::{Actor, Cause, Meta, ResourceId, RunId, project::ResourceKind};

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
        environment: Map::new(),
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
    let asked = Asked {
        run: RunId::new(Uuid::nil()),
        choice: FlowChoice::Published { project: String::new(), flow: FLOW.to_owned() },
        name: String::new(),
        description: String::new(),
        origin: Origin::Manual,
        arguments: Map::new(),
        triggers: Map::new(),
        meta: Meta { actor: Actor::System("test".into()), cause: Cause::Request, trace: None },
        at_least: 0,
        parent: None,
        without_secrets: None,
    };
    let now = Timestamp::from_micros(1_767_604_023_045_678);
    plan(&asked, reply, World::default(), now).map(|started| started.plan)
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
    let get = json!({"$call": {"fn": "get", "args": [{"values": {"HOOK": hook}}, "values.HOOK"]}});
    assert_eq!(message(&plan), &json!({"$text": [hook, " ", get]}));
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
