//! Where a name comes from, where it is used, and giving it another.

use std::{collections::BTreeSet, fmt, ops::Range};

use serde_json::Value;
use shipway_documents::{
    Problem, Problems,
    edit::{Edit, Text},
    expr::{self, Root},
    pointer,
};

use crate::{TextEdit, expression, outline::Outline, problems::Lines};

/// Where the name at a place is given: an argument's, a node's or a trigger's.
#[must_use]
pub fn definition(name: &str, text: &str, offset: usize) -> Option<Range<usize>> {
    let parsed = Text::parse(name, text).ok()?;
    let target = Target::at(&parsed, offset)?;
    target.range(&parsed)
}

/// Every place where the name at a place is used, and where it is given.
#[must_use]
pub fn references(name: &str, text: &str, offset: usize) -> Vec<Range<usize>> {
    let Ok(parsed) = Text::parse(name, text) else { return Vec::new() };
    let Some(target) = Target::at(&parsed, offset) else { return Vec::new() };
    let mut all: Vec<_> = target.range(&parsed).into_iter().chain(target.uses(&parsed)).collect();
    all.sort_by_key(|range| range.start);
    all.dedup();
    all
}

/// Why a name cannot become another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenameError {
    /// There is no name at that place.
    Nothing,
    /// It is no name.
    NoName(String),
    /// Something else has that name.
    Taken(String),
    /// A place where it is used cannot be changed by itself.
    Place(String),
}

impl fmt::Display for RenameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => {
                f.write_str("there is no argument, node or trigger whose name could be changed here")
            }
            Self::NoName(name) => write!(f, "`{name}` is no name; use letters, digits, `-` and `_`"),
            Self::Taken(name) => write!(f, "`{name}` is the name of something else already"),
            Self::Place(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for RenameError {}

/// The changes that give the name at a place another, everywhere.
///
/// # Errors
/// There is no name, the new one is taken or no name, or the text cannot be changed somewhere.
pub fn rename(name: &str, text: &str, offset: usize, new: &str) -> Result<Vec<TextEdit>, RenameError> {
    let parsed = Text::parse(name, text).map_err(|_| RenameError::Nothing)?;
    let target = Target::at(&parsed, offset).ok_or(RenameError::Nothing)?;
    if new.is_empty() || !new.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) {
        return Err(RenameError::NoName(new.to_owned()));
    }
    let outline = Outline::around(&parsed.document().value, &target.pointer);
    let taken = match target.sort {
        Sort::Argument => outline.arguments().iter().any(|other| other.name == new),
        Sort::Node | Sort::Trigger => {
            outline.node(new).is_some() || outline.triggers().iter().any(|other| other.name == new)
        }
    };
    if taken && new != target.name {
        return Err(RenameError::Taken(new.to_owned()));
    }
    let edit = match target.sort {
        Sort::Argument => Edit::Rename { at: target.pointer.clone(), name: new.to_owned() },
        Sort::Node | Sort::Trigger => set(&pointer::join(&target.pointer, "ref"), new),
    };
    let mut edits = vec![patch(&parsed, &edit)?];
    edits.extend(target.uses(&parsed).into_iter().map(|range| TextEdit { range, text: new.to_owned() }));
    edits.sort_by_key(|edit| edit.range.start);
    Ok(edits)
}

fn set(at: &str, new: &str) -> Edit {
    Edit::Set { at: at.to_owned(), value: new.into() }
}

fn patch(text: &Text, edit: &Edit) -> Result<TextEdit, RenameError> {
    let patch = text.clone().apply(edit).map_err(|problem| RenameError::Place(problem.message))?;
    Ok(TextEdit { range: patch.range, text: patch.text })
}

/// What a name is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Argument,
    Node,
    Trigger,
}

/// A name, and what it is given to.
pub(crate) struct Target {
    pub(crate) sort: Sort,
    pub(crate) name: String,
    /// The argument, node or trigger.
    pub(crate) pointer: String,
}

impl Target {
    /// What the name at a place means: in an expression, in `dependsOn`, or where it is given.
    pub(crate) fn at(text: &Text, offset: usize) -> Option<Self> {
        let value = &text.document().value;
        let place = text.at(offset);
        let outline = Outline::around(value, &place.pointer);
        if let Some(dotted) = expression::at(text.source().text(), offset) {
            let name = dotted.parts.get(1)?;
            return match dotted.parts[0].as_str() {
                "args" => Self::argument(&outline, name),
                "refs" => Self::node(&outline, name).or_else(|| Self::trigger(&outline, name)),
                "triggers" => Self::trigger(&outline, name),
                _ => None,
            };
        }
        let steps: Vec<String> = pointer::steps(&place.pointer).collect();
        let parent = place.pointer.rsplit_once('/').map(|(parent, _)| parent)?;
        let said = value.pointer(&place.pointer).and_then(Value::as_str).unwrap_or_default();
        match steps.as_slice() {
            [.., member, _] if member == "dependsOn" => Self::node(&outline, said),
            [.., last] if last == "ref" && !place.is_name => {
                let mine = |target: &Self| target.pointer == parent;
                Self::node(&outline, said).filter(mine).or_else(|| Self::trigger(&outline, said).filter(mine))
            }
            [.., member, name] if member == "arguments" && place.is_name => Self::argument(&outline, name),
            _ => None,
        }
    }

    fn argument(outline: &Outline<'_>, name: &str) -> Option<Self> {
        let found = outline.arguments().into_iter().find(|argument| argument.name == name)?;
        Some(Self { sort: Sort::Argument, name: name.to_owned(), pointer: found.pointer })
    }

    fn node(outline: &Outline<'_>, name: &str) -> Option<Self> {
        let found = outline.node(name)?;
        Some(Self { sort: Sort::Node, name: name.to_owned(), pointer: found.pointer.clone() })
    }

    fn trigger(outline: &Outline<'_>, name: &str) -> Option<Self> {
        let found = outline.triggers().into_iter().find(|trigger| trigger.name == name)?;
        Some(Self { sort: Sort::Trigger, name: name.to_owned(), pointer: found.pointer })
    }

    /// Where the name is given, without quotes.
    pub(crate) fn range(&self, text: &Text) -> Option<Range<usize>> {
        let range = match self.sort {
            Sort::Argument => text.range_of_name(&self.pointer)?,
            Sort::Node | Sort::Trigger => text.range_of(&pointer::join(&self.pointer, "ref"))?,
        };
        Some(within_quotes(text.source().text(), range))
    }

    /// Where the name is used.
    fn uses(&self, text: &Text) -> Vec<Range<usize>> {
        let (document, source) = (text.document(), text.source());
        let lines = Lines::of(source);
        let outline = Outline::around(&document.value, &self.pointer);
        let Some(flow) = document.value.pointer(&outline.at) else { return Vec::new() };
        let mut found = expr::references(flow, &outline.at);
        found.extend(expr::container_references(flow, &outline.at));
        let mine = |root: Root| match self.sort {
            Sort::Argument => root == Root::Args,
            Sort::Node => root == Root::Refs,
            Sort::Trigger => matches!(root, Root::Refs | Root::Triggers),
        };
        let mut ranges = BTreeSet::new();
        for reference in found.iter().filter(|found| found.name == self.name && mine(found.root)) {
            // A name in a flow inside this one means that one's.
            if Outline::around(&document.value, &reference.pointer).at != outline.at {
                continue;
            }
            let mut problems: Problems =
                Problem::error(reference.pointer.clone(), "").span(reference.span.clone()).into();
            document.locate(&mut problems);
            let located = problems.iter().next().and_then(|problem| problem.line.zip(problem.column));
            let Some((line, column)) = located else { continue };
            let start = lines.offset(line, column);
            let rest = &source.text()[start..];
            let word = format!(".{}", self.name);
            if let Some(at) = rest.find(&word).filter(|at| *at < reference.span.len() + word.len()) {
                ranges.insert((start + at + 1, start + at + word.len()));
            }
        }
        if self.sort == Sort::Node {
            for node in &outline.nodes {
                let waits = node.value.get("dependsOn").and_then(Value::as_array);
                for (n, _) in
                    waits.into_iter().flatten().enumerate().filter(|(_, other)| **other == self.name.as_str())
                {
                    let at = pointer::item(&format!("{}/dependsOn", node.pointer), n);
                    let range = text.range_of(&at).map(|range| within_quotes(source.text(), range));
                    ranges.extend(range.map(|range| (range.start, range.end)));
                }
            }
        }
        ranges.into_iter().map(|(start, end)| start..end).collect()
    }
}

fn within_quotes(text: &str, range: Range<usize>) -> Range<usize> {
    let quoted = text[range.clone()].starts_with(['"', '\'']) && range.len() >= 2;
    if quoted { range.start + 1..range.end - 1 } else { range }
}
