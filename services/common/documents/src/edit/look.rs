//! What stands at a place of a text, and where a value stands: for editors.

use std::ops::Range;

use super::Text;
use crate::{
    cst::{Entry, Node},
    pointer,
};

/// What stands at a byte of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The value, or the member whose name it is.
    pub pointer: String,
    /// Whether it is the name of a member.
    pub is_name: bool,
    /// The name or the value, in bytes.
    pub range: Range<usize>,
}

impl Text {
    /// The innermost name or value at a byte; between values, the list or object around.
    #[must_use]
    pub fn at(&self, offset: usize) -> Place {
        let roots = &self.tree.roots;
        let within = |node: &Node| node.span.start <= offset && offset <= node.span.end;
        let index = roots.iter().position(within).unwrap_or(0);
        let at = if roots.len() > 1 { pointer::item("", index) } else { String::new() };
        inside(&roots[index], at, offset)
    }

    /// Where a value stands, in bytes.
    #[must_use]
    pub fn range_of(&self, at: &str) -> Option<Range<usize>> {
        let way = self.tree.way(at);
        way.rest.is_empty().then(|| way.node().span.clone())
    }

    /// Where the name of a member stands, in bytes, its quotes included.
    #[must_use]
    pub fn range_of_name(&self, at: &str) -> Option<Range<usize>> {
        let way = self.tree.way(at);
        let (_, entry) = way.entries.last().filter(|_| way.rest.is_empty())?;
        entry.key.as_ref().map(|key| key.span.clone())
    }
}

fn inside(node: &Node, at: String, offset: usize) -> Place {
    let entries = node.entries().map_or(&[][..], |(_, entries)| entries);
    let holds = |entry: &&Entry| entry.start <= offset && offset <= entry.end();
    let found = entries.iter().enumerate().find(|(_, entry)| holds(entry));
    let Some((index, entry)) = found else {
        return Place { pointer: at, is_name: false, range: node.span.clone() };
    };
    let at = match entry.name() {
        Some(name) => pointer::join(&at, name),
        None => pointer::item(&at, index),
    };
    if let Some(key) = entry.key.as_ref().filter(|key| offset <= key.span.end) {
        return Place { pointer: at, is_name: true, range: key.span.clone() };
    }
    inside(&entry.value, at, offset)
}
