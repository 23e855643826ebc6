//! What is said about a reference that does not hold.

use std::collections::BTreeSet;

use serde_json::Value;
use shipway_documents::{Code, Problem, expr::Reference, flow::Node, pointer, with_article};

use super::{
    index::Index,
    order::{Doubt, Standing, Why},
};
use crate::Outputs;

/// It may be there.
pub(super) fn doubtful(index: &Index<'_>, reference: &Reference, on: u32, doubt: Doubt) -> Problem {
    let name = reference.name.as_str();
    let of = |at: u32| index.get(at).node;
    match doubt {
        Doubt::MayHaveFailed => warning(
            Code::RefMaybe,
            reference,
            format!("`{name}` may have failed, or not have run, when this is needed: then it has no outputs, and this node fails"),
        )
        .help(format!("say what is used instead: `${{fn.if({0}, {0}, 'unknown')}}`", written(reference))),
        Doubt::MayBeSkipped => {
            let skipped = of(on);
            let which = if skipped.reference == name {
                format!("`{name}` may be skipped")
            } else {
                format!("`{name}` is in `{}`, which may be skipped", skipped.reference)
            };
            warning(Code::RefMaybe, reference, format!("{which}: then it has no outputs, and this node fails"))
                .related(pointer::join(&skipped.pointer, "skipNodeExecution"), "it is skipped when this is true")
                .help("skip this node under the same condition, or give another value with `fn.if`")
        }
    }
}

/// It is not there.
pub(super) fn misplaced(
    index: &Index<'_>,
    reference: &Reference,
    source: &Node,
    standing: Standing,
) -> Problem {
    let name = reference.name.as_str();
    let of = |at: u32| index.get(at).node;
    let here = |node: &Node| (node.pointer.clone(), format!("`{}` is here", node.reference));
    match standing {
        Standing::Itself => error(Code::RefSelf, reference, format!("`{name}` is this node itself"))
            .help("name a node that runs before it"),
        Standing::Around => error(
            Code::RefSelf,
            reference,
            format!("this node is a step of `{name}`, which has not ended when this is needed"),
        )
        .help("name a node that runs before it"),
        Standing::Inside => error(
            Code::RefSelf,
            reference,
            format!("`{name}` is a step of this node, and has not run when this is needed"),
        )
        .help("name a node that runs before it"),
        Standing::Beside => {
            let (at, note) = here(source);
            error(
                Code::RefLater,
                reference,
                format!(
                    "`{name}` runs at the same time as this node: it may not have ended when this is needed"
                ),
            )
            .related(at, note)
            .help("put this node after it, in a `sequential` workflow")
        }
        Standing::Unordered(waits, for_) => {
            let (at, note) = here(source);
            let (waits, for_) = (of(waits), of(for_));
            error(Code::RefLater, reference, format!("nothing makes this node wait for `{name}`"))
                .related(at, note)
                .help(format!("let `{}` wait: `dependsOn: [{}]`", waits.reference, for_.reference))
        }
        Standing::InLoop(looped) => {
            let looped = of(looped);
            let (at, note) = here(looped);
            let path = written(reference).split_off("refs.".len() + name.len());
            error(
                Code::RefLoop,
                reference,
                format!("`{name}` runs once in every iteration of the loop `{}`", looped.reference),
            )
            .related(at, note)
            .help(format!(
                "name the iteration, 0 for the first: `refs.{}.iterations.0.{name}{path}`",
                looped.reference
            ))
        }
        Standing::Never(on, Why::AlwaysSkipped) => {
            error(Code::RefNever, reference, format!("`{name}` is always skipped, so it never has outputs"))
                .related(pointer::join(&of(on).pointer, "skipNodeExecution"), "this is always true")
                .help("take its `skipNodeExecution` away, or do without its outputs")
        }
        Standing::Never(on, Why::OnlyOnFailure) => {
            let only = of(on);
            let which = if only.reference == name { "it" } else { "what it is in" };
            error(Code::RefNever, reference, format!("`{name}` never has outputs here: {which} runs when something has failed, and this node only when nothing has"))
                .related(pointer::join(&only.pointer, "when"), format!("`{}` is only for failures", only.reference))
                .help("give this node `when: failure` or `when: always` too, or name another node")
        }
        Standing::After | Standing::Before | Standing::Perhaps(..) => {
            let (at, note) = here(source);
            error(Code::RefLater, reference, format!("the node `{name}` has not run when this is needed"))
                .related(at, note)
                .help("put this node after it, in a `sequential` workflow")
        }
    }
}

/// An iteration that does not have what is asked for; none where iterations are not written out.
pub(super) fn lacking(looped: &Node, reference: &Reference) -> Option<Problem> {
    let iterations = looped.spec.get("iterations")?.as_array()?;
    let first = reference.path.first()?;
    let lacks = |one: &Value| one.as_object().is_some_and(|members| !members.contains_key(first));
    let n = iterations.iter().position(lacks)?;
    let all =
        iterations.iter().filter_map(Value::as_object).flat_map(|members| members.keys().map(String::as_str));
    let known: BTreeSet<&str> = all.collect();
    let place = pointer::item(&pointer::join(&looped.spec_pointer(), "iterations"), n);
    Some(
        error(Code::RefPath, reference, format!("iteration {n} of `{}` has no `{first}`", looped.reference))
            .related(place, format!("iteration {n}, 0 for the first"))
            .help(format!("give every iteration its `{first}`"))
            .suggest(first, known),
    )
}

/// An iteration that there is not, as far as iterations are written out.
pub(super) fn no_iteration(looped: &Node, n: &str, reference: &Reference) -> Option<Problem> {
    let name = &looped.reference;
    let Ok(number) = n.parse::<usize>() else {
        let problem = error(Code::RefPath, reference, format!("`{n}` is no number of an iteration"));
        return Some(problem.help(format!("0 is the first: `refs.{name}.iterations.0`")));
    };
    let count = looped.spec.get("iterations")?.as_array()?.len();
    let message = format!("the loop `{name}` has no iteration {number}");
    (number >= count).then(|| {
        error(Code::RefPath, reference, message).help(match count {
            0 => "it has none".to_owned(),
            count => format!("it has those from 0 to {}", count - 1),
        })
    })
}

/// The path of a secret file, where no program is started that is given the file.
pub(super) fn pathless(reference: &Reference) -> Problem {
    let file = reference.path.get(1).map_or("", String::as_str);
    error(Code::ExprType, reference, format!("the secret file `{file}` has no path here: only a job's run is given it"))
        .help("name it in a variable of a `JobRun`, in `runtimeEnvironment`; elsewhere its contents are `data`, as base64")
}

/// The reference as it is written inside of a call.
fn written(reference: &Reference) -> String {
    let path = reference.path.iter().fold(String::new(), |path, step| format!("{path}.{step}"));
    format!("refs.{}{path}", reference.name)
}

pub(super) fn unknown_output(reference: &Reference, source: &Node, outputs: &Outputs) -> Problem {
    let (name, path, kind) = (&reference.name, reference.path.join("."), &source.kind);
    let problem = error(
        Code::RefPath,
        reference,
        format!("`{name}` is {}, which has no output `{path}`", with_article(kind)),
    );
    let names = outputs.names();
    if names.is_empty() {
        problem.help(format!("{} has no outputs", with_article(kind)))
    } else {
        problem.suggest(&path, names)
    }
}

pub(super) fn error(code: Code, reference: &Reference, message: String) -> Problem {
    Problem::error(reference.pointer.clone(), message).code(code).span(reference.span.clone())
}

pub(super) fn warning(code: Code, reference: &Reference, message: String) -> Problem {
    Problem::warning(reference.pointer.clone(), message).code(code).span(reference.span.clone())
}
