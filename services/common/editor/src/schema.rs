//! Fields of a kind's `spec`, from its JSON Schema.

use serde_json::{Map, Value};

/// The schema of what stands at a way through a schema: names of members, numbers of items.
pub(crate) fn descend(schema: &Value, steps: impl Iterator<Item = String>) -> Option<Value> {
    let mut schema = schema.clone();
    for step in steps {
        schema = options(&schema).into_iter().find_map(|option| {
            let member = option.get("properties").and_then(|properties| properties.get(&step));
            let item = option.get("items").filter(|_| step.parse::<usize>().is_ok());
            let other = option.get("additionalProperties").filter(|other| other.is_object());
            member.or(item).or(other).cloned()
        })?;
    }
    Some(schema)
}

/// The members that an object of this schema may have.
pub(crate) fn members(schema: &Value) -> Map<String, Value> {
    let all = options(schema).into_iter();
    all.filter_map(|option| option.get("properties")?.as_object().cloned()).flatten().collect()
}

/// The words that a value of this schema may be.
pub(crate) fn words(schema: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut words = Vec::new();
    for option in options(schema) {
        words.extend(option.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(text));
        words.extend(option.get("const").and_then(text));
        if has_type(option, "boolean") {
            words.extend(["true".to_owned(), "false".to_owned()]);
        }
    }
    words
}

/// What a schema says of a field, in words.
pub(crate) fn describe(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The type for people: `text`, `a list`.
pub(crate) fn type_of(schema: &Value) -> String {
    let named = |word: &str| match word {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "",
    };
    let words = ["string", "integer", "number", "boolean", "array", "object"];
    // The form for expressions is a text too; it comes last and is not meant.
    let first =
        options(schema).into_iter().find_map(|option| words.into_iter().find(|word| has_type(option, word)));
    first.map(named).unwrap_or_default().to_owned()
}

fn has_type(schema: &Value, word: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == word,
        Some(Value::Array(some)) => some.iter().any(|one| one == word),
        _ => false,
    }
}

/// A schema, or what it may be instead.
fn options(schema: &Value) -> Vec<&Value> {
    let mut all = vec![schema];
    for key in ["anyOf", "oneOf", "allOf"] {
        for option in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            all.extend(options(option));
        }
    }
    all
}
