//! Places and problems as the protocol has them: lines from 0, columns in UTF-16 units.

use std::ops::Range;

use lsp_types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location, NumberOrString,
    Position, Range as Places, TextEdit, Uri,
};
use shipway_documents::{Code, Severity};
use shipway_editor as editor;

/// An open document.
pub(super) struct Text {
    /// What it is called; its extension tells JSON from YAML.
    pub(super) name: String,
    pub(super) text: String,
    /// Bytes at which lines start.
    starts: Vec<usize>,
}

impl Text {
    pub(super) fn new(uri: &Uri, language: &str, text: String) -> Self {
        let path = uri.path().as_str();
        let file = path.rsplit('/').next().unwrap_or(path);
        let known =
            [".json", ".yaml", ".yml"].iter().any(|extension| file.to_ascii_lowercase().ends_with(extension));
        let name = match language {
            _ if known => file.to_owned(),
            "json" | "jsonc" => format!("{file}.json"),
            "yaml" => format!("{file}.yaml"),
            _ => file.to_owned(),
        };
        let mut new = Self { name, text: String::new(), starts: Vec::new() };
        new.replace(text);
        new
    }

    pub(super) fn replace(&mut self, text: String) {
        // A byte order mark is no part of what editors count.
        self.text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        self.starts = std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    }

    /// The byte at a place; the end of the line or of the text for one beyond it.
    pub(super) fn offset(&self, place: Position) -> usize {
        let Some(&start) = self.starts.get(place.line as usize) else { return self.text.len() };
        let line = self.text[start..].split(['\n', '\r']).next().unwrap_or_default();
        let mut units = 0;
        for (at, c) in line.char_indices() {
            if units >= place.character as usize {
                return start + at;
            }
            units += c.len_utf16();
        }
        start + line.len()
    }

    fn place(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let before = self.text.get(self.starts[line]..offset).unwrap_or_default();
        let units: usize = before.chars().map(char::len_utf16).sum();
        Position { line: number(line), character: number(units) }
    }

    pub(super) fn places(&self, range: &Range<usize>) -> Places {
        Places { start: self.place(range.start), end: self.place(range.end) }
    }

    pub(super) fn edit(&self, edit: &editor::TextEdit) -> TextEdit {
        TextEdit { range: self.places(&edit.range), new_text: edit.text.clone() }
    }

    pub(super) fn diagnostics(&self, uri: &Uri) -> Vec<Diagnostic> {
        editor::diagnostics(&self.name, &self.text).iter().map(|found| self.diagnostic(uri, found)).collect()
    }

    pub(super) fn diagnostic(&self, uri: &Uri, found: &editor::Diagnostic) -> Diagnostic {
        let problem = &found.problem;
        let message = match &problem.help {
            Some(help) => format!("{}\n{help}", problem.message),
            None => problem.message.clone(),
        };
        let related = problem.related.iter().filter_map(|other| {
            let (line, column) = other.line.zip(other.column)?;
            let place = Position { line: line.saturating_sub(1), character: column.saturating_sub(1) };
            let location = Location { uri: uri.clone(), range: Places { start: place, end: place } };
            Some(DiagnosticRelatedInformation { location, message: other.message.clone() })
        });
        let related: Vec<_> = related.collect();
        Diagnostic {
            range: self.places(&found.range),
            severity: Some(match problem.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Unsupported | Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(problem.code.as_str().to_owned())),
            source: Some("shipway".to_owned()),
            message,
            related_information: (!related.is_empty()).then_some(related),
            tags: (problem.code == Code::RefUnused).then(|| vec![DiagnosticTag::UNNECESSARY]),
            ..Diagnostic::default()
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_utf16_units() {
        let uri: Uri = "file:///a/flow.yaml".parse().unwrap();
        let text = Text::new(&uri, "yaml", "a: 😀é\r\nb: 1\n".to_owned());
        assert_eq!(text.name, "flow.yaml");
        for (line, character, offset) in
            [(0, 0, 0), (0, 3, 3), (0, 5, 7), (0, 6, 9), (0, 99, 9), (1, 1, 12), (9, 0, 16)]
        {
            assert_eq!(text.offset(Position { line, character }), offset, "{line}:{character}");
        }
        assert_eq!(text.place(9), Position { line: 0, character: 6 });
        assert_eq!(text.place(12), Position { line: 1, character: 1 });
    }
}
