//! Text becomes a value whose every place has a line and a column.

mod json;
mod yaml;

use std::sync::Arc;

use serde_json::Value;

use crate::{Code, Problem, Problems, Report, pointer};

/// The largest document that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// How deep lists and objects may be nested.
pub const MAX_DEPTH: usize = 64;

/// Reads JSON or YAML, told apart by the file's extension, else by the first character. Several YAML
/// documents in one file become one list of them.
///
/// # Errors
/// What is wrong with the text, with its place.
pub fn parse(name: &str, text: &str) -> Result<Document, Report> {
    let source = Arc::new(Source::new(name, text));
    let tree = if source.text.len() > MAX_BYTES {
        let mib = MAX_BYTES >> 20;
        Err(Fault::new(
            Position::START,
            format!("the document has {} bytes; the most is {mib} MiB", source.text.len()),
        )
        .help("split it into several files"))
    } else if source.is_json() {
        json::parse(&source.text)
    } else {
        yaml::parse(&source.text)
    };
    match tree {
        Ok((value, spans)) => Ok(Document { value, spans, source }),
        Err(fault) => {
            let mut problem = Problem::error("", fault.message).code(Code::TextSyntax);
            problem.help = fault.help;
            (problem.line, problem.column) = (Some(fault.at.line), Some(fault.at.column));
            Err(Report { source, problems: problem.into() })
        }
    }
}

/// What YAML takes an unquoted text for; none for a number that JSON cannot say.
pub(crate) fn plain_scalar(text: &str) -> Option<Value> {
    yaml::plain(text)
}

/// A parsed file.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it says. Order of members is kept.
    pub value: Value,
    spans: Node,
    source: Arc<Source>,
}

impl Document {
    /// A document that came as a value: its problems have pointers and no lines.
    #[must_use]
    pub fn from_value(name: &str, value: Value) -> Self {
        let spans = Node { span: Span::default(), key: None, children: Children::Leaf };
        Self { value, spans, source: Arc::new(Source::new(name, "")) }
    }

    /// Its text.
    #[must_use]
    pub const fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Where the value at `pointer` stands, or the nearest one around it that is in the text.
    #[must_use]
    pub fn span(&self, pointer: &str) -> Option<Span> {
        (!self.source.text.is_empty()).then(|| self.find(pointer).0.span)
    }

    /// Gives problems their lines and columns and sorts them.
    pub fn locate(&self, problems: &mut Problems) {
        if !self.source.text.is_empty() {
            for problem in problems.iter_mut() {
                let Span { start, end } = self.place(problem);
                (problem.line, problem.column) = (Some(start.line), Some(start.column));
                (problem.end_line, problem.end_column) = (Some(end.line), Some(end.column));
                for other in &mut problem.related {
                    let start = self.find(&other.pointer).0.span.start;
                    (other.line, other.column) = (Some(start.line), Some(start.column));
                }
            }
        }
        problems.sort();
    }

    /// The problems with this document's text, for people.
    #[must_use]
    pub fn report(&self, mut problems: Problems) -> Report {
        self.locate(&mut problems);
        Report { source: Arc::clone(&self.source), problems }
    }

    fn place(&self, problem: &Problem) -> Span {
        let (node, exact) = self.find(&problem.pointer);
        if let Some(start) = node.key.filter(|_| problem.at_key && exact) {
            let name = pointer::steps(&problem.pointer).last().map_or(0, |name| name.chars().count());
            let quotes = if self.source.is_quoted(start) { 2 } else { 0 };
            let width = u32::try_from(name + quotes).unwrap_or_default();
            return Span { start, end: Position { column: start.column + width, ..start } };
        }
        let part = problem.span.clone().filter(|_| exact).and_then(|span| {
            let text = self.value.pointer(&problem.pointer)?.as_str()?;
            // The same fragment may come more than once: it is the one with as many before it.
            let before = text.get(..span.start)?.matches(text.get(span.clone())?).count();
            let part = text.get(span)?;
            let start = self.source.find(node.span, part, before)?;
            let width = u32::try_from(part.chars().count()).unwrap_or_default();
            Some(Span { start, end: Position { column: start.column + width, ..start } })
        });
        part.unwrap_or(node.span)
    }

    /// The node at `pointer`, or the deepest on the way to it, and whether it is the very one.
    fn find(&self, pointer: &str) -> (&Node, bool) {
        let mut node = &self.spans;
        for step in pointer::steps(pointer) {
            let child = match &node.children {
                Children::Leaf => None,
                Children::List(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                Children::Map(members) => members.iter().find(|(key, _)| *key == step).map(|(_, node)| node),
            };
            match child {
                Some(child) => node = child,
                None => return (node, false),
            }
        }
        (node, true)
    }
}

/// A file's name and text.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
    /// Byte offsets where lines start.
    lines: Vec<usize>,
    /// Columns are bytes: a document in one line is not searched from its beginning for every problem.
    is_ascii: bool,
}

impl Source {
    /// A text under the name that people know it by.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let is_ascii = text.is_ascii();
        Self { name: name.to_owned(), text, lines, is_ascii }
    }

    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A line without its end, 1 for the first; empty past the end.
    #[must_use]
    pub fn line(&self, line: u32) -> &str {
        let index = line.saturating_sub(1) as usize;
        let Some(&from) = self.lines.get(index) else { return "" };
        let to = self.lines.get(index + 1).copied().unwrap_or(self.text.len());
        self.text[from..to].trim_end_matches(['\n', '\r'])
    }

    pub(crate) fn is_json(&self) -> bool {
        let extension = self.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("json") => true,
            Some("yaml" | "yml") => false,
            _ => self.text.trim_start().starts_with(['{', '[']),
        }
    }

    /// Where `part` stands in `span`, `skip` equal ones passed over.
    fn find(&self, span: Span, part: &str, skip: usize) -> Option<Position> {
        let (from, to) = (self.offset(span.start), self.offset(span.end));
        let raw = self.text.get(from..to)?;
        let at = from + raw.match_indices(part).nth(skip)?.0;
        let line = self.lines.partition_point(|start| *start <= at);
        let before = &self.text[self.lines[line - 1]..at];
        let column = if self.is_ascii { before.len() } else { before.chars().count() } + 1;
        Some(Position { line: u32::try_from(line).ok()?, column: u32::try_from(column).ok()? })
    }

    fn is_quoted(&self, at: Position) -> bool {
        self.text[self.offset(at)..].starts_with(['"', '\''])
    }

    fn offset(&self, at: Position) -> usize {
        let Some(&start) = self.lines.get(at.line.saturating_sub(1) as usize) else { return self.text.len() };
        if self.is_ascii {
            return (start + at.column.saturating_sub(1) as usize).min(self.text.len());
        }
        let skipped: usize =
            self.text[start..].chars().take(at.column.saturating_sub(1) as usize).map(char::len_utf8).sum();
        start + skipped
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// 1 for the first.
    pub line: u32,
    /// In characters, 1 for the first.
    pub column: u32,
}

impl Position {
    const START: Self = Self { line: 1, column: 1 };
}

/// From the first character of something to the one after its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first character.
    pub start: Position,
    /// The character after it.
    pub end: Position,
}

/// Where a value stands, and what is in it.
#[derive(Clone, Debug)]
struct Node {
    span: Span,
    /// Where the name stands, for a member of an object.
    key: Option<Position>,
    children: Children,
}

#[derive(Clone, Debug)]
enum Children {
    Leaf,
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why a text is no document.
#[derive(Debug)]
struct Fault {
    at: Position,
    message: String,
    help: Option<String>,
}

impl Fault {
    fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn too_deep(at: Position) -> Self {
        Self::new(at, format!("lists and objects are nested more than {MAX_DEPTH} deep"))
            .help("make what is inside a document of its own")
    }

    fn empty(at: Position) -> Self {
        Self::new(at, "the file is empty")
            .help("a document says at least what it is: `kind: Project`, or the `spec` of a flow")
    }

    fn duplicate(at: Position, key: &str, first: Position) -> Self {
        Self::new(at, format!("`{key}` is given twice; the first is in line {}", first.line))
            .help("keep one of them")
    }
}
