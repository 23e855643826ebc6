//! Values as text in a file's own style.

use serde_json::{Map, Value};

use super::style::{Quotes, Style};
use crate::{cst::Kind, source};

/// What YAML takes an unquoted text for; none if it is no value at all.
pub(super) fn plain_meaning(raw: &str) -> Option<Value> {
    source::plain_scalar(raw)
}

/// A value in one line, or in brackets on several lines.
pub(super) struct Flow<'a> {
    pub(super) style: &'a Style,
    /// Whether it stands in brackets, where commas and brackets need quotes.
    pub(super) inside: bool,
    /// Whether lists and objects take several lines.
    pub(super) lines: bool,
}

impl Flow<'_> {
    /// The value; `indent` is what its own line begins with.
    pub(super) fn write(&self, value: &Value, indent: &str) -> String {
        let mut out = String::new();
        self.put(value, indent, &mut out);
        out
    }

    fn put(&self, value: &Value, indent: &str, out: &mut String) {
        let inside = Flow { inside: true, ..*self };
        match value {
            Value::Array(items) if !items.is_empty() => {
                let parts = items.iter().map(|item| inside.write(item, &self.deeper(indent)));
                self.bracket('[', ']', false, parts.collect(), indent, out);
            }
            Value::Object(members) if !members.is_empty() => {
                let parts = members.iter().map(|(name, member)| {
                    let value = inside.write(member, &self.deeper(indent));
                    format!("{}{}{value}", key(name, true, None, self.style), self.style.colon)
                });
                self.bracket('{', '}', self.style.padded, parts.collect(), indent, out);
            }
            value => out.push_str(&scalar(value, self.inside, None, self.style)),
        }
    }

    fn deeper(&self, indent: &str) -> String {
        format!("{indent}{}", self.style.unit)
    }

    fn bracket(
        &self,
        open: char,
        close: char,
        padded: bool,
        parts: Vec<String>,
        indent: &str,
        out: &mut String,
    ) {
        out.push(open);
        if self.lines {
            let lead = format!("{}{}", self.style.eol, self.deeper(indent));
            out.push_str(&lead);
            out.push_str(&parts.join(&format!(",{lead}")));
            out.push_str(self.style.eol);
            out.push_str(indent);
        } else {
            let pad = if padded { " " } else { "" };
            out.push_str(pad);
            out.push_str(&parts.join(self.style.comma));
            out.push_str(pad);
        }
        out.push(close);
    }
}

/// Lines of YAML, the first without its indentation.
pub(super) struct Lines<'a> {
    pub(super) style: &'a Style,
}

impl Lines<'_> {
    /// A list or an object whose entries stand in `column`.
    pub(super) fn collection(&self, value: &Value, column: usize) -> String {
        let entries: Vec<String> = match value {
            Value::Array(items) => items.iter().map(|item| self.item(item, column)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, member)| self.member(name, member, column)).collect()
            }
            other => vec![scalar(other, false, None, self.style)],
        };
        entries.join(&self.line(column))
    }

    /// An item with its dash.
    pub(super) fn item(&self, value: &Value, column: usize) -> String {
        if is_filled(value) {
            return format!("- {}", self.collection(value, column + 2));
        }
        format!("- {}", self.scalar(value, column, None))
    }

    /// A member with its name.
    pub(super) fn member(&self, name: &str, value: &Value, column: usize) -> String {
        format!("{}:{}", key(name, false, None, self.style), self.after_colon(value, column))
    }

    /// What follows the colon of a member that stands in `column`.
    pub(super) fn after_colon(&self, value: &Value, column: usize) -> String {
        if is_filled(value) {
            let column = self.below(value, column);
            return format!("{}{}", self.line(column), self.collection(value, column));
        }
        format!(" {}", self.scalar(value, column, None))
    }

    /// The column of the entries of a list or an object in a member that stands in `column`.
    pub(super) fn below(&self, value: &Value, column: usize) -> usize {
        if value.is_array() && !self.style.lists_deeper { column } else { column + self.style.step() }
    }

    /// A value that takes no lines of its own, but for a text of several lines.
    pub(super) fn scalar(&self, value: &Value, column: usize, old: Option<&Kind>) -> String {
        let quoted = self.style.quotes == Quotes::Double && !matches!(old, Some(Kind::Block));
        if let Value::String(text) = value
            && (!quoted || old.is_none())
            && let Some(block) = self.literal(text, column)
        {
            return block;
        }
        scalar(value, false, old, self.style)
    }

    /// A text of several lines after `|`; none where that would not give back the very text.
    fn literal(&self, text: &str, column: usize) -> Option<String> {
        let (body, header) = match text.strip_suffix('\n') {
            Some(body) => (body, "|"),
            None => (text, "|-"),
        };
        let plain = |c: char| c == '\n' || c == '\t' || !needs_escape(c);
        let fits = text.contains('\n')
            && !body.is_empty()
            && !body.starts_with([' ', '\t', '\n'])
            && !body.ends_with('\n')
            && text.chars().all(plain)
            && body.lines().all(|line| line.is_empty() || !line.trim().is_empty());
        if !fits {
            return None;
        }
        let mut out = header.to_owned();
        for line in body.split('\n') {
            if line.is_empty() {
                out.push_str(self.style.eol);
            } else {
                out.push_str(&self.line(column + self.style.step()));
                out.push_str(line);
            }
        }
        Some(out)
    }

    /// The end of a line and the indentation of the next.
    pub(super) fn line(&self, column: usize) -> String {
        format!("{}{}", self.style.eol, " ".repeat(column))
    }
}

/// A list or an object with something in it.
pub(super) fn is_filled(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !Map::is_empty(members),
        _ => false,
    }
}

/// The name of a member.
pub(super) fn key(name: &str, in_flow: bool, old: Option<char>, style: &Style) -> String {
    if style.json || old == Some('"') {
        return double(name, style.json);
    }
    if old == Some('\'') && fits_single(name) {
        return single(name);
    }
    if is_plain(name, in_flow) && name != "<<" && !name.starts_with("? ") {
        return name.to_owned();
    }
    quoted(name, style)
}

/// A value in one line; quoted as the one before it where there was one.
pub(super) fn scalar(value: &Value, in_flow: bool, old: Option<&Kind>, style: &Style) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain_fits = is_plain(text, in_flow);
    match old {
        _ if style.json => double(text, true),
        Some(Kind::Single) if fits_single(text) => single(text),
        Some(Kind::Double) => double(text, false),
        Some(Kind::Plain) if plain_fits && style.quotes != Quotes::Double => text.clone(),
        _ if plain_fits && matches!(style.quotes, Quotes::SingleIfNeeded | Quotes::DoubleIfNeeded) => {
            text.clone()
        }
        _ => quoted(text, style),
    }
}

fn quoted(text: &str, style: &Style) -> String {
    let singles = matches!(style.quotes, Quotes::Single | Quotes::SingleIfNeeded);
    if singles && fits_single(text) { single(text) } else { double(text, style.json) }
}

/// Whether a text may stand without quotes and still be that text.
fn is_plain(text: &str, in_flow: bool) -> bool {
    let indicator = |c: char| "-?:,[]{}#&*!|>'\"%@`=<~".contains(c);
    let inner = |c: char| !needs_escape(c) && c != '\t' && !(in_flow && ",[]{}".contains(c));
    !text.is_empty()
        && text.trim() == text
        && !text.starts_with(indicator)
        && !text.starts_with("...")
        && text.chars().all(inner)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        // An expression reads better in quotes, and `{` begins an object elsewhere.
        && !text.contains("${")
        && matches!(plain_meaning(text), Some(Value::String(_)))
}

fn fits_single(text: &str) -> bool {
    !text.chars().any(|c| needs_escape(c) || c == '\t')
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn double(text: &str, json: bool) -> String {
    let json_text = Value::from(text).to_string();
    if json {
        return json_text;
    }
    // JSON leaves some characters as they are that YAML takes for line ends or for nothing.
    let mut out = String::with_capacity(json_text.len());
    for c in json_text.chars() {
        if needs_escape(c) {
            let code = u32::from(c);
            out.push_str(&if code > 0xffff { format!("\\U{code:08x}") } else { format!("\\u{code:04x}") });
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that only an escape keeps as they are.
fn needs_escape(c: char) -> bool {
    c.is_control() && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
