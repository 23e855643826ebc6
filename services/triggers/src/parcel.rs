//! A delivery whose sender is known to be right, before anything was made of it: what is needed to judge it now, when
//! the database is back, or when a person asks for it again.

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shipway_events::{DeliveryId, HookId, Timestamp};

/// How many bytes of headers are kept.
const KEPT: usize = 32 * 1024;

/// What is kept with the headers, under names that no header can have.
pub(crate) mod about {
    /// The request's method.
    pub(crate) const METHOD: &str = ":method";
    /// The path, without what in it is secret.
    pub(crate) const PATH: &str = ":path";
    /// How it was known that the sender is right, in words.
    pub(crate) const VERIFIED: &str = ":verified";
}

/// A verified delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Parcel {
    /// The id that it has if it is no repeat.
    pub delivery: DeliveryId,
    /// When it came.
    pub at: Timestamp,
    /// What it was sent to.
    pub way: Way,
    /// Its sender's own id of it; of one without, an id that nobody else has.
    pub key: String,
    /// Its headers, and what [`about`] names.
    pub headers: Kept,
    /// The trace that it came in.
    pub trace: Option<String>,
    /// Its raw body.
    #[serde(skip)]
    pub body: Bytes,
}

/// What a delivery was sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// A repository's hook, in the manner of this sender.
    Git { source: String, hook: HookId },
    /// A flow's own address.
    Flow {
        hook: HookId,
        /// The ref of the trigger that the address fires; none if the flow had none.
        trigger: Option<String>,
        method: String,
        query: String,
    },
}

impl Way {
    /// The hook.
    pub(crate) const fn hook(&self) -> HookId {
        match self {
            Self::Git { hook, .. } | Self::Flow { hook, .. } => *hook,
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Git { source, hook } => format!("/hooks/{source}/{hook}"),
            // The rest of the address is the credential.
            Self::Flow { .. } => "/hooks/flow/…".to_owned(),
        }
    }

    fn method(&self) -> &str {
        match self {
            Self::Git { .. } => "POST",
            Self::Flow { method, .. } => method,
        }
    }
}

impl Parcel {
    /// A delivery that came just now; without a key of its sender it is like no other.
    pub(crate) fn new(
        way: Way,
        key: Option<String>,
        headers: &HeaderMap,
        verified: &str,
        body: Bytes,
        at: Timestamp,
    ) -> Self {
        let delivery = DeliveryId::new(uuid::Uuid::now_v7());
        let mut headers = Kept::of(headers);
        headers.put(about::METHOD, way.method());
        headers.put(about::PATH, &way.path());
        headers.put(about::VERIFIED, verified);
        let key = key.unwrap_or_else(|| format!("({delivery})"));
        let trace = shipway_service_kit::current_trace();
        Self { delivery, at, way, key, headers, trace, body }
    }

    /// What is sealed of it: of a request to a flow's address the method and the query too, before an empty line.
    pub(crate) fn whole(&self) -> Bytes {
        match &self.way {
            Way::Git { .. } => self.body.clone(),
            Way::Flow { method, query, .. } => {
                [method.as_bytes(), b" ?", query.as_bytes(), b"\n\n", &self.body].concat().into()
            }
        }
    }

    /// As one piece of bytes: a line of JSON, then the body.
    pub(crate) fn packed(&self) -> Vec<u8> {
        let mut packed = serde_json::to_vec(self).expect("a parcel has only string keys");
        packed.push(b'\n');
        packed.extend_from_slice(&self.body);
        packed
    }

    /// What was [`Parcel::packed`].
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn unpacked(packed: Vec<u8>) -> Result<Self, serde_json::Error> {
        let packed = Bytes::from(packed);
        let line = packed.iter().position(|byte| *byte == b'\n').unwrap_or(packed.len());
        let parcel: Self = serde_json::from_slice(&packed[..line])?;
        Ok(Self { body: packed.slice((line + 1).min(packed.len())..), ..parcel })
    }
}

/// Method, query and body of what is sealed of a request to a flow's address.
pub(crate) fn flow_request(whole: &Bytes) -> Option<(String, String, Bytes)> {
    let end = whole.windows(2).position(|two| two == b"\n\n")?;
    let (method, query) = std::str::from_utf8(&whole[..end]).ok()?.split_once(" ?")?;
    Some((method.to_owned(), query.to_owned(), whole.slice(end + 2..)))
}

/// Headers as they are kept: those that carry a credential by their length only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kept(Map<String, Value>);

impl Kept {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut kept = Self::default();
        let mut size = 0;
        for (name, value) in headers {
            let text = if is_secret(name) {
                format!("({} bytes, not kept)", value.len())
            } else {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            size += name.as_str().len() + text.len();
            if size > KEPT {
                break;
            }
            match kept.get(name.as_str()) {
                // Several of a name are one list.
                Some(before) => kept.put(name.as_str(), &format!("{before}, {text}")),
                None => kept.put(name.as_str(), &text),
            }
        }
        kept
    }

    /// What was kept as JSON.
    pub(crate) fn parse(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// A header by its name in small letters.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(crate) fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Value::String(value.to_owned()));
    }

    /// All of them, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// As JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.0).expect("a map of texts")
    }
}

fn is_secret(name: &HeaderName) -> bool {
    let secret = ["auth", "cookie", "token", "secret", "signature", "password", "api-key", "apikey"];
    secret.iter().any(|part| name.as_str().contains(part))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use uuid::Uuid;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn credentials_in_headers_are_not_kept() {
        let mut all = headers(&[("x-github-event", "push"), ("x", "1"), ("x", "2")]);
        for name in ["authorization", "cookie", "x-hub-signature-256", "webhook-signature", "x-gitlab-token"]
        {
            all.insert(name, HeaderValue::from_static("hunter2"));
        }
        let kept = Kept::of(&all);
        assert!(!kept.json().contains("hunter2"));
        assert_eq!(kept.get("x-github-event"), Some("push"));
        assert_eq!(kept.get("x"), Some("1, 2"));
        assert_eq!(kept.get("cookie"), Some("(7 bytes, not kept)"));
        assert_eq!(Kept::parse(&kept.json()).get("x"), Some("1, 2"));
    }

    #[test]
    fn a_parcel_comes_out_as_it_went_in() {
        let hook = HookId::new(Uuid::from_u128(7));
        let git = Way::Git { source: "github".to_owned(), hook };
        let flow = Way::Flow {
            hook,
            trigger: Some("hook".to_owned()),
            method: "POST".to_owned(),
            query: "a=b".to_owned(),
        };
        for (way, key) in [(git, Some("d-1".to_owned())), (flow, None)] {
            for body in [&b""[..], b"{}", b"\n\n\x00\xff line\nline"] {
                let headers = headers(&[("content-type", "application/json")]);
                let body = Bytes::from_static(body);
                let at = Timestamp::from_micros(1);
                let parcel = Parcel::new(way.clone(), key.clone(), &headers, "it was", body, at);
                let again = Parcel::unpacked(parcel.packed()).unwrap();
                assert_eq!((again.delivery, again.at, &again.way), (parcel.delivery, parcel.at, &parcel.way));
                assert_eq!((&again.key, &again.body), (&parcel.key, &parcel.body));
                assert_eq!(again.headers.json(), parcel.headers.json());
                if let Way::Flow { .. } = way {
                    let request = flow_request(&parcel.whole()).unwrap();
                    assert_eq!(request, ("POST".to_owned(), "a=b".to_owned(), parcel.body.clone()));
                    assert!(!parcel.headers.json().contains(&hook.to_string()), "the address is secret");
                }
            }
        }
        assert!(Parcel::unpacked(b"something else".to_vec()).is_err());
    }
}
