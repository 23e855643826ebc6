//! Values that depend on a secret are never resolved here: what is left of them names the secret.
//!
//! Three marks, each an object with one member, stand for such a value until the executor [`finish`]es it:
//! `{"$secret": "name@version"}` is the secret itself, `{"$text": [part, …]}` a text with secrets in it, and
//! `{"$call": {"fn": name, "args": […]}}` a function over one.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use shipway_events::SecretRef;

use crate::{expr, js};

const SECRET: &str = "$secret";
const TEXT: &str = "$text";
const CALL: &str = "$call";

/// The value that stands for a secret.
#[must_use]
pub fn mark(secret: &SecretRef) -> Value {
    json!({ SECRET: secret.to_string() })
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
        Value::Object(members) => match secret_of(members) {
            Some(secret) => found.extend(secret.parse()),
            None => members.values().for_each(|member| collect(member, found)),
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
    if let Some(parts) = members.get(TEXT).and_then(Value::as_array) {
        let mut text = String::new();
        for part in parts {
            let part = finish(part, get)?;
            let plain = js::plain_text(&part);
            text.push_str(&plain.ok_or_else(|| FinishError::Text { secrets: names(whole) })?);
        }
        return Ok(Value::String(text));
    }
    let call = members.get(CALL).and_then(Value::as_object);
    let function = call.and_then(|call| call.get("fn")).and_then(Value::as_str);
    let args = call.and_then(|call| call.get("args")).and_then(Value::as_array);
    let (Some(function), Some(args)) = (function, args) else {
        return Err(FinishError::Malformed(CALL.to_owned()));
    };
    let args = args.iter().map(|arg| finish(arg, get)).collect::<Result<Vec<_>, _>>()?;
    expr::call(function, &args)
        .map_err(|_| FinishError::Function { function: function.to_owned(), secrets: names(whole) })
}

fn names(value: &Value) -> String {
    let names: Vec<_> = secrets_in(value).iter().map(|secret| format!("`{secret}`")).collect();
    names.join(", ")
}

/// Whether the value itself is one of the three marks.
pub(crate) fn is_mark(value: &Value) -> bool {
    value.as_object().is_some_and(|members| {
        members.len() == 1
            && (secret_of(members).is_some()
                || members.get(TEXT).is_some_and(Value::is_array)
                || members.get(CALL).is_some_and(Value::is_object))
    })
}

pub(crate) fn text(parts: Vec<Value>) -> Value {
    json!({ TEXT: parts })
}

pub(crate) fn call(function: &str, args: Vec<Value>) -> Value {
    json!({ CALL: { "fn": function, "args": args } })
}

fn secret_of(members: &Map<String, Value>) -> Option<&str> {
    members.get(SECRET).filter(|_| members.len() == 1).and_then(Value::as_str)
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
