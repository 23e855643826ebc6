//! Messages: an HTTP POST with a key by which the receiver knows a repetition.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::{Value, json};
use shipway_eventing::failing;
use shipway_nodes::workload::{Channel, Message};

use super::{Attempt, Failure, Success, error, now, transient, values};

/// The time that a receiver has to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(attempt: &Attempt<'_>, work: &Message) -> Result<Success, Failure> {
    let project = attempt.given.project;
    let (url, _) = attempt.finish(project, &work.url).await?;
    let (message, _) = attempt.finish(project, &work.message).await?;
    let address: reqwest::Url = values::text(&url).parse().map_err(|_| {
        error("bad_url", "the address of the webhook is not a URL like https://example.org/hook")
    })?;
    let host = address.host_str().unwrap_or_default().to_owned();
    let client = checked_client(attempt, &address).await?;
    let body = match work.channel {
        Channel::RawWebhook => raw(message),
        Channel::Slack => json!({ "text": values::text(&message) }),
    };
    let seconds = now().millis() / 1000;
    let request = client
        .post(address)
        .timeout(TIMEOUT)
        .header("webhook-id", &attempt.given.effect_key)
        .header("shipway-fence", attempt.given.fence.raw())
        .header("webhook-timestamp", seconds.to_string())
        .json(&body);
    attempt.may_act()?;
    let sent = async {
        tokio::select! {
            sent = request.send() => sent.map_err(|failure| unsent(&host, &failure)),
            () = attempt.over.cancelled() => Err(Failure::Stopped),
        }
    };
    let answer =
        failing!("executor.message", |why| transient("message_failed", String::from(why)), sent.await)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(Success::default());
    }
    let message = format!("sending the message to {host} failed: it answered {status}");
    if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
        Err(transient("message_failed", message))
    } else {
        Err(error("message_refused", message))
    }
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
pub(super) async fn checked_client(
    attempt: &Attempt<'_>,
    address: &reqwest::Url,
) -> Result<reqwest::Client, Failure> {
    if attempt.host.config.allow_private_addresses {
        return Ok(attempt.host.http.clone());
    }
    let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = address.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found: Vec<SocketAddr> =
        found.map_err(|_| transient("message_failed", format!("there is no address of {host}")))?.collect();
    if found.is_empty() || found.iter().any(|found| !is_global(found.ip())) {
        let why =
            format!("{host} is a loopback or private address, and this installation does not send there");
        return Err(error("address_refused", why));
    }
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve_to_addrs(&host, &found)
        .build()
        .map_err(|failure| error("message_failed", failure.to_string()))
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // Only 2000::/3 is global, and in it 6to4 and Teredo carry other addresses.
            let carried = first == 0x2002 || (first == 0x2001 && v6.segments()[1] < 0x200);
            first & 0xe000 == 0x2000 && !carried
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_out_there_is_not_global() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_global(text.parse().unwrap()), "{text}");
        }
        assert!(
            is_global("93.184.216.34".parse().unwrap()) && is_global("2606:2800:220:1::1".parse().unwrap())
        );
    }

    #[test]
    fn objects_go_as_they_are_and_text_as_a_message() {
        assert_eq!(raw(json!(r#"{"a": 1}"#)), json!({"a": 1}));
        assert_eq!(raw(json!({"a": 1})), json!({"a": 1}));
        assert_eq!(raw(json!("released [1]")), json!({"message": "released [1]"}));
        assert_eq!(raw(json!("[1]")), json!({"message": "[1]"}));
    }
}
