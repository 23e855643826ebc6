//! The schema of a type as editors get it: it accepts what the check accepts, expressions included.

use serde_json::{Map, Value, json};

use super::{DOCUMENT, MAX_WHOLE, digits, digits::NUMBER, words};

/// The pattern of texts with an expression that is resolved before the node starts: not escaped, and not
/// `${{…}}`, which is text to everything but a container.
pub(crate) const EXPRESSION: &str = "(^|[^\\\\])\\$\\{([^{]|$)";

/// That schema, or a text with an expression.
fn or_expression(mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|members| members.shift_remove("description"));
    let expression = json!({ "type": "string", "pattern": EXPRESSION });
    let mut either = match schema.get("anyOf").and_then(Value::as_array) {
        Some(options) if schema.as_object().is_some_and(|members| members.len() == 1) => {
            let mut options = options.clone();
            options.push(expression);
            json!({ "anyOf": options })
        }
        _ => json!({ "anyOf": [schema, expression] }),
    };
    if let Some(description) = description {
        either["description"] = description;
    }
    either
}

/// The published form of a generated schema; the outermost object itself is no expression.
pub(super) fn published(schema: &Value) -> Value {
    node(schema, true)
}

fn node(schema: &Value, root: bool) -> Value {
    let Some(members) = schema.as_object() else { return schema.clone() };
    let described = |mut value: Value| {
        if let Some(text) = members.get("description") {
            value["description"] = text.clone();
        }
        if let Some(document) = members.get(DOCUMENT) {
            value["allOf"] =
                json!([{ "$ref": format!("#/$defs/document-{}", document.as_str().unwrap_or_default()) }]);
        }
        value
    };
    if let Some((words, or_nothing)) = words(members) {
        let mut allowed: Vec<Value> = words.into_iter().map(Value::from).collect();
        allowed.extend(or_nothing.then_some(Value::Null));
        return or_expression(described(json!({ "enum": allowed })));
    }
    if let Some(options) = members.get("anyOf").and_then(Value::as_array) {
        let options = options.iter().flat_map(|option| match node(option, true) {
            Value::Object(mut inner) if inner.len() == 1 && inner.contains_key("anyOf") => {
                match inner.shift_remove("anyOf") {
                    Some(Value::Array(options)) => options,
                    _ => Vec::new(),
                }
            }
            other => vec![other],
        });
        let mut options: Vec<_> = options.collect();
        let expression = json!({ "type": "string", "pattern": EXPRESSION });
        options.retain(|option| *option != expression);
        let either = described(json!({ "anyOf": options }));
        return if root { either } else { or_expression(either) };
    }
    let wanted: Vec<&str> = match members.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => return described(json!({})),
    };
    let mut options: Vec<Value> = Vec::new();
    let mut takes_any_text = false;
    for kind in &wanted {
        match *kind {
            "string" => {
                takes_any_text = true;
                options.push(json!({ "type": ["string", "number", "boolean"] }));
            }
            "boolean" => options.extend([json!({ "type": "boolean" }), json!({ "enum": ["true", "false"] })]),
            "integer" => options.extend(integer(members)),
            "number" => {
                options.extend([json!({ "type": "number" }), json!({ "type": "string", "pattern": NUMBER })])
            }
            "object" => options.push(object(members)),
            "array" => {
                let items = members.get("items").map_or(Value::Bool(true), |items| node(items, false));
                options.push(json!({ "type": "array", "items": items }));
            }
            other => options.push(json!({ "type": other })),
        }
    }
    let one = match <[Value; 1]>::try_from(options) {
        Ok([one]) => one,
        Err(options) => json!({ "anyOf": options }),
    };
    let one = described(one);
    // A document is never the worth of an expression: it is read before anything has one.
    if root || takes_any_text || members.contains_key(DOCUMENT) { one } else { or_expression(one) }
}

/// A whole number in its range, or its digits.
fn integer(schema: &Map<String, Value>) -> [Value; 2] {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let (low, high) = (bound("minimum"), bound("maximum").filter(|high| *high < MAX_WHOLE));
    #[expect(clippy::cast_possible_truncation, reason = "bounds in schemas are whole")]
    let text = digits(low.map(|low| low as i64), high.map(|high| high as i64));
    let (low, high) = (low.unwrap_or(-MAX_WHOLE), high.unwrap_or(MAX_WHOLE));
    let number = |bound: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "bounds in schemas are whole")]
        Value::from(bound as i64)
    };
    [
        json!({ "type": "integer", "minimum": number(low), "maximum": number(high) }),
        json!({ "type": "string", "pattern": text }),
    ]
}

fn object(schema: &Map<String, Value>) -> Value {
    let mut object = json!({ "type": "object" });
    let required = schema.get("required").and_then(Value::as_array);
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let property = |(name, schema): (&String, &Value)| {
            let mut schema = node(schema, false);
            let needed = required.is_some_and(|names| names.iter().any(|needed| needed == name));
            if schema == Value::Bool(true) {
                schema = json!({});
            }
            // What must be there and may be anything is still not nothing.
            if needed && schema.get("type").is_none() && schema.get("anyOf").is_none() {
                schema["not"] = json!({ "type": "null" });
            }
            (name.clone(), schema)
        };
        object["properties"] = properties.iter().map(property).collect::<Map<_, _>>().into();
    }
    if let Some(required) = required {
        object["required"] = required.clone().into();
    }
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(true)) => {}
        Some(rest) => object["additionalProperties"] = node(rest, false),
    }
    object
}
