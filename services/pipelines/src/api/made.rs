//! Overrides that ask for a secret to be made: `${fn.randomSecret(32)}` is a value from the moment it is set.

use serde_json::json;
use shipway_contracts::Error;
use shipway_documents::{
    Problem,
    expr::{self, Lookup, Place, Root, Scope},
};
use shipway_events::SecretRef;
use zeroize::Zeroizing;

use crate::secrets;

/// The value of an override with its secrets made; none if it asks for none, and is a value as it stands.
///
/// # Errors
/// What is wrong with the expression.
pub(super) fn made(value: &str) -> Result<Option<Zeroizing<String>>, Error> {
    let text = json!(value);
    let asks =
        |reference: &expr::Reference| reference.root == Root::Secrets && reference.name == "fn.randomSecret";
    if !expr::references(&text, "").iter().any(asks) {
        return Ok(None);
    }
    let left = expr::resolve(&text, &Alone, "").map_err(|problems| wrong(&problems))?;
    let finished = secrets::make(&left);
    let finished = finished.map_err(|error| Error::bad_request(format!("field `value`: {error}")))?;
    finished.as_str().map(|text| Some(Zeroizing::new(text.to_owned()))).ok_or_else(|| {
        Error::bad_request(
            "field `value`: what the expression makes is no text; use fn.join or fn.stringifyJSON",
        )
    })
}

fn wrong(problems: &[Problem]) -> Error {
    let shown = problems.iter().map(|problem| match &problem.help {
        Some(help) => format!("{}; {help}", problem.message),
        None => problem.message.clone(),
    });
    Error::bad_request(format!("field `value`: {}", shown.collect::<Vec<_>>().join("; ")))
}

/// An override knows no names.
struct Alone;

impl Scope for Alone {
    fn arg(&self, _: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }

    fn reference(&self, _: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }

    fn trigger(&self, _: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }

    fn random_secret(&self, place: Place<'_>) -> Option<SecretRef> {
        Some(SecretRef { name: format!("made/{}", place.ordinal), version: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_a_secret_becomes_one() {
        let text = made("${fn.randomSecret(32, 'hex')}").unwrap().unwrap();
        assert!(text.len() == 32 && text.chars().all(|c| c.is_ascii_hexdigit()));
        let text =
            made("key-${fn.randomSecret(8)}:${fn.toUpper(fn.randomSecret(8, 'hex'))}").unwrap().unwrap();
        assert!(text.starts_with("key-") && text.len() == 21);
        assert_ne!(made("${fn.randomSecret(32)}").unwrap(), made("${fn.randomSecret(32)}").unwrap());
    }

    #[test]
    fn everything_else_is_a_value_as_it_stands() {
        for text in ["hunter2", "a${b", "${args.x}", "\\${fn.randomSecret(32)}", "fn.randomSecret(32)"] {
            assert_eq!(made(text).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = made("${fn.randomSecret(2)}").unwrap_err().to_string();
        assert!(error.contains("whole number from 6 to 1024"), "{error}");
        let error = made("${args.x}${fn.randomSecret(8)}").unwrap_err().to_string();
        assert!(error.contains("no argument is called `x`"), "{error}");
        let error = made("${[fn.randomSecret(8)]}").unwrap_err().to_string();
        assert!(error.contains("no text"), "{error}");
    }
}
