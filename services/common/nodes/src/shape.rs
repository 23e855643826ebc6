//! The shape of a kind's `spec`: one Rust type gives the JSON Schema, the check and the reading.
//!
//! What the check accepts and what the published schema accepts is the same; a property test holds them together.

mod digits;
mod publish;

pub(crate) use digits::digits;
pub(crate) use publish::EXPRESSION;

use std::{marker::PhantomData, sync::LazyLock};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use shipway_documents::{
    Code, DocumentType, Problem, Problems, is_expression, json_text, list, nearest, plain_text, pointer,
    secret, truthy, type_name, way_to,
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
        Self { shape: Shape::of::<C>(), of: PhantomData }
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

/// The member of a schema that says: here stands a document of that type, checked as one.
pub(crate) const DOCUMENT: &str = "x-document";

impl Shape {
    /// The JSON Schema of resolved values.
    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// The shape that a type has.
    pub(crate) const fn of<C: JsonSchema>() -> Self {
        Self { schema: LazyLock::new(schema_of::<C>) }
    }

    /// Notes where `spec`, which stands at `at`, has another shape. Values with expressions fit everywhere.
    pub(crate) fn check(&self, spec: &Value, at: &str, problems: &mut Problems) {
        fit(&self.schema, spec, at, true, problems);
    }

    /// The documents that stand in `spec`, each with its place in it.
    pub(crate) fn documents(&self, spec: &Value) -> Vec<(String, DocumentType)> {
        let mut found = Vec::new();
        documents(&self.schema, spec, "", &mut found);
        found
    }

    /// The schema for documents: every value may be a text with an expression.
    pub(crate) fn published(&self) -> Value {
        publish::published(&self.schema)
    }
}

fn documents(schema: &Value, value: &Value, at: &str, found: &mut Vec<(String, DocumentType)>) {
    if let Some(document) = schema.get(DOCUMENT).and_then(Value::as_str).and_then(DocumentType::parse) {
        found.push((at.to_owned(), document));
        return;
    }
    for option in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        documents(option, value, at, found);
    }
    match value {
        Value::Object(members) => {
            for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if let Some(member) = members.get(name).filter(|member| !member.is_null()) {
                    documents(schema, member, &pointer::join(at, name), found);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (n, item) in items.iter().enumerate() {
                    documents(schema, item, &pointer::item(at, n), found);
                }
            }
        }
        _ => {}
    }
}

/// Checks `value` against `schema` and gives back what fits it: text that is a number where a number is
/// wanted becomes one, and so on, since arguments are text in practice.
fn fit(schema: &Value, value: &Value, at: &str, expressions: bool, problems: &mut Problems) -> Value {
    let Some(members) = schema.as_object() else { return value.clone() };
    if expressions && is_expression(value) {
        return value.clone();
    }
    if let Some((words, or_nothing)) = words(members) {
        if !(or_nothing && value.is_null()) {
            fit_word(&words, value, at, problems);
        }
        return value.clone();
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
        let problem = problem.code(Code::FieldType);
        problems.push(if secret::is_secret(value) {
            problem.help("a secret can only be in values, not in what a node works on")
        } else {
            problem.help(way_to(&wanted))
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
            let problem = Problem::error(at, format!("`{name}` is missing")).code(Code::FieldMissing);
            problems.push(match help {
                Some(help) => problem.help(format!("`{name}`: {}", lower_first(help))),
                None => problem.help(format!("add it: `{name}: …`")),
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
                let problem = problem.code(Code::FieldUnknown);
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

fn fit_word(words: &[&str], value: &Value, at: &str, problems: &mut Problems) {
    let Some(text) = value.as_str() else {
        let message =
            format!("{} must be one of {}, not {}", field(at), list(words.iter().copied()), type_name(value));
        let problem = Problem::error(at, message).code(Code::FieldType);
        problems.push(problem.help("write one of these words"));
        return;
    };
    if !words.contains(&text) {
        let problem = Problem::error(at, format!("{} cannot be `{text}`", field(at))).code(Code::FieldValue);
        problems.push(match nearest(text, words.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it is one of {}", list(words.iter().copied()))),
        });
    }
}

/// The words of an enumeration, in either of the two forms that the schema generator writes, and whether it may be
/// nothing.
fn words(schema: &Map<String, Value>) -> Option<(Vec<&str>, bool)> {
    let mut all: Vec<&Value> = match schema.get("enum").and_then(Value::as_array) {
        Some(words) => words.iter().collect(),
        None => {
            let options = schema.get("oneOf").and_then(Value::as_array)?;
            options.iter().map(|option| option.get("const")).collect::<Option<_>>()?
        }
    };
    let count = all.len();
    all.retain(|word| !word.is_null());
    let or_nothing = all.len() < count;
    Some((all.into_iter().map(Value::as_str).collect::<Option<_>>()?, or_nothing))
}

/// The largest whole number that a double holds exactly; beyond it numbers are not what was written.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

/// The value as that type, if it is one or its text.
fn coerce(kind: &str, value: &Value) -> Option<Value> {
    let text = value.as_str();
    match kind {
        "null" => value.is_null().then(|| Value::Null),
        "boolean" => value.as_bool().or_else(|| text?.parse().ok()).map(Value::from),
        "integer" => {
            let whole = |number: &f64| number.fract() == 0.0 && number.abs() <= MAX_WHOLE;
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
            let own = value.as_f64().filter(whole).map(|number| number as i64);
            let parsed = || text.filter(|text| digits::is_whole(text)).and_then(|text| text.parse().ok());
            own.or_else(parsed).map(Value::from)
        }
        "number" => {
            let parsed = || text.filter(|text| digits::is_number(text)).and_then(|text| text.parse().ok());
            value.is_number().then(|| value.clone()).or_else(|| parsed().map(|number: f64| number.into()))
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
        let problem = Problem::error(at, format!("{} is {shown}", field(at)));
        problems.push(problem.code(Code::FieldRange).help(help));
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
