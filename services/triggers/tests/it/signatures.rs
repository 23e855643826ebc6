//! Every scheme with vectors of its own, and everything near them that is not right.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use shipway_events::Timestamp;
use shipway_triggers::{
    domain::sources::{SOURCES, named},
    signature::{BASIC_USER, Scheme, Secrets, hub_signature},
};

/// 32 bytes from 0 to 31, as they are shown.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BODY: &[u8] = "{\"ref\":\"refs/heads/main\",\"text\":\"grüße\"}".as_bytes();
const HEX: &str = "39640eb86667ca78dbc8ff2d5a0920271326cb2255766f702a563ab5693f1ae7";
const HUB: &str = "sha256=39640eb86667ca78dbc8ff2d5a0920271326cb2255766f702a563ab5693f1ae7";
const BASIC: &str = "Basic c2hpcHdheTp3aHNlY19BQUVDQXdRRkJnY0lDUW9MREEwT0R4QVJFaE1VRlJZWEdCa2FHeHdkSGg4PQ==";
const STANDARD: &str = "v1,+jiZFDncbKa/DCqpEd4Yb8srvrWFSx44eZulUy67m1o=";
/// The public key of the seed that is 32 bytes from 0 to 31, and its signature of the same.
const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
const ASYMMETRIC: &str =
    "v1a,qwMifYvJCiSfwJA6iwyQBG2elsANRzPlgO4Rgvai2gsHOxpdhrG02oaApq/jmTmupLUPBFXM40JojVctLucUBg==";
const NOW: i64 = 1_795_421_700;
const FLOW: Scheme = Scheme::StandardOrHub("x-hub-signature-256");

/// A request that is right.
struct Vector {
    scheme: Scheme,
    secret: &'static str,
    /// The first is the one that shows that the sender knows the secret.
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
    now: i64,
}

const IDENTIFIED: [(&str, &str); 3] =
    [("webhook-signature", STANDARD), ("webhook-id", "msg_0001"), ("webhook-timestamp", "1795421700")];

/// One for each way of each sender, and those that the schemes' own documentation gives.
const VECTORS: &[Vector] = &[
    own(Scheme::Hub("x-hub-signature-256"), &[("x-hub-signature-256", HUB)]),
    own(Scheme::Hub("x-hub-signature"), &[("x-hub-signature", HUB)]),
    own(Scheme::Hex("x-gitea-signature"), &[("x-gitea-signature", HEX)]),
    own(Scheme::Hex("x-forgejo-signature"), &[("x-forgejo-signature", HEX)]),
    own(Scheme::StandardOrToken("x-gitlab-token"), &[("x-gitlab-token", SECRET)]),
    own(Scheme::StandardOrToken("x-gitlab-token"), &IDENTIFIED),
    own(Scheme::BasicOrToken("x-shipway-token"), &[("x-shipway-token", SECRET)]),
    own(Scheme::BasicOrToken("x-shipway-token"), &[("authorization", BASIC)]),
    own(FLOW, &IDENTIFIED),
    own(FLOW, &[("x-hub-signature-256", HUB)]),
    Vector {
        scheme: Scheme::Hub("x-hub-signature-256"),
        secret: "It's a Secret to Everybody",
        headers: &[(
            "x-hub-signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        )],
        body: b"Hello, World!",
        now: NOW,
    },
    Vector {
        scheme: FLOW,
        secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        headers: &[
            ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
            ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            ("webhook-timestamp", "1649367553"),
        ],
        body: br#"{"email":"test@example.com","username":"test_user"}"#,
        now: 1_649_367_553,
    },
    // A public key: the sender alone can sign.
    Vector {
        scheme: FLOW,
        secret: PUBLIC,
        headers: &[
            ("webhook-signature", ASYMMETRIC),
            ("webhook-id", "msg_0001"),
            ("webhook-timestamp", "1795421700"),
        ],
        body: BODY,
        now: NOW,
    },
    // A secret that is no `whsec_` is the key as it is written.
    Vector {
        scheme: FLOW,
        secret: "a text of one's own",
        headers: &[
            ("webhook-signature", "v1,+KqzGO/+tlVTCyLm9d2mesXXrKas8/FoVyJoHB6nRes="),
            ("webhook-id", "msg_0001"),
            ("webhook-timestamp", "1795421700"),
        ],
        body: BODY,
        now: NOW,
    },
];

const fn own(scheme: Scheme, headers: &'static [(&'static str, &'static str)]) -> Vector {
    Vector { scheme, secret: SECRET, headers, body: BODY, now: NOW }
}

impl Vector {
    fn headers(&self) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        self.headers.iter().map(pair).collect()
    }

    /// Whether the body is under the signature.
    fn signs(&self) -> bool {
        !matches!(self.headers[0].0, "x-gitlab-token" | "x-shipway-token" | "authorization")
    }
}

fn secrets(secret: &str) -> Secrets {
    Secrets::new([secret.to_owned()])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn every_bit(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(move |bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// Values that mean nearly the same.
fn nearly(value: &str) -> Vec<String> {
    let parts = value.split_once(['=', ',', ' ']).filter(|(_, rest)| !rest.is_empty());
    let (scheme, rest) = parts.unwrap_or(("", value));
    vec![
        value.to_uppercase(),
        value.to_lowercase(),
        format!(" {value}"),
        format!("{value} "),
        format!("{value}\t"),
        format!("{value},{value}"),
        format!("{value}{value}"),
        format!("{value};"),
        format!("{value}="),
        format!("{value}0"),
        format!("sha1={rest}"),
        format!("sha256=sha256={rest}"),
        format!("{scheme}={}", rest.to_uppercase()),
        format!("{} {rest}", scheme.to_uppercase()),
        format!("{scheme}= {rest}"),
        format!("v1a,{rest}"),
        format!("v2,{rest}"),
        rest[1..].to_owned(),
        value[..value.len() - 1].to_owned(),
        value[1..].to_owned(),
        String::new(),
    ]
}

#[test]
fn row_w_2_right_ones_pass_and_nothing_near_them() {
    let mut refused = 0;
    for vector in VECTORS {
        let (scheme, right, now) = (vector.scheme, secrets(vector.secret), at(vector.now));
        let mut refuse = |secrets: &Secrets, headers: &HeaderMap, body: &[u8]| {
            assert!(!scheme.verify(secrets, headers, body, now), "{scheme:?} {headers:?} {body:?}");
            refused += 1;
        };
        let headers = vector.headers();
        assert!(scheme.verify(&right, &headers, vector.body, now), "{scheme:?} {headers:?}");
        let among = Secrets::new(["another".to_owned(), vector.secret.to_owned()]);
        assert!(scheme.verify(&among, &headers, vector.body, now), "any active secret is right");
        assert!(scheme.is_tried(&headers) && !scheme.is_tried(&HeaderMap::new()));
        refuse(&right, &HeaderMap::new(), vector.body);
        refuse(&Secrets::default(), &headers, vector.body);
        refuse(&secrets(""), &headers, vector.body);
        for (name, value) in vector.headers {
            // A flipped bit can make a byte that no header can have: it never gets here.
            for changed in every_bit(value.as_bytes()) {
                let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
                let mut headers = headers.clone();
                headers.insert(*name, changed);
                refuse(&right, &headers, vector.body);
            }
            let mut twice = headers.clone();
            twice.append(*name, HeaderValue::from_static(value));
            refuse(&right, &twice, vector.body);
            let mut without = headers.clone();
            without.remove(*name);
            refuse(&right, &without, vector.body);
        }
        let (name, value) = vector.headers[0];
        for near in nearly(value).into_iter().filter(|near| near != value) {
            let is_list = name == "webhook-signature" && near.split(' ').any(|one| one == value);
            let Ok(near) = HeaderValue::from_str(&near) else { continue };
            let mut headers = headers.clone();
            headers.insert(name, near);
            if !is_list {
                refuse(&right, &headers, vector.body);
            }
        }
        // A key that is not text, or no base64 any more, is another key.
        for key in every_bit(vector.secret.as_bytes()) {
            let Ok(key) = String::from_utf8(key) else { continue };
            refuse(&secrets(&key), &headers, vector.body);
        }
        if vector.signs() {
            for body in every_bit(vector.body) {
                refuse(&right, &headers, &body);
            }
            for body in [&[vector.body, b" "].concat(), &vector.body[1..], b""] {
                refuse(&right, &headers, body);
            }
        }
    }
    // Long bodies: a change far from the head.
    let right = secrets(SECRET);
    for length in 0..420_usize {
        let body = vec![b'x'; length + 1];
        let mut headers = HeaderMap::new();
        let signature = hub_signature(SECRET.as_bytes(), &body);
        headers.insert("x-hub-signature-256", signature.parse().unwrap());
        for changed in every_bit(&body).step_by(7) {
            assert!(!FLOW.verify(&right, &headers, &changed, at(NOW)));
            refused += 1;
        }
    }
    println!("ROW W-2 {} right ones pass, 0 of {refused} changed ones do", VECTORS.len());
    assert!(refused >= 100_000, "{refused}");
}

#[test]
fn row_w_2_every_source_has_its_scheme_and_a_vector() {
    for source in SOURCES {
        let vectors = VECTORS.iter().filter(|vector| vector.scheme == source.scheme);
        let ways = match source.scheme {
            Scheme::StandardOrToken(_) | Scheme::BasicOrToken(_) | Scheme::StandardOrHub(_) => 2,
            Scheme::Hub(_) | Scheme::Hex(_) => 1,
        };
        assert!(vectors.count() >= ways, "{}", source.name);
    }
}

#[test]
fn row_w_2_who_signs_is_not_taken_by_the_token_beside_it() {
    let scheme = named("gitlab").unwrap().scheme;
    let signed = VECTORS.iter().find(|v| v.scheme == scheme && v.headers.len() == 3).unwrap();
    let right = secrets(SECRET);
    let mut headers = signed.headers();
    headers.insert("x-gitlab-token", HeaderValue::from_static("some other token"));
    assert!(scheme.verify(&right, &headers, BODY, at(NOW)), "the signature is enough");
    headers.insert("x-gitlab-token", HeaderValue::from_static(SECRET));
    for name in ["webhook-signature", "webhook-id", "webhook-timestamp"] {
        let mut headers = headers.clone();
        headers.insert(name, HeaderValue::from_static("x"));
        assert!(!scheme.verify(&right, &headers, BODY, at(NOW)), "a wrong {name} and the right token");
    }
    let azure = named("azure").unwrap().scheme;
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Basic AAAA"));
    headers.insert("x-shipway-token", HeaderValue::from_static(SECRET));
    assert!(!azure.verify(&right, &headers, BODY, at(NOW)));
    assert_eq!(BASIC_USER, "shipway");
}

#[test]
fn row_w_2_one_of_several_signatures_is_enough() {
    let mut headers = VECTORS[8].headers();
    let several = format!("v1,AAAA v1a,x {STANDARD} v1,BBBB");
    headers.insert("webhook-signature", several.parse().unwrap());
    assert!(FLOW.verify(&secrets(SECRET), &headers, BODY, at(NOW)));
    // A key of a length that Standard Webhooks have none of.
    assert!(!FLOW.verify(&secrets("whsec_c2hvcnQ="), &headers, BODY, at(NOW)));
}

/// Everybody knows a public key: what anybody can make of it is no signature.
#[test]
fn row_w_2_a_public_key_is_no_secret() {
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let key = BASE64.decode(PUBLIC.trim_start_matches("whpk_")).unwrap();
    for key in [PUBLIC.as_bytes(), &key, &PUBLIC.as_bytes()[5..]] {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(b"msg_0001.1795421700.");
        mac.update(BODY);
        let signature = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
        let mut headers = VECTORS[8].headers();
        headers.insert("webhook-signature", signature.parse().unwrap());
        assert!(!FLOW.verify(&secrets(PUBLIC), &headers, BODY, at(NOW)));
        let mut headers = HeaderMap::new();
        headers.insert("x-hub-signature-256", hub_signature(key, BODY).parse().unwrap());
        assert!(!FLOW.verify(&secrets(PUBLIC), &headers, BODY, at(NOW)));
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-gitlab-token", HeaderValue::from_static(PUBLIC));
    assert!(!named("gitlab").unwrap().scheme.verify(&secrets(PUBLIC), &headers, BODY, at(NOW)));
    // Beside a secret, either is right; and a key that is none is nobody's.
    let both = Secrets::new([SECRET.to_owned(), PUBLIC.to_owned()]);
    for signature in [STANDARD, ASYMMETRIC] {
        let mut headers = VECTORS[8].headers();
        headers.insert("webhook-signature", HeaderValue::from_static(signature));
        assert!(FLOW.verify(&both, &headers, BODY, at(NOW)), "{signature}");
    }
    assert!(secrets("whpk_AAAA").is_empty() && !secrets(PUBLIC).is_empty());
}

#[test]
fn row_w_14_the_window_is_exact_to_the_second_and_takes_canonical_numbers_only() {
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let key: Vec<u8> = (0..32).collect();
    let accepts_at = |time: &str, now: i64| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("msg_1.{time}.").as_bytes());
        mac.update(BODY);
        let signature = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
        headers.insert("webhook-timestamp", HeaderValue::from_str(time).unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        FLOW.verify(&secrets(SECRET), &headers, BODY, at(now))
    };
    let accepts = |time: &str| accepts_at(time, NOW);
    let mut offsets = 0;
    for offset in -600..=600_i64 {
        assert_eq!(accepts(&(NOW + offset).to_string()), offset.abs() <= 300, "{offset}");
        offsets += 1;
    }
    let refused = [
        i64::MIN.to_string(),
        i64::MAX.to_string(),
        u64::MAX.to_string(),
        u128::MAX.to_string(),
        format!("+{NOW}"),
        format!("0{NOW}"),
        format!("000{NOW}"),
        format!("{NOW}.0"),
        format!("{NOW}.9"),
        format!("{NOW} "),
        format!(" {NOW}"),
        format!("{NOW}\t"),
        format!("-{NOW}"),
        format!("{NOW}e0"),
        format!("0x{NOW:x}"),
        format!("{}_421_700", NOW / 1_000_000),
        "٠١٢٣".to_owned(),
        "0".to_owned(),
        "-0".to_owned(),
        "NaN".to_owned(),
        "inf".to_owned(),
        "1e9".to_owned(),
        String::new(),
    ];
    for time in &refused {
        assert!(!accepts(time), "{time}");
    }
    // Clocks at the ends of time neither panic nor turn round.
    for now in [i64::MIN / 1_000_000, -1, 0, i64::MAX / 1_000_000] {
        assert!(!accepts_at(&i64::MAX.to_string(), now));
        assert!(!accepts_at(&NOW.to_string(), now));
    }
    println!("ROW W-14 window exact at {offsets} offsets, {} other spellings refused", refused.len());
}
