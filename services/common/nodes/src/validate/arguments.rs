//! Whether runs that nobody starts by hand have the arguments that they need.

use shipway_documents::{Code, Problem, Problems, flow::Flow, pointer};

use super::Known;

/// A run that a trigger starts is asked for no arguments: those that are required and have no value keep every one
/// of them from starting.
pub(super) fn check(flow: &Flow, known: &Known, problems: &mut Problems) {
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
