//! Where the values of names come from.

use std::borrow::Cow;

use serde_json::Value;
use shipway_events::{SecretRef, Timestamp};

/// Where the values of names come from.
pub trait Scope {
    /// The argument of that name.
    fn arg(&self, name: &str) -> Lookup<'_>;

    /// The outputs of the node of that name. A name that is `Missing` here is looked for among the triggers.
    fn reference(&self, reference: &str) -> Lookup<'_>;

    /// The values of the trigger of that name.
    fn trigger(&self, reference: &str) -> Lookup<'_>;

    /// What the secret of that id holds, every value a mark (see [`crate::secret`]): `{values: {KEY: …}}`.
    fn secret(&self, _id: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }

    /// The secret that `randomSecret` means at this place: made at first use, then kept. None where there is
    /// nobody to make one.
    fn random_secret(&self, _place: Place<'_>) -> Option<SecretRef> {
        None
    }

    /// The time of the plan, for `date`.
    fn now(&self) -> Option<Timestamp> {
        None
    }
}

/// Where in a document a `randomSecret` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Where the text stands.
    pub pointer: &'a str,
    /// How many others stand before it in the same text.
    pub ordinal: usize,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<'a> {
    /// This.
    Value(Cow<'a, Value>),
    /// Nothing of that name.
    Missing {
        /// The names that there are, for suggestions.
        known: Vec<String>,
    },
    /// A node that was skipped: it has no outputs.
    Skipped(String),
    /// A node that has not run: known later.
    Later,
}

impl<'a> Lookup<'a> {
    /// The value, if there is one, else the names that there are.
    #[must_use]
    pub fn from_option(value: Option<&'a Value>, known: impl FnOnce() -> Vec<String>) -> Self {
        value.map_or_else(|| Self::Missing { known: known() }, |value| Self::Value(Cow::Borrowed(value)))
    }
}
