//! Colours, where a person looks on: a terminal that has not said `NO_COLOR`.

use std::{env, io::IsTerminal};

/// What a piece of text means; how it looks follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Good,
    Bad,
    Busy,
    Quiet,
    Accent,
    Strong,
}

/// Puts colour on text, or leaves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self(std::io::stdout().is_terminal() && wanted())
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self(std::io::stderr().is_terminal() && wanted())
    }

    /// Never any colour.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self(false)
    }

    /// The text in that style.
    pub(crate) fn on(self, text: &str, style: Style) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Good => "32",
            Style::Bad => "31",
            Style::Busy => "33",
            Style::Quiet => "2",
            Style::Accent => "36",
            Style::Strong => "1",
        };
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Style {
    /// The style of a run's, node's or target's status.
    pub(crate) fn of_status(status: &str) -> Self {
        match status.split_whitespace().next().unwrap_or_default() {
            "success" | "running" if status.contains('/') || status == "success" => Self::Good,
            "running" | "retrying" | "starting" | "aborting" | "queued" | "waiting" | "approval_wait" => {
                Self::Busy
            }
            "failure" | "unknown" | "unhealthy" | "lost" | "host" => Self::Bad,
            "pending" | "skipped" | "aborted" | "ready" | "stopped" => Self::Quiet,
            _ => Self::Plain,
        }
    }
}

fn wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
