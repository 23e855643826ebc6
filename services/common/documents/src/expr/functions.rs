//! The functions: one table, one line each.

use std::ops::Range;

use serde_json::Value;

use super::{eval::Trouble, lists, strings};
use crate::{js, suggest::nearest};

/// A function of the language.
pub(super) struct Function {
    pub(super) name: &'static str,
    min: usize,
    /// No limit when none.
    max: Option<usize>,
    /// Which arguments are booleans: what has no value counts as false there.
    booleans: Booleans,
    run: fn(&[Value]) -> Result<Value, Failure>,
}

#[derive(Clone, Copy)]
enum Booleans {
    None,
    First,
    All,
}

/// Why a function has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// An argument (0 for the first) is not what is needed; the message follows "the first argument of fn.x".
    Argument(usize, String),
    /// The message follows "fn.x".
    Whole(String),
    /// There is nothing: JavaScript's `undefined`.
    Nothing(String),
}

impl Function {
    pub(super) fn is_boolean(&self, argument: usize) -> bool {
        match self.booleans {
            Booleans::None => false,
            Booleans::First => argument == 0,
            Booleans::All => true,
        }
    }

    pub(super) fn apply(&self, args: &[Value]) -> Result<Value, Failure> {
        (self.run)(args)
    }
}

const fn function(
    name: &'static str,
    min: usize,
    max: Option<usize>,
    run: fn(&[Value]) -> Result<Value, Failure>,
) -> Function {
    Function { name, min, max, booleans: Booleans::None, run }
}

const fn boolean(
    name: &'static str,
    min: usize,
    max: Option<usize>,
    booleans: Booleans,
    run: fn(&[Value]) -> Result<Value, Failure>,
) -> Function {
    Function { name, min, max, booleans, run }
}

static FUNCTIONS: &[Function] = &[
    boolean("not", 1, Some(1), Booleans::All, |a| Ok((!js::truthy(&a[0])).into())),
    boolean("and", 1, None, Booleans::All, |a| Ok(a.iter().all(js::truthy).into())),
    boolean("or", 1, None, Booleans::All, |a| Ok(a.iter().any(js::truthy).into())),
    boolean("if", 2, Some(3), Booleans::First, |a| {
        let branch = if js::truthy(&a[0]) { a.get(1) } else { a.get(2) };
        Ok(branch.cloned().unwrap_or_default())
    }),
    function("eq", 2, None, |a| Ok(a.iter().skip(1).all(|b| js::equal(&a[0], b)).into())),
    function("neq", 2, None, |a| Ok((!a.iter().skip(1).all(|b| js::equal(&a[0], b))).into())),
    function("gt", 2, Some(2), |a| compare(a, |a, b| a > b)),
    function("lt", 2, Some(2), |a| compare(a, |a, b| a < b)),
    function("gte", 2, Some(2), |a| compare(a, |a, b| a >= b)),
    function("lte", 2, Some(2), |a| compare(a, |a, b| a <= b)),
    function("add", 1, None, |a| fold(a, |a, b| a + b)),
    function("subtract", 1, None, |a| fold(a, |a, b| a - b)),
    function("multiply", 1, None, |a| fold(a, |a, b| a * b)),
    function("divide", 2, Some(2), |a| divide(a, |a, b| a / b)),
    function("remainder", 2, Some(2), |a| divide(a, |a, b| a % b)),
    function("exp", 2, Some(2), |a| fold(a, f64::powf)),
    function("floor", 1, Some(1), |a| finite(number(a, 0)?.floor())),
    function("ceil", 1, Some(1), |a| finite(number(a, 0)?.ceil())),
    function("toUpper", 1, Some(1), |a| Ok(text(a, 0)?.to_uppercase().into())),
    function("toLower", 1, Some(1), |a| Ok(text(a, 0)?.to_lowercase().into())),
    function("slug", 1, Some(1), |a| Ok(crate::names::slug(&text(a, 0)?).into())),
    function("toBase64", 1, Some(1), strings::to_base64),
    function("fromBase64", 1, Some(1), strings::from_base64),
    function("indexOf", 2, Some(2), strings::index_of),
    function("replace", 3, Some(3), |a| strings::replace(a, 1)),
    function("replaceAll", 3, Some(3), |a| strings::replace(a, usize::MAX)),
    function("slice", 2, Some(3), strings::slice),
    function("length", 1, Some(1), lists::length),
    function("split", 2, Some(3), strings::split),
    function("join", 1, Some(2), strings::join),
    function("concat", 1, None, lists::concat),
    function("arrSlice", 2, Some(3), lists::slice),
    function("arrLength", 1, Some(1), |a| Ok(list(a, 0)?.len().into())),
    function("get", 2, Some(2), lists::get),
    function("keys", 1, Some(1), lists::keys),
    function("values", 1, Some(1), lists::values),
    function("entries", 1, Some(1), lists::entries),
    function("stringifyJSON", 1, Some(1), |a| Ok(js::json_text(&a[0]).into())),
    function("parseJSON", 1, Some(1), |a| Ok(serde_json::from_str(&text(a, 0)?).unwrap_or_else(|_| "".into()))),
];

/// Functions of the language that this version does not have.
const LATER: &[&str] =
    &["date", "every", "fetchSecret", "filter", "find", "map", "randomSecret", "search", "some"];

/// The names of the functions that can be called, sorted.
#[must_use]
pub fn function_names() -> Vec<&'static str> {
    let mut names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
    names.sort_unstable();
    names
}

/// Applies a function to values.
///
/// # Errors
/// What is wrong with the name or the values, in words; values of secrets must not be shown with it.
pub fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let function = find(name, args.len(), &(0..0)).map_err(|trouble| trouble.message)?;
    function.apply(args).map_err(|failure| match failure {
        Failure::Argument(n, message) => format!("argument {} of fn.{name} {message}", n + 1),
        Failure::Whole(message) | Failure::Nothing(message) => format!("fn.{name} {message}"),
    })
}

/// The function of that name, if it takes so many arguments.
pub(super) fn find(name: &str, args: usize, span: &Range<usize>) -> Result<&'static Function, Trouble> {
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        if LATER.contains(&name) {
            let mut trouble = Trouble::new(span, format!("fn.{name} is not supported yet"))
                .help(format!("there is {}", function_names().join(", ")));
            trouble.unsupported = true;
            return Err(trouble);
        }
        let trouble = Trouble::new(span, format!("no function is called `{name}`"));
        let known = FUNCTIONS.iter().map(|function| function.name).chain(LATER.iter().copied());
        return Err(match nearest(name, known) {
            Some(near) => trouble.help(format!("did you mean `fn.{near}`?")),
            None => trouble.help(format!("there is {}", function_names().join(", "))),
        });
    };
    if args >= function.min && function.max.is_none_or(|max| args <= max) {
        return Ok(function);
    }
    let takes = match (function.min, function.max) {
        (1, Some(1)) => "1 argument".to_owned(),
        (min, Some(max)) if min == max => format!("{min} arguments"),
        (min, Some(max)) => format!("{min} to {max} arguments"),
        (1, None) => "at least 1 argument".to_owned(),
        (min, None) => format!("at least {min} arguments"),
    };
    Err(Trouble::new(span, format!("fn.{name} takes {takes}, not {args}")))
}

/// The text of an argument; numbers and booleans are taken as text.
pub(super) fn text(args: &[Value], n: usize) -> Result<String, Failure> {
    match &args[n] {
        Value::String(text) => Ok(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => js::plain_text(value).ok_or(Failure::Whole(String::new())),
        value => Err(Failure::Argument(n, format!("must be text, not {}", js::type_name(value)))),
    }
}

/// The number of an argument; text that is a number is taken as one.
pub(super) fn number(args: &[Value], n: usize) -> Result<f64, Failure> {
    js::number(&args[n]).ok_or_else(|| {
        let value = match &args[n] {
            Value::String(text) if text.chars().count() <= 40 => format!("the text '{text}'"),
            value => js::type_name(value).to_owned(),
        };
        Failure::Argument(n, format!("must be a number, not {value}"))
    })
}

pub(super) fn list(args: &[Value], n: usize) -> Result<&Vec<Value>, Failure> {
    args[n].as_array().ok_or_else(|| {
        Failure::Argument(n, format!("must be a list, not {}", js::type_name(&args[n])))
    })
}

pub(super) fn finite(number: f64) -> Result<Value, Failure> {
    js::from_number(number).ok_or_else(|| Failure::Whole("has no finite result".into()))
}

fn compare(args: &[Value], holds: fn(f64, f64) -> bool) -> Result<Value, Failure> {
    Ok(holds(number(args, 0)?, number(args, 1)?).into())
}

fn fold(args: &[Value], step: fn(f64, f64) -> f64) -> Result<Value, Failure> {
    let mut result = number(args, 0)?;
    for n in 1..args.len() {
        result = step(result, number(args, n)?);
    }
    finite(result)
}

fn divide(args: &[Value], step: fn(f64, f64) -> f64) -> Result<Value, Failure> {
    let (a, b) = (number(args, 0)?, number(args, 1)?);
    if b == 0.0 { Err(Failure::Argument(1, "is 0".into())) } else { finite(step(a, b)) }
}
