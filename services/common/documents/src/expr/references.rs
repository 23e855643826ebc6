//! What a value says whatever its names stand for: for checks, and for what goes when a node goes.

use std::ops::Range;

use serde_json::Value;

use super::{
    ast::{Expr, Kind, Part, PathRoot},
    eval::{random_in_arrow, wrong_pattern},
    functions, parse,
    resolve::not_nested,
    trouble::Trouble,
    walk::each_text,
};
use crate::Problem;

/// What a reference starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// `args`
    Args,
    /// `refs`: a node or a trigger.
    Refs,
    /// `triggers`
    Triggers,
    /// `secrets`, and what `fn.randomSecret` and `fn.fetchSecret` give, under their names.
    Secrets,
}

/// A name in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What it starts with.
    pub root: Root,
    /// The argument, node, trigger or secret; `fn.randomSecret` or `fn.fetchSecret`.
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

/// What the expressions of a value say, found in one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// What [`references`] gives.
    pub references: Vec<Reference>,
    /// What [`container_references`] gives.
    pub container: Vec<Reference>,
    /// What [`check`] gives.
    pub problems: Vec<Problem>,
}

/// Every name that the expressions in `value`, which stands at `at`, refer to. What cannot be parsed has
/// none; see [`check`].
#[must_use]
pub fn references(value: &Value, at: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    each_text(value, at, &mut |pointer, _, parts| {
        for part in parts.into_iter().flatten() {
            if let Part::Expression { template, expr, .. } = part {
                Collector { at: pointer, template, found: &mut found }.collect(&expr, false);
            }
        }
    });
    found
}

/// The same with those names in `${{…}}` that are looked up when the work starts: secrets and outputs.
#[must_use]
pub fn all_references(value: &Value, at: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    each_text(value, at, &mut |pointer, text, parts| {
        for part in parts.into_iter().flatten() {
            match part {
                Part::Text(_) => {}
                Part::Expression { template, expr, .. } => {
                    Collector { at: pointer, template, found: &mut found }.collect(&expr, false);
                }
                Part::Container(span) => {
                    let mut names = Vec::new();
                    if let Some(expr) = parse::container(text, &span) {
                        Collector { at: pointer, template: false, found: &mut names }.collect(&expr, false);
                    }
                    // The others are left for the work itself.
                    names.retain(|one| matches!(one.root, Root::Secrets | Root::Refs));
                    found.append(&mut names);
                }
            }
        }
    });
    found
}

/// Every name in `${{…}}`, which is known when a container starts.
#[must_use]
pub fn container_references(value: &Value, at: &str) -> Vec<Reference> {
    scan(value, at, true).container
}

/// What is wrong with the expressions in `value` whatever their names stand for: syntax, unknown functions,
/// numbers and kinds of arguments, and `template.` where there is no document around (`nested` is false).
#[must_use]
pub fn check(value: &Value, at: &str, nested: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    each_text(value, at, &mut |pointer, _, parts| match parts {
        Err(error) => problems.push(Trouble::from(error).into_problem(pointer)),
        Ok(parts) => parts.iter().for_each(|part| check_part(part, pointer, nested, &mut problems)),
    });
    problems
}

/// [`references`], [`container_references`] and [`check`] in one pass over the texts.
#[must_use]
pub fn scan(value: &Value, at: &str, nested: bool) -> Scan {
    let mut scan = Scan::default();
    each_text(value, at, &mut |pointer, text, parts| {
        let parts = match parts {
            Ok(parts) => parts,
            Err(error) => {
                scan.problems.push(Trouble::from(error).into_problem(pointer));
                return;
            }
        };
        for part in &parts {
            check_part(part, pointer, nested, &mut scan.problems);
            match part {
                Part::Text(_) => {}
                Part::Expression { template, expr, .. } => {
                    let found = &mut scan.references;
                    Collector { at: pointer, template: *template, found }.collect(expr, false);
                }
                Part::Container(span) => {
                    if let Some(expr) = parse::container(text, span) {
                        let found = &mut scan.container;
                        Collector { at: pointer, template: false, found }.collect(&expr, false);
                    }
                }
            }
        }
    });
    scan
}

fn check_part(part: &Part, at: &str, nested: bool, problems: &mut Vec<Problem>) {
    let Part::Expression { template, expr, span } = part else { return };
    if *template && !nested {
        problems.push(not_nested(span).into_problem(at));
    }
    let mut note = |trouble: Trouble| problems.push(trouble.into_problem(at));
    check_calls(expr, false, &mut note);
}

struct Collector<'a> {
    at: &'a str,
    template: bool,
    found: &'a mut Vec<Reference>,
}

impl Collector<'_> {
    fn collect(&mut self, expr: &Expr, optional: bool) {
        match &expr.kind {
            Kind::Literal(_) | Kind::Undefined | Kind::Parameter { .. } | Kind::Regex(_) => {}
            Kind::List(items) => items.iter().for_each(|item| self.collect(item, false)),
            Kind::Path { root, name, path } => {
                let root = match root {
                    PathRoot::Args => Root::Args,
                    PathRoot::Refs => Root::Refs,
                    PathRoot::Triggers => Root::Triggers,
                    PathRoot::Secrets => Root::Secrets,
                };
                self.push(root, name.clone(), path.clone(), expr, optional);
            }
            Kind::Arrow(arrow) => self.collect(&arrow.body, optional),
            Kind::Call { function, args } => {
                let known = functions::function(function);
                if known.is_some_and(functions::Function::is_secret) {
                    self.push(Root::Secrets, format!("fn.{function}"), Vec::new(), expr, optional);
                }
                // What a predicate gives is a boolean.
                let predicate = matches!(function.as_str(), "find" | "some" | "every" | "filter");
                for (n, arg) in args.iter().enumerate() {
                    let boolean = known.is_some_and(|function| function.is_boolean(n));
                    self.collect(arg, boolean || (predicate && matches!(arg.kind, Kind::Arrow(_))));
                }
            }
        }
    }

    fn push(&mut self, root: Root, name: String, path: Vec<String>, expr: &Expr, optional: bool) {
        self.found.push(Reference {
            root,
            name,
            path,
            pointer: self.at.to_owned(),
            span: expr.span.clone(),
            template: self.template,
            optional,
        });
    }
}

fn check_calls(expr: &Expr, in_arrow: bool, note: &mut dyn FnMut(Trouble)) {
    match &expr.kind {
        Kind::Call { function, args } => {
            match functions::called(expr, function, args) {
                Ok(known) if in_arrow && known.name == "randomSecret" => note(random_in_arrow(&expr.span)),
                Ok(_) => {}
                Err(trouble) => note(trouble),
            }
            args.iter().for_each(|arg| check_calls(arg, in_arrow, note));
        }
        Kind::List(items) => items.iter().for_each(|item| check_calls(item, in_arrow, note)),
        Kind::Arrow(arrow) => check_calls(&arrow.body, true, note),
        Kind::Regex(regex) => {
            if let Err(error) = regex.pattern() {
                note(wrong_pattern(&expr.span, error));
            }
        }
        Kind::Literal(_) | Kind::Undefined | Kind::Path { .. } | Kind::Parameter { .. } => {}
    }
}
