//! The functions of the language: one table, from which checks, completion and the guide read.

mod booleans;
mod dates;
mod lists;
mod maths;
mod strings;
mod table;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{
    ast::{Expr, Kind},
    pattern::Pattern,
    trouble::Trouble,
};
use crate::{Code, js, suggest};

pub(super) use dates::date;
pub(super) use lists::{get_beside_secrets, member as lists_member};
pub use table::functions;

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// What it is called, after `fn.`.
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// What it gives.
    pub result: Shape,
    /// What it does, in one line.
    pub doc: &'static str,
    pub(super) run: Run,
}

/// What a function is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Secrets and time.
    General,
    /// Texts.
    String,
    /// True and false.
    Boolean,
    /// Numbers.
    Maths,
    /// Objects and JSON.
    Objects,
    /// Lists.
    Arrays,
}

/// One parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// What it is called.
    pub name: &'static str,
    /// What may be given for it.
    pub shape: Shape,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether more of the same may follow: the last parameter only.
    pub variadic: bool,
}

/// What a value has to be, or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// Anything.
    Any,
    /// Text; numbers and booleans are taken as text.
    Text,
    /// A number, or text that is one.
    Number,
    /// Anything, by its truth; what has no value is false.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
    /// An object or a list.
    Container,
    /// A text or a list.
    Sequence,
    /// Text, or a regular expression: `/…/flags`.
    Pattern,
    /// An arrow function: `(item, index) => …`.
    Function,
}

/// How a function comes to its result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// From values.
    Values(fn(&[Arg]) -> Result<Value, Failure>),
    /// It looks at no more of its arguments than it must.
    Lazy(Lazy),
    /// It applies an arrow function to the elements of a list.
    Each(Each),
    /// It asks the scope.
    Scope(Asks),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lazy {
    If,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Each {
    Find,
    Some,
    Every,
    Filter,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    RandomSecret,
    FetchSecret,
    Date,
}

/// An argument that has been found.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    Value(Value),
    Pattern(std::sync::Arc<Pattern>),
    /// JavaScript's `undefined`, where a function can compare it.
    Undefined,
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
    /// The fewest arguments.
    #[must_use]
    pub fn min(&self) -> usize {
        self.parameters.iter().filter(|parameter| !parameter.optional).count()
    }

    /// The most arguments; none if there is no limit.
    #[must_use]
    pub fn max(&self) -> Option<usize> {
        let variadic = self.parameters.last().is_some_and(|parameter| parameter.variadic);
        (!variadic).then_some(self.parameters.len())
    }

    /// The parameter that an argument (0 for the first) is for.
    #[must_use]
    pub fn parameter(&self, argument: usize) -> Option<&'static Parameter> {
        let variadic = || self.parameters.last().filter(|last| last.variadic);
        self.parameters.get(argument).or_else(variadic)
    }

    /// Whether an argument counts as false when it has no value.
    #[must_use]
    pub fn is_boolean(&self, argument: usize) -> bool {
        self.parameter(argument).is_some_and(|parameter| parameter.shape == Shape::Boolean)
    }

    /// Whether its result is a secret's.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.run, Run::Scope(Asks::RandomSecret | Asks::FetchSecret))
    }

    /// How it is called: `slice(text, start, end?)`.
    #[must_use]
    pub fn signature(&self) -> String {
        let parameters = self.parameters.iter().map(|parameter| {
            let optional = if parameter.optional { "?" } else { "" };
            let variadic = if parameter.variadic { ", …" } else { "" };
            format!("{}{optional}{variadic}", parameter.name)
        });
        format!("{}({})", self.name, parameters.collect::<Vec<_>>().join(", "))
    }

    /// Whether it compares what has no value too.
    pub(super) fn takes_undefined(&self) -> bool {
        matches!(self.name, "eq" | "neq")
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Any => "any value",
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Container => "an object or a list",
            Self::Sequence => "text or a list",
            Self::Pattern => "text or a regular expression",
            Self::Function => "an arrow function",
        })
    }
}

/// The function of that name.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    functions().iter().find(|function| function.name == name)
}

/// The names of the functions, sorted.
#[must_use]
pub fn function_names() -> Vec<&'static str> {
    let mut names: Vec<_> = functions().iter().map(|function| function.name).collect();
    names.sort_unstable();
    names
}

/// The function that a call names, if its arguments are of a kind and number that it takes.
pub(super) fn called(expr: &Expr, name: &str, args: &[Expr]) -> Result<&'static Function, Trouble> {
    let span = &expr.span;
    let Some(function) = function(name) else {
        let trouble = Trouble::new(span, format!("no function is called `{name}`")).code(Code::FnUnknown);
        return Err(match suggest::nearest(name, functions().iter().map(|function| function.name)) {
            Some(near) => trouble.help(format!("did you mean `fn.{near}`?")),
            None => trouble.help(format!("there is {}", function_names().join(", "))),
        });
    };
    let (min, max) = (function.min(), function.max());
    if args.len() < min || max.is_some_and(|max| args.len() > max) {
        let takes = match (min, max) {
            (1, Some(1)) => "1 argument".to_owned(),
            (min, Some(max)) if min == max => format!("{min} arguments"),
            (min, Some(max)) => format!("{min} to {max} arguments"),
            (1, None) => "at least 1 argument".to_owned(),
            (min, None) => format!("at least {min} arguments"),
        };
        let trouble = Trouble::new(span, format!("fn.{name} takes {takes}, not {}", args.len()));
        let trouble = trouble.code(Code::FnArguments);
        return Err(trouble.help(format!("it is called like this: fn.{}", function.signature())));
    }
    for (n, arg) in args.iter().enumerate() {
        check_kind(function, n, arg)?;
    }
    Ok(function)
}

/// Whether an argument may be an arrow function or a regular expression, or must be one.
fn check_kind(function: &Function, n: usize, arg: &Expr) -> Result<(), Trouble> {
    let Some(parameter) = function.parameter(n) else { return Ok(()) };
    let the_argument = || format!("the {} argument of fn.{}", ordinal(n), function.name);
    let message = match (&arg.kind, parameter.shape) {
        (Kind::Arrow(_), Shape::Function) | (Kind::Regex(_), Shape::Pattern) => return Ok(()),
        (Kind::Arrow(_), _) => format!("{} cannot be an arrow function", the_argument()),
        (Kind::Regex(_), _) => format!("{} cannot be a regular expression", the_argument()),
        (_, Shape::Function) => {
            return Err(Trouble::new(&arg.span, format!("{} must be an arrow function", the_argument()))
                .help("write `(item, index) => …`"));
        }
        _ => return Ok(()),
    };
    Err(Trouble::new(&arg.span, message).help(format!("it is {}", parameter.shape)))
}

pub(super) fn ordinal(n: usize) -> String {
    const WORDS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    WORDS.get(n).map_or_else(|| format!("{}th", n + 1), |word| (*word).to_owned())
}

/// The value of an argument.
fn value(args: &[Arg], n: usize) -> Result<&Value, Failure> {
    match &args[n] {
        Arg::Value(value) => Ok(value),
        Arg::Pattern(_) => Err(Failure::Argument(n, "cannot be a regular expression".to_owned())),
        Arg::Undefined => Err(Failure::Argument(n, "has no value".to_owned())),
    }
}

/// The text of an argument; numbers and booleans are taken as text.
fn text(args: &[Arg], n: usize) -> Result<String, Failure> {
    match value(args, n)? {
        Value::String(text) => Ok(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => {
            js::plain_text(value).ok_or(Failure::Whole(String::new()))
        }
        value => Err(Failure::Argument(n, format!("must be text, not {}", js::type_name(value)))),
    }
}

/// The number of an argument; text that is a number is taken as one.
fn number(args: &[Arg], n: usize) -> Result<f64, Failure> {
    let value = value(args, n)?;
    js::number(value).ok_or_else(|| {
        let value = match value {
            Value::String(text) if text.chars().count() <= 40 => format!("the text '{text}'"),
            value => js::type_name(value).to_owned(),
        };
        Failure::Argument(n, format!("must be a number, not {value}"))
    })
}

fn list(args: &[Arg], n: usize) -> Result<&Vec<Value>, Failure> {
    let value = value(args, n)?;
    value
        .as_array()
        .ok_or_else(|| Failure::Argument(n, format!("must be a list, not {}", js::type_name(value))))
}

/// The text of an argument, for what is not in the table's own files.
pub(super) fn text_of(args: &[Arg], n: usize) -> Result<String, Failure> {
    text(args, n)
}
