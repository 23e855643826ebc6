//! Whether arguments have values, and such as a run can take.

use serde_json::Value;
use shipway_documents::{
    Code, DocumentType, Problem, Problems,
    flow::{Flow, unresolved},
    pointer,
};

use super::Known;

pub(super) fn check(flow: &Flow, known: &Known, problems: &mut Problems) {
    overrides(flow, problems);
    values(flow, known, problems);
    started_by_triggers(flow, known, problems);
}

/// A flow's overrides are kept beside its document, whose history everybody can read.
fn overrides(flow: &Flow, problems: &mut Problems) {
    let is_flow = matches!(flow.document_type, DocumentType::ReleaseFlow | DocumentType::Preview);
    let overrides = flow.value.get("argumentOverrides").and_then(Value::as_object);
    if is_flow && overrides.is_some_and(|overrides| !overrides.is_empty()) {
        let message = "overrides are not part of a flow's document: their values would be in its history";
        let problem = Problem::error("/argumentOverrides", message).at_key();
        problems.push(problem.help("take them away, and set each with `shipway override`"));
    }
}

/// The values that the document gives, where no override goes before them.
fn values(flow: &Flow, known: &Known, problems: &mut Problems) {
    for argument in flow.arguments.iter().filter(|argument| !known.arguments.contains_key(&argument.name)) {
        let at = pointer::join("/arguments", &argument.name);
        let is_bare = flow.value.pointer(&at) == argument.default.as_ref();
        let at = if is_bare { at } else { pointer::join(&at, "default") };
        problems.extend(argument.default.iter().flat_map(|value| unresolved(value, &at)));
    }
}

/// A run that a trigger starts is asked for no arguments: those that are required and have no value keep every one
/// of them from starting.
fn started_by_triggers(flow: &Flow, known: &Known, problems: &mut Problems) {
    let Some(trigger) = flow.triggers.first() else { return };
    let missing = flow.arguments.iter().filter(|argument| {
        argument.required && argument.default.is_none() && !known.arguments.contains_key(&argument.name)
    });
    for argument in missing {
        let name = &argument.name;
        let at = pointer::join("/arguments", name);
        problems.push(
            Problem::warning(
                at,
                format!("runs that a trigger starts have no value for `{name}`, so they do not start"),
            )
            .code(Code::ArgRequired)
            .at_key()
            .related(trigger.pointer.clone(), format!("the trigger `{}`", trigger.reference))
            .help(format!("give it a `default`, or set it: `shipway override set <flow> {name}`")),
        );
    }
}
