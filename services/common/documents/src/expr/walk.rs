//! Every text in a tree of values, with its place.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    ast::{Part, SyntaxError},
    parse,
};
use crate::secret;

/// A JSON pointer that grows and shrinks as a tree is walked, so that no place costs a text of its own.
#[derive(Debug)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn new(at: &str) -> Self {
        Self(at.to_owned())
    }

    pub(super) fn pointer(&self) -> &str {
        &self.0
    }

    /// Goes to a member; gives what [`Self::back`] needs.
    pub(super) fn member(&mut self, key: &str) -> usize {
        let before = self.0.len();
        self.0.push('/');
        if key.contains(['~', '/']) {
            self.0.push_str(&key.replace('~', "~0").replace('/', "~1"));
        } else {
            self.0.push_str(key);
        }
        before
    }

    /// Goes to an element; gives what [`Self::back`] needs.
    pub(super) fn item(&mut self, n: usize) -> usize {
        let before = self.0.len();
        // Writing to a text cannot fail.
        let _ = write!(self.0, "/{n}");
        before
    }

    pub(super) fn back(&mut self, before: usize) {
        self.0.truncate(before);
    }
}

/// Takes where a text stands, the text, and its parts.
type Visit<'v> = &'v mut dyn FnMut(&str, &str, Result<Vec<Part>, SyntaxError>);

/// Shows every text that may hold an expression, taken apart, with where it stands.
pub(super) fn each_text(value: &Value, at: &str, visit: Visit<'_>) {
    walk(value, &mut Place::new(at), visit);
}

fn walk(value: &Value, at: &mut Place, visit: Visit<'_>) {
    match value {
        Value::String(text) if text.contains("${") => visit(at.pointer(), text, parse::parts(text)),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                let before = at.item(n);
                walk(item, at, visit);
                at.back(before);
            }
        }
        Value::Object(members) if !secret::is_mark(value) => {
            for (key, member) in members {
                let before = at.member(key);
                walk(member, at, visit);
                at.back(before);
            }
        }
        _ => {}
    }
}
