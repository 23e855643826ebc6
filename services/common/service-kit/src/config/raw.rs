//! A value as it was written, and where.

use std::{fmt, path::PathBuf};

/// A value before its key says what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A text in quotes.
    Text(String),
    /// What the environment or a flag says: a text, a number or a list with commas, as its key wants it.
    Word(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Switch(bool),
    /// A list.
    List(Vec<Raw>),
    /// What no key takes: a date, a fraction, a table.
    Other(&'static str),
}

impl Raw {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Word(text) => Some(text),
            _ => None,
        }
    }

    /// The parts of a list; of a word, what is between its commas.
    #[must_use]
    pub fn list(&self) -> Option<Vec<Self>> {
        match self {
            Self::List(list) => Some(list.clone()),
            Self::Word(word) => Some(
                word.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| Self::Word(part.to_owned()))
                    .collect(),
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Word(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::List(_) => f.write_str("a list"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The service's default file.
    Default {
        /// The service.
        service: &'static str,
        /// The line, from 1.
        line: usize,
    },
    /// The operator's file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// `--set` and what it named.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default { .. } => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(key) => write!(f, "--set {key}"),
        }
    }
}
