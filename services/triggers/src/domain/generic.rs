//! A flow's own address: what the query and the body say becomes values and arguments of one run.

use serde_json::{Map, Value};
use shipway_events::{delivery::Verdict, run::Origin};

use super::{
    rules::{FlowTrigger, blank},
    trigger::Kind,
};

/// The longest JSON body that becomes the trigger's value `body`. A longer one is kept in the inbox only.
pub const MAX_BODY_VALUE: usize = 64 * 1024;

/// The longest run name and description in characters.
const MAX_NAME: usize = 200;
const MAX_DESCRIPTION: usize = 2_000;

/// Values of a Git trigger that a query may give, as `<ref>.<value>`.
const GIT_VALUES: [&str; 4] = ["branch", "sha", "pullRequestId", "repoUrl"];

/// Why a request to a flow's address is not taken. Nothing of it is stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An argument that is declared secret came where proxies and logs see it.
    #[error("argument `{0}` is secret and may not come in a query string; set it as an override of the flow")]
    SecretInQuery(String),
    /// A value that no run can use.
    #[error("`{name}` in the query is not {expected}")]
    Value {
        /// The query's key.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// What one request to a flow's address becomes: exactly one verdict. `siblings` are all triggers of the flow.
///
/// # Errors
/// If the query holds a secret argument or a value that cannot be one.
pub fn judge(
    query: &[(String, String)],
    body: Option<&[u8]>,
    trigger: &FlowTrigger,
    siblings: &[&FlowTrigger],
) -> Result<Verdict, Refused> {
    let mut verdict = blank(trigger, Origin::Webhook);
    for (key, value) in query {
        if trigger.secret_arguments.iter().any(|secret| secret == key) {
            return Err(Refused::SecretInQuery(key.clone()));
        }
        take(&mut verdict, key, value, siblings)?;
    }
    if trigger.paused {
        verdict.reason = format!("the flow {} is paused: nothing runs", trigger.path);
    } else if trigger.trigger.manual_only {
        verdict.reason = "the trigger is for runs by hand only (manualOnly): nothing runs".to_owned();
    } else {
        verdict.matched = true;
        // Nobody reads the values of what does not run.
        let mut without_body = String::new();
        match body.filter(|body| !body.is_empty()).map(value_of) {
            Some(Ok(value)) => drop(verdict.values.insert("body".to_owned(), value)),
            Some(Err(why)) => without_body = format!("; the run has no `body`: {why}"),
            None => {}
        }
        verdict.reason = format!("the request came to the flow's address{without_body}");
    }
    Ok(verdict)
}

/// What a body becomes, or in words why it becomes nothing.
fn value_of(body: &[u8]) -> Result<Value, String> {
    if body.len() > MAX_BODY_VALUE {
        let most = MAX_BODY_VALUE / 1024;
        return Err(format!("it has {} bytes, and more than {most} KiB become none", body.len()));
    }
    serde_json::from_slice(body).map_err(|error| format!("it is no JSON ({error})"))
}

fn take(verdict: &mut Verdict, key: &str, value: &str, siblings: &[&FlowTrigger]) -> Result<(), Refused> {
    let wrong = |expected| Refused::Value { name: key.to_owned(), expected };
    match key {
        "" => return Ok(()),
        "name" if value.chars().count() > MAX_NAME => return Err(wrong("a name of at most 200 characters")),
        "name" => verdict.name = Some(value.to_owned()).filter(|name| !name.is_empty()),
        "description" if value.chars().count() > MAX_DESCRIPTION => {
            return Err(wrong("a text of at most 2,000 characters"));
        }
        "description" => verdict.description = Some(value.to_owned()).filter(|text| !text.is_empty()),
        _ => match git_value(key, siblings) {
            Some((reference, field)) => {
                check(field, value).map_err(wrong)?;
                let values = verdict.triggers.entry(reference).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(values) = values {
                    values.insert(field.to_owned(), Value::String(value.to_owned()));
                }
            }
            None => {
                verdict.arguments.insert(key.to_owned(), Value::String(value.to_owned()));
            }
        },
    }
    Ok(())
}

/// `main-push.branch`, if `main-push` is a Git trigger of the flow. A `/` may stand for the dot.
fn git_value<'k>(key: &'k str, siblings: &[&FlowTrigger]) -> Option<(&'k str, &'k str)> {
    let (reference, field) = key.rsplit_once(['.', '/'])?;
    let is_git = siblings.iter().any(|sibling| {
        sibling.trigger.reference == reference
            && match &sibling.trigger.kind {
                Kind::Git(_) => true,
                Kind::Other(_) | Kind::Webhook { .. } | Kind::Cron(_) => false,
            }
    });
    (is_git && GIT_VALUES.contains(&field)).then_some((reference, field))
}

fn check(field: &str, value: &str) -> Result<(), &'static str> {
    let plain = !value.starts_with('-') && !value.chars().any(|c| c.is_control() || c == ' ');
    match field {
        "sha" if (7..=64).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(()),
        "sha" => Err("a commit id of 7 to 64 hex digits"),
        "branch" if plain && !value.is_empty() => Ok(()),
        "branch" => Err("a branch"),
        "pullRequestId" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        "pullRequestId" => Err("a number"),
        _ if plain && !value.is_empty() => Ok(()),
        _ => Err("an address"),
    }
}
