//! The list of senders: one file each. The sender follows from the hook's address, never from a header.

mod github;

use super::push::Delivered;

/// A kind of sender: where its facts stand in a request, and how its body is read.
#[derive(Debug)]
pub struct Source {
    /// The name in the hook's address: `/hooks/github/…`.
    pub name: &'static str,
    /// The header that names the event.
    pub event_header: &'static str,
    /// The header with the delivery's id, the same when it is delivered again.
    pub delivery_header: &'static str,
    /// The header with the signature `sha256=<hex>` over the raw body.
    pub signature_header: &'static str,
    /// Reads a verified body.
    pub read: fn(event: &str, body: &[u8]) -> Result<Delivered, Unreadable>,
}

/// Every sender.
pub const SOURCES: &[&Source] = &[&github::SOURCE];

/// The sender of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Source> {
    SOURCES.iter().copied().find(|source| source.name == name)
}

/// A body that is not what its event promises.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It has not the shape of that event.
    #[error("the body is not the JSON of a `{event}` event: {detail}")]
    Shape {
        /// The event, as the header names it.
        event: String,
        /// Where and what.
        detail: String,
    },
    /// It has the shape, but a field holds what it cannot.
    #[error("field `{field}` of the body is not {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}
