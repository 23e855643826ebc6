//! The envelope: what the log keeps around every event.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Actor, Cause, CommandId, Position, StreamName, Timestamp, Version};

/// How the names of notes begin, after the kind of their stream: `run.noted_…`.
const NOTE: &str = "noted_";

/// What an append says about all events of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Who asked.
    pub actor: Actor,
    /// What led to it.
    pub cause: Cause,
    /// The W3C `traceparent` of the request, so that a trace goes on where the event is handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Meta {
    /// Shipway itself, by the name of the part, because of an earlier event.
    #[must_use]
    pub fn reaction(part: &str, to: Position) -> Self {
        Self { actor: Actor::System(part.to_owned()), cause: Cause::Event(to), trace: None }
    }
}

/// An event about to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The type: `run.started`.
    pub kind: &'static str,
    /// The schema number of the type.
    pub schema: u16,
    /// The payload as JSON.
    pub data: String,
}

/// An event as the log holds it, whatever its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub version: Version,
    /// The type: `run.started`.
    pub kind: String,
    /// The schema number that it was written with.
    pub schema: u16,
    /// The payload as JSON.
    pub data: String,
    /// The command that made it.
    pub command: CommandId,
    /// Who and why.
    pub meta: Meta,
    /// When, by the log's clock; never falls from one position to the next.
    pub at: Timestamp,
}

impl RawEvent {
    /// Whether nothing is decided by events of this type, so that whoever does not know it may pass over it: the
    /// name says so, because a Shipway that is older than the type has nothing else to go by.
    #[must_use]
    pub fn is_note(&self) -> bool {
        self.kind.split_once('.').is_some_and(|(_, name)| name.starts_with(NOTE))
    }
}

/// An event of a known type, with its place and time.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<E> {
    /// Its place in the log; 0 while it is decided but not committed.
    pub position: Position,
    /// Its place in the stream.
    pub version: Version,
    /// When, by the log's clock.
    pub at: Timestamp,
    /// Who and why.
    pub meta: Meta,
    /// The command that made it.
    pub command: CommandId,
    /// What happened.
    pub event: E,
}

/// Why a stored event could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type is not known here, or its schema number is a newer one whose shape cannot be read here.
    #[error("`{kind}` (schema {schema}) was written by a newer Shipway; upgrade this one")]
    Unknown {
        /// The type.
        kind: String,
        /// The schema number.
        schema: u16,
    },
    /// The payload does not have the type's shape.
    #[error("the payload of `{kind}` (schema {schema}) does not have its shape")]
    Shape {
        /// The type.
        kind: String,
        /// The schema number.
        schema: u16,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

/// The events of one kind of stream.
pub trait StreamEvent: Sized {
    /// The type's name: `run.started`.
    fn kind(&self) -> &'static str;

    /// The type's newest schema number.
    fn schema(&self) -> u16;

    /// The event as it is appended.
    fn encode(&self) -> NewEvent;

    /// Reads a stored payload, upcast from the schema it was written with. What a newer schema adds is left out.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for what only a newer Shipway can read, [`DecodeError::Shape`] for damage.
    fn decode(kind: &str, schema: u16, data: &str) -> Result<Self, DecodeError>;

    /// Reads a stored event with its envelope.
    ///
    /// # Errors
    /// As [`StreamEvent::decode`].
    fn from_raw(raw: &RawEvent) -> Result<Recorded<Self>, DecodeError> {
        Ok(Recorded {
            position: raw.position,
            version: raw.version,
            at: raw.at,
            meta: raw.meta.clone(),
            command: raw.command,
            event: Self::decode(&raw.kind, raw.schema, &raw.data)?,
        })
    }

    /// Reads a stored event for whoever takes the stream's events one after another; none for a note of a newer
    /// Shipway (see [`RawEvent::is_note`]), which is passed over.
    ///
    /// # Errors
    /// As [`StreamEvent::decode`]: whoever decides by the stream stops there, because what it does not know may
    /// change everything.
    fn read(raw: &RawEvent) -> Result<Option<Recorded<Self>>, DecodeError> {
        match Self::from_raw(raw) {
            Err(DecodeError::Unknown { .. }) if raw.is_note() => Ok(None),
            known => known.map(Some),
        }
    }
}

/// Turns a payload of schema `from` into the next one's shape; the identity while a type has one schema.
pub(crate) type Upcast = fn(kind: &str, from: u16, data: Value) -> Value;
