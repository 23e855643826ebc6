//! The tree of a text: where every value, name and mark stands, in bytes.
//!
//! [`crate::Document`] knows enough of places to show problems. Whoever writes into a text has to know more:
//! where a list's dash and a member's colon stand, how a value is quoted, which value has an anchor.

mod json;
mod yaml;

use std::ops::Range;

use crate::pointer;

/// The tree of a text that [`crate::parse`] takes; none if it does not fit the text, which would be a defect here.
pub(crate) fn build(text: &str, json: bool) -> Option<Tree> {
    if json { json::build(text) } else { yaml::build(text) }
}

/// The roots of a text: several when a YAML file holds several documents.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) roots: Vec<Node>,
}

/// A value in the text.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// `&name` before the value.
    pub(crate) anchor: Option<Range<usize>>,
    /// The value itself: without its anchor, the line end after it, or comments after it.
    pub(crate) span: Range<usize>,
    /// How it is written.
    pub(crate) kind: Kind,
}

/// How a value is written.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing: YAML's short form of null.
    Empty,
    /// Without quotes.
    Plain,
    /// In `'…'`.
    Single,
    /// In `"…"`.
    Double,
    /// After `|` or `>`.
    Block,
    /// `*name`.
    Alias,
    /// An object.
    Map(Layout, Vec<Entry>),
    /// A list.
    List(Layout, Vec<Entry>),
}

/// How a list or an object is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// By lines and indentation.
    Block,
    /// In brackets.
    Flow,
    /// `[name: value]`: one member in a list, without brackets of its own.
    Pair,
}

/// A member of an object or an item of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its first byte: the dash, the `?`, the name, or the value itself.
    pub(crate) start: usize,
    /// The byte after the dash or the colon.
    pub(crate) after: usize,
    /// A member's name.
    pub(crate) key: Option<Key>,
    /// Its value.
    pub(crate) value: Node,
}

/// The name of a member.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
    /// Written with `?` before it.
    pub(crate) explicit: bool,
}

impl Node {
    /// The byte after all of it.
    pub(crate) fn end(&self) -> usize {
        self.anchor.as_ref().map_or(self.span.end, |anchor| anchor.end.max(self.span.end))
    }

    /// Its members or items.
    pub(crate) fn entries(&self) -> Option<(Layout, &[Entry])> {
        match &self.kind {
            Kind::Map(layout, entries) | Kind::List(layout, entries) => Some((*layout, entries)),
            _ => None,
        }
    }

    /// Whether it is laid out by lines.
    pub(crate) fn is_block(&self) -> bool {
        self.entries().is_some_and(|(layout, _)| layout == Layout::Block)
    }

    /// The entry of that name or number.
    pub(crate) fn child(&self, step: &str) -> Option<(usize, &Entry)> {
        match &self.kind {
            Kind::Map(_, entries) => entries.iter().enumerate().find(|(_, entry)| entry.name() == Some(step)),
            Kind::List(_, entries) => {
                let index = step.parse().ok()?;
                entries.get(index).map(|entry| (index, entry))
            }
            _ => None,
        }
    }

    /// It and all in it, parents first.
    pub(crate) fn visit<'a>(&'a self, seen: &mut impl FnMut(&'a Self)) {
        seen(self);
        for entry in self.entries().into_iter().flat_map(|(_, entries)| entries) {
            entry.value.visit(seen);
        }
    }
}

impl Entry {
    /// The byte after all of it.
    pub(crate) fn end(&self) -> usize {
        self.after.max(self.value.end())
    }

    /// A member's name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.name.as_str())
    }
}

impl Tree {
    /// The way from a root to a place: its entries from outside to inside, as far as they are in the text.
    pub(crate) fn way<'a>(&'a self, at: &str) -> Way<'a> {
        let steps: Vec<String> = pointer::steps(at).collect();
        let (mut way, steps) = match self.roots.as_slice() {
            [root] => (Way { root, entries: Vec::new(), rest: Vec::new() }, steps.as_slice()),
            roots => {
                let root = steps.first().and_then(|step| roots.get(step.parse::<usize>().ok()?));
                let root = root.unwrap_or(&roots[0]);
                (Way { root, entries: Vec::new(), rest: Vec::new() }, steps.get(1..).unwrap_or_default())
            }
        };
        for (n, step) in steps.iter().enumerate() {
            match way.node().child(step) {
                Some((index, entry)) => way.entries.push((index, entry)),
                None => {
                    way.rest = steps[n..].to_vec();
                    break;
                }
            }
        }
        way
    }
}

/// The way to a place.
#[derive(Clone, Debug)]
pub(crate) struct Way<'a> {
    /// Where it begins.
    pub(crate) root: &'a Node,
    /// The entries on it, each with its number among its siblings.
    pub(crate) entries: Vec<(usize, &'a Entry)>,
    /// The steps that are not in the text: below an alias, or not there at all.
    pub(crate) rest: Vec<String>,
}

impl<'a> Way<'a> {
    /// The last value on it.
    pub(crate) fn node(&self) -> &'a Node {
        self.entries.last().map_or(self.root, |(_, entry)| &entry.value)
    }

    /// The list or object around the last value.
    pub(crate) fn parent(&self) -> Option<&'a Node> {
        let above = self.entries.len().checked_sub(1)?;
        Some(above.checked_sub(1).map_or(self.root, |above| &self.entries[above].1.value))
    }

    /// All values on it, the root first.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &'a Node> + '_ {
        std::iter::once(self.root).chain(self.entries.iter().map(|(_, entry)| &entry.value))
    }
}

/// What stands around a place.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |before| before + 1)
}

/// Where the line of `at` ends, its line end not counted.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |next| at + next);
    if text[at..end].ends_with('\r') { end - 1 } else { end }
}

/// Where the line after that of `at` starts; the end of the text after the last.
pub(crate) fn next_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |next| at + next + 1)
}

/// In which column of its line a byte stands, in bytes, 0 for the first.
pub(crate) fn column(text: &str, at: usize) -> usize {
    at - line_start(text, at)
}

/// Whether only spaces stand before it in its line.
pub(crate) fn first_in_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].bytes().all(|byte| byte == b' ' || byte == b'\t')
}

/// The first byte from `at` on that is no space, line end or comment.
pub(crate) fn skip_trivia(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'#') if at == 0 || bytes[at - 1].is_ascii_whitespace() => at = line_end(text, at),
            _ => return at,
        }
    }
}
