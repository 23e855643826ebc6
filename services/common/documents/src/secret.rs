//! Values that depend on a secret are never resolved here: what is left of them names the secret.
//!
//! Five marks, each an object with one member, stand for such a value until the executor [`finish`]es it:
//! `{"$secret": "name@version"}` is the secret itself, `{"$random": {"secret": …, "length": …, "encoding": …}}`
//! one that is made when it is first asked for, `{"$text": [part, …]}` a text with secrets in it,
//! `{"$call": {"fn": name, "args": […]}}` a function over one; `arrows` and `patterns` in it are those of its
//! arguments, by their number, that are no values; and `{"$file": …}` the path of a secret file.

mod file;

pub use file::{FILES, MAX_FILE, file_contents, file_data, files};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use shipway_events::SecretRef;

use crate::{
    expr::{self, Given},
    js,
};

const SECRET: &str = "$secret";
const RANDOM: &str = "$random";
const TEXT: &str = "$text";
const CALL: &str = "$call";
const ARROWS: &str = "arrows";
const PATTERNS: &str = "patterns";

/// The value that stands for a secret.
#[must_use]
pub fn mark(secret: &SecretRef) -> Value {
    json!({ SECRET: secret.to_string() })
}

/// How a secret that nobody has given is made: `fn.randomSecret(length, encoding)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandomShape {
    /// How many characters it has.
    pub length: u32,
    /// Which characters they are.
    pub encoding: Encoding,
}

/// The characters of a secret that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Letters, digits, `+` and `/`.
    Base64,
    /// Hexadecimal digits.
    Hex,
}

/// A secret that is made when it is first asked for.
#[derive(Serialize, Deserialize)]
struct Random {
    secret: SecretRef,
    #[serde(flatten)]
    shape: RandomShape,
}

/// The value that stands for a secret that is made when it is first asked for, and then kept.
#[must_use]
pub fn random(secret: &SecretRef, shape: RandomShape) -> Value {
    json!({ RANDOM: Random { secret: secret.clone(), shape } })
}

/// The secret that a `randomSecret` means: one per document, node and path in the node, and per call where several
/// stand in one text. How long it is to be is no part of its name: a secret that was made stays as it is.
#[must_use]
pub fn random_name(document: &str, node: &str, path: &str, ordinal: usize) -> SecretRef {
    let call = if ordinal == 0 { String::new() } else { format!("#{ordinal}") };
    SecretRef { name: format!("random/{document}/{node}{path}{call}"), version: 1 }
}

/// The secrets in the value that are made when they are first asked for.
#[must_use]
pub fn randoms_in(value: &Value) -> BTreeMap<SecretRef, RandomShape> {
    fn collect(value: &Value, found: &mut BTreeMap<SecretRef, RandomShape>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Object(members) => match random_of(members) {
                Some(random) => {
                    found.insert(random.secret, random.shape);
                }
                None => members.values().for_each(|member| collect(member, found)),
            },
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    collect(value, &mut found);
    found
}

/// Whether the value depends on a secret, somewhere in it. Such a value may not steer: no `skip`, target,
/// count or condition can be made of it.
#[must_use]
pub fn is_secret(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_secret),
        Value::Object(members) => is_mark(value) || members.values().any(is_secret),
        _ => false,
    }
}

/// The secrets that the value depends on.
#[must_use]
pub fn secrets_in(value: &Value) -> BTreeSet<SecretRef> {
    let mut found = BTreeSet::new();
    collect(value, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeSet<SecretRef>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => match (secret_of(members), random_of(members)) {
            (Some(secret), _) => found.extend(secret.parse()),
            (_, Some(random)) => {
                found.insert(random.secret);
            }
            _ => members.values().for_each(|member| collect(member, found)),
        },
        _ => {}
    }
}

/// Why a value could not be finished. Never says what a secret is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// There is no such secret, or no such version of it.
    #[error("the secret `{0}` has no value: set it again, then start a new run")]
    Missing(SecretRef),
    /// A mark that no document and no resolution makes.
    #[error("`{0}` is not the name and version of a secret")]
    Malformed(String),
    /// A function refused the value of the secret.
    #[error("fn.{function} cannot be applied to the value of {secrets}")]
    Function {
        /// The function's name.
        function: String,
        /// The secrets in its arguments.
        secrets: String,
    },
    /// A program is given a secret file in one of its variables; elsewhere there is no file that could have a path.
    #[error(
        "the path of the secret file {secrets} is only known as a variable of a job's run, as its whole value; use its `data`"
    )]
    Path {
        /// The secret that holds it.
        secrets: String,
    },
    /// A list or an object with a secret in it was made part of a text.
    #[error("only text, numbers and booleans can be part of a text that holds {secrets}")]
    Text {
        /// The secrets in it.
        secrets: String,
    },
}

/// The value itself: every secret fetched with `get`, texts put together, functions applied. The last step
/// before work starts, and the only one that sees a secret.
///
/// # Errors
/// The first secret that has no value, or the first function that refuses one.
pub fn finish(value: &Value, get: &dyn Fn(&SecretRef) -> Option<String>) -> Result<Value, FinishError> {
    Ok(match value {
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| finish(item, get)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) if is_mark(value) => finish_mark(members, value, get)?,
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, member)| Ok((key.clone(), finish(member, get)?)))
                .collect::<Result<Map<_, _>, FinishError>>()?,
        ),
        plain => plain.clone(),
    })
}

fn finish_mark(
    members: &Map<String, Value>,
    whole: &Value,
    get: &dyn Fn(&SecretRef) -> Option<String>,
) -> Result<Value, FinishError> {
    if let Some(name) = secret_of(members) {
        let secret: SecretRef = name.parse().map_err(|_| FinishError::Malformed(name.to_owned()))?;
        return get(&secret).map(Value::String).ok_or(FinishError::Missing(secret));
    }
    if let Some(random) = random_of(members) {
        return get(&random.secret).map(Value::String).ok_or(FinishError::Missing(random.secret));
    }
    if let Some(parts) = members.get(TEXT).and_then(Value::as_array) {
        let mut text = String::new();
        for part in parts {
            let part = finish(part, get)?;
            let plain = js::plain_text(&part);
            text.push_str(&plain.ok_or_else(|| FinishError::Text { secrets: names(whole) })?);
        }
        return Ok(Value::String(text));
    }
    if file_data(whole).is_some() {
        return Err(FinishError::Path { secrets: names(whole) });
    }
    let call = members.get(CALL).and_then(Value::as_object);
    let function = call.and_then(|call| call.get("fn")).and_then(Value::as_str);
    let args = call.and_then(|call| call.get("args")).and_then(Value::as_array);
    let (Some(function), Some(args)) = (function, args) else {
        return Err(FinishError::Malformed(CALL.to_owned()));
    };
    let of = |kind: &str, n: usize| call?.get(kind)?.get(n.to_string());
    let mut given = Vec::with_capacity(args.len());
    for (n, arg) in args.iter().enumerate() {
        given.push(match (of(ARROWS, n), of(PATTERNS, n)) {
            (Some(arrow), _) => Given::Arrow(finish(arrow, get)?),
            (_, Some(pattern)) => {
                let part =
                    |name: &str| pattern.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                Given::Pattern { source: part("source"), flags: part("flags") }
            }
            _ => Given::Value(finish(arg, get)?),
        });
    }
    expr::finish_call(function, &given)
        .ok_or_else(|| FinishError::Function { function: function.to_owned(), secrets: names(whole) })
}

fn names(value: &Value) -> String {
    let names: Vec<_> = secrets_in(value).iter().map(|secret| format!("`{secret}`")).collect();
    names.join(", ")
}

/// Whether the value itself is one of the five marks.
#[must_use]
pub fn is_mark(value: &Value) -> bool {
    value.as_object().is_some_and(|members| {
        members.len() == 1
            && (secret_of(members).is_some()
                || random_of(members).is_some()
                || members.get(TEXT).is_some_and(Value::is_array)
                || members.get(CALL).is_some_and(Value::is_object)
                || file_data(value).is_some())
    })
}

pub(crate) fn text(parts: Vec<Value>) -> Value {
    json!({ TEXT: parts })
}

/// A function over a secret. `arrows` and `patterns` are by the argument's number, which is null among `args`.
pub(crate) fn call(
    function: &str,
    args: Vec<Value>,
    arrows: Map<String, Value>,
    patterns: Map<String, Value>,
) -> Value {
    let mut call = json!({ "fn": function, "args": args });
    for (name, members) in [(ARROWS, arrows), (PATTERNS, patterns)] {
        if !members.is_empty() {
            call[name] = members.into();
        }
    }
    json!({ CALL: call })
}

fn secret_of(members: &Map<String, Value>) -> Option<&str> {
    members.get(SECRET).filter(|_| members.len() == 1).and_then(Value::as_str)
}

fn random_of(members: &Map<String, Value>) -> Option<Random> {
    let random = members.get(RANDOM).filter(|_| members.len() == 1)?;
    Random::deserialize(random).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(secret: &SecretRef) -> Option<String> {
        (secret.name == "pw" && secret.version == 3).then(|| "hunter2".to_owned())
    }

    #[test]
    fn marks_are_finished_wherever_they_stand() {
        let value = json!({
            "plain": ["a", 1, {"$other": "x"}],
            "url": {"$text": ["postgres://u:", {"$secret": "pw@3"}, "@host:", 5432]},
            "basic": {"$call": {"fn": "toBase64", "args": [{"$text": ["u:", {"$secret": "pw@3"}]}]}},
        });
        assert!(is_secret(&value));
        assert_eq!(secrets_in(&value).iter().map(ToString::to_string).collect::<Vec<_>>(), ["pw@3"]);
        let finished = finish(&value, &vault).unwrap();
        assert_eq!(
            finished,
            json!({
                "plain": ["a", 1, {"$other": "x"}],
                "url": "postgres://u:hunter2@host:5432",
                "basic": "dTpodW50ZXIy",
            })
        );
        assert!(!is_secret(&finished));
    }

    #[test]
    fn errors_name_the_secret_and_never_its_value() {
        let missing = finish(&json!({"$secret": "pw@4"}), &vault).unwrap_err();
        assert_eq!(missing.to_string(), "the secret `pw@4` has no value: set it again, then start a new run");
        let sum = json!({"$call": {"fn": "add", "args": [1, {"$secret": "pw@3"}]}});
        let error = finish(&sum, &vault).unwrap_err().to_string();
        assert_eq!(error, "fn.add cannot be applied to the value of `pw@3`");
        let bad = finish(&json!({"$secret": "no version"}), &vault).unwrap_err();
        assert_eq!(bad, FinishError::Malformed("no version".into()));
    }
}
