//! What editors show of a document: problems, completion, help, where names come from, their form. Pure.
//!
//! `shipway lsp` and the console's code view ask the same functions. Places are bytes of the text. A text that is
//! being typed is often no document for a moment: what needs one then looks at the line as it is, or at the
//! document without it.

mod actions;
mod complete;
mod expression;
mod fields;
mod hover;
mod names;
mod outline;
mod problems;
mod schema;

pub use actions::{Action, actions};
pub use complete::{Completion, CompletionKind, complete};
pub use hover::{Hover, hover};
pub use names::{RenameError, definition, references, rename};
pub use problems::{Diagnostic, diagnostics};

use std::ops::Range;

use serde::Serialize;

/// A change of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextEdit {
    /// What is replaced, in bytes.
    pub range: Range<usize>,
    /// What stands there then.
    pub text: String,
}

/// A text in its usual form as one change; none if it is in form already, or no document.
#[must_use]
pub fn format(name: &str, text: &str) -> Option<TextEdit> {
    let formatted = shipway_documents::fmt::format(name, text).ok()?;
    (formatted != text).then_some(TextEdit { range: 0..text.len(), text: formatted })
}
