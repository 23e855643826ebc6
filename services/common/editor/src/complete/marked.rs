//! The document with a mark where something is being written, so that the place can be found in it although the
//! text is not finished.

use std::ops::Range;

use serde_json::Value;
use shipway_documents::{parse, pointer};

use super::{Choice, Completion};

/// A name that nobody uses.
const MARK: &str = "zzThePlaceOfTheCursorzz";

/// A document with a mark in it.
pub(super) struct Marked {
    pub(super) value: Value,
    /// Where the mark is; for a name, the member.
    pub(super) pointer: String,
    /// Whether the mark is the name of a member.
    pub(super) is_name: bool,
    /// The word that is being written.
    word: Range<usize>,
    /// What is put before and after a choice.
    around: (&'static str, &'static str),
}

impl Marked {
    /// Puts the mark in the place of the word at a byte.
    pub(super) fn at(name: &str, text: &str, offset: usize) -> Option<Self> {
        let inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
        let start = text[..offset].trim_end_matches(inner).len();
        let end = offset + text[offset..].find(|c: char| !inner(c)).unwrap_or(text.len() - offset);
        // A dash that begins an item is no part of a word.
        let start = if text[start..].starts_with("- ") { start + 2 } else { start };
        if start > offset {
            return None;
        }
        let (before, after) = (&text[..start], &text[end..]);
        let forms = if is_json(name, text) { json(before, after) } else { yaml(before, after) };
        forms.into_iter().find_map(|form| {
            let value = parse(name, &form.text).ok()?.value;
            let (pointer, is_name) = find(&value, "")?;
            let around = if is_name { form.name } else { form.word };
            Some(Self { value, pointer, is_name, word: start..end, around })
        })
    }

    pub(super) fn completion(&self, choice: Choice) -> Completion {
        let (before, after) = self.around;
        Completion {
            insert: format!("{before}{}{after}", choice.label),
            label: choice.label,
            kind: choice.kind,
            detail: choice.detail,
            help: choice.help,
            range: self.word.clone(),
        }
    }
}

/// A way to finish the text.
struct Form {
    text: String,
    /// What is put around a name.
    name: (&'static str, &'static str),
    /// What is put around a word.
    word: (&'static str, &'static str),
}

fn is_json(name: &str, text: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with(".json")
        || (!lower.ends_with(".yaml")
            && !lower.ends_with(".yml")
            && text.trim_start().starts_with(['{', '[']))
}

/// As it is, or with what a name needs behind it.
fn yaml(before: &str, after: &str) -> Vec<Form> {
    let line = after.find('\n').map_or(after, |end| &after[..end]);
    let form = |text: String, name| Form { text, name, word: ("", "") };
    if line.trim_start().starts_with(':') {
        return vec![form(format!("{before}{MARK}{after}"), ("", ""))];
    }
    let begins = before.rsplit('\n').next().unwrap_or_default();
    let fresh = begins.trim_start_matches([' ', '-']).is_empty();
    let rest = &after[line.len()..];
    let mut forms = Vec::new();
    if fresh {
        // Whatever else is in the line is not finished either.
        forms.push(form(format!("{before}{MARK}: null{rest}"), ("", ": ")));
    }
    forms.push(form(format!("{before}{MARK}{after}"), ("", ": ")));
    forms.push(form(format!("{before}{MARK}{rest}"), ("", ": ")));
    forms
}

/// Quotes, a colon and commas are added where they are missing.
fn json(before: &str, after: &str) -> Vec<Form> {
    let quoted = before.ends_with('"');
    let (head, tail) = if quoted {
        (&before[..before.len() - 1], after.strip_prefix('"').unwrap_or(after))
    } else {
        (before, after)
    };
    let wrap = |inside: &'static str, outside: &'static str| if quoted { inside } else { outside };
    let (previous, next) = (head.trim_end().chars().last(), tail.trim_start().chars().next());
    let lead = if matches!(previous, Some('{' | '[' | ',' | ':')) { "" } else { "," };
    let trail = if matches!(next, Some('"' | '{' | '[')) { "," } else { "" };
    let word = (wrap("", "\""), wrap("", "\""));
    let name = (wrap("", "\""), if next == Some(':') || quoted { wrap("", "\"") } else { "\": " });
    let form = |body: String| Form { text: format!("{head}{body}{tail}"), name, word };
    vec![
        form(format!("{lead}\"{MARK}\"{trail}")),
        form(format!("{lead}\"{MARK}\": null{trail}")),
        form(format!("\"{MARK}\"")),
    ]
}

/// Where the mark is, and whether it is a name.
fn find(value: &Value, at: &str) -> Option<(String, bool)> {
    match value {
        Value::String(text) => text.contains(MARK).then(|| (at.to_owned(), false)),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(n, item)| find(item, &pointer::item(at, n)))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let inner = pointer::join(at, name);
            if name.contains(MARK) { Some((inner, true)) } else { find(member, &inner) }
        }),
        _ => None,
    }
}
