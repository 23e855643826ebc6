//! Plans as indented text: `name: kind flag flag=value`, a step two spaces further in than its workflow.

use serde_json::{Value, json};
use shipway_events::{
    Actor, ConcurrencyPolicy, EffectClass,
    plan::{Backoff, Plan, PlanNode, Retry, When},
    run::{Origin, Started},
};

/// The plan that the text says. What stands under a loop is its body.
pub(crate) fn plan(text: &str) -> Plan {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut nodes: Vec<PlanNode> = Vec::new();
    steps(&lines, None, &mut nodes);
    Plan { nodes, ..Plan::default() }
}

fn steps(mut lines: &[&str], parent: Option<u32>, nodes: &mut Vec<PlanNode>) {
    let indent = |line: &str| line.len() - line.trim_start().len();
    while let [line, rest @ ..] = lines {
        let inner = rest.iter().take_while(|other| indent(other) > indent(line)).count();
        let (inner, after) = rest.split_at(inner);
        let at = nodes.len() as u32;
        let mut node = node(line.trim(), nodes);
        node.parent = parent;
        node.pointer = format!("/{at}");
        nodes.push(node);
        if nodes[at as usize].kind == "LoopWorkflow" {
            let mut body = Vec::new();
            steps(inner, None, &mut body);
            nodes[at as usize].body = body;
        } else {
            steps(inner, Some(at), nodes);
        }
        lines = after;
    }
}

/// A run of that plan.
pub(crate) fn started(plan: Plan) -> Started {
    let nil = "00000000-0000-0000-0000-000000000000";
    Started {
        run: nil.parse().unwrap(),
        project: nil.parse().unwrap(),
        pipeline: None,
        flow: nil.parse().unwrap(),
        path: "shop/test".to_owned(),
        flow_version: 1,
        name: "a run".to_owned(),
        description: String::new(),
        origin: Origin::Manual,
        author: Some(Actor::Person("ana".to_owned())),
        parent: None,
        policy: ConcurrencyPolicy::Allow,
        rollback: None,
        plan,
    }
}

fn node(line: &str, earlier: &[PlanNode]) -> PlanNode {
    let (name, rest) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}` is not `name: kind …`"));
    let mut words = rest.split_whitespace();
    let kind = words.next().unwrap();
    let mut node = PlanNode { reference: name.to_owned(), interruptible: true, ..PlanNode::default() };
    node.spec = match kind {
        "sequential" | "parallel" | "graph" => json!({ "type": kind }),
        _ => json!({}),
    };
    node.kind = match kind {
        "loop" => "LoopWorkflow",
        _ if node.spec.get("type").is_some() => "Workflow",
        kind => kind,
    }
    .to_owned();
    for word in words {
        let (flag, value) = word.split_once('=').unwrap_or((word, ""));
        let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("`{word}` is no number"));
        match flag {
            "when" => node.when = serde_json::from_value::<When>(json!(value)).unwrap(),
            "effect" => node.effect = Some(EffectClass::parse(value).unwrap()),
            "timeout" => node.timeout_seconds = Some(number(value)),
            "skip" => node.skip = Some(value.parse::<bool>().map_or(json!(value), Value::Bool)),
            "retry" => node.retry = Some(retry(value)),
            "after" => {
                let index =
                    |name: &str| earlier.iter().position(|node| node.reference == name).unwrap() as u32;
                node.depends_on = value.split(',').map(index).collect();
            }
            "parallel" => node.spec["type"] = json!("parallel"),
            "max" => node.spec["maxParallel"] = json!(number(value)),
            "times" => node.spec["times"] = value.parse::<u32>().map_or(json!(value), Value::from),
            "locks" => node.locks = value.split(',').map(str::to_owned).collect(),
            "approve" => node.spec["approve"] = json!(number(value)),
            "by" | "until" | "commit" => node.spec[flag] = json!(value),
            "needs" => node.spec["needs"] = json!(value),
            "uninterruptible" => node.interruptible = false,
            "failFast" | "done" | "broken" | "heavy" | "detached" | "item" | "notAuthor" | "child"
            | "later" => node.spec[flag] = json!(true),
            _ => panic!("`{word}` is not known"),
        }
    }
    node
}

/// `3/fixed/60` or `5/exponential/2/30`.
fn retry(text: &str) -> Retry {
    let parts: Vec<&str> = text.split('/').collect();
    Retry {
        max_attempts: parts[0].parse().unwrap(),
        backoff: serde_json::from_value::<Backoff>(json!(parts[1])).unwrap(),
        delay: parts[2].parse().unwrap(),
        max_delay: parts.get(3).map(|limit| limit.parse().unwrap()),
        jitter: false,
    }
}
