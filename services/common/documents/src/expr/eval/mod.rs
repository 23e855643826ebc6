//! What an expression is worth in a scope.

mod asks;
mod captured;
mod constant;
mod each;
mod names;

use std::{borrow::Cow, ops::Range};

use serde_json::Value;

use super::{
    Scope,
    ast::{Arrow, Expr, Kind, Part},
    budget::{Budget, weight},
    functions::{self, Arg, Failure, Function, Lazy, Run, ordinal},
    pattern,
    trouble::{Stop, Trouble},
};
use crate::{Code, js, secret};

pub(super) use asks::random_in_arrow;
pub(crate) use captured::{Given, finish_call};
pub(super) use constant::constant;

/// What an expression is evaluated in.
pub(super) struct Context<'a> {
    pub(super) scope: &'a dyn Scope,
    pub(super) budget: Budget,
    /// Where the text stands, and its parts.
    pub(super) at: &'a str,
    pub(super) parts: &'a [Part],
    /// The values of the parameters that are known here, outermost first.
    parameters: Vec<Value>,
    /// How many arrow functions are around.
    arrows: usize,
}

impl<'a> Context<'a> {
    pub(super) const fn new(scope: &'a dyn Scope, budget: Budget, at: &'a str, parts: &'a [Part]) -> Self {
        Self { scope, budget, at, parts, parameters: Vec::new(), arrows: 0 }
    }
}

/// The value of an expression. A value that depends on a secret comes back as what is left of it.
pub(super) fn eval(expr: &Expr, cx: &mut Context<'_>) -> Result<Value, Stop> {
    let value = match &expr.kind {
        Kind::Literal(value) => value.clone(),
        Kind::Undefined => {
            return Err(Stop::Undefined(
                Trouble::new(&expr.span, "`undefined` is no value").help("write `null`"),
            ));
        }
        Kind::List(items) => Value::Array(items.iter().map(|item| eval(item, cx)).collect::<Result<_, _>>()?),
        Kind::Path { root, name, path } => names::look_up(expr, *root, name, path, cx.scope)?,
        Kind::Parameter { slot, name, path } => {
            let value = cx.parameters.get(*slot).unwrap_or(&Value::Null);
            names::member(expr, name, Cow::Borrowed(value), path)?
        }
        Kind::Call { function, args } => call(expr, function, args, cx)?,
        Kind::Arrow(_) | Kind::Regex(_) => {
            let trouble = Trouble::new(&expr.span, "this is no value");
            return Err(Stop::Error(trouble.help("it can only be an argument of a function that takes one")));
        }
    };
    if cx.budget.take(weight(&value)) { Ok(value) } else { Err(too_much(&expr.span)) }
}

fn too_much(span: &Range<usize>) -> Stop {
    Stop::Error(
        Trouble::new(span, "the expressions of this document make too much").help("make smaller values"),
    )
}

fn call(expr: &Expr, name: &str, args: &[Expr], cx: &mut Context<'_>) -> Result<Value, Stop> {
    let function = functions::called(expr, name, args).map_err(Stop::Error)?;
    match function.run {
        Run::Lazy(lazy) => {
            if let Some(value) = decide(lazy, args, cx)? {
                return Ok(value);
            }
        }
        Run::Each(each) => match each::apply(each, function, expr, args, cx) {
            Err(Stop::Secret) => {}
            result => return result,
        },
        Run::Scope(asks) => return asks::ask(asks, function, expr, args, cx),
        Run::Values(_) => {}
    }
    let values = values(function, args, cx)?;
    if values.iter().any(|arg| matches!(arg, Arg::Value(value) if secret::is_secret(value))) {
        if function.name == "get"
            && let Some(found) = functions::get_beside_secrets(&values)
        {
            return found.map_err(|failure| failed(expr, name, args, failure));
        }
        return captured::capture(expr, name, args, values, cx);
    }
    match function.run {
        Run::Values(run) => {
            let cost = cost(&values);
            if !cx.budget.take_steps(cost, 0) {
                return Err(too_much(&expr.span));
            }
            run(&values).map_err(|failure| failed(expr, name, args, failure))
        }
        // Only a secret leads here, and then it is among the values, or in what an arrow function gave.
        Run::Lazy(_) | Run::Each(_) | Run::Scope(_) => captured::capture(expr, name, args, values, cx),
    }
}

/// The arguments of a call. An arrow function stands as a value that nothing looks at.
fn values(function: &Function, args: &[Expr], cx: &mut Context<'_>) -> Result<Vec<Arg>, Stop> {
    let mut values = Vec::with_capacity(args.len());
    for (n, arg) in args.iter().enumerate() {
        values.push(match &arg.kind {
            Kind::Arrow(_) => Arg::Undefined,
            Kind::Regex(regex) => {
                Arg::Pattern(regex.pattern().map_err(|error| Stop::Error(wrong_pattern(&arg.span, error)))?)
            }
            _ => match eval(arg, cx) {
                Err(Stop::Unresolved(_) | Stop::Undefined(_)) if function.is_boolean(n) => {
                    Arg::Value(Value::Bool(false))
                }
                Err(Stop::Undefined(_)) if function.takes_undefined() => Arg::Undefined,
                value => Arg::Value(value?),
            },
        });
    }
    Ok(values)
}

/// What is wrong with the regular expression that stands at `span`.
pub(super) fn wrong_pattern(span: &Range<usize>, error: pattern::PatternError) -> Trouble {
    let from = span.start + 1 + error.span.start;
    let to = (span.start + 1 + error.span.end).min(span.end);
    let code = Code::RegexUnsupported;
    let mut trouble = Trouble::new(&(from.min(to)..to), error.message).code(code);
    trouble.help = error.help.or_else(|| Some("write `\\` before what is meant as text".to_owned()));
    trouble
}

/// The steps that a call with these arguments costs: searching a long text is more than one.
fn cost(args: &[Arg]) -> usize {
    let text = |arg: &Arg| match arg {
        Arg::Value(Value::String(text)) => text.len(),
        _ => 0,
    };
    match args {
        [first, Arg::Pattern(pattern), ..] => {
            1 + text(first) * (1 + pattern.regex.as_str().len()) / (64 << 10)
        }
        _ => 1,
    }
}

/// `if`, `and` and `or` look at no more of their arguments than they must. None where a secret decides.
fn decide(lazy: Lazy, args: &[Expr], cx: &mut Context<'_>) -> Result<Option<Value>, Stop> {
    if lazy == Lazy::If {
        let [condition, branches @ ..] = args else { return Ok(None) };
        let Some(truth) = truth(condition, cx)? else { return Ok(None) };
        let branch = if truth { branches.first() } else { branches.get(1) };
        return branch.map_or(Ok(Some(Value::Null)), |branch| eval(branch, cx).map(Some));
    }
    let decides = lazy == Lazy::Or;
    for arg in args {
        match truth(arg, cx)? {
            None => return Ok(None),
            Some(truth) if truth == decides => return Ok(Some(Value::Bool(decides))),
            Some(_) => {}
        }
    }
    Ok(Some(Value::Bool(!decides)))
}

/// Whether an expression is true; what has no value is not. None where that is a secret.
fn truth(expr: &Expr, cx: &mut Context<'_>) -> Result<Option<bool>, Stop> {
    match eval(expr, cx) {
        Ok(value) if secret::is_mark(&value) => Ok(None),
        Ok(value) => Ok(Some(js::truthy(&value))),
        Err(Stop::Unresolved(_) | Stop::Undefined(_)) => Ok(Some(false)),
        Err(stop) => Err(stop),
    }
}

/// The arrow function of a call that takes one.
fn arrow(args: &[Expr]) -> Option<&Arrow> {
    args.iter().find_map(|arg| match &arg.kind {
        Kind::Arrow(arrow) => Some(arrow),
        _ => None,
    })
}

fn failed(expr: &Expr, name: &str, args: &[Expr], failure: Failure) -> Stop {
    match failure {
        Failure::Argument(n, message) => {
            let span = args.get(n).map_or(&expr.span, |arg| &arg.span);
            let help = match message.as_str() {
                "is 0" => "ask first: `fn.if(fn.eq(args.N, 0), 0, …)`".to_owned(),
                _ => called_like(name),
            };
            let message = format!("the {} argument of fn.{name} {message}", ordinal(n));
            Stop::Error(Trouble::new(span, message).help(help))
        }
        Failure::Whole(message) => {
            let trouble = Trouble::new(&expr.span, format!("fn.{name} {message}"));
            Stop::Error(trouble.help(called_like(name)))
        }
        Failure::Nothing(message) => {
            let trouble = Trouble::new(&expr.span, format!("fn.{name} {message}"));
            Stop::Undefined(trouble.help("say what is used instead: `fn.if(…, …, 'unknown')`"))
        }
    }
}

/// How a function is called, for people.
fn called_like(name: &str) -> String {
    functions::function(name)
        .map_or_else(String::new, |known| format!("it is called like this: fn.{}", known.signature()))
}
