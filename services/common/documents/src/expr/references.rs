//! What a value refers to, without a scope: for checks, and for what goes when a node goes.

use std::ops::Range;

use serde_json::Value;

use super::{
    functions,
    parse::{self, Expr, Kind, Part, PathRoot, SyntaxError},
};
use crate::{Problem, pointer, secret};

/// What a reference starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// `args`
    Args,
    /// `refs`: a node or a trigger.
    Refs,
    /// `triggers`
    Triggers,
}

/// A name in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What it starts with.
    pub root: Root,
    /// The argument, node or trigger.
    pub name: String,
    /// The path after the name.
    pub path: Vec<String>,
    /// Where the text stands.
    pub pointer: String,
    /// Where in the text, in bytes.
    pub span: Range<usize>,
    /// Whether it stands in `${template.…}`, so that it means a name of the document around.
    pub template: bool,
    /// Whether it counts as false when it has no value.
    pub optional: bool,
}

/// Every name that the expressions in `value`, which stands at `at`, refer to. What cannot be parsed has
/// none; see [`check`].
#[must_use]
pub fn references(value: &Value, at: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    each_part(value, at, &mut |pointer, part| {
        if let Ok(Part::Expression { template, expr, .. }) = part {
            collect(&expr, pointer, template, false, &mut found);
        }
    });
    found
}

/// What is wrong with the expressions in `value` whatever their names stand for: syntax, unknown functions,
/// numbers of arguments, and `template.` where there is no document around (`nested` is false).
#[must_use]
pub fn check(value: &Value, at: &str, nested: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    each_part(value, at, &mut |pointer, part| match part {
        Err(error) => problems.push(Problem { pointer: pointer.to_owned(), ..error.into_problem() }),
        Ok(Part::Expression { template, expr, span }) => {
            if template && !nested {
                problems.push(
                    Problem::error(
                        pointer,
                        "`template.` is only known inside a flow that is nested in a template",
                    )
                    .help("take `template.` away")
                    .span(span),
                );
            }
            check_calls(&expr, pointer, &mut problems);
        }
        Ok(_) => {}
    });
    problems
}

fn each_part(value: &Value, at: &str, visit: &mut dyn FnMut(&str, Result<Part, SyntaxError>)) {
    match value {
        Value::String(text) if text.contains("${") => match parse::parts(text) {
            Ok(parts) => parts.into_iter().for_each(|part| visit(at, Ok(part))),
            Err(error) => visit(at, Err(error)),
        },
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                each_part(item, &pointer::item(at, n), visit);
            }
        }
        Value::Object(members) if !secret::is_mark(value) => {
            for (key, member) in members {
                each_part(member, &pointer::join(at, key), visit);
            }
        }
        _ => {}
    }
}

fn collect(expr: &Expr, at: &str, template: bool, optional: bool, found: &mut Vec<Reference>) {
    match &expr.kind {
        Kind::Literal(_) => {}
        Kind::List(items) => items.iter().for_each(|item| collect(item, at, template, false, found)),
        Kind::Path { root, name, path } => found.push(Reference {
            root: match root {
                PathRoot::Args => Root::Args,
                PathRoot::Refs => Root::Refs,
                PathRoot::Triggers => Root::Triggers,
            },
            name: name.clone(),
            path: path.clone(),
            pointer: at.to_owned(),
            span: expr.span.clone(),
            template,
            optional,
        }),
        Kind::Call { function, args } => {
            let known = functions::find(function, args.len(), &expr.span).ok();
            for (n, arg) in args.iter().enumerate() {
                let optional = known.is_some_and(|function| function.is_boolean(n));
                collect(arg, at, template, optional, found);
            }
        }
    }
}

fn check_calls(expr: &Expr, at: &str, problems: &mut Vec<Problem>) {
    match &expr.kind {
        Kind::Call { function, args } => {
            if let Err(trouble) = functions::find(function, args.len(), &expr.span) {
                problems.push(Problem { pointer: at.to_owned(), ..trouble.into_problem() });
            }
            args.iter().for_each(|arg| check_calls(arg, at, problems));
        }
        Kind::List(items) => items.iter().for_each(|item| check_calls(item, at, problems)),
        Kind::Literal(_) | Kind::Path { .. } => {}
    }
}
