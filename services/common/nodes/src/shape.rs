//! The shape of a kind's `spec`: one Rust type gives the JSON Schema, the check and the reading.

use std::{marker::PhantomData, sync::LazyLock};

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use shipway_documents::{
    Problem, Problems, is_expression, json_text, list, nearest, plain_text, pointer, secret, truthy,
    type_name,
};

/// The shape of a kind's `spec`.
#[derive(Debug)]
pub struct Shape {
    schema: LazyLock<Value>,
}

/// The type that a shape is made of, so that what is read is what was checked.
#[derive(Debug)]
pub(crate) struct Config<C> {
    pub(crate) shape: Shape,
    of: PhantomData<fn() -> C>,
}

impl<C: JsonSchema + DeserializeOwned> Config<C> {
    pub(crate) const fn new() -> Self {
        Self { shape: Shape { schema: LazyLock::new(schema_of::<C>) }, of: PhantomData }
    }

    /// Reads a resolved `spec`.
    pub(crate) fn read(&self, spec: &Value) -> Result<C, Problems> {
        let mut problems = Problems::new();
        let fitted = fit(&self.shape.schema, spec, "", false, &mut problems);
        if problems.has_errors() {
            return Err(problems);
        }
        serde_json::from_value(fitted).map_err(|error| Problem::error("", error.to_string()).into())
    }
}

fn schema_of<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<C>().to_value()
}

impl Shape {
    /// The JSON Schema of resolved values.
    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Notes where `spec`, which stands at `at`, has another shape. Values with expressions fit everywhere.
    pub(crate) fn check(&self, spec: &Value, at: &str, problems: &mut Problems) {
        fit(&self.schema, spec, at, true, problems);
    }

    /// The schema for documents: every value may be a text with an expression.
    pub(crate) fn with_expressions(&self) -> Schema {
        let schema = or_expression((*self.schema).clone(), true);
        Schema::try_from(schema).unwrap_or_else(|_| Schema::from(true))
    }
}

fn or_expression(mut schema: Value, root: bool) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    for key in ["properties", "$defs"] {
        if let Some(Value::Object(inner)) = members.get_mut(key) {
            inner.values_mut().for_each(|value| *value = or_expression(value.take(), false));
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(key) {
            *inner = or_expression(inner.take(), false);
        }
    }
    let is_text = members.get("type") == Some(&json!("string")) && !members.contains_key("enum");
    if root || is_text || members.is_empty() {
        return schema;
    }
    let description = members.shift_remove("description");
    let mut either = json!({ "anyOf": [schema, { "type": "string", "pattern": ".*\\$\\{.*\\}.*" }] });
    if let (Some(description), Some(members)) = (description, either.as_object_mut()) {
        members.insert("description".into(), description);
    }
    either
}

/// Checks `value` against `schema` and gives back what fits it: text that is a number where a number is
/// wanted becomes one, and so on, since arguments are text in practice.
fn fit(schema: &Value, value: &Value, at: &str, expressions: bool, problems: &mut Problems) -> Value {
    let Some(members) = schema.as_object() else { return value.clone() };
    if expressions && is_expression(value) {
        return value.clone();
    }
    if let Some(words) = words(members) {
        return fit_word(&words, value, at, problems);
    }
    if let Some(options) = members.get("anyOf").and_then(Value::as_array) {
        return fit_any(options, value, at, expressions, problems);
    }
    let wanted = match members.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => return value.clone(),
    };
    let fitted = wanted.iter().find_map(|kind| coerce(kind, value));
    let Some(fitted) = fitted else {
        let wanted = describe(&wanted);
        let problem = Problem::error(at, format!("{} must be {wanted}, not {}", field(at), type_name(value)));
        problems.push(if secret::is_secret(value) {
            problem.help("a secret can only be in values, not in what a node works on")
        } else {
            problem
        });
        return value.clone();
    };
    match fitted {
        Value::Object(inner) => fit_object(members, &inner, at, expressions, problems),
        Value::Array(items) => {
            let schema = members.get("items").unwrap_or(&Value::Bool(true));
            let each = items.iter().enumerate();
            each.map(|(n, item)| fit(schema, item, &pointer::item(at, n), expressions, problems))
                .collect::<Vec<_>>()
                .into()
        }
        Value::Number(number) => {
            check_range(members, number.as_f64().unwrap_or_default(), at, problems);
            Value::Number(number)
        }
        other => other,
    }
}

fn fit_object(
    schema: &Map<String, Value>,
    value: &Map<String, Value>,
    at: &str,
    expressions: bool,
    problems: &mut Problems,
) -> Value {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let rest = schema.get("additionalProperties");
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = required.as_str() else { continue };
        if value.get(name).is_none_or(Value::is_null) {
            let help =
                properties.get(name).and_then(|schema| schema.get("description")).and_then(Value::as_str);
            let problem = Problem::error(at, format!("`{name}` is missing"));
            problems.push(match help {
                Some(help) => problem.help(format!("`{name}`: {}", lower_first(help))),
                None => problem,
            });
        }
    }
    let mut fitted = Map::new();
    for (name, member) in value {
        let at = pointer::join(at, name);
        let schema = properties.get(name).or(rest);
        if schema.is_none() && !properties.is_empty() {
            let absent = properties.keys().map(String::as_str).filter(|name| !value.contains_key(*name));
            if let Some(near) = nearest(name, absent) {
                let problem = Problem::warning(&at, format!("`{name}` is not known here and has no effect"));
                problems.push(problem.help(format!("did you mean `{near}`?")).at_key());
            }
        }
        let schema = schema.unwrap_or(&Value::Bool(true));
        fitted.insert(name.clone(), fit(schema, member, &at, expressions, problems));
    }
    Value::Object(fitted)
}

fn fit_any(options: &[Value], value: &Value, at: &str, expressions: bool, problems: &mut Problems) -> Value {
    let mut first = None;
    for option in options {
        let mut found = Problems::new();
        let fitted = fit(option, value, at, expressions, &mut found);
        if !found.has_errors() {
            problems.extend(found);
            return fitted;
        }
        first.get_or_insert(found);
    }
    problems.extend(first.into_iter().flatten());
    value.clone()
}

fn fit_word(words: &[&str], value: &Value, at: &str, problems: &mut Problems) -> Value {
    let Some(text) = value.as_str() else {
        let message =
            format!("{} must be one of {}, not {}", field(at), list(words.iter().copied()), type_name(value));
        problems.push(Problem::error(at, message));
        return value.clone();
    };
    if !words.contains(&text) {
        let problem = Problem::error(at, format!("{} cannot be `{text}`", field(at)));
        problems.push(match nearest(text, words.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it is one of {}", list(words.iter().copied()))),
        });
    }
    value.clone()
}

/// The words of an enumeration, in either of the two forms that the schema generator writes.
fn words(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(Value::as_str).collect();
    }
    let options = schema.get("oneOf").and_then(Value::as_array)?;
    options.iter().map(|option| option.get("const").and_then(Value::as_str)).collect()
}

/// The value as that type, if it is one or its text.
fn coerce(kind: &str, value: &Value) -> Option<Value> {
    let text = value.as_str();
    match kind {
        "null" => value.is_null().then(|| Value::Null),
        "boolean" => value.as_bool().or_else(|| text?.parse().ok()).map(Value::from),
        "integer" => {
            let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number);
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
            let parsed = text.and_then(|text| text.trim().parse().ok()).and_then(whole).map(|n| n as i64);
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
            let own = value.as_i64().or_else(|| value.as_f64().and_then(whole).map(|n| n as i64));
            own.or(parsed).map(Value::from)
        }
        "number" => {
            let parsed =
                || text?.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from);
            value.is_number().then(|| value.clone()).or_else(parsed)
        }
        "string" => {
            (!value.is_array() && !value.is_null()).then(|| plain_text(value)).flatten().map(Value::from)
        }
        "array" => value.is_array().then(|| value.clone()),
        "object" => (value.is_object() && !secret::is_mark(value)).then(|| value.clone()),
        _ => None,
    }
}

fn check_range(schema: &Map<String, Value>, number: f64, at: &str, problems: &mut Problems) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let (low, high) = (bound("minimum"), bound("maximum"));
    if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
        let shown = json_text(&Value::from(number));
        let help = match (low, high) {
            (Some(low), Some(high)) if high < 1e9 => format!("give a number from {low} to {high}"),
            (Some(low), _) => format!("give at least {low}"),
            (_, high) => format!("give at most {}", high.unwrap_or_default()),
        };
        problems.push(Problem::error(at, format!("{} is {shown}", field(at))).help(help));
    }
}

/// `` `instances` `` for `/spec/instances`.
fn field(at: &str) -> String {
    pointer::steps(at).last().map_or_else(|| "`spec`".to_owned(), |name| format!("`{name}`"))
}

fn describe(kinds: &[&str]) -> String {
    let word = |kind: &&str| match *kind {
        "null" => None,
        "boolean" => Some("true or false"),
        "integer" => Some("a whole number"),
        "number" => Some("a number"),
        "string" => Some("text"),
        "array" => Some("a list"),
        _ => Some("an object"),
    };
    kinds.iter().filter_map(word).collect::<Vec<_>>().join(" or ")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Whether an optional flag is on; `"false"` is off.
pub(crate) fn is_on(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value != "false" && truthy(value))
}
