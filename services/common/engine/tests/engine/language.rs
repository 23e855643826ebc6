//! A language small enough to see through: what a node asks for stands in its specification as it is.

use serde_json::{Map, Value, json};
use shipway_engine::{Candidate, Language, Made, RunState, Step};
use shipway_events::{
    ProjectId, ResourceId,
    plan::Artifact,
    run::{ApprovalRule, NodeError, Started},
};
use shipway_nodes::{
    Child,
    workload::{Command, Job, Noop, Release, Target, Workload},
};

/// Specifications are objects of flags: `done` (nothing to do), `broken` (cannot be resolved), `needs: ref`
/// (cannot be resolved without that node's outputs), `heavy` (takes a process slot), `detached`, `item` (puts out what
/// its iteration is about), `approve: n` with `by: names` and `notAuthor`, `until: ref` (waits for what that node makes),
/// `child` (runs another flow), `commit` (a `Release` releases what was built of it; with `later` that is known only when its
/// turn comes). A loop's `times` is a number, or a node's output that is one.
pub(crate) struct Toy;

impl Language for Toy {
    fn step(&self, state: &RunState, node: u32) -> Result<Step, NodeError> {
        let spec = &state.plan_node(node).unwrap().spec;
        let flag = |name: &str| spec.get(name).is_some();
        if flag("broken") {
            return Err(error("bad_reference", "the specification cannot be resolved", false));
        }
        if let Some(needs) = spec.get("needs").and_then(Value::as_str)
            && outputs(state, node, needs).is_none()
        {
            return Err(error("bad_reference", &format!("`{needs}` has no outputs"), false));
        }
        if flag("item") {
            let data = state.iteration_of(node).and_then(Value::as_object).cloned();
            return Ok(Step::Done { outputs: data.unwrap_or_default() });
        }
        if let Some(amount) = spec.get("approve").and_then(Value::as_u64) {
            let approvers = spec["by"].as_str().map(|names| names.split(',').map(str::to_owned).collect());
            let rule = ApprovalRule {
                amount: amount as u32,
                approvers: approvers.unwrap_or_default(),
                exclude_author: flag("notAuthor"),
            };
            return Ok(Step::Approve { rule, timeout_seconds: None });
        }
        if let Some(reference) = spec.get("until").and_then(Value::as_str) {
            let made = state.node_meant(node, reference).and_then(|made| {
                let id = state.node(made)?.outputs.as_deref()?.get("id")?.as_str()?;
                state.made(&state.plan_node(made)?.kind, id)
            });
            return match made {
                Some(Made::Well) => Ok(Step::Done { outputs: Map::new() }),
                Some(Made::Badly(why)) => Err(error("awaited_failed", why, false)),
                _ => Ok(Step::Wait { watch: json!(format!("`{reference}`")), timeout_seconds: Some(60) }),
            };
        }
        if flag("child") {
            let (arguments, wait) = (Map::new(), !flag("detached"));
            return Ok(Step::Child(Child { flow: "shop/other".to_owned(), arguments, wait }));
        }
        if let Some(artifact) = artifact(spec) {
            let work = Workload::Release(release(artifact));
            return Ok(Step::Work { work, detached: false });
        }
        Ok(match flag("done") {
            true => Step::Done { outputs: Map::from_iter([("done".to_owned(), json!(true))]) },
            false => Step::Work {
                work: if flag("heavy") { job() } else { Workload::Noop(Noop::default()) },
                detached: flag("detached"),
            },
        })
    }

    /// `true`, `false`, or `ref.output`.
    fn truthy(&self, state: &RunState, node: u32, value: &Value) -> Result<bool, NodeError> {
        match value {
            Value::Bool(value) => Ok(*value),
            Value::String(path) => {
                let (reference, output) = path.split_once('.').unwrap();
                let found = outputs(state, node, reference).and_then(|outputs| outputs.get(output));
                let found =
                    found.ok_or_else(|| error("bad_reference", &format!("`{path}` is not known"), false))?;
                Ok(found == &json!("true") || found == &json!(true))
            }
            _ => Err(error("bad_reference", "neither true nor false", false)),
        }
    }

    fn candidates(&self, started: &Started) -> Vec<Candidate> {
        let nodes = (0_u32..).zip(&started.plan.nodes).filter(|(_, node)| node.spec.get("later").is_none());
        let found = nodes.filter_map(|(node, plan)| {
            Some(Candidate { node, target: "shop-web".to_owned(), artifact: artifact(&plan.spec)? })
        });
        found.collect()
    }

    fn iterations(&self, state: &RunState, node: u32) -> Result<Vec<Value>, NodeError> {
        let times = &state.plan_node(node).unwrap().spec["times"];
        let known = times.as_str().and_then(|path| {
            let (reference, output) = path.split_once('.').unwrap();
            outputs(state, node, reference)?.get(output)?.as_str()?.parse().ok()
        });
        let times = times.as_u64().or(known);
        let times = times.ok_or_else(|| error("bad_reference", "nobody knows how often", false))?;
        Ok((0..times).map(|n| json!({ "n": n })).collect())
    }
}

/// What a `Release` of a commit releases.
fn artifact(spec: &Value) -> Option<Artifact> {
    let text = |text: &str| text.to_owned();
    let commit = text(spec.get("commit")?.as_str()?);
    let digest = format!("sha256:{commit}");
    Some(Artifact { digest, build: text("b"), service: text("web"), commit, branch: text("main") })
}

fn release(artifact: Artifact) -> Release {
    let target = Target { slug: "shop-web".to_owned(), ..target() };
    Release { target, artifact, service: None, wait: false, timeout_seconds: 60 }
}

pub(crate) fn error(code: &str, message: &str, transient: bool) -> NodeError {
    NodeError { code: code.to_owned(), message: message.to_owned(), transient }
}

fn outputs<'a>(state: &'a RunState, from: u32, reference: &str) -> Option<&'a Map<String, Value>> {
    state.node(state.node_meant(from, reference)?)?.outputs.as_deref()
}

fn target() -> Target {
    let nil = "00000000-0000-0000-0000-000000000000";
    Target {
        project: nil.parse::<ProjectId>().unwrap(),
        id: nil.parse::<ResourceId>().unwrap(),
        slug: "x".to_owned(),
    }
}

fn job() -> Workload {
    let text = || "x".to_owned();
    Workload::Job(Job {
        job: target(),
        job_run: text(),
        artifact: Artifact { digest: text(), build: text(), service: text(), commit: text(), branch: text() },
        command: Command::Process(text()),
        environment: Map::new(),
        deadline_seconds: None,
    })
}
