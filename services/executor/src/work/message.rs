//! Messages: an HTTP POST with a key by which the receiver knows a repetition.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Response, Url};
use serde_json::{Value, json};
use shipway_forge::AddressError;
use shipway_nodes::workload::{Channel, Message};

use super::{Attempt, Failure, Success, error, now, receivers, transient, values};

/// The time that a receiver has to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(attempt: &Attempt<'_>, work: &Message) -> Result<Success, Failure> {
    let project = attempt.given.project;
    let (url, _) = attempt.finish(project, &work.url).await?;
    let (message, _) = attempt.finish(project, &work.message).await?;
    let address: Url = values::text(&url).parse().map_err(|_| {
        error("bad_url", "the address of the webhook is not a URL like https://example.org/hook")
    })?;
    let host = address.host_str().unwrap_or_default().to_owned();
    let client = checked_client(attempt, &address).await?;
    let body = match work.channel {
        Channel::RawWebhook => raw(message),
        Channel::Slack => json!({ "text": values::text(&message) }),
    };
    let mut patience = receivers::Patience::new(attempt);
    loop {
        let seconds = now().millis() / 1000;
        let request = client
            .post(address.clone())
            .timeout(TIMEOUT)
            .header("webhook-id", &attempt.given.effect_key)
            .header("shipway-fence", attempt.given.fence.raw())
            .header("webhook-timestamp", seconds.to_string())
            .json(&body);
        let sending = async { request.send().await.map_err(|failure| unsent(&host, &failure)) };
        let answer = receivers::tell(attempt, sending).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Success::default());
        }
        let message = format!("sending the message to {host} failed: it answered {status}");
        match asked_to_wait(&answer) {
            Some(wait) => patience.wait(attempt, &host, wait, message, "message_failed").await?,
            None if status.is_server_error() || matches!(status.as_u16(), 408 | 429) => {
                return Err(transient("message_failed", message));
            }
            None => return Err(error("message_refused", message)),
        }
    }
}

/// How long the receiver wants to be left alone, if it says so.
fn asked_to_wait(answer: &Response) -> Option<Duration> {
    if !matches!(answer.status().as_u16(), 429 | 503) {
        return None;
    }
    let value = answer.headers().get("retry-after")?.to_str().ok()?;
    shipway_forge::retry_after(value, Timestamp::now())
}

/// A message that did not get there, or whose answer did not come. The address can hold a token, so errors name the
/// host only.
fn unsent(host: &str, failure: &reqwest::Error) -> Failure {
    let why = if failure.is_timeout() {
        format!("no answer within {} s", TIMEOUT.as_secs())
    } else if failure.is_connect() {
        "it could not be connected to".to_owned()
    } else {
        "the connection broke".to_owned()
    };
    transient("message_failed", format!("sending the message to {host} failed: {why}"))
}

/// A message that is a JSON object is sent as it is, anything else as the text of one.
fn raw(message: Value) -> Value {
    match message {
        Value::Object(_) => message,
        Value::String(text) => serde_json::from_str::<Value>(&text)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(|| json!({ "message": text })),
        other => json!({ "message": values::text(&other) }),
    }
}

/// A client for this address: where private addresses are not allowed, one that connects only to what was checked.
pub(super) async fn checked_client(attempt: &Attempt<'_>, address: &Url) -> Result<reqwest::Client, Failure> {
    attempt.host.outbound.client(address).await.map_err(|refused| match refused {
        AddressError::Unknown(_) => transient("message_failed", refused.to_string()),
        AddressError::Private(_) => error("address_refused", refused.to_string()),
        AddressError::Client(_) => error("message_failed", refused.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_go_as_they_are_and_text_as_a_message() {
        assert_eq!(raw(json!(r#"{"a": 1}"#)), json!({"a": 1}));
        assert_eq!(raw(json!({"a": 1})), json!({"a": 1}));
        assert_eq!(raw(json!("released [1]")), json!({"message": "released [1]"}));
        assert_eq!(raw(json!("[1]")), json!({"message": "[1]"}));
    }
}
