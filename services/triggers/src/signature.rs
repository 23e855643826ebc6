//! Whether a body comes from who knows the secret. Over the raw bytes, before anything is parsed, in a time that
//! does not depend on what was sent.

use axum::http::HeaderMap;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use shipway_events::Timestamp;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

/// How far the time of a Standard Webhooks delivery may be off, in seconds, either way.
const TOLERANCE: i64 = 300;

/// Who senders are that show a password: the password is the hook's secret.
pub const BASIC_USER: &str = "shipway";

/// The headers of Standard Webhooks.
const STANDARD: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// How a sender shows that it knows the hook's secret. A header that comes twice is as good as a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// The header is exactly `sha256=` and the HMAC-SHA256 of the raw body in lower-case hex.
    Hub(&'static str),
    /// The same without `sha256=`.
    Hex(&'static str),
    /// A request with one of Standard Webhooks' headers is signed as they say; another one has the secret itself in
    /// this header.
    StandardOrToken(&'static str),
    /// HTTP basic authentication of [`BASIC_USER`], or without that, the secret itself in this header.
    BasicOrToken(&'static str),
    /// As Standard Webhooks say where there is one of their headers, else as [`Scheme::Hub`].
    StandardOrHub(&'static str),
}

impl Scheme {
    /// Whether the request shows that its sender knows one of the secrets. Without a secret it never does, and the
    /// same work is done for nothing: an unknown hook takes as long as a known one.
    #[must_use]
    pub fn verify(self, secrets: &Secrets, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
        let one = |name: &str| single(headers, name).unwrap_or_default();
        match self {
            Self::Hub(name) => secrets.is_one(|secret| hub_signature(secret, body).into_bytes(), one(name)),
            Self::Hex(name) => {
                secrets.is_one(|secret| hex::encode(hmac(secret, &[body])).into_bytes(), one(name))
            }
            Self::StandardOrToken(_) | Self::StandardOrHub(_) if is_standard(headers) => {
                let [id, time, signatures] = STANDARD.map(one);
                secrets.verify_standard(id, time, signatures, body, now)
            }
            Self::StandardOrHub(name) => Self::Hub(name).verify(secrets, headers, body, now),
            Self::BasicOrToken(_) if headers.contains_key("authorization") => {
                secrets.is_one(|secret| basic(secret).into_bytes(), one("authorization"))
            }
            // Digests, so that not even a secret's length can be told by the time.
            Self::StandardOrToken(name) | Self::BasicOrToken(name) => {
                secrets.is_one(|secret| Sha256::digest(secret).to_vec(), &Sha256::digest(one(name)))
            }
        }
    }

    /// The header that decides whether this request is right.
    #[must_use]
    pub fn header(self, headers: &HeaderMap) -> &'static str {
        match self {
            Self::StandardOrToken(_) | Self::StandardOrHub(_) if is_standard(headers) => STANDARD[2],
            Self::BasicOrToken(_) if headers.contains_key("authorization") => "authorization",
            Self::Hub(name)
            | Self::Hex(name)
            | Self::StandardOrToken(name)
            | Self::StandardOrHub(name)
            | Self::BasicOrToken(name) => name,
        }
    }

    /// Whether a request has a signature of this scheme at all. An id alone is none: senders that sign nothing give one
    /// too, so that a repeat is known.
    #[must_use]
    pub fn is_tried(self, headers: &HeaderMap) -> bool {
        let signs = |name: &str| headers.contains_key(STANDARD[2]) || headers.contains_key(name);
        match self {
            Self::StandardOrToken(name) | Self::StandardOrHub(name) => signs(name),
            other => headers.contains_key(other.header(headers)),
        }
    }
}

fn is_standard(headers: &HeaderMap) -> bool {
    STANDARD.iter().any(|name| headers.contains_key(*name))
}

/// What a sender of Standard Webhooks gives instead of a secret: its public key begins so.
const PUBLIC: &str = "whpk_";

/// The secrets that a hook's deliveries may be signed with, and public keys: several while one takes the other's place.
#[derive(Clone, Default)]
pub struct Secrets {
    shared: Vec<Zeroizing<Vec<u8>>>,
    /// Keys of Ed25519. They are no secrets: whoever knows one may sign nothing with it.
    public: Vec<VerifyingKey>,
}

impl Secrets {
    /// The secrets and public keys as text. Empty ones are left out, which anybody knows, and public keys that are none.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut known = Self::default();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            match secret.strip_prefix(PUBLIC) {
                Some(key) => known.public.extend(public_key(key)),
                None => known.shared.push(Zeroizing::new(secret.into_bytes())),
            }
        }
        known
    }

    /// Whether there is none, so that nothing can be right.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.public.is_empty()
    }

    /// Whether what was sent is what one of the secrets makes. All of them are tried.
    fn is_one(&self, made: impl Fn(&[u8]) -> Vec<u8>, sent: &[u8]) -> bool {
        if self.shared.is_empty() {
            let _ = made(NOBODYS).ct_eq(sent);
            return false;
        }
        self.shared.iter().fold(Choice::from(0), |right, secret| right | made(secret).ct_eq(sent)).into()
    }

    /// Standard Webhooks: among the signatures is `v1,` and the base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`, each
    /// as it was sent, or `v1a,` and that of an Ed25519 signature of the same; the timestamp is within five minutes.
    fn verify_standard(
        &self,
        id: &[u8],
        timestamp: &[u8],
        signatures: &[u8],
        body: &[u8],
        now: Timestamp,
    ) -> bool {
        let signed = [id, b".", timestamp, b".", body];
        let made = |secret: &[u8]| {
            let key = standard_key(secret)?;
            Some(format!("v1,{}", BASE64.encode(hmac(&key, &signed))))
        };
        if self.shared.is_empty() {
            let _ = made(NOBODYS);
        }
        let sent = || signatures.split(|byte| *byte == b' ');
        let mut right = Choice::from(0);
        for expected in self.shared.iter().filter_map(|secret| made(secret)) {
            for sent in sent() {
                right |= expected.as_bytes().ct_eq(sent);
            }
        }
        // What follows takes a time that depends on nothing secret.
        let right = bool::from(right) || sent().any(|sent| self.is_signed(&signed, sent));
        right && !id.is_empty() && is_fresh(timestamp, now)
    }

    /// Whether one of the public keys belongs to who signed.
    fn is_signed(&self, signed: &[&[u8]], sent: &[u8]) -> bool {
        let decode = |encoded: &[u8]| Signature::from_slice(&BASE64.decode(encoded).ok()?).ok();
        let Some(signature) = sent.strip_prefix(b"v1a,").and_then(decode) else { return false };
        let signed = signed.concat();
        self.public.iter().any(|key| key.verify_strict(&signed, &signature).is_ok())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets, {} public keys", self.shared.len(), self.public.len())
    }
}

/// A header that may come once; two of them are as good as a wrong one.
#[must_use]
pub fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// The value of GitHub's signature header for a body.
#[must_use]
pub fn hub_signature(secret: &[u8], body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret, &[body])))
}

/// What work is done with where no secret is known.
const NOBODYS: &[u8] = b"nobody's secret";

fn basic(secret: &[u8]) -> String {
    let user_and_password = Zeroizing::new([BASIC_USER.as_bytes(), b":", secret].concat());
    format!("Basic {}", BASE64.encode(&*user_and_password))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// `whsec_` and 24 to 64 bytes in base64; any other text is the key itself.
fn standard_key(secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    match secret.strip_prefix(b"whsec_") {
        Some(encoded) => {
            BASE64.decode(encoded).ok().filter(|key| (24..=64).contains(&key.len())).map(Zeroizing::new)
        }
        None => Some(Zeroizing::new(secret.to_vec())),
    }
}

/// 32 bytes in base64 that are a point of the curve.
fn public_key(encoded: &str) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(&BASE64.decode(encoded).ok()?.try_into().ok()?).ok()
}

/// Whether the header is a canonical number of seconds within the tolerance of now.
fn is_fresh(timestamp: &[u8], now: Timestamp) -> bool {
    let canonical = matches!(timestamp, [b'1'..=b'9', ..]) && timestamp.iter().all(u8::is_ascii_digit);
    let seconds =
        std::str::from_utf8(timestamp).ok().filter(|_| canonical).and_then(|t| t.parse::<i64>().ok());
    seconds.is_some_and(|seconds| {
        let now = now.millis().div_euclid(1000);
        now.saturating_sub(seconds) <= TOLERANCE && seconds.saturating_sub(now) <= TOLERANCE
    })
}
