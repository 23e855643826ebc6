//! Edits of a text that leave everything else as it is: comments, anchors, order, indentation, line ends.
//!
//! An [`Edit`] means the same on a value ([`Edit::apply`]) and on a text ([`Text::apply`]). The text is changed
//! by a patch at one place; what comes out is read again and has to say what the edited value says, or the edit
//! is refused. So an edit can fail, and cannot quietly change the meaning of what it does not touch.
//!
//! **Aliases.** An edit below an alias (`*name`) writes the value out at the alias's place, changed. An edit of a
//! value that has an anchor (`&name`) and is used elsewhere is refused: it would change the other places too.

mod block;
mod flow;
mod look;
mod place;
mod style;
mod value;
mod write;

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Document, Problem, Report, Source, cst};
use place::Content;
use style::Style;

pub use look::Place;

/// A change of a document. Places are JSON pointers; the number in one into a list may be `-`, for its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", deny_unknown_fields)]
pub enum Edit {
    /// Puts a value in the place of the one that is there. A member that is not there is added at the end.
    Set {
        /// Where.
        at: String,
        /// The new value.
        value: Value,
    },
    /// Adds an item before the one with that number, or a member.
    Insert {
        /// Where it is to be.
        at: String,
        /// What is added.
        value: Value,
        /// The member that a new member goes before; none for the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// Takes an item or a member away, with the comments directly above it.
    Remove {
        /// Which.
        at: String,
    },
    /// Takes an item or a member to another place, with its comments.
    Move {
        /// Where it is.
        from: String,
        /// Where it is to be, once it has been taken away.
        to: String,
        /// The member that a member goes before; none for the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// Gives a member another name.
    Rename {
        /// Which.
        at: String,
        /// Its new name.
        name: String,
    },
}

impl Edit {
    /// Makes the change on a value. The value is as before if that fails.
    ///
    /// # Errors
    /// There is no such place, or something is there already.
    pub fn apply(&self, value: &mut Value) -> Result<(), Problem> {
        value::apply(self, value)
    }

    /// The place that it is about.
    #[must_use]
    pub fn at(&self) -> &str {
        match self {
            Self::Set { at, .. }
            | Self::Insert { at, .. }
            | Self::Remove { at }
            | Self::Rename { at, .. } => at,
            Self::Move { from, .. } => from,
        }
    }
}

/// A text that can be edited.
#[derive(Clone, Debug)]
pub struct Text {
    document: Document,
    tree: cst::Tree,
    style: Style,
    /// Whether the file starts with a byte order mark, which is no part of the text.
    marked: bool,
}

/// The part of a text that became another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Patch {
    /// In bytes of the text before.
    pub range: Range<usize>,
    /// What stands there now.
    pub text: String,
}

impl Text {
    /// Reads a text as [`crate::parse`] does.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(name: &str, text: &str) -> Result<Self, Report> {
        let document = crate::parse(name, text)?;
        Self::of(document, text.starts_with('\u{feff}'))
    }

    /// The text of a document that has been read.
    ///
    /// # Errors
    /// It did not come from a text.
    pub fn of_document(document: Document) -> Result<Self, Report> {
        Self::of(document, false)
    }

    fn of(document: Document, marked: bool) -> Result<Self, Report> {
        let source = Arc::clone(document.source());
        let Some(tree) = cst::build(source.text(), source.is_json()) else {
            let problem = Problem::error("", "the layout of this text is not understood")
                .help("bring it into the usual form with `shipway fmt`, or change it by hand");
            return Err(Report { source, problems: problem.into() });
        };
        let style = Style::of(&source, &tree);
        Ok(Self { document, tree, style, marked })
    }

    /// What it says.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// Its source, without a byte order mark.
    #[must_use]
    pub fn source(&self) -> &Source {
        self.document.source()
    }

    /// The whole file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mark = if self.marked { "\u{feff}" } else { "" };
        format!("{mark}{}", self.source().text())
    }

    /// Makes a change and says which part of the text it was. The text is as before if that fails.
    ///
    /// # Errors
    /// There is no such place, something is there already, or the text cannot be changed there without changing
    /// other places.
    pub fn apply(&mut self, edit: &Edit) -> Result<Patch, Problem> {
        let edited = self.edited(edit)?;
        let patch = difference(self.source().text(), edited.source().text());
        *self = edited;
        Ok(patch)
    }

    fn edited(&self, edit: &Edit) -> Result<Self, Problem> {
        let mut wanted = self.document.value.clone();
        edit.apply(&mut wanted)?;
        match edit {
            Edit::Move { from, to, before } => self.moved(from, to, before.as_deref(), &wanted),
            Edit::Set { at, value } => self.changed(edit, at, Content::Value(value), None, &wanted),
            Edit::Insert { at, value, before } => {
                self.changed(edit, at, Content::Value(value), before.as_deref(), &wanted)
            }
            Edit::Remove { at } | Edit::Rename { at, .. } => {
                self.changed(edit, at, Content::Value(&Value::Null), None, &wanted)
            }
        }
    }

    /// Taken away there, put in here: as it stands in the text if that can be, else written anew.
    fn moved(&self, from: &str, to: &str, before: Option<&str>, wanted: &Value) -> Result<Self, Problem> {
        let Some(value) = self.document.value.pointer(from).cloned() else {
            return Err(value::missing(from));
        };
        let raw = self.raw(from);
        let without = self.edited(&Edit::Remove { at: from.to_owned() })?;
        let insert =
            Edit::Insert { at: to.to_owned(), value: value.clone(), before: before.map(str::to_owned) };
        if let Some(raw) = raw
            && let Ok(moved) = without.changed(&insert, to, Content::Raw(&value, &raw), before, wanted)
        {
            return Ok(moved);
        }
        without.changed(&insert, to, Content::Value(&value), before, wanted)
    }

    /// Patches the text, at first as its own style would have it, then in the form that is safe everywhere.
    fn changed(
        &self,
        edit: &Edit,
        at: &str,
        content: Content<'_>,
        before: Option<&str>,
        wanted: &Value,
    ) -> Result<Self, Problem> {
        // Below an alias there is no text: the alias itself becomes the value.
        if let Some(alias) = self.alias_above(edit, at) {
            let value = wanted.pointer(&alias).cloned().unwrap_or_default();
            let set = Edit::Set { at: alias.clone(), value };
            let Edit::Set { value, .. } = &set else { unreachable!("it has just been made") };
            return self.changed(&set, &alias, Content::Value(value), None, wanted);
        }
        self.refuse_shared(edit, at)?;
        for style in [self.style.clone(), self.style.quoted()] {
            let patches = self.plan(edit, at, content, before, &style);
            if let Some(edited) = patches.and_then(|patches| self.patched(patches, wanted)) {
                return Ok(edited);
            }
        }
        Err(self.locate(
            Problem::error(at, "this cannot be changed without changing other places of the text")
                .help("change it by hand, or bring the file into the usual form with `shipway fmt`"),
        ))
    }

    /// The patched text, if it says what is wanted.
    fn patched(&self, mut patches: Vec<Patch>, wanted: &Value) -> Option<Self> {
        patches.sort_by_key(|patch| patch.range.start);
        let source = self.source();
        let mut text = String::with_capacity(source.text().len() + 64);
        let mut at = 0;
        for patch in patches {
            text.push_str(source.text().get(at..patch.range.start)?);
            text.push_str(&patch.text);
            at = patch.range.end;
        }
        text.push_str(source.text().get(at..)?);
        let document = crate::parse(source.name(), &text).ok()?;
        if document.source().is_json() != source.is_json() || !same(&document.value, wanted) {
            return None;
        }
        Self::of(document, self.marked).ok()
    }

    fn locate(&self, mut problem: Problem) -> Problem {
        if let Some(span) = self.document.span(&problem.pointer) {
            (problem.line, problem.column) = (Some(span.start.line), Some(span.start.column));
        }
        problem
    }
}

/// Equal, and in the same order.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

/// The one part in which two texts differ.
fn difference(before: &str, after: &str) -> Patch {
    let common = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| -> usize {
        a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    };
    let start = common(&mut before.chars(), &mut after.chars());
    let end = common(&mut before[start..].chars().rev(), &mut after[start..].chars().rev());
    Patch { range: start..before.len() - end, text: after[start..after.len() - end].to_owned() }
}
