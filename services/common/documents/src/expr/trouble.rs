//! Why an expression has no value, and what to say about it.

use std::ops::Range;

use super::ast::SyntaxError;
use crate::{Code, Problem, suggest};

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stop {
    /// It needs a node that has not run; the place and name of what is needed.
    Later(Range<usize>, String),
    /// Something that it names has no value: false where a boolean is expected, else an error.
    Unresolved(Trouble),
    /// It is JavaScript's `undefined`: like `Unresolved`, and `eq` compares it.
    Undefined(Trouble),
    /// It cannot have one.
    Error(Trouble),
    /// A secret decides: the function around keeps the expression as it is.
    Secret,
}

/// What is wrong, and where in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) code: Code,
}

impl Trouble {
    pub(super) fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { span: span.clone(), message: message.into(), help: None, code: Code::ExprType }
    }

    pub(super) fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says which of the known names was probably meant, or else which there are.
    pub(super) fn suggest(mut self, name: &str, known: &[String]) -> Self {
        let names = || known.iter().map(String::as_str);
        self.help = match suggest::nearest(name, names()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => None,
            None => Some(format!("there is {}", suggest::list(names()))),
        };
        self
    }

    /// The problem of a text that stands at `at`.
    pub(super) fn into_problem(self, at: &str) -> Problem {
        let mut problem = Problem::error(at, self.message).code(self.code).span(self.span);
        problem.help = self.help;
        problem
    }
}

impl From<SyntaxError> for Trouble {
    fn from(error: SyntaxError) -> Self {
        Self { span: error.span, message: error.message, help: error.help, code: Code::ExprSyntax }
    }
}
