//! What a text says: plain text, expressions, and what is left for later. Every part has its span.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use super::pattern::{self, Pattern, PatternError};

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Text, without the backslashes of escapes.
    Text(String),
    /// An expression.
    Expression {
        /// Its place, `${` and `}` included.
        span: Range<usize>,
        /// Whether it is `${template.…}`.
        template: bool,
        /// What it says.
        expr: Expr,
    },
    /// `${{…}}`.
    Container(Range<usize>),
}

/// An expression, with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Literal(Value),
    /// JavaScript's `undefined`.
    Undefined,
    List(Vec<Expr>),
    Path {
        root: PathRoot,
        name: String,
        path: Vec<String>,
    },
    /// A parameter of an arrow function around: its place among all that are known here.
    Parameter {
        slot: usize,
        name: String,
        path: Vec<String>,
    },
    Call {
        function: String,
        args: Vec<Expr>,
    },
    /// Only as an argument of a call.
    Arrow(Arrow),
    /// Only as an argument of a call.
    Regex(Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathRoot {
    Args,
    Refs,
    Triggers,
    Secrets,
}

impl PathRoot {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "args" => Self::Args,
            "refs" => Self::Refs,
            "triggers" => Self::Triggers,
            "secrets" => Self::Secrets,
            _ => return None,
        })
    }
}

/// `(item, index) => …`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arrow {
    pub(super) parameters: Vec<String>,
    pub(super) body: Box<Expr>,
    /// The parameters of the arrow functions around it, outermost first.
    pub(super) outer: Vec<String>,
    /// Its own text.
    pub(super) text: String,
}

/// `/…/flags`, compiled at most once.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    pub(super) source: String,
    pub(super) flags: String,
    compiled: Arc<OnceLock<Result<Arc<Pattern>, PatternError>>>,
}

impl Regex {
    pub(super) fn new(source: String, flags: String) -> Self {
        Self { source, flags, compiled: Arc::default() }
    }

    /// The pattern; where in its source it is wrong, if it is.
    pub(super) fn pattern(&self) -> Result<Arc<Pattern>, PatternError> {
        self.compiled.get_or_init(|| pattern::compile(&self.source, &self.flags).map(Arc::new)).clone()
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.flags == other.flags
    }
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl SyntaxError {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
