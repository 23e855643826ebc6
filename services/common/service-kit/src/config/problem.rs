//! What is wrong with settings: where, what was expected, what to do.

use std::fmt;

use super::Origin;

/// One mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written; none for what is missing.
    pub origin: Option<Origin>,
    /// `section.key`; empty for a file that could not be read at all.
    pub key: String,
    /// What is wrong and what was expected. Never a secret's value.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Everything that is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [_] => f.write_str("the settings have a mistake")?,
            problems => write!(f, "the settings have {} mistakes", problems.len())?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for Problems {}
