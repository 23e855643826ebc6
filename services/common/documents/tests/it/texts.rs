//! Texts as people write them, made from a tape of random bytes: a shorter tape makes a simpler text.

use serde_json::{Map, Value};

/// Random choices. All are the first when the tape is over.
pub(crate) struct Tape {
    bytes: std::vec::IntoIter<u8>,
    comments: usize,
    anchors: usize,
    /// The anchors whose values are written, so that an alias may name them.
    written: Vec<usize>,
}

impl Tape {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter(), comments: 0, anchors: 0, written: Vec::new() }
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.bytes.next().unwrap_or(0)) % n.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn name(&mut self) -> String {
        (*self
            .pick(&["kind", "ref", "spec", "steps", "a", "b b", "x/y", "5", "\u{e9}", "type", "q\"q", "- z"]))
        .to_owned()
    }

    fn string(&mut self) -> String {
        (*self.pick(&[
            "x",
            "",
            "two words",
            "${args.x}",
            "true",
            "5",
            "a: b",
            "a #b",
            "it's",
            "\"q\"",
            "one\ntwo",
            "one\n\n two\n",
            " lead",
            "trail ",
            "tab\there",
            "- item",
            "\u{e9}\u{1f600}",
            "a, b",
            "#c",
            "{",
            "~",
            "null",
            "*a",
            "&a",
            "\n",
            "x\n\n",
            "end:",
            "back\\slash",
            "\u{2028}",
            "\r\n",
            "---",
            "? q",
            "yes",
            "0x1",
            "1e3",
        ]))
        .to_owned()
    }

    pub(crate) fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 | 1 => Value::from(self.string()),
            2 => Value::from(self.below(200)),
            3 => Value::from(0.5),
            4 => (*self.pick(&[Value::Null, Value::Bool(true)])).clone(),
            5 => Value::Array((0..self.below(4)).map(|_| self.value(depth - 1)).collect()),
            _ => Value::Object(self.members(depth)),
        }
    }

    fn members(&mut self, depth: usize) -> Map<String, Value> {
        (0..self.below(4)).map(|_| (self.name(), self.value(depth - 1))).collect()
    }

    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("#c{} said", self.comments)
    }
}

/// All places in a value.
pub(crate) fn pointers(value: &Value) -> Vec<String> {
    fn visit(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match value {
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    visit(item, &format!("{at}/{n}"), all);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    visit(member, &shipway_documents::pointer::join(at, name), all);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    visit(value, "", &mut all);
    all
}

/// JSON in one of its forms.
pub(crate) fn json_text_of(tape: &mut Tape) -> String {
    let value = Value::Object(tape.members(4));
    let mut text = match tape.below(4) {
        0 => serde_json::to_string_pretty(&value).unwrap(),
        1 => value.to_string(),
        2 => serde_json::to_string_pretty(&value).unwrap().replace("  ", "\t"),
        _ => mixed(tape, &value, ""),
    };
    if tape.one_in(2) {
        text.push('\n');
    }
    if tape.one_in(4) { text.replace('\n', "\r\n") } else { text }
}

/// Some lists and objects in one line, some on several.
fn mixed(tape: &mut Tape, value: &Value, indent: &str) -> String {
    let deeper = format!("{indent}   ");
    let parts: Vec<String> = match value {
        Value::Array(items) => items.iter().map(|item| mixed(tape, item, &deeper)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| {
                format!("{} : {}", Value::from(name.as_str()), mixed(tape, member, &deeper))
            })
            .collect(),
        other => return other.to_string(),
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    match tape.below(3) {
        0 => format!("{open}\n{deeper}{}\n{indent}{close}", parts.join(&format!(",\n{deeper}"))),
        1 => format!("{open} {} {close}", parts.join(" , ")),
        _ => format!("{open}{}\n{indent}{close}", parts.join(",")),
    }
}

/// YAML in one of its forms, with comments and anchors.
pub(crate) fn yaml_text(tape: &mut Tape) -> String {
    let value = Value::Object(tape.members(4));
    let mut writer = Writer { step: 1 + tape.below(4), deeper: tape.one_in(2), out: String::new() };
    if tape.one_in(4) {
        writer.out = format!("{}\n\n", tape.comment());
    }
    if tape.one_in(6) {
        writer.out.push_str("---\n");
    }
    match &value {
        Value::Object(members) if members.is_empty() => writer.out.push_str("{}\n"),
        value => writer.block(tape, value, 0, false),
    }
    let mut text = writer.out;
    if tape.one_in(4) {
        text.push_str(&format!("{}\n", tape.comment()));
    }
    if tape.one_in(5) && !text.ends_with("\n\n") {
        text.pop();
    }
    if tape.one_in(4) { text.replace('\n', "\r\n") } else { text }
}

struct Writer {
    step: usize,
    deeper: bool,
    out: String,
}

impl Writer {
    /// A filled list or object; `beside` a dash, its first entry stands in the line that has begun.
    fn block(&mut self, tape: &mut Tape, value: &Value, column: usize, beside: bool) {
        let entries: Vec<(Option<&String>, &Value)> = match value {
            Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
            Value::Object(members) => members.iter().map(|(name, member)| (Some(name), member)).collect(),
            _ => unreachable!("only lists and objects have lines"),
        };
        for (n, (name, value)) in entries.into_iter().enumerate() {
            if n > 0 || !beside {
                if tape.one_in(8) {
                    self.out.push('\n');
                }
                if tape.one_in(5) {
                    let comment = tape.comment();
                    self.out.push_str(&format!("{}{comment}\n", " ".repeat(column)));
                }
                self.out.push_str(&" ".repeat(column));
            }
            match name {
                Some(name) => {
                    let name = scalar(tape, &Value::from(name.as_str()), true, None);
                    let space = if tape.one_in(9) { " " } else { "" };
                    self.out.push_str(&format!("{name}{space}:"));
                    let below = if value.is_array() && !self.deeper { column } else { column + self.step };
                    self.value(tape, value, column, below, false);
                }
                None => {
                    self.out.push('-');
                    self.value(tape, value, column, column + 2, true);
                }
            }
        }
    }

    /// What follows a colon or a dash.
    fn value(&mut self, tape: &mut Tape, value: &Value, column: usize, below: usize, dash: bool) {
        if !tape.written.is_empty() && tape.one_in(6) {
            // What it stands for matters to nobody: the text is read to learn its value.
            let written = tape.written.clone();
            let alias = *tape.pick(&written);
            self.out.push_str(&format!(" *a{alias}"));
            self.end(tape);
            return;
        }
        let anchor = tape.one_in(9).then(|| {
            tape.anchors += 1;
            self.out.push_str(&format!(" &a{}", tape.anchors));
            tape.anchors
        });
        self.content(tape, value, column, below, dash);
        tape.written.extend(anchor);
    }

    fn content(&mut self, tape: &mut Tape, value: &Value, column: usize, below: usize, dash: bool) {
        let filled = match value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => false,
        };
        if filled && !tape.one_in(4) {
            let beside = dash && self.out.ends_with('-') && !tape.one_in(5);
            if beside {
                self.out.push(' ');
            } else {
                self.end(tape);
            }
            self.block(tape, value, below, beside);
            return;
        }
        if filled || value.is_array() || value.is_object() {
            self.out.push_str(&format!(" {}", flow(tape, value)));
        } else if !value.is_null() || tape.one_in(2) {
            let text = scalar(tape, value, false, Some(column + self.step));
            self.out.push_str(&format!(" {text}"));
            if text.starts_with(['|', '>']) {
                self.out.push('\n');
                return;
            }
        }
        self.end(tape);
    }

    fn end(&mut self, tape: &mut Tape) {
        if tape.one_in(5) {
            let comment = tape.comment();
            self.out.push_str(&format!("  {comment}"));
        }
        self.out.push('\n');
    }
}

fn flow(tape: &mut Tape, value: &Value) -> String {
    let parts: Vec<String> = match value {
        Value::Array(items) => items.iter().map(|item| flow(tape, item)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| format!("{}: {}", Value::from(name.as_str()), flow(tape, member)))
            .collect(),
        other => return scalar(tape, other, true, None),
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    match tape.below(3) {
        0 => format!("{open}{}{close}", parts.join(", ")),
        1 => format!("{open} {} {close}", parts.join(" , ")),
        _ => format!("{open}{}{close}", parts.join(",  ")),
    }
}

/// A text in one of the forms that give it back.
fn scalar(tape: &mut Tape, value: &Value, simple: bool, block: Option<usize>) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let word = text.chars().all(|c| c.is_alphanumeric() || c == ' ')
        && text.trim() == text
        && text.starts_with(|c: char| c.is_alphabetic())
        && !matches!(text.as_str(), "true" | "null" | "yes");
    let lines = !text.starts_with([' ', '\n']) && text.contains('\n') && !text.contains(['\r', '\u{2028}']);
    match (tape.below(4), block) {
        (0 | 1, Some(column)) if lines && !text.trim().is_empty() => {
            let trimmed = text.trim_end_matches('\n');
            let mark = match text.len() - trimmed.len() {
                0 => "|-",
                1 => "|",
                _ => "|+",
            };
            let body = text.strip_suffix('\n').unwrap_or(text);
            let body: Vec<String> =
                body.split('\n')
                    .map(|line| {
                        if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(column)) }
                    })
                    .collect();
            format!("{mark}\n{}", body.join("\n"))
        }
        (0, _) if word => text.clone(),
        (1, _) if !text.contains(['\n', '\r', '\u{2028}']) => format!("'{}'", text.replace('\'', "''")),
        _ if simple || !text.contains('\u{2028}') => Value::from(text.as_str()).to_string(),
        _ => Value::from(text.as_str()).to_string().replace('\u{2028}', "\\u2028"),
    }
}
