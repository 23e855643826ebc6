//! What a run is asked to do otherwise than its flow's document says: other values for fields, other things to release.

use serde_json::{Map, Value};
use shipway_contracts::v1;
use shipway_documents::{
    Problem, Problems,
    flow::{Flow, Node, Trigger, holds_steps},
};
use shipway_engine::set_field;
use shipway_events::plan::Given;
use shipway_nodes::validate::trigger_values;

use super::shown;

/// Changes the document as the run was asked to; fields of triggers are looked at, and are no part of it.
pub(super) fn change(document: &mut Value, given: &Given) -> Result<(), Vec<v1::Problem>> {
    if given.fields.is_empty() && given.releases.is_empty() {
        return Ok(());
    }
    let flow = Flow::parse(document).map_err(|problems| shown(&problems))?;
    let mut problems = Problems::new();
    for (reference, fields) in &given.fields {
        let at = format!("/fields/{}", token(reference));
        let Value::Object(fields) = fields else {
            problems.push(Problem::error(
                at,
                format!("`{reference}` is given {fields}, not an object of fields"),
            ));
            continue;
        };
        let node = flow.nodes().into_iter().find(|placed| placed.node.reference == *reference);
        let trigger = flow.triggers.iter().find(|trigger| trigger.reference == *reference);
        let changed = match (node, trigger) {
            (Some(placed), _) => set_fields(document, placed.node, fields, &at),
            (None, Some(trigger)) => check_trigger(trigger, fields, &at),
            (None, None) => {
                let nodes = flow.nodes();
                let names = nodes.iter().map(|placed| placed.node.reference.as_str());
                let names: Vec<&str> =
                    names.chain(flow.triggers.iter().map(|trigger| trigger.reference.as_str())).collect();
                let message = format!("the flow has no node and no trigger `{reference}`");
                Err(Problem::error(at, message).suggest(reference, names.iter().copied()))
            }
        };
        if let Err(problem) = changed {
            problems.push(problem);
        }
    }
    for (target, release) in &given.releases {
        if let Err(problem) = release_instead(document, &flow, target, release) {
            problems.push(problem);
        }
    }
    if problems.has_errors() { Err(shown(&problems)) } else { Ok(()) }
}

/// The values that a run was given for a trigger, over those that came.
pub(super) fn into_trigger(values: &mut Value, reference: &str, given: &Given) {
    let Some(Value::Object(fields)) = given.fields.get(reference) else { return };
    for (field, value) in fields {
        // It was looked at before.
        let _ = set_field(values, field, value.clone());
    }
}

fn set_fields(
    document: &mut Value,
    node: &Node,
    fields: &Map<String, Value>,
    at: &str,
) -> Result<(), Problem> {
    let name = &node.reference;
    if node.kind == "Approval" || holds_steps(&node.kind) {
        let message =
            format!("`{name}` is {}: a run cannot have it otherwise than its flow", described(&node.kind));
        return Err(Problem::error(at, message).help("publish another version of the flow"));
    }
    let spec = document.pointer_mut(&node.pointer).and_then(Value::as_object_mut);
    let Some(spec) = spec.map(|node| node.entry("spec").or_insert_with(|| Value::Object(Map::new()))) else {
        return Err(Problem::error(at, format!("`{name}` has no `spec`")));
    };
    for (field, value) in fields {
        set_field(spec, field, value.clone()).ok_or_else(|| {
            let around = field.rsplit_once('/').map_or("", |(around, _)| around);
            let message =
                format!("`{name}` has no field `{field}`: there is no object `{around}` in its `spec`");
            Problem::error(format!("{at}/{}", token(field)), message)
        })?;
    }
    Ok(())
}

fn described(kind: &str) -> &'static str {
    if kind == "Approval" { "what people approve" } else { "a workflow" }
}

fn check_trigger(trigger: &Trigger, fields: &Map<String, Value>, at: &str) -> Result<(), Problem> {
    let known = trigger_values(&trigger.source).always;
    let is_known = |field: &str| {
        let first = field.split('/').next().unwrap_or_default();
        known.iter().any(|name| name == field || name.strip_suffix(".*") == Some(first))
    };
    match fields.keys().find(|field| !is_known(field)) {
        None => Ok(()),
        Some(field) => {
            let message = format!("the trigger `{}` has no value `{field}`", trigger.reference);
            let names = known.iter().map(String::as_str);
            Err(Problem::error(format!("{at}/{}", token(field)), message).suggest(field, names))
        }
    }
}

/// Has a release of a target take something else.
fn release_instead(document: &mut Value, flow: &Flow, target: &str, release: &Value) -> Result<(), Problem> {
    let at = format!("/releases/{}", token(target));
    let members = release.as_object().filter(|members| {
        members.len() == 2
            && members.get("type").is_some_and(Value::is_string)
            && members.contains_key("origin")
    });
    let Some(members) = members else {
        let message = format!("what `{target}` gets has to be an object of `type` and `origin`");
        let help = r#"as a `Release` has it: {"type": "build", "origin": {"id": "…", "build": "latest"}}"#;
        return Err(Problem::error(at, message).help(help));
    };
    let nodes = flow.nodes();
    let releases = nodes.iter().map(|placed| placed.node).filter(|node| node.kind == "Release");
    let aimed: Vec<(&Node, &str)> =
        releases.filter_map(|node| Some((node, node.spec.pointer("/target/id")?.as_str()?))).collect();
    if !aimed.iter().any(|(_, other)| *other == target) {
        let message = format!("the flow releases nothing to `{target}`");
        return Err(Problem::error(at, message).suggest(target, aimed.iter().map(|(_, target)| *target)));
    }
    for (node, _) in aimed.iter().filter(|(_, other)| *other == target) {
        let spec = document.pointer_mut(&format!("{}/spec", node.pointer)).and_then(Value::as_object_mut);
        if let Some(spec) = spec {
            spec.extend(members.clone());
        }
    }
    Ok(())
}

/// A name as a part of a JSON pointer.
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
