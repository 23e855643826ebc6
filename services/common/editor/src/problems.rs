//! Problems with the part of the text that each is about.

use std::ops::Range;

use shipway_documents::{Problem, Source};
use shipway_nodes::lint::{Knowledge, lint};

/// A problem in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, where and what to do.
    pub problem: Problem,
    /// The part of the text, in bytes.
    pub range: Range<usize>,
}

/// All that is wrong with a text, in its order.
#[must_use]
pub fn diagnostics(name: &str, text: &str) -> Vec<Diagnostic> {
    let report = lint(name, text, Knowledge::default());
    let lines = Lines::of(&report.source);
    let locate = |problem: &Problem| {
        let start = lines.offset(problem.line.unwrap_or(1), problem.column.unwrap_or(1));
        let end = match (problem.end_line, problem.end_column) {
            (Some(line), Some(column)) => lines.offset(line, column),
            _ => lines.word_end(start),
        };
        start..end.max(start)
    };
    report
        .problems
        .iter()
        .map(|problem| Diagnostic { range: locate(problem), problem: problem.clone() })
        .collect()
}

/// Finds bytes by line and column.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(source: &'a Source) -> Self {
        let text = source.text();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The byte at a line and a column, both from 1, columns in characters.
    pub(crate) fn offset(&self, line: u32, column: u32) -> usize {
        let Some(&start) = self.starts.get(line.saturating_sub(1) as usize) else { return self.text.len() };
        let before = self.text[start..].chars().take(column.saturating_sub(1) as usize);
        start + before.map(char::len_utf8).sum::<usize>()
    }

    fn word_end(&self, start: usize) -> usize {
        let rest = &self.text[start.min(self.text.len())..];
        start + rest.find(|c: char| c.is_whitespace() || ",:]}".contains(c)).unwrap_or(rest.len())
    }
}
