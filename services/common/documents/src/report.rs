//! Problems as people read them: `file:line:column`, the line, a caret, what to do.

use std::{fmt, sync::Arc};

use crate::{Code, Problem, Problems, source::Source};

/// Problems with the source that they are in: `file:line:column`, the line, a caret, what to do.
#[derive(Clone, Debug)]
pub struct Report {
    /// The text.
    pub source: Arc<Source>,
    /// What is wrong with it, located and sorted.
    pub problems: Problems,
}

impl std::error::Error for Report {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n\n")?;
            }
            self.write(problem, f)?;
        }
        Ok(())
    }
}

/// Columns of a line that are shown; a longer line (a document in one line) is cut around the caret.
const SHOWN: usize = 100;

impl Report {
    /// One of the problems, as the whole report shows it.
    #[must_use]
    pub fn show(&self, problem: &Problem) -> String {
        struct One<'a>(&'a Report, &'a Problem);
        impl fmt::Display for One<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write(self.1, f)
            }
        }
        One(self, problem).to_string()
    }

    fn write(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = format!("{}[{}]: {}", problem.severity, problem.code, problem.message);
        let (Some(line), Some(column)) = (problem.line, problem.column) else {
            let place = if problem.pointer.is_empty() { "" } else { " at " };
            write!(f, "{}{place}{}: {what}", self.source.name(), problem.pointer)?;
            return self.notes(problem, "", f);
        };
        writeln!(f, "{}:{line}:{column}: {what}", self.source.name())?;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let (text, caret, width) = self.excerpt(problem, line, column);
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {text}")?;
        write!(f, " {margin} | {}{}", " ".repeat(caret), "^".repeat(width))?;
        if !problem.pointer.is_empty() {
            write!(f, "\n {margin} = at: {}", problem.pointer)?;
        }
        self.notes(problem, &margin, f)
    }

    /// Other places, and what to do.
    fn notes(&self, problem: &Problem, margin: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for other in &problem.related {
            let place = match (other.line, other.column) {
                (Some(line), Some(column)) => format!("{}:{line}:{column}", self.source.name()),
                _ => other.pointer.clone(),
            };
            write!(f, "\n {margin} = note: {}: {place}", other.message)?;
        }
        problem.help.as_ref().map_or(Ok(()), |help| write!(f, "\n {margin} = help: {help}"))
    }

    /// The line as shown, and the caret's place and width in it.
    fn excerpt(&self, problem: &Problem, line: u32, column: u32) -> (String, usize, usize) {
        let whole = self.source.line(line);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let caret = column as usize - 1;
        // A document may be one line of a megabyte: of that no more is copied than is shown.
        let count = if whole.is_ascii() { whole.len() } else { whole.chars().count() };
        let from = caret.saturating_sub(SHOWN / 3).min(count.saturating_sub(SHOWN));
        let rest = if whole.is_ascii() { whole.get(from..) } else { skip(whole, from) };
        let mut shown: Vec<char> = rest.unwrap_or_default().chars().take(SHOWN).map(plain).collect();
        let more = from + shown.len() < count;
        let at = caret.saturating_sub(from).min(shown.len());
        let ends = problem.end_column.filter(|_| problem.end_line == Some(line)).map(|end| end as usize - 1);
        let wanted = match ends {
            Some(end) if problem.span.is_some() => end.saturating_sub(caret),
            _ => token(&shown[at..]),
        };
        let mut width = wanted.min(shown.len() - at).max(1);
        if problem.code == Code::SecretLiteral {
            // It may be printed into a log that others read.
            let end = ends.map_or(shown.len(), |end| end.saturating_sub(from).clamp(at, shown.len()));
            shown[at..end].fill('•');
            width = (end - at).max(1);
        }
        let mut text = String::new();
        text.push_str(if from > 0 { "…" } else { "" });
        text.extend(&shown);
        text.push_str(if more { "…" } else { "" });
        (text.trim_end().to_owned(), at + usize::from(from > 0), width)
    }
}

/// The text after so many characters.
fn skip(text: &str, chars: usize) -> Option<&str> {
    text.char_indices().nth(chars).and_then(|(at, _)| text.get(at..))
}

/// The width of the word or quoted text at the beginning of `rest`.
fn token(rest: &[char]) -> usize {
    let end = match rest.first() {
        Some(&quote @ ('"' | '\'')) => rest[1..].iter().position(|c| *c == quote).map(|at| at + 2),
        Some('{' | '[') => Some(1),
        _ => rest.iter().position(|c| c.is_whitespace() || matches!(c, ',' | ':' | '}' | ']')),
    };
    end.unwrap_or(rest.len()).max(1)
}
