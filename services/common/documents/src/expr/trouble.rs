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
    /// A name that is not known, and those that are: what was meant is found out when it is told, since much that has
    /// no value counts as false.
    meant: Option<(String, Vec<String>)>,
}

impl Trouble {
    pub(super) fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { span: span.clone(), message, help: None, code: Code::ExprType, meant: None }
    }

    pub(super) fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The path of a secret file in a text or in a call: there is none before the program runs.
    pub(super) fn path_in_part(span: &Range<usize>) -> Self {
        Self::new(span, "the path of a secret file must be the whole value")
            .help("give it a variable of its own, and use that where the program runs")
    }

    /// Says which of the known names was probably meant, or else which there are; where there are none, the help stays.
    pub(super) fn suggest(mut self, name: &str, known: Vec<String>) -> Self {
        self.meant = Some((name.to_owned(), known));
        self
    }

    /// The problem of a text that stands at `at`.
    pub(super) fn into_problem(self, at: &str) -> Problem {
        let mut problem = Problem::error(at, self.message).code(self.code).span(self.span);
        problem.help = match self.meant {
            Some((name, known)) => meant(&name, &known).or(self.help),
            None => self.help,
        };
        problem
    }
}

impl From<SyntaxError> for Trouble {
    fn from(error: SyntaxError) -> Self {
        let SyntaxError { span, message, help } = error;
        Self { span, message, help, code: Code::ExprSyntax, meant: None }
    }
}

fn meant(name: &str, known: &[String]) -> Option<String> {
    let names = || known.iter().map(String::as_str);
    match suggest::nearest(name, names()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("there is {}", suggest::list(names()))),
    }
}
