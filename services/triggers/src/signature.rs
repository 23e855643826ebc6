//! Whether a body comes from who knows the secret. Over the raw bytes, before anything is parsed, in a time that
//! does not depend on what was sent.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use shipway_events::Timestamp;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

/// How far the time of a Standard Webhooks delivery may be off, in seconds, either way.
const TOLERANCE: i64 = 300;

/// The secrets that a hook's deliveries may be signed with: several while one takes the other's place.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    /// The secrets as text. Empty ones are left out: anybody knows them.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
        Self(secrets.map(|secret| Zeroizing::new(secret.into_bytes())).collect())
    }

    /// Whether there is none, so that nothing can be right.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// GitHub's scheme: the header is exactly `sha256=` and the HMAC-SHA256 of the body in lower-case hex.
    /// Without a secret the same work is done for nothing, so that an unknown hook takes as long as a known one.
    #[must_use]
    pub fn verify_hub(&self, header: Option<&[u8]>, body: &[u8]) -> bool {
        let sent = header.unwrap_or_default();
        if self.0.is_empty() {
            let _ = hub_signature(b"nobody's secret", body).as_bytes().ct_eq(sent);
            return false;
        }
        let right = self.0.iter().fold(Choice::from(0), |right, secret| {
            right | hub_signature(secret, body).as_bytes().ct_eq(sent)
        });
        right.into()
    }

    /// Standard Webhooks, version 1: `webhook-signature` holds, among others, `v1,` and the base64 of
    /// HMAC-SHA256 over `<id>.<timestamp>.<body>`; the timestamp is within five minutes.
    #[must_use]
    pub fn verify_standard(
        &self,
        id: &[u8],
        timestamp: &[u8],
        signatures: &[u8],
        body: &[u8],
        now: Timestamp,
    ) -> bool {
        if id.is_empty() || !is_fresh(timestamp, now) {
            return false;
        }
        let mut right = Choice::from(0);
        for secret in &self.0 {
            let Some(key) = standard_key(secret) else { continue };
            let expected = format!("v1,{}", BASE64.encode(hmac(&key, &[id, b".", timestamp, b".", body])));
            for sent in signatures.split(|byte| *byte == b' ') {
                right |= expected.as_bytes().ct_eq(sent);
            }
        }
        right.into()
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// The value of GitHub's signature header for a body.
#[must_use]
pub fn hub_signature(secret: &[u8], body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret, &[body])))
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secrets(list: &[&str]) -> Secrets {
        Secrets::new(list.iter().map(|&secret| secret.to_owned()))
    }

    fn every_bit(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..bytes.len() * 8).map(move |bit| {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            changed
        })
    }

    #[test]
    fn w2_githubs_own_vector_and_no_change_of_it() {
        let right = secrets(&[KEY]);
        assert_eq!(hub_signature(KEY.as_bytes(), BODY), SIGNATURE);
        assert!(right.verify_hub(Some(SIGNATURE.as_bytes()), BODY));
        let mut refused = 0;
        let mut refuse = |secrets: &Secrets, header: Option<&[u8]>, body: &[u8]| {
            assert!(!secrets.verify_hub(header, body), "{header:?} {body:?}");
            refused += 1;
        };
        for header in every_bit(SIGNATURE.as_bytes()) {
            refuse(&right, Some(&header), BODY);
        }
        for body in every_bit(BODY) {
            refuse(&right, Some(SIGNATURE.as_bytes()), &body);
        }
        for key in every_bit(KEY.as_bytes()) {
            let changed = Secrets(vec![Zeroizing::new(key)]);
            refuse(&changed, Some(SIGNATURE.as_bytes()), BODY);
        }
        // A change in the body of every length, far from the head.
        for length in 0..300_usize {
            let body = vec![b'x'; length + 1];
            let signature = hub_signature(KEY.as_bytes(), &body);
            for changed in every_bit(&body).step_by(7) {
                refuse(&right, Some(signature.as_bytes()), &changed);
            }
        }
        let hex = &SIGNATURE[7..];
        for header in [
            SIGNATURE.to_uppercase(),
            format!("sha256={}", hex.to_uppercase()),
            format!("SHA256={hex}"),
            format!("sha1={hex}"),
            hex.to_owned(),
            format!(" {SIGNATURE}"),
            format!("{SIGNATURE} "),
            format!("sha256= {hex}"),
            format!("{SIGNATURE},{SIGNATURE}"),
            format!("{SIGNATURE} {SIGNATURE}"),
            SIGNATURE[..SIGNATURE.len() - 1].to_owned(),
            format!("{SIGNATURE}0"),
            "sha256=".to_owned(),
            String::new(),
        ] {
            refuse(&right, Some(header.as_bytes()), BODY);
        }
        refuse(&right, None, BODY);
        refuse(&secrets(&[]), Some(SIGNATURE.as_bytes()), BODY);
        refuse(&secrets(&[""]), Some(hub_signature(b"", BODY).as_bytes()), BODY);
        assert!(refused > 50_000, "{refused}");
    }

    #[test]
    fn any_active_secret_is_right() {
        let both = secrets(&["new", KEY]);
        assert!(both.verify_hub(Some(SIGNATURE.as_bytes()), BODY));
        assert!(both.verify_hub(Some(hub_signature(b"new", BODY).as_bytes()), BODY));
        assert!(!both.verify_hub(Some(hub_signature(b"old", BODY).as_bytes()), BODY));
    }

    const STANDARD: (&str, &[u8], &[u8], &[u8]) = (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        b"1649367553",
        br#"{"email":"test@example.com","username":"test_user"}"#,
    );
    const STANDARD_SIGNATURE: &[u8] = b"v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn w2_the_vector_of_standard_webhooks_and_no_change_of_it() {
        let (secret, id, time, body) = STANDARD;
        let (right, now) = (secrets(&[secret]), at(1_649_367_553));
        assert!(right.verify_standard(id, time, STANDARD_SIGNATURE, body, now));
        let several = [b"v1,AAAA v1a,x ", STANDARD_SIGNATURE].concat();
        assert!(right.verify_standard(id, time, &several, body, now));
        for signature in every_bit(STANDARD_SIGNATURE) {
            assert!(!right.verify_standard(id, time, &signature, body, now), "{signature:?}");
        }
        for id in every_bit(id) {
            assert!(!right.verify_standard(&id, time, STANDARD_SIGNATURE, body, now));
        }
        for body in every_bit(body) {
            assert!(!right.verify_standard(id, time, STANDARD_SIGNATURE, &body, now));
        }
        assert!(!secrets(&["whsec_c2hvcnQ="]).verify_standard(id, time, STANDARD_SIGNATURE, body, now));
    }

    #[test]
    fn w14_the_window_is_exact_to_the_second_and_takes_canonical_numbers_only() {
        let (secret, id, _, body) = STANDARD;
        let (key, right) = (standard_key(secret.as_bytes()).unwrap(), secrets(&[secret]));
        let now = 1_649_367_553_i64;
        let accepts = |time: &str| {
            let mac = hmac(&key, &[id, b".", time.as_bytes(), b".", body]);
            let signature = format!("v1,{}", BASE64.encode(mac));
            right.verify_standard(id, time.as_bytes(), signature.as_bytes(), body, at(now))
        };
        for (offset, expected) in
            [(0, true), (299, true), (300, true), (301, false), (-299, true), (-300, true), (-301, false)]
        {
            assert_eq!(accepts(&(now + offset).to_string()), expected, "{offset}");
        }
        for time in [
            i64::MIN.to_string(),
            i64::MAX.to_string(),
            u64::MAX.to_string(),
            format!("+{now}"),
            format!("0{now}"),
            format!("000{now}"),
            format!("{now}.0"),
            format!("{now} "),
            format!("-{now}"),
            "0".to_owned(),
            "NaN".to_owned(),
            "1e9".to_owned(),
            String::new(),
        ] {
            assert!(!accepts(&time), "{time}");
        }
    }
}
