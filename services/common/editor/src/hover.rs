//! Help for what stands at a place.

use std::ops::Range;

use serde_json::Value;
use shipway_documents::{Support, edit::Text, expr, json_text, kinds, pointer};

use crate::{
    expression, fields,
    names::{Sort, Target},
    outline::{NodeAt, Outline},
    schema,
};

/// Help, as Markdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// What there is to say.
    pub text: String,
    /// What it is about, in bytes.
    pub range: Range<usize>,
}

/// Help for what stands at a place: a function, a name, a kind, a field.
#[must_use]
pub fn hover(name: &str, text: &str, offset: usize) -> Option<Hover> {
    if let Some(dotted) = expression::at(text, offset) {
        let said = match dotted.parts.first().map(String::as_str) {
            Some("fn") => function(dotted.parts.get(1)?)?,
            Some("args" | "refs" | "triggers") => {
                named(name, text, offset, dotted.parts.get(2..).unwrap_or_default())?
            }
            _ => return None,
        };
        return Some(Hover { text: said, range: dotted.range });
    }
    let parsed = Text::parse(name, text).ok()?;
    let place = parsed.at(offset);
    let outline = Outline::around(&parsed.document().value, &place.pointer);
    let said = if place.is_name {
        field(&outline, &place.pointer)?
    } else if place.pointer.ends_with("/kind") {
        kind(parsed.document().value.pointer(&place.pointer)?.as_str()?)?
    } else {
        return None;
    };
    Some(Hover { text: said, range: place.range })
}

/// A function with what it takes.
pub(crate) fn function(name: &str) -> Option<String> {
    let function = expr::function(name)?;
    let mut text = format!("```\nfn.{} → {}\n```\n{}", function.signature(), function.result, function.doc);
    for parameter in function.parameters {
        text.push_str(&format!("\n- `{}`: {}", parameter.name, parameter.shape));
    }
    Some(text)
}

/// A kind with its outputs and whether it runs.
pub(crate) fn kind(name: &str) -> Option<String> {
    let known = kinds::find(name)?;
    let mut text = format!("**{}**", known.name);
    if let Some(kind) = shipway_nodes::find(name) {
        let schema = kind.config_schema();
        let about = schema::describe(&schema);
        if !about.is_empty() {
            text.push_str(&format!("\n\n{about}"));
        }
        let outputs = kind.outputs(&Value::Null);
        if !outputs.names().is_empty() {
            text.push_str(&format!("\n\nOutputs: {}", quoted(&outputs.names())));
        }
        if !kind.conditions().is_empty() {
            text.push_str(&format!("\n\n`condition`: {}", quoted(kind.conditions())));
        }
    }
    match known.support {
        Support::Runs => {}
        Support::Later => {
            text.push_str("\n\nNot supported yet: it is checked and kept, and refused when published.")
        }
        Support::OutOfScope => text.push_str("\n\nNot supported: it is kept, and refused when published."),
    }
    Some(text)
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Where a name comes from.
fn named(name: &str, text: &str, offset: usize, path: &[String]) -> Option<String> {
    let parsed = Text::parse(name, text).ok()?;
    let target = Target::at(&parsed, offset)?;
    let value = parsed.document().value.pointer(&target.pointer)?;
    let line = target.range(&parsed).map_or(0, |range| text[..range.start].matches('\n').count() + 1);
    Some(match target.sort {
        Sort::Argument => format!("{}\n\nDeclared in line {line}", argument(&target.name, value)),
        Sort::Node => {
            let outline = Outline::around(&parsed.document().value, &target.pointer);
            let node = outline.node(&target.name)?;
            format!("{}\n\nDeclared in line {line}", output(node, path))
        }
        Sort::Trigger => {
            let kind = value.get("kind").and_then(Value::as_str).unwrap_or("git");
            format!("trigger `{}`: {kind}\n\nDeclared in line {line}", target.name)
        }
    })
}

/// An argument with what it takes.
pub(crate) fn argument(name: &str, value: &Value) -> String {
    let typed =
        value.as_object().filter(|members| members.contains_key("type") || members.contains_key("default"));
    let Some(members) = typed else {
        return format!("argument `{name}` = `{}`", json_text(value));
    };
    let word = |key: &str| members.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = if word("type").is_empty() { "any value" } else { word("type") };
    let mut text = format!("argument `{name}`: {kind}");
    if let Some(default) = members.get("default") {
        text.push_str(&format!(", `{}` unless said otherwise", json_text(default)));
    }
    if members.get("required") == Some(&Value::Bool(true)) {
        text.push_str(", required");
    }
    if !word("description").is_empty() {
        text.push_str(&format!("\n\n{}", word("description")));
    }
    text
}

/// A node, or one of its outputs.
pub(crate) fn output(node: &NodeAt<'_>, path: &[String]) -> String {
    let outputs = outputs(node);
    let path = path.join(".");
    if path.is_empty() {
        let mut text = format!("node `{}`: {}", node.name, node.kind);
        if !outputs.is_empty() {
            let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
            text.push_str(&format!("\n\nOutputs: {}", quoted(&names)));
        }
        return text;
    }
    let known = outputs.iter().find(|(name, _)| *name == path || path.starts_with(&format!("{name}.")));
    match known {
        Some((_, when)) => format!("output `{path}` of `{}` ({}): {when}", node.name, node.kind),
        None => format!("`{path}` of `{}`: not an output that {} is known to have", node.name, node.kind),
    }
}

/// The outputs of a node, each with when it is known.
pub(crate) fn outputs(node: &NodeAt<'_>) -> Vec<(String, &'static str)> {
    let Some(kind) = shipway_nodes::find(node.kind) else { return Vec::new() };
    let outputs = kind.outputs(node.value.get("spec").unwrap_or(&Value::Null));
    let plain = |path: &String| path.strip_suffix(".*").unwrap_or(path).to_owned();
    let always = outputs.always.iter().map(|path| (plain(path), "known as soon as it has started"));
    let finished = outputs.finished.iter().map(|path| (plain(path), "known when it has ended well"));
    always.chain(finished).collect()
}

/// What a field is for.
fn field(outline: &Outline<'_>, place: &str) -> Option<String> {
    let name = pointer::steps(place).last()?;
    let said = |table: &[(&str, &str)]| {
        table.iter().find(|(known, _)| *known == name).map(|(_, about)| format!("**{name}**\n\n{about}"))
    };
    let within = |member: &str| place.contains(&format!("/{member}/"));
    if let Some(node) = outline.node_around(place).filter(|_| !within("triggers") && !within("arguments")) {
        let inside = place.strip_prefix(&node.pointer)?;
        if let Some(at) = inside.strip_prefix("/spec/") {
            let kind = shipway_nodes::find(node.kind)?;
            let schema = schema::descend(&kind.config_schema(), pointer::steps(&format!("/{at}")))?;
            let (about, of) = (schema::describe(&schema), schema::type_of(&schema));
            return Some(format!("**{name}** {of}\n\n{about}").trim().to_owned());
        }
        return if inside.starts_with("/retry/") { said(fields::RETRY) } else { said(fields::NODE) };
    }
    match () {
        () if within("options") => said(fields::OPTIONS),
        () if within("triggers") => said(fields::TRIGGER),
        () if within("arguments") => said(fields::ARGUMENT),
        () => said(fields::DOCUMENT),
    }
}
