//! One schema for each way in which the parser reads a member (`shipway_documents::Fields`).
//!
//! `null` is a member that is not there.

use serde_json::{Map, Value, json};

use crate::shape::{EXPRESSION, digits};

/// A text, or one with expressions in it.
pub(super) fn text() -> Value {
    json!({ "type": ["string", "null"] })
}

/// A text of that pattern.
pub(super) fn text_like(pattern: &str) -> Value {
    json!({ "type": ["string", "null"], "pattern": pattern })
}

/// A text that is not blank. The member must be `required` too.
pub(super) fn required_text() -> Value {
    json!({ "type": "string", "pattern": "\\S" })
}

/// True or false, or the text of it.
pub(super) fn boolean() -> Value {
    json!({ "anyOf": [{ "type": ["boolean", "null"] }, { "enum": ["true", "false"] }, expression()] })
}

/// A whole number in a range, or the text of it.
pub(super) fn integer(low: i64, high: i64) -> Value {
    json!({ "anyOf": [
        { "type": ["integer", "null"], "minimum": low, "maximum": high },
        { "type": "string", "pattern": digits(Some(low), Some(high)) },
        expression(),
    ] })
}

/// One of these words.
pub(super) fn one_of(words: &[&str]) -> Value {
    let mut allowed: Vec<Value> = words.iter().map(|word| Value::from(*word)).collect();
    allowed.push(Value::Null);
    json!({ "anyOf": [{ "enum": allowed }, expression()] })
}

/// A list of such values.
pub(super) fn list(items: &Value) -> Value {
    json!({ "anyOf": [{ "type": ["array", "null"], "items": items }, expression()] })
}

/// A list of texts.
pub(super) fn texts() -> Value {
    list(&json!({ "type": "string" }))
}

/// An object with such members, and others.
pub(super) fn object(properties: Value) -> Value {
    json!({ "type": ["object", "null"], "properties": properties })
}

/// The same, which must be there; so must these members.
pub(super) fn required_object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// A text with an expression.
pub(super) fn expression() -> Value {
    json!({ "type": "string", "pattern": EXPRESSION })
}

/// The same without an expression as a whole.
pub(super) fn fixed(mut schema: Value) -> Value {
    schema["not"] = expression();
    schema
}

/// Adds a description for people.
pub(super) fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// `then` where `key` is one of `values`; where it is absent too, if one of them is `null`.
pub(super) fn when(key: &str, values: &[Value], then: Value) -> Value {
    let mut condition = json!({ "properties": { key: { "enum": values } } });
    if !values.contains(&Value::Null) {
        condition["required"] = json!([key]);
    }
    json!({ "if": condition, "then": then })
}

/// An object of members that are made one by one.
pub(super) fn members<'a>(each: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(each.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect::<Map<_, _>>())
}
