//! JSON in its usual form: every member and item in a line of its own.

use super::order::order;
use crate::cst::{Kind, Node};

pub(super) fn format(text: &str, root: &Node, eol: &str) -> String {
    let mut out = String::with_capacity(text.len());
    Writer { text, eol }.value(root, 0, &mut out);
    out.push_str(eol);
    out
}

struct Writer<'a> {
    text: &'a str,
    eol: &'a str,
}

impl Writer<'_> {
    fn value(&self, node: &Node, depth: usize, out: &mut String) {
        let (open, close) = match &node.kind {
            Kind::Map(..) => ('{', '}'),
            Kind::List(..) => ('[', ']'),
            // As it is written: numbers and escapes have more than one form.
            _ => return out.push_str(&self.text[node.span.clone()]),
        };
        let entries = node.entries().map_or(&[][..], |(_, entries)| entries);
        out.push(open);
        for (n, place) in order(node, entries).into_iter().enumerate() {
            out.push_str(if n > 0 { "," } else { "" });
            self.line(depth + 1, out);
            let entry = &entries[place];
            if let Some(key) = &entry.key {
                out.push_str(&self.text[key.span.clone()]);
                out.push_str(": ");
            }
            self.value(&entry.value, depth + 1, out);
        }
        if !entries.is_empty() {
            self.line(depth, out);
        }
        out.push(close);
    }

    fn line(&self, depth: usize, out: &mut String) {
        out.push_str(self.eol);
        out.push_str(&"  ".repeat(depth));
    }
}
