//! Flags that verbs share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where Shipway is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Place {
    /// Shipway's address; found in the data folder when absent.
    #[arg(long, env = "SHIPWAY_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The data folder; `.shipway` here or in a folder above when absent.
    #[arg(long, env = "SHIPWAY_DATA", value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// The file that your token is in; `SHIPWAY_TOKEN` may hold the token itself. Without one you are nobody in particular.
    #[arg(long, env = "SHIPWAY_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Where Shipway is and how the answer is written.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) place: Place,
    /// For people, or for programs.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// JSON, one object or array; one object per line where an answer keeps coming.
    Json,
}

impl Common {
    /// Whether a program reads the answer.
    pub(crate) fn json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Reads `key=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value, as in -p REGION=eu".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_keeps_later_equals_signs() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(pair("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(pair("=b").is_err());
        assert!(pair("ab").is_err());
    }
}
