//! What is left of a call over a secret, and its end when the secret is known.
//!
//! Arguments are kept as values. An arrow function is kept as its text, with the values of all names in it
//! that are not its own; a regular expression as its source.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use shipway_events::Timestamp;

use super::{Budget, Context, eval, names};
use crate::{
    expr::{
        Lookup, Scope,
        ast::{Arrow, Expr, Kind, PathRoot, Regex},
        budget::weight,
        functions::Arg,
        parse,
        trouble::{Stop, Trouble},
    },
    secret,
};

/// The mark that stands for the call until somebody knows the secrets in it.
pub(super) fn capture(
    expr: &Expr,
    name: &str,
    args: &[Expr],
    values: Vec<Arg>,
    cx: &mut Context<'_>,
) -> Result<Value, Stop> {
    let (mut kept, mut arrows, mut patterns) = (Vec::with_capacity(args.len()), Map::new(), Map::new());
    for (n, (arg, value)) in args.iter().zip(values).enumerate() {
        match &arg.kind {
            Kind::Arrow(arrow) => {
                arrows.insert(n.to_string(), closed(arrow, cx)?);
            }
            Kind::Regex(regex) => {
                patterns.insert(n.to_string(), json!({"source": regex.source, "flags": regex.flags}));
            }
            _ => {}
        }
        kept.push(match value {
            Arg::Value(path) if secret::file_data(&path).is_some() => {
                return Err(Stop::Error(Trouble::path_in_part(&arg.span)));
            }
            Arg::Value(value) => value,
            Arg::Pattern(_) | Arg::Undefined => Value::Null,
        });
    }
    let call = secret::call(name, kept, arrows, patterns);
    if cx.budget.take(weight(&call)) { Ok(call) } else { Err(super::too_much(&expr.span)) }
}

/// An arrow function with all that it needs.
fn closed(arrow: &Arrow, cx: &Context<'_>) -> Result<Value, Stop> {
    let mut closure = Map::new();
    closure.insert("text".into(), arrow.text.as_str().into());
    let outer = arrow.outer.iter().zip(&cx.parameters);
    let outer: Map<String, Value> = outer.map(|(name, value)| (name.clone(), value.clone())).collect();
    if !outer.is_empty() {
        closure.insert("outer".into(), outer.into());
    }
    if let Some(now) = cx.scope.now().filter(|_| calls(&arrow.body, "date")) {
        closure.insert("now".into(), now.micros().into());
    }
    collect(&arrow.body, cx, &mut closure)?;
    Ok(closure.into())
}

fn collect(expr: &Expr, cx: &Context<'_>, closure: &mut Map<String, Value>) -> Result<(), Stop> {
    match &expr.kind {
        Kind::Path { root, name, .. } => match names::look_up(expr, *root, name, &[], cx.scope) {
            Ok(value) => {
                let slot = closure.entry(key(*root)).or_insert_with(|| Map::new().into());
                if let Some(members) = slot.as_object_mut() {
                    members.insert(name.clone(), value);
                }
                Ok(())
            }
            Err(Stop::Unresolved(_)) => Ok(()),
            Err(stop) => Err(stop),
        },
        Kind::Call { function, .. } if crate::expr::function(function).is_some_and(|f| f.is_secret()) => {
            let message = format!("fn.{function} cannot be in a function over a secret");
            Err(Stop::Error(Trouble::new(&expr.span, message).help("use `secrets.ID…` or an argument")))
        }
        Kind::Call { args: items, .. } | Kind::List(items) => {
            items.iter().try_for_each(|item| collect(item, cx, closure))
        }
        Kind::Arrow(arrow) => collect(&arrow.body, cx, closure),
        Kind::Literal(_) | Kind::Undefined | Kind::Parameter { .. } | Kind::Regex(_) => Ok(()),
    }
}

fn calls(expr: &Expr, name: &str) -> bool {
    match &expr.kind {
        Kind::Call { function, args } => function == name || args.iter().any(|arg| calls(arg, name)),
        Kind::List(items) => items.iter().any(|item| calls(item, name)),
        Kind::Arrow(arrow) => calls(&arrow.body, name),
        _ => false,
    }
}

const fn key(root: PathRoot) -> &'static str {
    match root {
        PathRoot::Args => "args",
        PathRoot::Refs => "refs",
        PathRoot::Triggers => "triggers",
        PathRoot::Secrets => "secrets",
    }
}

/// An argument of a call that was kept, its secrets known.
#[derive(Clone, Debug)]
pub(crate) enum Given {
    Value(Value),
    /// An arrow function with all that it needs.
    Arrow(Value),
    /// A regular expression.
    Pattern {
        source: String,
        flags: String,
    },
}

/// The result of a call that was kept; none if it has none. What is wrong is not said: it could show a secret.
pub(crate) fn finish_call(name: &str, given: &[Given]) -> Option<Value> {
    let empty = Value::Object(Map::new());
    let closure = given.iter().find_map(|given| match given {
        Given::Arrow(closure) => Some(closure),
        _ => None,
    });
    let closure = closure.unwrap_or(&empty);
    let outer: Map<String, Value> =
        closure.get("outer").and_then(Value::as_object).cloned().unwrap_or_default();
    let names: Vec<String> = outer.keys().cloned().collect();
    let args = given.iter().map(|given| argument(given, &names)).collect::<Option<Vec<_>>>()?;
    let scope = Closure(closure);
    let mut cx = Context::new(&scope, Budget::default(), "", &[]);
    cx.parameters = outer.into_iter().map(|(_, value)| value).collect();
    let call = Expr { span: 0..0, kind: Kind::Call { function: name.to_owned(), args } };
    eval(&call, &mut cx).ok()
}

fn argument(given: &Given, outer: &[String]) -> Option<Expr> {
    let kind = match given {
        Given::Value(value) => Kind::Literal(value.clone()),
        Given::Arrow(closure) => Kind::Arrow(parse::arrow(closure.get("text")?.as_str()?, outer)?),
        Given::Pattern { source, flags } => Kind::Regex(Regex::new(source.clone(), flags.clone())),
    };
    Some(Expr { span: 0..0, kind })
}

/// The names that an arrow function took with it.
struct Closure<'a>(&'a Value);

impl Closure<'_> {
    fn look(&self, root: PathRoot, name: &str) -> Lookup<'_> {
        match self.0.get(key(root)).and_then(|members| members.get(name)) {
            Some(value) => Lookup::Value(Cow::Borrowed(value)),
            None => Lookup::Missing { known: Vec::new() },
        }
    }
}

impl Scope for Closure<'_> {
    fn arg(&self, name: &str) -> Lookup<'_> {
        self.look(PathRoot::Args, name)
    }

    fn reference(&self, reference: &str) -> Lookup<'_> {
        self.look(PathRoot::Refs, reference)
    }

    fn trigger(&self, reference: &str) -> Lookup<'_> {
        self.look(PathRoot::Triggers, reference)
    }

    fn secret(&self, id: &str) -> Lookup<'_> {
        self.look(PathRoot::Secrets, id)
    }

    fn now(&self) -> Option<Timestamp> {
        self.0.get("now").and_then(Value::as_i64).map(Timestamp::from_micros)
    }
}
