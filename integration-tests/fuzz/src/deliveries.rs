//! What comes by webhook: the body of each sender, and the headers that show who it is.

use http::{HeaderMap, HeaderName, HeaderValue};
use shipway_events::Timestamp;
use shipway_triggers::{
    domain::{
        push::Delivered,
        sources::{SOURCES, named},
    },
    signature::{Scheme, Secrets, single},
};

/// Pieces of deliveries.
pub(crate) const BODY: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud83d",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "18446744073709551616",
    "1e999",
    "\n",
    "\"0000000000000000000000000000000000000000\"",
    "\"refs/heads/\"",
    "\"refs/tags/-x\"",
    "\"ref\":",
    "\"after\":",
    "\"id\":",
    "\"action\":",
    "\"labels\":",
    "\"changes\":",
    "\"repository\":",
    "\"closed\"",
    "\"update\"",
    "push",
    "pull_request",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
];

/// Pieces of headers.
pub(crate) const HEADERS: &[&str] = &[
    ": ",
    "\n",
    "\n\n",
    " ",
    ",",
    "=",
    "sha256=",
    "SHA256=",
    "v1,",
    "v1a,",
    "Basic ",
    "whsec_",
    "-9223372036854775808",
    "9223372036854775807",
    "+1795421700",
    "01795421700",
    "NaN",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-gitlab-token",
    "x-hub-signature-256",
    "authorization",
    "\t",
];

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The event's name on the first line, then GitHub's body.
pub fn github(data: &[u8]) {
    read("github", data);
}

/// The same of GitLab.
pub fn gitlab(data: &[u8]) {
    read("gitlab", data);
}

/// The same of Gitea.
pub fn gitea(data: &[u8]) {
    read("gitea", data);
}

/// The same of Forgejo.
pub fn forgejo(data: &[u8]) {
    read("forgejo", data);
}

/// The same of Bitbucket Cloud.
pub fn bitbucket(data: &[u8]) {
    read("bitbucket", data);
}

/// The same of Bitbucket Data Center.
pub fn bitbucket_dc(data: &[u8]) {
    read("bitbucket-dc", data);
}

/// The same of Azure DevOps.
pub fn azure(data: &[u8]) {
    read("azure", data);
}

fn read(name: &str, data: &[u8]) {
    let source = named(name).expect("every target's sender is in the list");
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let event = String::from_utf8_lossy(&data[..end]);
    let body = data.get(end + 1..).unwrap_or_default();
    match (source.read)(&event, body) {
        Err(unreadable) => assert!(!unreadable.to_string().is_empty(), "what is refused says why"),
        Ok(delivered) => {
            check(&delivered);
            drop(delivered.summary());
            drop(serde_json::to_string(&delivered));
        }
    }
}

/// What everybody after this may rely on.
fn check(delivered: &Delivered) {
    match delivered {
        Delivered::Pushes(pushes) => {
            for push in pushes {
                assert!(!push.repositories.is_empty(), "a push is about a repository");
                assert!(push.reference.starts_with("refs/"), "{}", push.reference);
                assert!(push.target().is_some() != push.deleted, "{push:?}");
            }
        }
        Delivered::PullRequest(pull) => {
            assert!(!pull.repositories.is_empty() && !pull.head.is_empty(), "{pull:?}");
            assert!(!pull.source.is_empty() && !pull.source.starts_with('-'), "{pull:?}");
            assert!(!pull.target.starts_with('-'), "{pull:?}");
        }
        Delivered::Release(release) => assert!(!release.tag.is_empty() && !release.tag.starts_with('-')),
        Delivered::CheckSuite(_) | Delivered::Ping | Delivered::Other(_) => {}
    }
}

/// Headers, an empty line, and a body.
pub fn verify(data: &[u8]) {
    let text = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let body = data.get(text + 2..).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in data[..text].split(|byte| *byte == b'\n') {
        let colon = line.windows(2).position(|two| two == b": ").unwrap_or(line.len());
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line.get(colon + 2..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let now = Timestamp::from_micros(1_795_421_700_000_000);
    let (right, none) = (Secrets::new([SECRET.to_owned()]), Secrets::default());
    let flow = Scheme::StandardOrHub("x-hub-signature-256");
    for scheme in SOURCES.iter().map(|source| source.scheme).chain([flow]) {
        assert!(!scheme.verify(&none, &headers, body, now), "nothing is right without a secret");
        let is_right = scheme.verify(&right, &headers, body, now);
        let shown = single(&headers, scheme.header(&headers));
        assert!(!is_right || shown.is_some(), "what is right is shown once: {headers:?}");
        assert!(!is_right || scheme.is_tried(&headers), "{headers:?}");
    }
    for source in SOURCES {
        let header = |name: &str| single(&headers, name).and_then(|value| std::str::from_utf8(value).ok());
        drop(source.event(header, body));
        drop(source.key(&headers, body));
    }
}
