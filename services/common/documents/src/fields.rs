//! Reads the members of an object and notes what is wrong with them.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::{Code, Problem, Problems, js, pointer, suggest};

/// Whether a value is a text with an expression in it: it can stand for a value of any type.
#[must_use]
pub fn is_expression(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.match_indices("${").any(|(at, _)| !text[..at].ends_with('\\') && !text[at..].starts_with("${{"))
    })
}

/// An object that is being read. Every leaf may be an expression instead; such a leaf reads as absent, except
/// with [`Fields::text`].
#[derive(Debug)]
pub struct Fields<'v, 'p> {
    members: Option<&'v Map<String, Value>>,
    pointer: String,
    problems: &'p mut Problems,
}

impl<'v, 'p> Fields<'v, 'p> {
    /// Starts reading `value`, which stands at `pointer` and is called `what` for people: `a node`.
    pub fn new(value: &'v Value, pointer: &str, what: &str, problems: &'p mut Problems) -> Self {
        let members = value.as_object();
        if members.is_none() {
            let kind = js::type_name(value);
            let problem = Problem::error(pointer, format!("{what} is an object, not {kind}"));
            problems.push(problem.code(Code::FieldType).help("write its members: `{name: value}`"));
        }
        Self { members, pointer: pointer.to_owned(), problems }
    }

    /// The member as it is; none for `null` too.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'v Value> {
        self.members?.get(key).filter(|value| !value.is_null())
    }

    /// Where a member stands.
    #[must_use]
    pub fn at(&self, key: &str) -> String {
        pointer::join(&self.pointer, key)
    }

    /// Notes a problem.
    pub fn note(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The problems, to note those of a part that is read by itself.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// A text; also one with expressions in it.
    pub fn text(&mut self, key: &str) -> Option<&'v str> {
        let value = self.get(key)?;
        if value.as_str().is_none() {
            let problem = self.wrong_type(key, "text", value);
            self.problems.push(problem);
        }
        value.as_str()
    }

    /// A text that must be there and not be empty.
    pub fn required_text(&mut self, key: &str, help: &str) -> Option<&'v str> {
        match self.get(key) {
            None => {
                self.missing(key, help);
                None
            }
            Some(Value::String(text)) if text.trim().is_empty() => {
                let problem = Problem::error(self.at(key), format!("`{key}` is empty"));
                self.problems.push(problem.code(Code::FieldMissing).help(help));
                None
            }
            Some(_) => self.text(key),
        }
    }

    /// Notes that a member is missing.
    pub fn missing(&mut self, key: &str, help: &str) {
        if self.members.is_some() {
            let problem = Problem::error(self.pointer.clone(), format!("`{key}` is missing"));
            self.problems.push(problem.code(Code::FieldMissing).help(help));
        }
    }

    /// A boolean, or the text of one.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            value if is_expression(value) => None,
            value => {
                let problem = self.wrong_type(key, "true or false", value);
                self.problems.push(problem);
                None
            }
        }
    }

    /// A whole number in a range, or the text of one.
    pub fn integer(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.get(key)?;
        if is_expression(value) {
            return None;
        }
        let Some(number) = whole(value) else {
            let problem = self.wrong_type(key, "a whole number", value);
            self.problems.push(problem.help(in_range(&range)));
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        let problem = Problem::error(self.at(key), format!("`{key}` is {number}"));
        self.problems.push(problem.code(Code::FieldRange).help(in_range(&range)));
        None
    }

    /// One of the words that are allowed here.
    pub fn one_of(&mut self, key: &str, words: &[&str]) -> Option<&'v str> {
        let value = self.get(key).filter(|value| !is_expression(value))?;
        let word = self.text(key)?;
        if words.contains(&word) {
            return value.as_str();
        }
        let problem =
            Problem::error(self.at(key), format!("`{key}` cannot be `{word}`")).code(Code::FieldValue);
        let near = suggest::nearest(word, words.iter().copied());
        self.problems.push(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it is one of {}", suggest::list(words.iter().copied()))),
        });
        None
    }

    /// The elements of a list; none of them when it is absent.
    pub fn list(&mut self, key: &str) -> &'v [Value] {
        match self.get(key) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(value) => {
                if !is_expression(value) {
                    let problem = self.wrong_type(key, "a list", value);
                    self.problems.push(match js::plain_text(value).filter(|text| is_short(text)) {
                        Some(text) => problem.help(format!("write `{key}: [{text}]`")),
                        None => problem,
                    });
                }
                &[]
            }
        }
    }

    /// The texts of a list.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        let at = self.at(key);
        let mut texts = Vec::new();
        for (n, item) in self.list(key).iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text.clone()),
                other => {
                    let kind = js::type_name(other);
                    let message = format!("`{key}` is a list of texts; this is {kind}");
                    let problem = Problem::error(pointer::item(&at, n), message).code(Code::FieldType);
                    self.problems.push(problem.help(way_to("text")));
                }
            }
        }
        texts
    }

    /// An object.
    pub fn object(&mut self, key: &str) -> Option<&'v Map<String, Value>> {
        let value = self.get(key)?;
        if value.as_object().is_none() && !is_expression(value) {
            let problem = self.wrong_type(key, "an object", value);
            self.problems.push(problem);
        }
        value.as_object()
    }

    /// Warns of members that are probably misspelt: not among `known`, but near to one that is absent. All
    /// others are kept as they are.
    pub fn known(&mut self, known: &[&str]) {
        let Some(members) = self.members else { return };
        for key in members.keys().filter(|key| !known.contains(&key.as_str())) {
            let absent = known.iter().copied().filter(|name| !members.contains_key(*name));
            if let Some(near) = suggest::nearest(key, absent) {
                let problem =
                    Problem::warning(self.at(key), format!("`{key}` is not known here and has no effect"));
                let problem = problem.code(Code::FieldUnknown).at_key();
                self.problems.push(problem.help(format!("did you mean `{near}`?")));
            }
        }
    }

    fn wrong_type(&self, key: &str, wanted: &str, value: &Value) -> Problem {
        let kind = js::type_name(value);
        let problem = Problem::error(self.at(key), format!("`{key}` must be {wanted}, not {kind}"));
        problem.code(Code::FieldType).help(way_to(wanted))
    }
}

/// How a value of that type is written, by the words that problems have for types: `text`, `a whole number`.
#[must_use]
pub fn way_to(wanted: &str) -> String {
    match wanted {
        "text" => "write one text, in quotes where it could be taken for something else".to_owned(),
        "true or false" => "write `true` or `false`".to_owned(),
        "a number" | "a whole number" => "write it in digits, such as `2`".to_owned(),
        "a list" => "write a list: `[a, b]`".to_owned(),
        "an object" => "write its members: `{name: value}`".to_owned(),
        other => format!("give {other}"),
    }
}

fn in_range(range: &RangeInclusive<i64>) -> String {
    format!("give a number from {} to {}", range.start(), range.end())
}

/// Whether a text can be shown as an element of a list that somebody may copy.
fn is_short(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

/// A whole number, or the text of one as JSON writes it: what JSON Schemas can say too.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = digits.len() <= 15 && digits.bytes().all(|c| c.is_ascii_digit());
            let canonical = text == "0" || !digits.starts_with('0');
            text.parse().ok().filter(|_| plain && canonical)
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole; saturates, and callers have a range")]
        Value::Number(number) => {
            number.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64)
        }
        _ => None,
    }
}
