//! Why a host did not do it, in words.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::{Account, Answer, Request, hosts, said::cut};

/// The most of a host's own words that are passed on.
const LONGEST: usize = 300;

/// Why something was not said to a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ForgeError {
    /// What was attempted, what the host says, what to do.
    pub message: String,
    /// Whether another try may well go better.
    pub transient: bool,
    /// How long the host wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl ForgeError {
    /// It would be refused again.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), transient: false, retry_after: None }
    }

    /// It may go well later.
    #[must_use]
    pub fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), transient: true, retry_after: None }
    }

    /// What an answer that is not good means.
    pub(crate) fn read(account: &Account, request: &Request, answer: &Answer, now: Timestamp) -> Self {
        let (attempting, host, status) = (request.attempting, account.host(), answer.status);
        let words = words(&answer.json()).map(|words| format!(": {}", cut(&words, LONGEST)));
        let said =
            format!("{attempting} on {host} failed: it answered {status}{}", words.unwrap_or_default());
        let wait = limit(answer, now);
        if let Some(wait) = wait {
            let message = format!("{said}; it takes no more for {} s", wait.as_secs());
            return Self { message, transient: true, retry_after: Some(wait) };
        }
        let help = match status {
            401 => format!(
                "the token of the account on {host} is wrong, was revoked or is over; give it a new one"
            ),
            403 => {
                format!("the account may not do that there; it needs {}", hosts::of(account.kind()).rights())
            }
            404 => "there is no such repository, commit or pull request, or the account may not see it"
                .to_owned(),
            408 | 429 | 500.. => return Self::transient(said),
            _ => return Self::refused(said),
        };
        Self::refused(format!("{said}; {help}"))
    }
}

/// How long a host that takes no more for now wants to be left alone.
fn limit(answer: &Answer, now: Timestamp) -> Option<Duration> {
    // GitHub says 403 for both of its limits; only the headers tell them from a missing right.
    if !matches!(answer.status, 403 | 429 | 503) {
        return None;
    }
    if let Some(wait) = answer.header("retry-after").and_then(|value| retry_after(value, now)) {
        return Some(wait);
    }
    let used_up = ["x-ratelimit-remaining", "ratelimit-remaining"];
    if !used_up.iter().any(|name| answer.header(name) == Some("0")) {
        return None;
    }
    let reset = answer.header("x-ratelimit-reset").or_else(|| answer.header("ratelimit-reset"))?;
    let reset = Timestamp::from_second(reset.parse().ok()?).ok()?;
    Some(Duration::from_secs(u64::try_from(reset.as_second() - now.as_second()).unwrap_or(0)))
}

/// What a `Retry-After` header says: seconds, or a time.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return (!value.starts_with('+')).then(|| Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::from_secs(u64::try_from(at.as_second() - now.as_second()).unwrap_or(0)))
}

/// A host's own words in the body of an answer: each kind has them in one of these places.
fn words(body: &Value) -> Option<String> {
    let places = ["message", "error", "errors"].into_iter().filter_map(|name| body.get(name));
    let mut all: Vec<String> = places.flat_map(texts).collect();
    all.dedup();
    (!all.is_empty()).then(|| all.join("; ").replace(char::is_control, " "))
}

/// The texts of a message: one, several, or by field.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => match members.get("message").and_then(Value::as_str) {
            Some(text) => {
                let fields = members.get("fields").map(texts).unwrap_or_default();
                [vec![text.to_owned()], fields].concat()
            }
            None => {
                let named = |(name, member): (&String, &Value)| {
                    let name = name.clone();
                    texts(member).into_iter().map(move |text| format!("{name} {text}"))
                };
                members.iter().flat_map(named).collect()
            }
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;
    use crate::HostKind;

    fn read(status: u16, headers: &[(&str, &str)], body: &Value) -> ForgeError {
        let token = Zeroizing::new("t".to_owned());
        let account = Account::new(HostKind::GitHub, "github.com", None, "", token).unwrap();
        let request = Request::new("setting the commit status", Method::POST, &[]);
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answer = Answer { status, headers, body: body.to_string().into_bytes() };
        ForgeError::read(&account, &request, &answer, Timestamp::from_second(1_000).unwrap())
    }

    #[test]
    fn the_hosts_own_words_are_passed_on_from_wherever_they_are() {
        for (body, words) in [
            (json!({"message": "No commit found for SHA: a1"}), "No commit found for SHA: a1"),
            (
                json!({"message": "Validation Failed", "errors": [{"field": "description", "message": "description is too long"}]}),
                "Validation Failed; description is too long",
            ),
            (json!({"message": {"name": ["is too long", "is odd"]}}), "name is too long; name is odd"),
            (json!({"error": "state does not have a valid value"}), "state does not have a valid value"),
            (
                json!({"type": "error", "error": {"message": "Bad request", "fields": {"url": ["required key"]}}}),
                "Bad request; url required key",
            ),
            (json!({"errors": [{"context": null, "message": "no such commit"}]}), "no such commit"),
        ] {
            let error = read(422, &[], &body);
            assert!(!error.transient && error.retry_after.is_none());
            assert_eq!(
                error.message,
                format!("setting the commit status on github.com failed: it answered 422: {words}")
            );
        }
        let long = read(400, &[], &json!({"message": "x\n".repeat(400)}));
        assert!(long.message.chars().count() < 400 && !long.message.contains('\n'), "{long}");
    }

    #[test]
    fn limits_say_when_they_end_and_a_missing_right_is_not_one() {
        let seconds = |status, headers: &[(&str, &str)]| {
            let error = read(status, headers, &Value::Null);
            assert_eq!(error.transient, error.retry_after.is_some() || status == 429, "{error}");
            error.retry_after.map(|wait| wait.as_secs())
        };
        assert_eq!(seconds(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1060")]), Some(60));
        assert_eq!(seconds(429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "900")]), Some(0));
        assert_eq!(seconds(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(seconds(403, &[("retry-after", "7"), ("x-ratelimit-remaining", "3")]), Some(7));
        assert_eq!(seconds(429, &[]), None);
        assert_eq!(seconds(403, &[("x-ratelimit-remaining", "4999"), ("x-ratelimit-reset", "1060")]), None);
        let missing = read(403, &[], &json!({"message": "Resource not accessible by personal access token"}));
        assert!(missing.message.contains("it needs"), "{missing}");
    }

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date() {
        let now = Timestamp::from_second(1_445_412_470).unwrap();
        let wait = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(wait(" 120 "), Some(120));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(10));
        assert_eq!(wait("Wed, 21 Oct 2015 07:27:00 GMT"), Some(0));
        for bad in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(wait(bad), None, "{bad:?}");
        }
    }
}
