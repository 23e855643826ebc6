//! Nodes: the envelope, and the spec of each kind that a type of document may hold.

use serde_json::{Value, json};
use shipway_documents::{
    DocumentType,
    flow::holds_steps,
    kinds::{ALIASES, KNOWN},
};

use super::fields::{boolean, described, fixed, integer, list, object, one_of, text, texts, when};
use crate::find;

pub(super) fn node(document: DocumentType) -> Value {
    let allowed: Vec<&str> =
        KNOWN.iter().filter(|kind| kind.is_allowed_in(document)).map(|kind| kind.name).collect();
    let aliases = ALIASES.iter().filter(|(_, right)| allowed.contains(right)).map(|(alias, _)| *alias);
    let words: Vec<&str> = allowed.iter().copied().chain(aliases).collect();
    let kinds: Vec<_> = allowed.iter().filter_map(|name| kind(name, document)).collect();
    json!({
        "type": "object",
        "properties": envelope(&words),
        "required": ["kind"],
        "allOf": kinds,
    })
}

/// What may stand in a node of any kind.
fn envelope(kinds: &[&str]) -> Value {
    let label = json!({ "type": "string", "pattern": "^[A-Za-z0-9_./=-]{1,63}$" });
    json!({
        "kind": described(json!({ "enum": kinds }), "What the node does."),
        "ref": described(
            json!({ "type": ["string", "null"], "pattern": "^[\\p{Alphabetic}\\p{N}_-]+$" }),
            "Its name in `${refs.<ref>…}`."
        ),
        "spec": described(json!({ "type": ["object", "null"] }), "What it needs to know."),
        "condition": described(
            fixed(text()),
            "What is waited for."
        ),
        "timeoutDuration": described(integer(30, 14_400), "Seconds that it may take."),
        "skipNodeExecution": described(json!({}), "Whether it is skipped: a value or an expression."),
        "when": described(
            fixed(one_of(&["success", "failure", "always"])),
            "The fate of what came before in its workflow that lets it start."
        ),
        "retry": described(retry(), "How often it is tried, and when again."),
        "settings": described(retry(), "The same as `retry`, as run documents have it."),
        "effect": described(
            fixed(one_of(&["keyed", "fenced", "checked", "once"])),
            "What keeps its effect from happening twice."
        ),
        "interruptible": described(fixed(boolean()), "Whether a newer run may end it in the middle; true unless said otherwise."),
        "locks": described(fixed(texts()), "Names that are held while it runs, across flows."),
        "dependsOn": described(fixed(texts()), "The nodes that go before it, in a workflow of type `graph`."),
        "runsOn": described(fixed(list(&label)), "Labels that its executor must have."),
        "runNodeOnce": described(fixed(boolean()), "Whether it only runs in the first run for an environment: in preview blueprints."),
        "updateMode": described(
            fixed(one_of(&["put", "patch"])),
            "Whether all of a resource is replaced, or what is given."
        ),
        "response": described(json!({}), "What it answered, in documents of runs."),
        "name": text(),
        "description": text(),
    })
}

fn retry() -> Value {
    let way = fixed(one_of(&["fixed", "exponential"]));
    let seconds = fixed(integer(0, 86_400));
    let backoff = json!({ "anyOf": [
        way,
        { "type": "object", "properties": { "type": way, "delay": seconds } },
    ] });
    object(json!({
        "maxAttempts": described(fixed(integer(1, 100)), "How often it is tried in all."),
        "backoff": described(backoff, "How the time between two attempts grows."),
        "delay": described(seconds.clone(), "Seconds before the second attempt."),
        "maxDelay": described(seconds, "The most seconds between two attempts."),
        "jitter": described(fixed(boolean()), "Whether the time is varied by chance."),
    }))
}

/// What a kind says of its nodes; nothing of kinds that are not described.
fn kind(name: &str, document: DocumentType) -> Option<Value> {
    let known = find(name);
    let mut names = vec![Value::from(name)];
    let aliases = ALIASES.iter().filter(|(_, right)| *right == name);
    names.extend(aliases.map(|(alias, _)| Value::from(*alias)));
    let mut then = json!({});
    let mut parts = Vec::new();
    let mut is_needed = false;
    if let Some(known) = known {
        let schema = known.config_schema();
        is_needed = schema.get("required").is_some_and(|required| required != &json!([]))
            || schema.get("allOf").is_some();
        parts.push(json!({ "$ref": format!("#/$defs/kind-{name}") }));
        let conditions = known.conditions().iter().map(|word| Value::from(*word));
        let conditions: Vec<_> = conditions.chain([Value::from(""), Value::Null]).collect();
        then["properties"]["condition"] = json!({ "enum": conditions });
    }
    if holds_steps(name) {
        is_needed = true;
        let steps = json!({ "type": "array", "items": { "$ref": format!("#/$defs/node-{document}") } });
        parts.push(json!({ "type": "object", "properties": { "steps": steps }, "required": ["steps"] }));
        then["properties"]["runsOn"] = list(&json!(false));
    }
    if parts.is_empty() {
        return None;
    }
    let spec = json!({ "allOf": parts });
    if is_needed {
        then["required"] = json!(["spec"]);
        then["properties"]["spec"] = spec;
    } else {
        then["properties"]["spec"] = json!({ "anyOf": [spec, { "type": "null" }] });
    }
    Some(when("kind", &names, then))
}
