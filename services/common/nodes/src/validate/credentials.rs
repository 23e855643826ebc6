//! Values in a document that look like credentials: a document is stored, shown and brought into repositories.

use serde_json::Value;
use shipway_documents::{Code, DocumentType, Problem, Problems, is_expression, pointer};

/// What keys and tokens begin with, how many characters follow at least, and what they are.
const PREFIXES: &[(&str, usize, &str)] = &[
    ("ghp_", 30, "a GitHub token"),
    ("gho_", 30, "a GitHub token"),
    ("ghu_", 30, "a GitHub token"),
    ("ghs_", 30, "a GitHub token"),
    ("ghr_", 30, "a GitHub token"),
    ("github_pat_", 30, "a GitHub token"),
    ("glpat-", 16, "a GitLab token"),
    ("glptt-", 16, "a GitLab token"),
    ("xoxb-", 16, "a Slack token"),
    ("xoxp-", 16, "a Slack token"),
    ("xoxa-", 16, "a Slack token"),
    ("xoxr-", 16, "a Slack token"),
    ("xoxs-", 16, "a Slack token"),
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("AIza", 30, "a Google API key"),
    ("sk-", 20, "an API key"),
    ("sk_live_", 16, "a Stripe key"),
    ("rk_live_", 16, "a Stripe key"),
    ("npm_", 30, "an npm token"),
    ("dckr_pat_", 20, "a Docker token"),
    ("SG.", 40, "a SendGrid key"),
    ("eyJhbGciOi", 40, "a JSON web token"),
];

/// What the last word of a field's name is when its value is a secret.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
];

/// The shortest value of a field with such a name that is looked at.
const SHORTEST: usize = 8;

/// Bits a character: text in words has fewer, what was drawn by lot more.
const ENTROPY: f64 = 3.0;

/// Notes every value that looks like a credential. The value is never said.
pub(super) fn check(document: DocumentType, value: &Value, problems: &mut Problems) {
    visit(document, value, "", "", problems);
}

fn visit(document: DocumentType, value: &Value, at: &str, key: &str, problems: &mut Problems) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                visit(document, member, &pointer::join(at, name), name, problems);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                visit(document, item, &pointer::item(at, n), key, problems);
            }
        }
        Value::String(text) if !is_own_token(at) => {
            if let Some(what) = looks_like(text, key, value) {
                let name = argument_name(key);
                problems.push(
                    Problem::warning(
                        at,
                        format!("this looks like {what}: everybody who sees the document sees it"),
                    )
                    .code(Code::SecretLiteral)
                    .help(way_out(document, at, &name)),
                );
            }
        }
        _ => {}
    }
}

fn way_out(document: DocumentType, at: &str, name: &str) -> String {
    let in_flow = at.rsplit_once("/releaseFlow/spec").map(|(_, at)| at);
    let at = in_flow.unwrap_or(at);
    let argument = at.strip_prefix("/arguments/").map(|rest| rest.split('/').next().unwrap_or_default());
    match (document, argument) {
        (DocumentType::Template, None) if in_flow.is_none() => format!(
            "write `${{args.{name}}}` in a template with that argument, and give it from outside: `shipway apply -p {name}=…`"
        ),
        (DocumentType::Template, Some(argument)) if in_flow.is_none() => {
            format!("take the value away and give it from outside: `shipway apply -p {argument}=…`")
        }
        (_, Some(argument)) => format!(
            "take the value away and set it beside the document: `shipway override set <flow> {argument}`"
        ),
        (_, None) => format!(
            "write `${{args.{name}}}` and set it beside the document: `shipway override set <flow> {name}`"
        ),
    }
}

/// The token of the flow's own webhook is taken out of the document when it is published.
fn is_own_token(at: &str) -> bool {
    at.ends_with("/webhook/token") || (at.contains("/triggers/") && at.ends_with("/spec/token"))
}

fn looks_like(text: &str, key: &str, value: &Value) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    if let Some(what) = text.split(|c: char| !is_token(c)).find_map(prefixed) {
        return Some(what);
    }
    if has_password(text) {
        return Some("an address with a password in it");
    }
    let drawn = text.len() >= SHORTEST && !text.contains(char::is_whitespace) && entropy(text) >= ENTROPY;
    (drawn && !is_expression(value) && !text.contains("${{") && is_secret_name(key)).then_some("a secret")
}

const fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn prefixed(word: &str) -> Option<&'static str> {
    let known = PREFIXES.iter().find(|(prefix, rest, _)| {
        word.strip_prefix(prefix)
            .is_some_and(|tail| tail.len() >= *rest && tail.bytes().any(|b| b.is_ascii_digit()))
    });
    known.map(|(.., what)| *what)
}

/// `scheme://user:password@host`, the password given itself.
fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, _)| {
        let rest = &text[at + 3..];
        let authority = rest.split(['/', '?', '#', ' ', '\n']).next().unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@') else { return false };
        user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.contains("${"))
    })
}

/// `DB_PASSWORD`, `apiKey` and `accessToken` are names of secrets; `tokenId` and `passwordLength` are none.
fn is_secret_name(key: &str) -> bool {
    let mut words: Vec<String> = Vec::new();
    let mut upper = true;
    for c in key.chars() {
        if !c.is_alphanumeric() {
            upper = true;
            words.push(String::new());
            continue;
        }
        if words.is_empty() || (c.is_uppercase() && !upper) {
            words.push(String::new());
        }
        upper = c.is_uppercase();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    let is_known = |word: &str| WORDS.contains(&word);
    match words.as_slice() {
        [.., before, last] => is_known(last) || is_known(&format!("{before}{last}")),
        [one] => is_known(one),
        [] => false,
    }
}

/// The name of an argument that would hold it: `apiKey` becomes `API_KEY`.
fn argument_name(key: &str) -> String {
    let mut name = String::new();
    let mut lower = false;
    for c in key.chars() {
        if c.is_uppercase() && lower {
            name.push('_');
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
        name.push(if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    }
    if name.is_empty() { "SECRET".to_owned() } else { name }
}

/// Shannon's, in bits a character.
#[expect(clippy::cast_precision_loss, reason = "a document has less than 2^52 characters")]
fn entropy(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    text.chars().for_each(|c| *counts.entry(c).or_insert(0_u32) += 1);
    let all = text.chars().count() as f64;
    counts.values().map(|count| f64::from(*count) / all).map(|part| -part * part.log2()).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(value: Value) -> Vec<String> {
        let mut problems = Problems::new();
        check(DocumentType::ReleaseFlow, &value, &mut problems);
        problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect()
    }

    #[test]
    fn credentials_are_found_and_never_said() {
        // Put together here, so that no scanner takes them for real ones.
        let token = |prefix: &str| format!("{prefix}{}", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0");
        for (value, what) in [
            (json!({"a": token("ghp_")}), "a GitHub token"),
            (json!({"a": format!("curl -H 'PRIVATE-TOKEN: {}'", token("glpat-"))}), "a GitLab token"),
            (json!({"a": [token("xoxb-")]}), "a Slack token"),
            (json!({"a": token("AKIA")}), "an AWS access key"),
            (json!({"a": token("sk-")}), "an API key"),
            (json!({"a": "-----BEGIN RSA PRIVATE KEY-----\nMIIE"}), "a private key"),
            (json!({"url": "postgres://shop:hunter2@db/shop"}), "an address with a password in it"),
            (json!({"dbPassword": "kT9xQ2vLm8"}), "a secret"),
            (json!({"API_KEY": "kT9xQ2vLm8"}), "a secret"),
        ] {
            let found = found(value.clone());
            assert_eq!(found.len(), 1, "{value}");
            assert!(found[0].contains(&format!("this looks like {what}:")), "{found:?}");
            assert!(!found[0].contains("kT9x") && !found[0].contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn what_is_no_credential_is_left_alone() {
        for value in [
            json!({"password": "${args.PASSWORD}"}),
            json!({"password": "${{secrets.base.values.pw}}"}),
            json!({"token": "changeme"}),
            json!({"password": ""}),
            json!({"tokenId": "kT9xQ2vLm8"}),
            json!({"sha": "0123456789abcdef0123456789abcdef01234567"}),
            json!({"url": "https://example.com/a:b@c"}),
            json!({"url": "postgres://shop:${args.PW}@db/shop"}),
            json!({"task": "risk-assessment-of-the-whole-project-2"}),
            json!({"webhook": {"token": "kT9xQ2vLm8kT9xQ2vLm8kT9xQ2vLm8kT9x"}}),
            json!({"secretType": "environment-arguments"}),
        ] {
            assert_eq!(found(value.clone()), Vec::<String>::new(), "{value}");
        }
    }
}
