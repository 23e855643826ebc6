//! Names of secrets. Values are never in this crate.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A secret by name and version, as events, plans and messages hold it: `addon/shop-db/password@3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// The path in the project: `override/<flow>/<argument>`, `addon/<id>/<key>`, `group/<id>/<key>`, `hook/<id>`.
    pub name: String,
    /// Which value of it, 1 for the first.
    pub version: u32,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A text that names no secret with its version.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a secret's name with its version, like `addon/shop-db/password@3`")]
pub struct SecretRefError(String);

impl FromStr for SecretRef {
    type Err = SecretRefError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.rsplit_once('@')
            .and_then(|(name, version)| Some(Self { name: name.to_owned(), version: version.parse().ok()? }))
            .filter(|secret| !secret.name.is_empty())
            .ok_or_else(|| SecretRefError(text.to_owned()))
    }
}

impl Serialize for SecretRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
