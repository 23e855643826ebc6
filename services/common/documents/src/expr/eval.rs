//! What an expression is worth in a scope.

use std::{borrow::Cow, ops::Range};

use serde_json::Value;

use super::{
    Budget, Lookup, Scope,
    functions::{self, Failure},
    parse::{Expr, Kind, PathRoot},
    weight,
};
use crate::{js, secret, suggest};

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stop {
    /// It needs a node that has not run; the place and name of what is needed.
    Later(Range<usize>, String),
    /// Something that it names has no value: false where a boolean is expected, else an error.
    Unresolved(Trouble),
    /// It cannot have one.
    Error(Trouble),
}

/// What to say about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) unsupported: bool,
}

impl Trouble {
    pub(super) fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { span: span.clone(), message: message.into(), help: None, unsupported: false }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn suggest(mut self, name: &str, known: &[String]) -> Self {
        let names = || known.iter().map(String::as_str);
        self.help = match suggest::nearest(name, names()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => None,
            None => Some(format!("there is {}", suggest::list(names()))),
        };
        self
    }
}

/// The value of an expression. A value that depends on a secret comes back as what is left of it.
pub(super) fn eval(expr: &Expr, scope: &dyn Scope, budget: &mut Budget) -> Result<Value, Stop> {
    let value = match &expr.kind {
        Kind::Literal(value) => value.clone(),
        Kind::List(items) => {
            Value::Array(items.iter().map(|item| eval(item, scope, budget)).collect::<Result<_, _>>()?)
        }
        Kind::Path { root, name, path } => look_up(expr, *root, name, path, scope)?,
        Kind::Call { function, args } => call(expr, function, args, scope, budget)?,
    };
    if budget.take(weight(&value)) {
        return Ok(value);
    }
    Err(Stop::Error(
        Trouble::new(&expr.span, "the expressions of this document make too much")
            .help("make smaller values"),
    ))
}

fn look_up(
    expr: &Expr,
    root: PathRoot,
    name: &str,
    path: &[String],
    scope: &dyn Scope,
) -> Result<Value, Stop> {
    let (what, lookup) = match root {
        PathRoot::Args => ("argument", scope.arg(name)),
        PathRoot::Triggers => ("trigger", scope.trigger(name)),
        PathRoot::Refs => match scope.reference(name) {
            Lookup::Missing { mut known } => match scope.trigger(name) {
                Lookup::Missing { known: triggers } => {
                    known.extend(triggers);
                    ("node or trigger", Lookup::Missing { known })
                }
                found => ("trigger", found),
            },
            found => ("node", found),
        },
    };
    let base = match lookup {
        Lookup::Value(base) => base,
        Lookup::Later => return Err(Stop::Later(expr.span.clone(), name.to_owned())),
        Lookup::Missing { known } => {
            let trouble = Trouble::new(&expr.span, format!("no {what} is called `{name}`"));
            return Err(Stop::Unresolved(trouble.suggest(name, &known)));
        }
        Lookup::Skipped(why) => {
            let why = if why.is_empty() || why == name { String::new() } else { format!(": {why}") };
            let message = format!("the node `{name}` was skipped and has no outputs{why}");
            let help = "skip this node as well, or give another value with fn.if";
            return Err(Stop::Unresolved(Trouble::new(&expr.span, message).help(help)));
        }
    };
    // What came from outside may look like a mark; it is data, and no way to somebody's secrets.
    if what == "trigger" && secret::is_secret(&base) {
        let trouble = Trouble::new(&expr.span, format!("what the trigger `{name}` brought names a secret"));
        return Err(Stop::Error(trouble.help("`$secret`, `$text` and `$call` are Shipway's own names")));
    }
    member(expr, name, base, path)
}

fn member(expr: &Expr, name: &str, base: Cow<'_, Value>, path: &[String]) -> Result<Value, Stop> {
    let mut value: &Value = &base;
    let mut taken = name.to_owned();
    for step in path {
        if secret::is_mark(value) {
            let trouble = Trouble::new(&expr.span, format!("`{taken}` is a secret and has no `{step}`"));
            return Err(Stop::Error(trouble.help("use the secret as a whole")));
        }
        let found = match value {
            Value::Object(members) => members.get(step),
            Value::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        let Some(found) = found else {
            let trouble = Trouble::new(&expr.span, format!("`{taken}` has no `{step}`"));
            let known: Vec<String> = match value {
                Value::Object(members) => members.keys().cloned().collect(),
                Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
                _ => {
                    let kind = js::type_name(value);
                    return Err(Stop::Unresolved(trouble.help(format!("it is {kind}"))));
                }
            };
            return Err(Stop::Unresolved(trouble.suggest(step, &known)));
        };
        value = found;
        taken = format!("{taken}.{step}");
    }
    Ok(if path.is_empty() { base.into_owned() } else { value.clone() })
}

fn call(
    expr: &Expr,
    name: &str,
    args: &[Expr],
    scope: &dyn Scope,
    budget: &mut Budget,
) -> Result<Value, Stop> {
    let function = functions::find(name, args.len(), &expr.span).map_err(Stop::Error)?;
    if let Some(value) = lazy(name, args, scope, budget)? {
        return Ok(value);
    }
    let values = args
        .iter()
        .enumerate()
        .map(|(n, arg)| boolean_or(function.is_boolean(n), eval(arg, scope, budget)))
        .collect::<Result<Vec<_>, _>>()?;
    if values.iter().any(secret::is_secret) {
        return Ok(secret::call(name, values));
    }
    function.apply(&values).map_err(|failure| failed(expr, name, args, failure))
}

/// `if`, `and` and `or` look at no more of their arguments than they must. None where a secret decides.
fn lazy(name: &str, args: &[Expr], scope: &dyn Scope, budget: &mut Budget) -> Result<Option<Value>, Stop> {
    match (name, args) {
        ("if", [condition, branches @ ..]) => {
            let condition = boolean_or(true, eval(condition, scope, budget))?;
            if secret::is_secret(&condition) {
                return Ok(None);
            }
            let branch = if js::truthy(&condition) { branches.first() } else { branches.get(1) };
            branch.map_or(Ok(Some(Value::Null)), |branch| eval(branch, scope, budget).map(Some))
        }
        ("and" | "or", args) => {
            let decides = name == "or";
            for arg in args {
                let value = boolean_or(true, eval(arg, scope, budget))?;
                if secret::is_secret(&value) {
                    return Ok(None);
                }
                if js::truthy(&value) == decides {
                    return Ok(Some(Value::Bool(decides)));
                }
            }
            Ok(Some(Value::Bool(!decides)))
        }
        _ => Ok(None),
    }
}

fn boolean_or(is_boolean: bool, value: Result<Value, Stop>) -> Result<Value, Stop> {
    match value {
        Err(Stop::Unresolved(_)) if is_boolean => Ok(Value::Bool(false)),
        value => value,
    }
}

fn failed(expr: &Expr, name: &str, args: &[Expr], failure: Failure) -> Stop {
    match failure {
        Failure::Argument(n, message) => {
            let span = args.get(n).map_or(&expr.span, |arg| &arg.span);
            Stop::Error(Trouble::new(span, format!("the {} argument of fn.{name} {message}", ordinal(n))))
        }
        Failure::Whole(message) => Stop::Error(Trouble::new(&expr.span, format!("fn.{name} {message}"))),
        Failure::Nothing(message) => {
            Stop::Unresolved(Trouble::new(&expr.span, format!("fn.{name} {message}")))
        }
    }
}

fn ordinal(n: usize) -> String {
    const WORDS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    WORDS.get(n).map_or_else(|| format!("{}th", n + 1), |word| (*word).to_owned())
}
