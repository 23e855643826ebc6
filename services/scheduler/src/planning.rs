//! From a flow's document to a run's plan. No input or output: everything it needs is handed in.

mod given;
mod held;
mod nodes;
mod pin;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use serde_json::{Map, Value, json};
use shipway_contracts::{
    Error,
    v1::{FlowForRunReply, Problem, problem},
};
use shipway_documents::{
    Problems, Severity,
    expr::{Lookup, Place, Scope},
    flow::{Flow, TriggerSource},
    secret,
};
use shipway_events::{
    ConcurrencyPolicy, FlowId, PipelineId, ProjectId, SecretRef, Timestamp,
    plan::{Artifact, BackupPin, Given, PinnedResource, Plan},
    run::{Origin, Started},
};
use shipway_nodes::validate::{Known, Resource, StageContext, validate_flow_with};
use uuid::Uuid;

use crate::{
    schedules, secrets,
    start::{Asked, FlowChoice},
};

/// What there is in the project when a run starts.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// What each resource has, by its id in documents.
    pub(crate) deployed: BTreeMap<String, Artifact>,
    pub(crate) builds: BTreeMap<String, Artifact>,
    pub(crate) backups: BTreeMap<String, BackupPin>,
}

/// The answer of the projects' home for a document that belongs to no project: diagnostic nodes only.
pub(crate) fn diagnostic(text: &str) -> Result<FlowForRunReply, Error> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| Error::bad_request(format!("field `document_json`: {error}")))?;
    if let Some(kind) = foreign_kind(document.get("spec").unwrap_or(&Value::Null)) {
        return Err(Error::bad_request(format!(
            "field `document_json`: a document without a pipeline may hold `Noop`, workflows, loops and approvals, not `{kind}`; \
             apply a pipeline to use it"
        )));
    }
    let nil = Uuid::nil().to_string();
    Ok(FlowForRunReply {
        project: nil.clone(),
        flow: nil,
        path: "diagnostic".to_owned(),
        version: 1,
        document_json: text.to_owned(),
        ..FlowForRunReply::default()
    })
}

/// The flow of an addon that is started anew and gets its content from a backup.
pub(crate) fn restored(mut reply: FlowForRunReply, backup: &str) -> FlowForRunReply {
    // `addon/<project>/<addon>`.
    let addon = reply.path.rsplit('/').next().unwrap_or_default();
    let start = json!({"kind": "Addon", "ref": "addon", "spec": {"addonId": addon}, "condition": "running"});
    let restore = json!({
        "kind": "Action", "ref": "restore", "condition": "success",
        "spec": {
            "kind": "AddonBackup",
            "spec": {"type": "restore", "data": {"addonId": addon, "backupId": backup}},
        },
    });
    reply.document_json = json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [start, restore]}},
    })
    .to_string();
    reply
}

/// The flow of an addon in which it is decided what becomes of what it kept.
pub(crate) fn kept(mut reply: FlowForRunReply, put_back: bool) -> FlowForRunReply {
    let addon = reply.path.rsplit('/').next().unwrap_or_default();
    let act = if put_back { "revert" } else { "confirm" };
    let node = json!({
        "kind": "Action", "ref": act, "condition": "success",
        "spec": {"kind": "Addon", "spec": {"type": act, "data": {"addonId": addon}}},
    });
    reply.document_json = json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [node]}},
    })
    .to_string();
    reply
}

fn foreign_kind(node: &Value) -> Option<&str> {
    match node.get("kind").and_then(Value::as_str)? {
        "Noop" | "LoopData" | "Approval" => None,
        "Workflow" | "LoopWorkflow" => {
            node.pointer("/spec/steps").and_then(Value::as_array)?.iter().find_map(foreign_kind)
        }
        other => Some(other),
    }
}

/// Pins a run: its arguments, its triggers' values, its nodes with everything resolved that can be, the
/// resources that they may name and what those have now.
pub(crate) fn plan(
    asked: &Asked,
    reply: &FlowForRunReply,
    world: World,
    now: Timestamp,
) -> Result<Started, Vec<Problem>> {
    let mut document: Value =
        serde_json::from_str(&reply.document_json).map_err(|error| broken(&error.to_string()))?;
    given::change(&mut document, &asked.given)?;
    let overrides: Map<String, Value> = match reply.overrides_json.as_str() {
        "" => Map::new(),
        text => serde_json::from_str(text).map_err(|error| broken(&error.to_string()))?,
    };
    let flow = Flow::parse(&document).map_err(|problems| shown(&problems))?;
    let resources = resources(reply)?;
    // Nobody wrote the flow of a rollback either: it may name what other flows of its stage may not.
    let is_rollback = matches!(asked.choice, FlowChoice::Rollback(_));
    if asked.origin != Origin::Resource && !is_of_resource(reply) && !is_rollback {
        let problems = validate_flow_with(&flow, &stage(reply, &resources), &known(&overrides, asked));
        if problems.has_errors() {
            return Err(shown(&problems));
        }
    }
    let args = flow.argument_values(&overrides, &asked.arguments).map_err(|problems| shown(&problems))?;
    if asked.origin == Origin::Manual && !is_rollback {
        let unfilled = flow.unfilled(&overrides, &asked.arguments);
        if unfilled.has_errors() {
            return Err(shown(&unfilled));
        }
    }
    let triggers = trigger_values(&flow, asked, now);
    let named = flow.nodes();
    let names = named.iter().map(|placed| placed.node.reference.as_str()).collect();
    let places = named.iter().map(|placed| (placed.node.pointer.as_str(), placed.node.reference.as_str()));
    let id = |text: &str| Uuid::parse_str(text).unwrap_or_default();
    let flow_id = FlowId::new(id(&reply.flow));
    let start = Start {
        id: flow_id,
        names,
        places: places.collect(),
        args: &args,
        triggers: &triggers,
        resources: &resources,
        now,
    };
    let nodes = nodes::nodes(&flow, &start)?;
    if let Some(parent) = &asked.parent {
        let problems = held::check(&nodes, ProjectId::new(id(&reply.project)), &parent.held);
        if !problems.is_empty() {
            return Err(shown(&problems));
        }
    }
    // What is resolved later has the same time as what is resolved now.
    let at = reply.document_json.contains("date(").then_some(now);
    let (without_secrets, fork) = (asked.without_secrets.clone(), asked.fork.clone());
    let given = Given { arguments: asked.arguments.clone(), ..asked.given.clone() };
    let plan = Plan { at, without_secrets, fork, given, ..pin::pin(nodes, args, triggers, resources, world) };
    // Runs that belong to no flow have no lane to share.
    let policy =
        if flow_id.uuid().is_nil() { ConcurrencyPolicy::Allow } else { flow.options.concurrency_policy };
    let name = if asked.name.is_empty() { asked.run.to_string() } else { asked.name.clone() };
    Ok(Started {
        run: asked.run,
        project: ProjectId::new(id(&reply.project)),
        pipeline: (!reply.pipeline.is_empty()).then(|| PipelineId::new(id(&reply.pipeline))),
        flow: flow_id,
        path: reply.path.clone(),
        flow_version: reply.version,
        name,
        description: asked.description.clone(),
        origin: if reply.path == "diagnostic" { Origin::Bench } else { asked.origin },
        author: Some(asked.author.as_ref().unwrap_or(&asked.meta.actor).clone()),
        parent: asked.parent.clone(),
        policy,
        rollback: None,
        plan,
    })
}

/// Whether it is a resource's own flow, which nobody wrote: there is no stage that it could be checked against.
fn is_of_resource(reply: &FlowForRunReply) -> bool {
    reply.pipeline.is_empty() && reply.path.matches('/').count() == 2
}

/// The names that are known when a run starts: arguments and triggers. Nodes come later.
struct Start<'a> {
    id: FlowId,
    /// Of all nodes.
    names: BTreeSet<&'a str>,
    /// The same, by where the nodes stand.
    places: HashMap<&'a str, &'a str>,
    args: &'a Map<String, Value>,
    triggers: &'a Map<String, Value>,
    resources: &'a BTreeMap<String, PinnedResource>,
    now: Timestamp,
}

impl Scope for Start<'_> {
    fn arg(&self, name: &str) -> Lookup<'_> {
        Lookup::from_option(self.args.get(name), || self.args.keys().cloned().collect())
    }

    fn reference(&self, reference: &str) -> Lookup<'_> {
        if self.names.contains(reference) {
            return Lookup::Later;
        }
        Lookup::Missing { known: self.names.iter().map(|&name| name.to_owned()).collect() }
    }

    fn trigger(&self, reference: &str) -> Lookup<'_> {
        Lookup::from_option(self.triggers.get(reference), || self.triggers.keys().cloned().collect())
    }

    fn secret(&self, id: &str) -> Lookup<'_> {
        secrets::group(self.resources, id)
    }

    fn random_secret(&self, place: Place<'_>) -> Option<SecretRef> {
        secrets::random(self.id, |at| self.places.get(at).copied(), place)
    }

    fn now(&self) -> Option<Timestamp> {
        Some(self.now)
    }
}

/// Every trigger of the flow has values: those that came, over its defaults (its repository, and its branch where
/// a rule names exactly one). A run that no schedule started is due when it is started.
fn trigger_values(flow: &Flow, asked: &Asked, now: Timestamp) -> Map<String, Value> {
    let mut values = Map::new();
    for trigger in &flow.triggers {
        let mut defaults = Map::new();
        if matches!(&trigger.source, TriggerSource::Typed(typed) if typed.schedule.is_some()) {
            defaults.insert("scheduledAt".to_owned(), Value::from(schedules::shown(now)));
        }
        let git = match &trigger.source {
            TriggerSource::Git(git) => Some(git),
            TriggerSource::Typed(typed) => Some(&typed.git),
            TriggerSource::Webhook(_) => None,
        };
        if let Some(git) = git.filter(|git| !git.repo_url.is_empty()) {
            defaults.insert("repoUrl".to_owned(), Value::from(git.repo_url.clone()));
            // A run by hand has no commit of its own: a build without one takes the branch's newest.
            defaults.insert("sha".to_owned(), Value::Null);
            defaults.insert("pullRequestId".to_owned(), Value::Null);
            if let [branch] = git.branch_restrictions.as_slice()
                && !branch.contains('*')
            {
                defaults.insert("branch".to_owned(), Value::from(branch.clone()));
            }
        }
        values.insert(trigger.reference.clone(), Value::Object(defaults));
    }
    for (reference, given) in &asked.triggers {
        let slot = values.entry(reference.clone()).or_insert_with(|| Value::Object(Map::new()));
        match (slot, given) {
            (Value::Object(slot), Value::Object(given)) => {
                slot.extend(given.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            (slot, given) => *slot = given.clone(),
        }
    }
    for trigger in &flow.triggers {
        if let Some(values) = values.get_mut(&trigger.reference) {
            given::into_trigger(values, &trigger.reference, &asked.given);
        }
    }
    values
}

pub(crate) fn resources(reply: &FlowForRunReply) -> Result<BTreeMap<String, PinnedResource>, Vec<Problem>> {
    reply
        .resources
        .iter()
        .filter(|resource| !resource.json.is_empty())
        .map(|resource| {
            let pinned = serde_json::from_str(&resource.json).map_err(|error| broken(&error.to_string()))?;
            Ok((resource.slug.clone(), pinned))
        })
        .collect()
}

/// What the flow's nodes may name, as the projects' home says it.
fn stage<'a>(
    reply: &'a FlowForRunReply,
    resources: &'a BTreeMap<String, PinnedResource>,
) -> StageContext<'a> {
    let filled = |text: &'a str| (!text.is_empty()).then_some(Cow::Borrowed(text));
    let known = reply.resources.iter().filter_map(|resource| {
        let kind = resources.get(&resource.slug)?.kind;
        let (stage, unusable) = (filled(&resource.stage), filled(&resource.unusable));
        Some((Cow::Borrowed(resource.slug.as_str()), Resource { kind, stage, unusable }))
    });
    StageContext {
        stage: Cow::Borrowed(&reply.stage),
        previous: filled(&reply.previous_stage),
        resources: known.collect(),
    }
}

/// The arguments that overrides and the run give, and whether each is secret.
fn known(overrides: &Map<String, Value>, asked: &Asked) -> Known {
    let mut arguments: BTreeMap<String, bool> =
        overrides.iter().map(|(name, value)| (name.clone(), secret::is_secret(value))).collect();
    arguments.extend(asked.arguments.keys().map(|name| (name.clone(), false)));
    Known { project: None, arguments }
}

fn broken(why: &str) -> Vec<Problem> {
    let message = format!("the flow's stored document cannot be read: {why}");
    vec![Problem { severity: problem::Severity::Error.into(), message, ..Problem::default() }]
}

/// Problems as the API shows them.
pub(crate) fn shown(problems: &Problems) -> Vec<Problem> {
    let severity = |severity| match severity {
        Severity::Warning => problem::Severity::Warning,
        Severity::Error | Severity::Unsupported => problem::Severity::Error,
    };
    problems
        .iter()
        .map(|problem| Problem {
            severity: severity(problem.severity).into(),
            pointer: problem.pointer.clone(),
            message: problem.message.clone(),
            help: problem.help.clone().unwrap_or_default(),
            line: problem.line.unwrap_or(0),
            column: problem.column.unwrap_or(0),
            code: problem.code.to_string(),
            ..Problem::default()
        })
        .collect()
}

#[cfg(test)]
mod tests;
