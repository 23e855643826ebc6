//! What an editor offers to mend.

use std::ops::Range;

use crate::{Diagnostic, TextEdit, diagnostics};

/// A change that mends a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it does.
    pub title: String,
    /// The problem that it mends.
    pub problem: Diagnostic,
    /// The change.
    pub edit: TextEdit,
}

/// What can be mended in a part of a text: names that are misspelt, and names that are another's.
#[must_use]
pub fn actions(name: &str, text: &str, range: &Range<usize>) -> Vec<Action> {
    let touched = |found: &Diagnostic| found.range.start <= range.end && range.start <= found.range.end;
    diagnostics(name, text).into_iter().filter(touched).filter_map(|found| mend(text, found)).collect()
}

fn mend(text: &str, problem: Diagnostic) -> Option<Action> {
    let help = problem.problem.help.as_deref()?;
    let right = help.strip_prefix("did you mean `").or_else(|| help.strip_prefix("write `"))?;
    let (right, rest) = right.split_once('`')?;
    if !matches!(rest, "?" | "") {
        return None;
    }
    // `write `kind: JobRun`` says the whole member; only its value is another.
    let right = right.rsplit(": ").next()?;
    let wrong = problem.problem.message.split('`').nth(1)?;
    let around = text.get(problem.range.clone())?;
    let start = problem.range.start + whole_word(around, wrong)?;
    let edit = TextEdit { range: start..start + wrong.len(), text: right.to_owned() };
    Some(Action { title: format!("write `{right}`"), problem, edit })
}

/// Where a word stands that is not a part of a longer one.
fn whole_word(text: &str, word: &str) -> Option<usize> {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let (before, after) = (&text[..*at], &text[at + word.len()..]);
        !before.ends_with(inner) && !after.starts_with(inner)
    })
}
