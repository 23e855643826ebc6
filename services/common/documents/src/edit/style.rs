//! How a file is written, so that what is new in it looks like what is old.

use serde_json::Value;

use crate::{
    Source,
    cst::{Kind, Layout, Node, Tree, column, first_in_line},
};

/// How a file is written.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Whether it is JSON.
    pub(super) json: bool,
    /// What ends its lines.
    pub(super) eol: &'static str,
    /// One step of indentation.
    pub(super) unit: String,
    /// Whether lists in members stand deeper than the member's name (YAML).
    pub(super) lists_deeper: bool,
    /// Whether texts are quoted where they need not be, and how.
    pub(super) quotes: Quotes,
    /// Whether objects in brackets have spaces inside them: `{ a: 1 }`.
    pub(super) padded: bool,
    /// What is between items in one line.
    pub(super) comma: &'static str,
    /// What is between a name and its value in brackets.
    pub(super) colon: &'static str,
    /// Whether new lists and objects in brackets stand on several lines.
    pub(super) lines: bool,
}

/// How texts are quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// With `'` where needed.
    SingleIfNeeded,
    /// With `"` where needed.
    DoubleIfNeeded,
    /// Always with `'` where that can be.
    Single,
    /// Always with `"`.
    Double,
}

impl Style {
    pub(super) fn of(source: &Source, tree: &Tree) -> Self {
        let (text, json) = (source.text(), source.is_json());
        let mut seen = Seen { text, ..Seen::default() };
        for root in &tree.roots {
            root.visit(&mut |node| seen.look(node));
        }
        let eol = match text.find('\n') {
            Some(at) if text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        };
        let quotes = match (seen.single > seen.double, seen.single + seen.double > seen.plain) {
            (true, true) => Quotes::Single,
            (true, false) => Quotes::SingleIfNeeded,
            (false, true) => Quotes::Double,
            (false, false) => Quotes::DoubleIfNeeded,
        };
        Self {
            json,
            eol,
            unit: seen.unit.unwrap_or_else(|| "  ".to_owned()),
            lists_deeper: seen.lists_deeper.unwrap_or(true),
            quotes: if json { Quotes::Double } else { quotes },
            padded: seen.padded.unwrap_or(json),
            comma: if seen.tight_comma.unwrap_or(json && !text.contains('\n')) { "," } else { ", " },
            colon: if seen.tight_colon.unwrap_or(json && !text.contains('\n')) { ":" } else { ": " },
            lines: json && seen.lines.unwrap_or_else(|| text.trim_end().contains('\n')),
        }
    }

    /// The form that means the same everywhere.
    pub(super) fn quoted(&self) -> Self {
        Self { quotes: Quotes::Double, ..self.clone() }
    }

    /// One step of indentation for YAML's lines, in spaces.
    pub(super) fn step(&self) -> usize {
        self.unit.len().clamp(1, 8)
    }
}

/// What the first thing of each sort looks like.
#[derive(Default)]
struct Seen<'a> {
    text: &'a str,
    unit: Option<String>,
    lists_deeper: Option<bool>,
    single: usize,
    double: usize,
    plain: usize,
    padded: Option<bool>,
    tight_comma: Option<bool>,
    tight_colon: Option<bool>,
    lines: Option<bool>,
}

impl Seen<'_> {
    fn look(&mut self, node: &Node) {
        match &node.kind {
            Kind::Single => self.single += 1,
            Kind::Double => self.double += 1,
            Kind::Plain => {
                let raw = &self.text[node.span.clone()];
                let is_text = matches!(super::write::plain_meaning(raw), Some(Value::String(_)));
                self.plain += usize::from(is_text);
            }
            _ => {}
        }
        let Some((layout, entries)) = node.entries() else { return };
        let Some(first) = entries.first() else { return };
        if layout == Layout::Flow {
            self.look_at_brackets(node, entries);
        }
        if layout == Layout::Block {
            let here = column(self.text, first.start);
            for child in entries.iter().filter(|entry| entry.key.is_some()).map(|entry| &entry.value) {
                let Some((Layout::Block, [inner, ..])) = child.entries() else { continue };
                let deeper = column(self.text, inner.start).saturating_sub(here);
                if matches!(child.kind, Kind::List(..)) {
                    self.lists_deeper.get_or_insert(deeper > 0);
                }
                if deeper > 0 && self.unit.is_none() {
                    self.unit = Some(" ".repeat(deeper));
                }
            }
        }
    }

    fn look_at_brackets(&mut self, node: &Node, entries: &[crate::cst::Entry]) {
        let text = self.text;
        let first = &entries[0];
        let own_line = first_in_line(text, first.start);
        self.lines.get_or_insert(own_line);
        if own_line && self.unit.is_none() {
            let outer = indent(text, node.span.start);
            let inner = &text[crate::cst::line_start(text, first.start)..first.start];
            self.unit = inner.strip_prefix(outer).filter(|unit| !unit.is_empty()).map(str::to_owned);
        }
        if !own_line && first.key.is_some() {
            self.padded.get_or_insert(text.as_bytes()[first.start - 1] == b' ');
        }
        if let [_, second, ..] = entries
            && !first_in_line(text, second.start)
        {
            self.tight_comma.get_or_insert(text.as_bytes()[second.start - 1] == b',');
        }
        if first.key.is_some() && first.value.span.start > first.after - 1 {
            self.tight_colon.get_or_insert(first.value.span.start == first.after);
        }
    }
}

/// The spaces that the line of `at` begins with.
pub(super) fn indent(text: &str, at: usize) -> &str {
    let start = crate::cst::line_start(text, at);
    let line = &text[start..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}
