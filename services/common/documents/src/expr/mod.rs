//! The expression language: `${args.NAME}`, `${refs.<ref>.<path>}`, `${triggers.<ref>.<path>}` and
//! `${fn.name(…)}`, whole values or parts of a text.
//!
//! `\${…}` stays text without its backslash, `${{…}}` is left for the time when a container starts, and
//! `${template.…}` belongs to the document around a nested flow. Values are resolved in up to three phases
//! ([`resolve_template`], [`resolve_partly`], [`resolve`]); what an earlier phase puts in is never read as an
//! expression by a later one.

mod eval;
mod functions;
mod lists;
mod parse;
mod references;
mod resolve;
mod strings;

pub use functions::{call, function_names};
pub use references::{Reference, Root, check, references};
pub use resolve::{resolve, resolve_partly, resolve_template};

use std::borrow::Cow;

use serde_json::Value;

/// Where the values of names come from.
pub trait Scope {
    /// The argument of that name.
    fn arg(&self, name: &str) -> Lookup<'_>;
    /// The outputs of the node of that name. A name that is `Missing` here is looked for among the triggers.
    fn reference(&self, reference: &str) -> Lookup<'_>;
    /// The values of the trigger of that name.
    fn trigger(&self, reference: &str) -> Lookup<'_>;
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<'a> {
    /// This.
    Value(Cow<'a, Value>),
    /// Nothing of that name.
    Missing {
        /// The names that there are, for suggestions.
        known: Vec<String>,
    },
    /// A node that was skipped: it has no outputs.
    Skipped(String),
    /// A node that has not run: known later.
    Later,
}

impl<'a> Lookup<'a> {
    /// The value, if there is one, else the names that there are.
    #[must_use]
    pub fn from_option(value: Option<&'a Value>, known: impl FnOnce() -> Vec<String>) -> Self {
        value.map_or_else(|| Self::Missing { known: known() }, |value| Self::Value(Cow::Borrowed(value)))
    }
}

/// How much one resolution may do: names looked up and functions called, and bytes of values made.
#[derive(Debug)]
struct Budget {
    steps: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 100_000, bytes: 16 << 20 }
    }
}

impl Budget {
    /// Takes a step that makes `bytes`; false when there is nothing left.
    fn take(&mut self, bytes: usize) -> bool {
        if self.steps == 0 || self.bytes < bytes {
            return false;
        }
        self.steps -= 1;
        self.bytes -= bytes;
        true
    }
}

/// The bytes that a value holds, about.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 16 + text.len(),
        Value::Array(items) => 16 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            16 + members.iter().map(|(key, member)| 16 + key.len() + weight(member)).sum::<usize>()
        }
        _ => 16,
    }
}
