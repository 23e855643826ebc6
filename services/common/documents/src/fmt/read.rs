//! A YAML text as what is to be printed: entries with the comments that belong to them.

use super::order::order;
use crate::cst::{Entry, Kind, Layout, Node, Tree, column, line_end, line_start, next_line};

/// A file.
pub(super) struct File {
    pub(super) documents: Vec<Root>,
    /// What comes after the last one.
    pub(super) tail: Vec<Line>,
}

/// A document of a file.
pub(super) struct Root {
    /// Comments and marks (`---`) before it.
    pub(super) head: Vec<Line>,
    /// Whether a blank line is between them and it.
    pub(super) blank: bool,
    /// Whether it begins in the line of its `---`.
    pub(super) beside: bool,
    pub(super) value: Value,
}

/// A line with a comment or a mark.
pub(super) struct Line {
    /// Whether a blank line comes before it.
    pub(super) blank: bool,
    pub(super) text: String,
}

/// What is printed after a dash, a colon, or at the root.
pub(super) struct Value {
    pub(super) anchor: Option<String>,
    /// A comment in the line of the dash or colon, with the spaces before it.
    pub(super) note: Option<String>,
    /// Comments between the dash or colon and a value on a line of its own.
    pub(super) above: Vec<Line>,
    pub(super) body: Body,
    /// A comment behind the value.
    pub(super) after: Option<String>,
}

pub(super) enum Body {
    Nothing,
    /// A text that may have several lines; all but the first begin anew.
    Text(String),
    /// Brackets over several lines, with the column that they stood in.
    Flow(String, usize),
    /// After `|` or `>`: its head, its lines without their indentation, and what stays of it.
    Block {
        head: String,
        lines: Vec<String>,
        digit: Option<usize>,
        keeps: bool,
    },
    /// Entries, and comments after the last.
    Entries(Vec<Item>, Vec<Line>),
}

/// An entry.
pub(super) struct Item {
    /// Comments above it.
    pub(super) above: Vec<Line>,
    /// Whether a blank line comes before it, or between it and the comments.
    pub(super) blank: bool,
    pub(super) head: Head,
    pub(super) value: Value,
}

pub(super) enum Head {
    Dash,
    Name(String),
    /// `? name`, and whether it has a colon.
    Asked(String, bool),
}

pub(super) fn read(text: &str, tree: &Tree) -> Option<File> {
    let mut reader = Reader { text, at: 0 };
    let mut documents = Vec::new();
    for root in &tree.roots {
        let start = root.anchor.as_ref().map_or(root.span.start, |anchor| anchor.start.min(root.span.start));
        // Comments at the head of a document are the document's, whichever entry comes first.
        let (mut head, mut blank) = reader.marks(start);
        let beside = line_start(text, start) < start && text[line_start(text, start)..].starts_with("---");
        if beside {
            blank = head.pop().is_some_and(|mark| mark.blank);
        }
        reader.at = start;
        let value = reader.value(root, 0, reader.end_of_root(root.end()), None)?;
        documents.push(Root { head, blank, beside, value });
    }
    let tail = reader.marks(text.len()).0;
    Some(File { documents, tail })
}

struct Reader<'a> {
    text: &'a str,
    /// All before it has been read.
    at: usize,
}

impl Reader<'_> {
    /// The lines up to `end`: comments and marks; and whether a blank line is before what follows.
    fn marks(&mut self, end: usize) -> (Vec<Line>, bool) {
        let mut lines = Vec::new();
        let mut blank = false;
        let mut at =
            if self.at == line_start(self.text, self.at) { self.at } else { next_line(self.text, self.at) };
        while at < end {
            let line = self.text[at..line_end(self.text, at)].trim();
            if line.is_empty() {
                blank = true;
            } else if line_end(self.text, at) <= end || line.starts_with("---") {
                let text = if line_end(self.text, at) > end { "---".to_owned() } else { line.to_owned() };
                lines.push(Line { blank: std::mem::take(&mut blank), text });
            }
            at = next_line(self.text, at);
        }
        self.at = end.max(self.at);
        (lines, blank)
    }

    /// Comments up to `end` on lines of their own, those only that stand in `least` or deeper; and whether a
    /// blank line is before what follows.
    fn comments(&mut self, end: usize, least: usize) -> (Vec<Line>, bool) {
        let mut lines = Vec::new();
        let mut blank = false;
        let start = line_start(self.text, self.at);
        let begun = !self.text[start..self.at].trim().is_empty();
        let mut at = if begun { next_line(self.text, self.at) } else { start };
        while at < end {
            let line = &self.text[at..line_end(self.text, at)];
            let (trimmed, indent) = (line.trim(), line.len() - line.trim_start().len());
            if trimmed.is_empty() {
                blank = true;
            } else if trimmed.starts_with('#') && indent >= least {
                lines.push(Line { blank: std::mem::take(&mut blank), text: trimmed.to_owned() });
                self.at = next_line(self.text, at);
            } else {
                break;
            }
            at = next_line(self.text, at);
        }
        (lines, blank)
    }

    /// A comment in the rest of the line, with the spaces before it.
    fn note(&mut self, end: usize) -> Option<String> {
        let line = line_end(self.text, self.at).min(end.max(self.at));
        let rest = &self.text[self.at..line];
        let note = rest.trim();
        if !note.starts_with('#') {
            return None;
        }
        self.at = line;
        let pad = &rest[..rest.len() - rest.trim_start().len()];
        Some(format!("{}{note}", if pad.is_empty() { " " } else { pad }))
    }

    /// A value after `self.at`; what follows it begins at `limit`. `around` is the column of its entry.
    fn value(&mut self, node: &Node, around: usize, limit: usize, entry: Option<&Entry>) -> Option<Value> {
        let anchor = node.anchor.clone().map(|range| self.text[range].to_owned());
        if let Some(range) = &node.anchor {
            // A comment between the colon and the anchor has no place in the usual form.
            self.text[self.at..range.start].trim().is_empty().then_some(())?;
            self.at = range.end;
        }
        let mut value = Value { anchor, note: None, above: Vec::new(), body: Body::Nothing, after: None };
        if matches!(node.kind, Kind::Empty) {
            value.note = self.note(limit);
            return Some(value);
        }
        let apart = line_start(self.text, self.at) != line_start(self.text, node.span.start);
        if apart {
            value.note = self.note(node.span.start);
        }
        if node.is_block() {
            let (items, tail) = self.entries(node, around, limit)?;
            value.body = Body::Entries(items, tail);
            return Some(value);
        }
        if apart && entry.is_some() {
            value.above = self.comments(node.span.start, 0).0;
        }
        value.body = self.scalar(node, around)?;
        self.at = node.span.end;
        value.after = self.note(limit.max(self.at));
        Some(value)
    }

    fn scalar(&self, node: &Node, around: usize) -> Option<Body> {
        let raw = &self.text[node.span.clone()];
        let lines = || raw.split('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect::<Vec<_>>();
        Some(match &node.kind {
            Kind::Map(Layout::Flow, _) | Kind::List(Layout::Flow, _) => Body::Flow(raw.to_owned(), around),
            Kind::Block => {
                let mut lines = lines().into_iter();
                let head = lines.next()?.trim_end().to_owned();
                let mark = head.split_whitespace().next().unwrap_or_default();
                let digit = mark.chars().find_map(|c| c.to_digit(10)).map(|digit| digit as usize);
                let keeps = mark.contains('+');
                let body: Vec<String> = lines.collect();
                let first = body.iter().find(|line| !line.trim().is_empty());
                let auto = first.map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
                let indent = digit.map_or(auto, |digit| around + digit);
                let cut = |line: &String| line.get(indent.min(line.len())..).unwrap_or_default().to_owned();
                Body::Block { head, lines: body.iter().map(cut).collect(), digit, keeps }
            }
            Kind::Map(..) | Kind::List(..) | Kind::Empty => return None,
            Kind::Plain | Kind::Single | Kind::Double | Kind::Alias => Body::Text(raw.to_owned()),
        })
    }

    fn entries(&mut self, node: &Node, around: usize, limit: usize) -> Option<(Vec<Item>, Vec<Line>)> {
        let (_, entries) = node.entries()?;
        let here = column(self.text, entries.first()?.start);
        let mut items = Vec::with_capacity(entries.len());
        for (n, entry) in entries.iter().enumerate() {
            let next = entries.get(n + 1).map_or(limit, |next| next.start);
            let (mut above, mut blank) = self.comments(entry.start, 0);
            if n == 0 {
                // No blank lines at the head of an object, whichever entry comes first.
                *above.first_mut().map_or(&mut blank, |line| &mut line.blank) = false;
            }
            self.at = entry.after;
            let head = self.head(entry)?;
            let value = self.value(&entry.value, here, next, Some(entry))?;
            items.push(Item { above, blank, head, value });
        }
        // In the column of the entry around it, a comment is about what comes next there.
        let tail = self.comments(limit, if here == around { here + 1 } else { here }).0;
        let mut sorted: Vec<Option<Item>> = items.into_iter().map(Some).collect();
        let places = if matches!(node.kind, Kind::Map(..)) {
            order(node, entries)
        } else {
            (0..entries.len()).collect()
        };
        let items = places.into_iter().filter_map(|place| sorted[place].take()).collect();
        Some((items, tail))
    }

    fn head(&self, entry: &Entry) -> Option<Head> {
        let Some(key) = &entry.key else { return Some(Head::Dash) };
        let from = entry.start + usize::from(key.explicit);
        let name = self.text[from..key.span.end].trim();
        let plain = !name.contains('\n') && !self.text[key.span.end..entry.after].contains('#');
        let colon = self.text[..entry.after].ends_with(':') && entry.after > key.span.end;
        plain.then(|| {
            if key.explicit { Head::Asked(name.to_owned(), colon) } else { Head::Name(name.to_owned()) }
        })
    }

    /// Where the text of a document ends: at the next mark, or with the file.
    fn end_of_root(&self, from: usize) -> usize {
        let mut at = next_line(self.text, from);
        while at < self.text.len() {
            if self.text[at..].starts_with("---") || self.text[at..].starts_with("...") {
                return at;
            }
            at = next_line(self.text, at);
        }
        self.text.len()
    }
}
