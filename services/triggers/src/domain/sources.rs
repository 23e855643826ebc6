//! The list of senders: one file each. The sender follows from what the hook is for, never from a header.

mod azure;
mod bitbucket;
mod bitbucket_dc;
mod body;
mod forgejo;
mod gitea;
mod github;
mod gitlab;
mod look_alike;

use axum::http::HeaderMap;
use serde_json::Value;

use super::push::Delivered;
use crate::signature::{Scheme, single};

/// A kind of sender: where its facts stand in a request, and how its body is read.
#[derive(Debug)]
pub struct Source {
    /// The name in the hook's address: `/hooks/github/…`.
    pub name: &'static str,
    /// The name that people know.
    pub title: &'static str,
    /// How it shows that it knows the hook's secret.
    pub scheme: Scheme,
    /// Where the event's name stands.
    pub event: Place,
    /// Where an id of the delivery stands that is the same when it is delivered again: the first that is there.
    pub keys: &'static [Place],
    /// Reads a verified body.
    pub read: fn(event: &str, body: &[u8]) -> Result<Delivered, Unreadable>,
}

/// Where a fact stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a header.
    Header(&'static str),
    /// In a header that several deliveries share, together with the body.
    HeaderAndBody(&'static str),
    /// In a field of the body.
    Field(&'static str),
}

/// Every sender.
pub const SOURCES: &[&Source] = &[
    &github::SOURCE,
    &gitlab::SOURCE,
    &gitea::SOURCE,
    &forgejo::SOURCE,
    &bitbucket::SOURCE,
    &bitbucket_dc::SOURCE,
    &azure::SOURCE,
];

/// The sender of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Source> {
    SOURCES.iter().copied().find(|source| source.name == name)
}

impl Source {
    /// The event's name, as the sender says it in a header, which `header` looks up, or in the body; none if it does
    /// not.
    #[must_use]
    pub fn event<'h>(&self, header: impl FnOnce(&str) -> Option<&'h str>, body: &[u8]) -> Option<String> {
        let name = match self.event {
            Place::Header(name) | Place::HeaderAndBody(name) => header(name)?.to_owned(),
            Place::Field(name) => match body::field(body, name)? {
                Value::String(text) => text,
                _ => return None,
            },
        };
        Some(name).filter(|name| is_text(name))
    }

    /// The sender's own id of the delivery.
    ///
    /// # Errors
    /// The name of a header or field that is there, and is no text that can be an id.
    pub fn key(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<String>, &'static str> {
        for place in self.keys {
            if let Some(key) = place.look(headers, body)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

impl Place {
    /// The longest text that is taken.
    pub const LONGEST: usize = 200;

    fn look(self, headers: &HeaderMap, body: &[u8]) -> Result<Option<String>, &'static str> {
        match self {
            Self::Header(name) | Self::HeaderAndBody(name) if headers.contains_key(name) => {
                let text = single(headers, name).and_then(|value| std::str::from_utf8(value).ok());
                let text = text.filter(|text| is_text(text)).ok_or(name)?;
                Ok(Some(match self {
                    Self::HeaderAndBody(_) => format!("{text}/{}", body::digest(body)),
                    _ => text.to_owned(),
                }))
            }
            Self::Header(_) | Self::HeaderAndBody(_) => Ok(None),
            // What cannot be read has no field; reading it says why.
            Self::Field(name) => match body::field(body, name) {
                Some(Value::String(text)) if is_text(&text) => Ok(Some(text)),
                Some(_) => Err(name),
                None => Ok(None),
            },
        }
    }
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= Place::LONGEST
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) | Self::HeaderAndBody(name) => write!(f, "header `{name}`"),
            Self::Field(name) => write!(f, "field `{name}`"),
        }
    }
}

/// A body that is not what its event promises.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has not the shape of that event.
    #[error("the body is not the JSON of a `{event}` event: {detail}")]
    Shape {
        /// The event, as its sender names it.
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
