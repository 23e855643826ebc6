//! What is wrong with a document: where, what, and what to do.

use std::{fmt, fmt::Write as _, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{Code, pointer, suggest::nearest};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is wrong.
    Error,
    /// The document is right, but this version does not run it: refused when it is published or run.
    Unsupported,
    /// It works, and should be written otherwise.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Unsupported => "unsupported",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of problem it is: a stable name.
    pub code: Code,
    /// Where in the document: a JSON pointer, empty for the whole.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The part of the text at `pointer` that is meant, in bytes of the unescaped text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Range<usize>>,
    /// Whether the name of the field is meant, not its value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_key: bool,
    /// The line in the source, 1 for the first, once [`crate::Document::locate`] has found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters, 1 for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The line of the character after the last one that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    /// The column of that character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
    /// Other places that have to do with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// Another place that has to do with a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Related {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What is there.
    pub message: String,
    /// The line in the source, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Problem {
    /// An error.
    #[must_use]
    pub fn error(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Code::DocumentInvalid, pointer, message)
    }

    /// Something that is right but not supported.
    #[must_use]
    pub fn unsupported(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Unsupported, Code::DocumentUnsupported, pointer, message)
    }

    /// A warning.
    #[must_use]
    pub fn warning(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Code::DocumentDoubtful, pointer, message)
    }

    fn new(severity: Severity, code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            pointer: pointer.into(),
            message: message.into(),
            help: None,
            span: None,
            at_key: false,
            line: None,
            column: None,
            end_line: None,
            end_column: None,
            related: Vec::new(),
        }
    }

    /// Says what kind of problem it is.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Shows another place that has to do with it.
    #[must_use]
    pub fn related(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        self.related.push(Related {
            pointer: pointer.into(),
            message: message.into(),
            line: None,
            column: None,
        });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says which of the known names was probably meant, or else which there are; where there are none, the help stays.
    #[must_use]
    pub fn suggest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        if let Some(near) = nearest(name, known.clone()) {
            return self.help(format!("did you mean `{near}`?"));
        }
        let names = crate::suggest::list(known);
        if names == "none" { self } else { self.help(format!("there is {names}")) }
    }

    /// Narrows it to a part of the text at its pointer.
    #[must_use]
    pub fn span(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Means the name of the field, not its value.
    #[must_use]
    pub fn at_key(mut self) -> Self {
        self.at_key = true;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{}: {place}: {}", self.severity, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// All that is wrong, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Whether something keeps the document from being published or run (warnings do not).
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity != Severity::Warning)
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|problem| problem.severity == severity).count()
    }

    /// Whether there is nothing, not even a warning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each in turn.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Problem> {
        self.0.iter_mut()
    }

    /// The same problems of a document that stands inside another, at `parent`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        for problem in &mut self.0 {
            problem.pointer.insert_str(0, parent);
            problem.related.iter_mut().for_each(|place| place.pointer.insert_str(0, parent));
        }
        self
    }

    /// In the order of the source: by line and column where known, else by pointer; the same thing once.
    pub fn sort(&mut self) {
        self.0.sort_by_cached_key(|problem| {
            (problem.line, problem.column, natural(&problem.pointer), problem.severity)
        });
        self.0.dedup();
    }

    /// `Err` with all of them if one is more than a warning, else `Ok` with the warnings.
    ///
    /// # Errors
    /// The problems themselves.
    pub fn into_result(self) -> Result<Self, Self> {
        if self.has_errors() { Err(self) } else { Ok(self) }
    }
}

/// Steps of a pointer so that `/steps/10` comes after `/steps/9`.
fn natural(text: &str) -> Vec<(u64, String)> {
    pointer::steps(text).map(|step| (step.parse().unwrap_or(u64::MAX), step)).collect()
}

impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, problems: T) {
        self.0.extend(problems);
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// One line each, by pointer; [`Report`] also shows the source.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_char('\n')?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
