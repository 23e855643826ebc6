//! Random plans, and how their nodes behave.

use serde_json::json;
use shipway_events::{
    EffectClass,
    plan::{Backoff, Plan, PlanNode, Retry, When},
};

use super::rng::Rng;

/// What an attempt of a node does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    /// How long it takes, in milliseconds.
    pub(crate) takes: u64,
    /// How it ends.
    pub(crate) ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Well,
    /// So many attempts fail with a transient error.
    WellAfter(u32),
    /// Every attempt fails.
    Badly {
        transient: bool,
    },
    /// Never.
    Not,
}

/// A plan of up to `limit` nodes, with what its nodes do.
pub(crate) fn random(rng: &mut Rng, limit: usize) -> (Plan, Vec<Behaviour>) {
    let mut plan = Plan::default();
    let root = workflow(rng, 0, None);
    plan.nodes.push(root);
    grow(rng, &mut plan.nodes, 0, 0, limit);
    let behaviours = plan.nodes.iter().map(|node| behaviour(rng, node)).collect();
    (plan, behaviours)
}

/// A plan of one node of this class, then another after it.
pub(crate) fn one_effect(rng: &mut Rng, class: EffectClass) -> (Plan, Vec<Behaviour>) {
    let mut root = workflow(rng, 0, None);
    root.spec = json!({ "type": "sequential" });
    root.skip = None;
    let plain = |at: usize, effect| PlanNode {
        reference: format!("n{at}"),
        kind: "Action".to_owned(),
        parent: Some(0),
        spec: json!({}),
        effect: Some(effect),
        interruptible: true,
        ..PlanNode::default()
    };
    let nodes = vec![root, plain(1, class), plain(2, EffectClass::Keyed)];
    let behaviours = (0..3).map(|_| Behaviour { takes: rng.within(5, 900), ends: Ends::Well }).collect();
    (Plan { nodes, ..Plan::default() }, behaviours)
}

fn grow(rng: &mut Rng, nodes: &mut Vec<PlanNode>, parent: u32, depth: u32, limit: usize) {
    let steps = if depth == 0 { rng.within(1, 6) } else { rng.within(0, 4) };
    let mut siblings: Vec<u32> = Vec::new();
    for _ in 0..steps {
        if nodes.len() >= limit {
            return;
        }
        let at = nodes.len() as u32;
        if depth < 2 && rng.per_mille(120) {
            let node = a_loop(rng, at, parent, depth);
            nodes.push(node);
            siblings.push(at);
            continue;
        }
        let is_workflow = depth < 2 && rng.per_mille(250);
        let mut node =
            if is_workflow { workflow(rng, at, Some(parent)) } else { leaf(rng, at, parent, &siblings) };
        if nodes[parent as usize].spec["type"] == "graph" && !siblings.is_empty() && rng.per_mille(700) {
            node.depends_on = vec![rng.pick(&siblings), rng.pick(&siblings)];
        }
        nodes.push(node);
        siblings.push(at);
        if is_workflow {
            grow(rng, nodes, at, depth + 1, limit);
        }
    }
}

/// A loop of up to three iterations; its body has names of its own, which hide those around.
fn a_loop(rng: &mut Rng, at: u32, parent: u32, depth: u32) -> PlanNode {
    let mut node = workflow(rng, at, Some(parent));
    let mut body = vec![PlanNode { spec: json!({ "type": "sequential" }), ..workflow(rng, 0, None) }];
    grow(rng, &mut body, 0, depth + 1, 5);
    body.remove(0);
    for step in &mut body {
        step.parent = step.parent.and_then(|parent| parent.checked_sub(1));
        step.depends_on.iter_mut().for_each(|other| *other -= 1);
    }
    node.kind = "LoopWorkflow".to_owned();
    node.spec = json!({ "times": rng.within(0, 4), "failFast": rng.per_mille(300) });
    if rng.per_mille(500) {
        node.spec["type"] = json!("parallel");
        node.spec["maxParallel"] = json!(rng.within(1, 4));
    }
    node.body = body;
    node
}

fn workflow(rng: &mut Rng, at: u32, parent: Option<u32>) -> PlanNode {
    let order = rng.pick(&["sequential", "sequential", "parallel", "parallel", "graph"]);
    let mut node = PlanNode {
        reference: format!("n{at}"),
        kind: "Workflow".to_owned(),
        parent,
        spec: json!({ "type": order, "failFast": rng.per_mille(300) }),
        interruptible: true,
        ..PlanNode::default()
    };
    if parent.is_some() {
        node.when = when(rng);
        node.skip = rng.per_mille(120).then(|| json!(rng.per_mille(300)));
        node.interruptible = !rng.per_mille(100);
    }
    node
}

fn leaf(rng: &mut Rng, at: u32, parent: u32, siblings: &[u32]) -> PlanNode {
    let mut spec = serde_json::Map::new();
    for (flag, per_mille) in [("heavy", 250), ("detached", 120), ("done", 50), ("broken", 15)] {
        if rng.per_mille(per_mille) {
            spec.insert(flag.to_owned(), json!(true));
        }
    }
    match rng.within(0, 100) {
        0..5 => drop(spec.insert("approve".to_owned(), json!(rng.within(1, 3)))),
        5..10 => drop(spec.insert("child".to_owned(), json!(true))),
        _ => {}
    }
    let skip = match rng.within(0, 100) {
        0..4 => Some(json!(true)),
        4..8 => Some(json!(false)),
        8..12 if !siblings.is_empty() => Some(json!(format!("n{}.flag", rng.pick(siblings)))),
        _ => None,
    };
    PlanNode {
        reference: format!("n{at}"),
        kind: rng.pick(&["Action", "JobRun", "Condition", "Release"]).to_owned(),
        parent: Some(parent),
        spec: spec.into(),
        timeout_seconds: rng.per_mille(150).then(|| rng.within(1, 7) as u32),
        retry: rng.per_mille(150).then(|| Retry {
            max_attempts: rng.within(1, 4) as u32,
            backoff: rng.pick(&[Backoff::Fixed, Backoff::Exponential]),
            delay: rng.within(0, 3) as u32,
            max_delay: rng.per_mille(500).then_some(2),
            jitter: false,
        }),
        when: when(rng),
        skip,
        effect: Some(rng.pick(EffectClass::ALL)),
        interruptible: !rng.per_mille(150),
        locks: locks(rng),
        ..PlanNode::default()
    }
}

fn locks(rng: &mut Rng) -> Vec<String> {
    let names: &[&str] = match rng.within(0, 100) {
        0..10 => &["db"],
        10..15 => &["dns"],
        15..18 => &["db", "dns"],
        _ => &[],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

fn when(rng: &mut Rng) -> When {
    match rng.within(0, 100) {
        0..10 => When::Failure,
        10..22 => When::Always,
        _ => When::Success,
    }
}

/// What attempts of a node do, by chance.
pub(crate) fn behaviour(rng: &mut Rng, node: &PlanNode) -> Behaviour {
    let ends = match rng.within(0, 100) {
        0..12 => Ends::WellAfter(rng.within(1, 3) as u32),
        12..18 => Ends::Badly { transient: false },
        18..21 => Ends::Badly { transient: true },
        21..40 if node.timeout_seconds.is_some() && node.spec.get("detached").is_none() => Ends::Not,
        _ => Ends::Well,
    };
    Behaviour { takes: rng.within(5, 900), ends }
}
