//! Problems in documents, shown in the user's own text: file, line, column, a caret and what to do.

use std::collections::BTreeMap;

use shipway_contracts::v1::Problem;

use super::{Paint, Style, json};

/// The files as given, by the names that problems use.
pub(crate) type Sources = BTreeMap<String, String>;

/// One problem as lines of text.
pub(crate) fn render(problem: &Problem, sources: &Sources, paint: Paint) -> String {
    let severity = json::severity(problem);
    let style = if severity == "error" { Style::Bad } else { Style::Busy };
    let code = if problem.code.is_empty() { String::new() } else { format!("[{}]", problem.code) };
    let what = format!("{severity}{code}");
    let mut text = format!("{}: {}\n", paint.on(&what, style), paint.on(&problem.message, Style::Strong));
    text.push_str(&format!("  {} {}\n", paint.on("-->", Style::Accent), place(problem)));
    if let Some(line) = source_line(problem, sources) {
        let number = problem.line.to_string();
        let bar =
            |left: &str| paint.on(&format!("{left:>width$} |", width = number.len() + 1), Style::Accent);
        let column = usize::try_from(problem.column.max(1)).unwrap_or(1);
        // Tabs stay tabs, so that the caret stands below its place however wide they are shown.
        let indent: String =
            line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        text.push_str(&format!("{}\n{} {line}\n", bar(""), bar(&number)));
        text.push_str(&format!("{} {indent}{}\n", bar(""), paint.on("^", style)));
    }
    if !problem.help.is_empty() {
        text.push_str(&format!("  {} {}\n", paint.on("help:", Style::Accent), problem.help));
    }
    text
}

fn place(problem: &Problem) -> String {
    let file = if problem.file.is_empty() { "document" } else { &problem.file };
    let at = match (problem.line, problem.column) {
        (0, _) => file.to_owned(),
        (line, 0) => format!("{file}:{line}"),
        (line, column) => format!("{file}:{line}:{column}"),
    };
    if problem.pointer.is_empty() { at } else { format!("{at} ({})", problem.pointer) }
}

fn source_line<'a>(problem: &Problem, sources: &'a Sources) -> Option<&'a str> {
    let index = usize::try_from(problem.line).ok()?.checked_sub(1)?;
    sources.get(&problem.file)?.lines().nth(index)
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::problem::Severity;

    use super::*;

    fn problem() -> Problem {
        Problem {
            severity: Severity::Error.into(),
            pointer: "/spec/steps/0/kind".to_owned(),
            message: "no node kind is called `Relase`".to_owned(),
            help: "did you mean `Release`?".to_owned(),
            line: 2,
            column: 9,
            file: "shop.yaml".to_owned(),
            code: "kind.unknown".to_owned(),
            ..Problem::default()
        }
    }

    #[test]
    fn the_caret_stands_below_its_place() {
        let sources = Sources::from([("shop.yaml".to_owned(), "steps:\n- kind: Relase\n".to_owned())]);
        let expected = "\
error[kind.unknown]: no node kind is called `Relase`
  --> shop.yaml:2:9 (/spec/steps/0/kind)
   |
 2 | - kind: Relase
   |         ^
  help: did you mean `Release`?
";
        assert_eq!(render(&problem(), &sources, Paint::none()), expected);
    }

    #[test]
    fn without_the_text_the_place_is_still_said() {
        let expected = "\
error[kind.unknown]: no node kind is called `Relase`
  --> shop.yaml:2:9 (/spec/steps/0/kind)
  help: did you mean `Release`?
";
        assert_eq!(render(&problem(), &Sources::new(), Paint::none()), expected);
    }
}
