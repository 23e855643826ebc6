//! What reading every sender's body needs: the shape with the field that is wrong, commits, refs and addresses.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Unreadable;
use crate::domain::push::{Commit, commit_or_none, is_commit};

/// The body as what its event promises; what is wrong names its field.
pub(super) fn shape<'b, T: Deserialize<'b>>(event: &str, body: &'b [u8]) -> Result<T, Unreadable> {
    let wrong = |detail| Unreadable::Shape { event: event.to_owned(), detail };
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // A body that ends early, or is no JSON, is wrong as a whole.
        let detail = error.inner();
        wrong(if path == "." || !detail.is_data() {
            detail.to_string()
        } else {
            format!("field `{path}`: {detail}")
        })
    })?;
    json.end().map_err(|error| wrong(error.to_string()))?;
    Ok(value)
}

/// The value of one field of a JSON object, without reading the others into memory. Of several, the last.
pub(super) fn field(body: &[u8], name: &str) -> Option<Value> {
    struct Only<'n>(&'n str);

    impl<'de> Visitor<'de> for Only<'_> {
        type Value = Option<Value>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<String>()? {
                if key == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    serde_json::Deserializer::from_slice(body).deserialize_map(Only(name)).ok().flatten()
}

/// The digest of a body.
pub(super) fn digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// A commit's id; none for the one of zeros.
pub(super) fn commit(field: &'static str, id: &str) -> Result<Option<String>, Unreadable> {
    match commit_or_none(id) {
        Some(id) if !is_commit(&id) => {
            Err(Unreadable::Field { field, expected: "a commit id of 40 or 64 hex digits" })
        }
        id => Ok(id),
    }
}

/// A commit's id, where there must be one.
pub(super) fn whole_commit(field: &'static str, id: &str) -> Result<String, Unreadable> {
    commit(field, id)?
        .ok_or(Unreadable::Field { field, expected: "a commit id of 40 or 64 hex digits that are not all 0" })
}

/// A whole ref.
pub(super) fn reference(field: &'static str, name: String) -> Result<String, Unreadable> {
    if name.starts_with("refs/") && name.len() > "refs/".len() && !name.chars().any(char::is_control) {
        Ok(name)
    } else {
        Err(Unreadable::Field { field, expected: "a whole ref like refs/heads/main" })
    }
}

/// A branch's name, or a tag's. Git has none that begins with a dash, and programs would take it for an option.
pub(super) fn name(field: &'static str, name: String) -> Result<String, Unreadable> {
    let name = name.strip_prefix("refs/heads/").map(str::to_owned).unwrap_or(name);
    if name.is_empty() || name.starts_with('-') || name.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Unreadable::Field { field, expected: "the name of a branch or tag" });
    }
    Ok(name)
}

/// The addresses that are given, each once; an error where there is none.
pub(super) fn addresses(
    field: &'static str,
    given: impl IntoIterator<Item = Option<String>>,
) -> Result<Vec<String>, Unreadable> {
    let found = known_addresses(given);
    if found.is_empty() {
        return Err(Unreadable::Field { field, expected: "a repository with an address to clone it from" });
    }
    Ok(found)
}

/// The addresses that are given, each once.
pub(super) fn known_addresses(given: impl IntoIterator<Item = Option<String>>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for address in given.into_iter().flatten() {
        let is_plain = !address.is_empty() && !address.chars().any(char::is_control);
        if is_plain && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Commits with the oldest first, whichever way the sender lists them.
pub(super) fn oldest_first(mut commits: Vec<Commit>, newest: Option<&str>) -> Vec<Commit> {
    if commits.first().is_some_and(|first| Some(first.id.as_str()) == newest) {
        commits.reverse();
    }
    commits
}

/// Whether a list has not all of as many as its sender says that there are, if they say so.
pub(super) fn is_cut<T>(listed: &[T], in_all: Option<u64>) -> Option<bool> {
    in_all.map(|in_all| in_all > listed.len() as u64)
}

/// Whether two ids of repositories show that they are the same one: what is not known is another.
pub(super) fn is_fork<T: PartialEq>(source: Option<&T>, target: Option<&T>) -> bool {
    source.is_none() || source != target
}
