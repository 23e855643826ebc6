//! Whether what an expression makes can stand where it stands.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use shipway_documents::{
    Code, Problem, Problems,
    expr::{Fit, Type, TypeScope, infer},
    flow::{ArgumentType, Flow, Node},
    is_expression, pointer,
};

use super::{index::Index, nested, triggers::trigger_values};
use crate::{Outputs, find};

/// Outputs and values of triggers that are text, whatever node they are of.
const TEXTS: &[&str] = &[
    "id",
    "branch",
    "sha",
    "repoUrl",
    "digest",
    "name",
    "runName",
    "jobId",
    "addonId",
    "buildId",
    "nfObjectId",
    "status",
];

/// Outputs that are true or false.
const TRUTHS: &[&str] = &["concluded", "success"];

/// Checks every expression in the nodes of a flow; `outer` is the document around a teardown.
pub(super) fn check<'a>(
    flow: &'a Flow,
    index: &Index<'a>,
    outer: Option<(&'a Flow, &Index<'a>)>,
    problems: &mut Problems,
) {
    let mut types = Types::of(flow, index);
    if let Some((flow, index)) = outer {
        types.add(Types::of(flow, index));
    }
    // That there is no such name or output is said already.
    let span = |problem: &Problem| Some((problem.pointer.clone(), problem.span.clone()?.start));
    let said: HashSet<(String, usize)> = problems.iter().filter_map(span).collect();
    let mut found = Problems::new();
    for (_, item) in index.all() {
        let node = item.node;
        let schema = find(&node.kind).map(|kind| kind.shape().schema());
        let inner = nested(node);
        visit(
            &node.spec,
            &node.spec_pointer(),
            schema,
            &Visitor { types: &types, inner: &inner },
            &mut found,
        );
        for (name, value, wanted) in
            [("skipNodeExecution", &node.skip, Type::Any), ("timeoutDuration", &node.timeout, Type::Number)]
        {
            if let Some(Value::String(text)) = value.as_ref().filter(|value| is_expression(value)) {
                expression(text, &pointer::join(&node.pointer, name), &wanted, &types, &mut found);
            }
        }
    }
    problems
        .extend(found.into_iter().filter(|problem| span(problem).is_none_or(|span| !said.contains(&span))));
}

/// What is known while a value is gone through.
struct Visitor<'v> {
    types: &'v Types<'v>,
    /// The documents in the node: their expressions are their own.
    inner: &'v [String],
}

/// Goes through a value together with the schema of what stands there.
fn visit(value: &Value, at: &str, schema: Option<&Value>, visitor: &Visitor<'_>, problems: &mut Problems) {
    match value {
        Value::String(text) if text.contains("${") => {
            let wanted = schema.map(wanted).unwrap_or_default();
            expression(text, at, &wanted, visitor.types, problems);
        }
        Value::Array(items) => {
            let schema = schema.and_then(|schema| inner(schema, "items"));
            for (n, item) in items.iter().enumerate().filter(|(_, item)| may_hold_expressions(item)) {
                visit(item, &pointer::item(at, n), schema, visitor, problems);
            }
        }
        Value::Object(members) if !visitor.inner.iter().any(|place| place == at) => {
            for (name, member) in members.iter().filter(|(_, member)| may_hold_expressions(member)) {
                let schema = schema.and_then(|schema| inner(schema, name));
                visit(member, &pointer::join(at, name), schema, visitor, problems);
            }
        }
        _ => {}
    }
}

fn may_hold_expressions(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Array(_) | Value::Object(_))
}

fn expression(text: &str, at: &str, wanted: &Type, types: &Types<'_>, problems: &mut Problems) {
    let (own, found) = infer(text, types, at);
    let broken = !found.is_empty();
    problems.extend(found.into_iter().map(|problem| problem.code(Code::ExprType)));
    if !broken && own.fits(wanted) == Fit::No {
        let name = pointer::steps(at).last().unwrap_or_default();
        let message = format!("`{name}` must be {wanted}, and this expression makes {own}");
        problems.push(Problem::error(at, message).code(Code::ExprType).help(match (&own, wanted) {
            (Type::Object(_), _) => "name a member of it",
            (Type::List(_), _) => "name an element of it, or use `fn.join(…)`",
            (_, Type::List(_)) => "make a list, as with `fn.split(…)`",
            _ => "use a value of that type",
        }));
    }
}

/// The part of a schema that a member, or the elements of a list, must fit; none where that is not one schema.
fn inner<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    if name == "items"
        && let Some(items) = schema.get("items")
    {
        return Some(items);
    }
    if let Some(member) = schema.get("properties").and_then(|properties| properties.get(name)) {
        return Some(member);
    }
    let options = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    match options {
        Some(options) => {
            let mut found = options.iter().filter_map(|option| inner(option, name));
            // Two that differ say nothing.
            found.next().filter(|_| found.next().is_none())
        }
        None => schema.get("additionalProperties").filter(|rest| rest.is_object()),
    }
}

/// The type that a schema asks for, as far as it matters.
fn wanted(schema: &Value) -> Type {
    if let Some(options) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        return either(options.iter().map(wanted));
    }
    match schema.get("type") {
        Some(Value::String(word)) => of_word(word),
        Some(Value::Array(words)) => either(words.iter().filter_map(Value::as_str).map(of_word)),
        _ => Type::Any,
    }
}

/// One of these; that it may be null too needs no saying.
fn either(types: impl Iterator<Item = Type>) -> Type {
    Type::one_of(types.filter(|one| *one != Type::Null))
}

fn of_word(word: &str) -> Type {
    match word {
        "string" => Type::Text,
        "integer" | "number" => Type::Number,
        "boolean" => Type::Boolean,
        "array" => Type::list(Type::Any),
        "object" => Type::Object(BTreeMap::new()),
        "null" => Type::Null,
        _ => Type::Any,
    }
}

/// The types of arguments, outputs and values of triggers.
struct Types<'a> {
    arguments: HashMap<&'a str, Type>,
    triggers: HashMap<&'a str, Type>,
    nodes: HashMap<&'a str, &'a Node>,
}

impl<'a> Types<'a> {
    fn of(flow: &'a Flow, index: &Index<'a>) -> Self {
        let argument = |kind| match kind {
            ArgumentType::Any => Type::Any,
            ArgumentType::String => Type::Text,
            ArgumentType::Number | ArgumentType::Integer => Type::Number,
            ArgumentType::Boolean => Type::Boolean,
            ArgumentType::Array => Type::list(Type::Any),
            ArgumentType::Object => Type::Object(BTreeMap::new()),
        };
        let typed = flow.arguments.iter().map(|one| (one.name.as_str(), argument(one.kind)));
        let triggers = flow
            .triggers
            .iter()
            .map(|trigger| (trigger.reference.as_str(), outputs_type(&trigger_values(&trigger.source))));
        let nodes = index.all().map(|(_, item)| (item.node.reference.as_str(), item.node));
        Self { arguments: typed.collect(), triggers: triggers.collect(), nodes: nodes.collect() }
    }

    /// Adds names that are known as well; of equal ones those that were there count.
    fn add(&mut self, other: Self) {
        for (name, kind) in other.arguments {
            self.arguments.entry(name).or_insert(kind);
        }
        for (name, kind) in other.triggers {
            self.triggers.entry(name).or_insert(kind);
        }
        for (name, node) in other.nodes {
            self.nodes.entry(name).or_insert(node);
        }
    }
}

impl TypeScope for Types<'_> {
    fn arg(&self, name: &str) -> Type {
        self.arguments.get(name).cloned().unwrap_or_default()
    }

    fn reference(&self, reference: &str) -> Type {
        if self.triggers.contains_key(reference) {
            return self.trigger(reference);
        }
        let kind = self.nodes.get(reference).and_then(|node| Some((find(&node.kind)?, node)));
        kind.map(|(kind, node)| outputs_type(&kind.outputs(&node.spec))).unwrap_or_default()
    }

    fn trigger(&self, reference: &str) -> Type {
        self.triggers.get(reference).cloned().unwrap_or_default()
    }
}

/// The tree of what a kind's paths say. That a path is not there is not said here.
fn outputs_type(outputs: &Outputs) -> Type {
    let mut tree = BTreeMap::new();
    for path in outputs.always.iter().chain(&outputs.finished) {
        let open = path.ends_with(".*");
        let steps: Vec<&str> = path.strip_suffix(".*").unwrap_or(path).split('.').collect();
        insert(&mut tree, &steps, open);
    }
    Type::Object(tree)
}

fn insert(tree: &mut BTreeMap<String, Type>, steps: &[&str], open: bool) {
    match steps {
        [] => {}
        [leaf] => {
            let kind = match *leaf {
                _ if open => Type::Any,
                leaf if TEXTS.contains(&leaf) => Type::Text,
                leaf if TRUTHS.contains(&leaf) => Type::Boolean,
                _ => Type::Any,
            };
            tree.entry((*leaf).to_owned()).or_insert(kind);
        }
        [step, rest @ ..] => {
            let inner = tree.entry((*step).to_owned()).or_insert_with(|| Type::Object(BTreeMap::new()));
            if let Type::Object(members) = inner {
                insert(members, rest, open);
            }
        }
    }
}
