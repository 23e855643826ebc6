//! What could be written at a place.

mod inside;
mod marked;

use std::ops::Range;

use serde_json::Value;
use shipway_documents::{Support, edit::Text, flow::recognise, kinds, pointer};

use crate::{expression, fields, hover, outline::Outline, schema};
use marked::Marked;

/// Something that could be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What people see and type.
    pub label: String,
    /// What sort of thing it is.
    pub kind: CompletionKind,
    /// A few words beside it.
    pub detail: String,
    /// Help, as Markdown.
    pub help: String,
    /// What is written.
    pub insert: String,
    /// What it takes the place of, in bytes.
    pub range: Range<usize>,
}

/// What sort of thing a completion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionKind {
    /// The name of a member.
    Field,
    /// A word that a member may be.
    Word,
    /// A node kind.
    NodeKind,
    /// `args`, `refs` and the like.
    Root,
    /// An argument.
    Argument,
    /// A node or a trigger.
    Reference,
    /// An output of a node, or a value of a trigger.
    Output,
    /// A function.
    Function,
}

/// All that could be written at a place, in a good order. What has been typed of it is not filtered by: editors do
/// that.
#[must_use]
pub fn complete(name: &str, text: &str, offset: usize) -> Vec<Completion> {
    if offset > text.len() || !text.is_char_boundary(offset) {
        return Vec::new();
    }
    if let Some(dotted) = expression::at(text, offset) {
        let document = parsed(name, text, offset);
        let place = document.as_ref().map(|text| text.at(offset).pointer).unwrap_or_default();
        let nothing = Value::Null;
        let value = document.as_ref().map_or(&nothing, |text| &text.document().value);
        return inside::complete(&dotted, &Outline::around(value, &place), &place);
    }
    let Some(marked) = Marked::at(name, text, offset) else { return Vec::new() };
    let outline = Outline::around(&marked.value, &marked.pointer);
    let found = if marked.is_name { names(&marked, &outline) } else { words(&marked, &outline) };
    found.into_iter().map(|option| marked.completion(option)).collect()
}

/// The document; without the line of the place, if that is what is not finished.
fn parsed(name: &str, text: &str, offset: usize) -> Option<Text> {
    Text::parse(name, text).ok().or_else(|| {
        let start = text[..offset].rfind('\n').map_or(0, |before| before + 1);
        let end = text[offset..].find('\n').map_or(text.len(), |next| offset + next);
        let blanked = format!("{}{}{}", &text[..start], " ".repeat(end - start), &text[end..]);
        Text::parse(name, &blanked).ok()
    })
}

/// One thing that could be written, without its place.
struct Choice {
    label: String,
    kind: CompletionKind,
    detail: String,
    help: String,
}

impl Choice {
    fn new(label: impl Into<String>, kind: CompletionKind) -> Self {
        Self { label: label.into(), kind, detail: String::new(), help: String::new() }
    }

    fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }
}

/// Names of members that are not there yet.
fn names(marked: &Marked, outline: &Outline<'_>) -> Vec<Choice> {
    let place = marked.pointer.as_str();
    let around = place.rsplit_once('/').map_or("", |(around, _)| around);
    let there = marked.value.pointer(around).and_then(Value::as_object);
    let absent = |choice: &Choice| there.is_none_or(|members| !members.contains_key(&choice.label));
    let table = |table: &'static [(&'static str, &'static str)]| -> Vec<Choice> {
        table.iter().map(|(name, about)| Choice::new(*name, CompletionKind::Field).help(*about)).collect()
    };
    let last = around.rsplit('/').next().unwrap_or_default();
    let all = if let Some(node) = outline.node_around(place) {
        let inside = around.strip_prefix(node.pointer.as_str()).unwrap_or_default();
        match inside.strip_prefix("/spec") {
            Some(at) => spec_fields(node.kind, at),
            None if inside.is_empty() => table(fields::NODE),
            None if last == "retry" => table(fields::RETRY),
            None => Vec::new(),
        }
    } else if around == outline.at {
        table(fields::DOCUMENT)
    } else if last == "options" {
        table(fields::OPTIONS)
    } else if around.contains("/triggers/") {
        table(fields::TRIGGER)
    } else if around.contains("/arguments/") {
        table(fields::ARGUMENT)
    } else {
        Vec::new()
    };
    all.into_iter().filter(absent).collect()
}

fn spec_fields(kind: &str, at: &str) -> Vec<Choice> {
    let Some(kind) = shipway_nodes::find(kind) else { return Vec::new() };
    let Some(schema) = schema::descend(&kind.config_schema(), pointer::steps(at)) else {
        return Vec::new();
    };
    let members = schema::members(&schema).into_iter();
    let choice = |(name, schema): (String, Value)| {
        Choice::new(name, CompletionKind::Field)
            .detail(schema::type_of(&schema))
            .help(schema::describe(&schema))
    };
    members.map(choice).collect()
}

/// Words that a value may be.
fn words(marked: &Marked, outline: &Outline<'_>) -> Vec<Choice> {
    let place = marked.pointer.as_str();
    let steps: Vec<String> = pointer::steps(place).collect();
    let last = steps.last().map(String::as_str).unwrap_or_default();
    let plain = |words: &[&str]| -> Vec<Choice> {
        words.iter().map(|word| Choice::new(*word, CompletionKind::Word)).collect()
    };
    if steps.iter().rev().nth(1).is_some_and(|list| list == "dependsOn") {
        return siblings(outline, place);
    }
    if let Some(node) = outline.node_around(place) {
        let inside = place.strip_prefix(node.pointer.as_str()).unwrap_or_default();
        let kind = shipway_nodes::find(node.kind);
        return match inside {
            "/kind" => node_kinds(marked),
            "/condition" => plain(kind.map(|kind| kind.conditions()).unwrap_or_default()),
            _ => match inside.strip_prefix("/spec/").zip(kind) {
                Some((at, kind)) => {
                    let schema = schema::descend(&kind.config_schema(), pointer::steps(&format!("/{at}")));
                    let words = schema.map(|schema| schema::words(&schema)).unwrap_or_default();
                    words.into_iter().map(|word| Choice::new(word, CompletionKind::Word)).collect()
                }
                None => plain(fields::words(last)),
            },
        };
    }
    match last {
        "kind" if place.contains("/triggers/") => plain(&["vcs-push", "webhook"]),
        "type" if place.contains("/arguments/") => {
            plain(&["string", "number", "integer", "boolean", "array", "object"])
        }
        last => plain(fields::words(last)),
    }
}

fn node_kinds(marked: &Marked) -> Vec<Choice> {
    let document = recognise(&marked.value);
    let allowed =
        kinds::KNOWN.iter().filter(|kind| document.is_none_or(|document| kind.is_allowed_in(document)));
    let mut all: Vec<_> = allowed.collect();
    // What runs comes first.
    all.sort_by_key(|kind| kind.support != Support::Runs);
    let choice = |kind: &kinds::KnownKind| {
        let detail = if kind.support == Support::Runs { "" } else { "not supported" };
        let help = hover::kind(kind.name).unwrap_or_default();
        Choice::new(kind.name, CompletionKind::NodeKind).detail(detail).help(help)
    };
    all.into_iter().map(choice).collect()
}

/// The named nodes beside the one at a place.
fn siblings(outline: &Outline<'_>, place: &str) -> Vec<Choice> {
    let Some(node) = outline.node_around(place) else { return Vec::new() };
    let list = node.pointer.rsplit_once('/').map_or("", |(list, _)| list);
    let beside = outline.nodes.iter().filter(|other| {
        other.pointer != node.pointer
            && other.pointer.rsplit_once('/').is_some_and(|(other, _)| other == list)
    });
    beside
        .filter(|other| !other.name.is_empty())
        .map(|other| Choice::new(other.name, CompletionKind::Reference).detail(other.kind))
        .collect()
}
