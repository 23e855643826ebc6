//! How much one resolution may do.

use serde_json::Value;

/// Names looked up and functions called, and bytes of values made.
#[derive(Debug)]
pub(super) struct Budget {
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
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.take_steps(1, bytes)
    }

    /// Takes what costs as much as so many steps.
    pub(super) fn take_steps(&mut self, steps: usize, bytes: usize) -> bool {
        if self.steps < steps || self.bytes < bytes {
            return false;
        }
        self.steps -= steps;
        self.bytes -= bytes;
        true
    }
}

/// The bytes that a value holds, about.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 16 + text.len(),
        Value::Array(items) => 16 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            16 + members.iter().map(|(key, member)| 16 + key.len() + weight(member)).sum::<usize>()
        }
        _ => 16,
    }
}
