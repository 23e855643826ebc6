//! The name of a blob.

use std::{fmt, str::FromStr};

use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of a blob: `sha256:` and 64 hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobId(String);

/// A text that names no blob.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names no blob; expected `sha256:` and 64 lower case hex digits")]
pub struct BlobIdError(String);

impl BlobId {
    /// The blob with this content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::from_digest(Sha256::digest(content).into())
    }

    /// The blob with this SHA-256.
    #[must_use]
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(format!("sha256:{}", hex::encode(digest)))
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it is in a store.
    pub(super) fn key(&self) -> Key {
        Key::from_iter(["sha256", &self.hex()[..2], self.hex()])
    }
}

impl FromStr for BlobId {
    type Err = BlobIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        text.strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(lower_hex))
            .map(|_| Self(text.to_owned()))
            .ok_or_else(|| BlobIdError(text.to_owned()))
    }
}

impl TryFrom<String> for BlobId {
    type Error = BlobIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BlobId> for String {
    fn from(id: BlobId) -> Self {
        id.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_is_a_name() {
        let digest = BlobId::of(b"x");
        assert_eq!(digest.as_str().parse::<BlobId>().unwrap(), digest);
        for wrong in ["", "sha256:", "sha512:00", &digest.hex().to_uppercase(), &format!("{digest}0")] {
            assert!(wrong.parse::<BlobId>().is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<BlobId>("\"sha256:../etc\"").is_err());
    }
}
