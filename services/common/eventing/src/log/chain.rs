//! A stored row and the hash that chains it to the one before.

use sha2::{Digest, Sha256};
use shipway_events::{CommandId, Meta, Position, RawEvent, StreamName, Timestamp, Version};

use super::ReadError;

/// The hash "before" the first event.
pub const GENESIS: [u8; 32] = [0; 32];

/// How a row holds its event's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The data itself.
    Inline,
    /// The data's digest, in hex; the data is the blob of that digest.
    Blob,
    /// The data's digest, in hex; the data was erased by a retention rule.
    Erased,
}

impl Form {
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Inline => 0,
            Self::Blob => 1,
            Self::Erased => 2,
        }
    }

    pub(crate) const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Inline),
            1 => Some(Self::Blob),
            2 => Some(Self::Erased),
            _ => None,
        }
    }
}

/// A row of the log as it is stored. Unchecked: every field may have been tampered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the log.
    pub position: Position,
    /// Its stream's number; events name streams by number.
    pub stream: i64,
    /// Its stream's name; empty if there is no stream of that number.
    pub name: String,
    /// Its place in the stream.
    pub version: Version,
    /// The event's type.
    pub kind: String,
    /// The schema number of the type.
    pub schema: i64,
    /// What `data` is.
    pub form: i64,
    /// The data, or its digest in hex.
    pub data: String,
    /// The command's id.
    pub command: Vec<u8>,
    /// On the first event of a command: how many it has.
    pub items: Option<i64>,
    /// The metadata as JSON.
    pub meta: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// The hash over this row and the one before.
    pub hash: Vec<u8>,
}

impl Stored {
    /// The SHA-256 of the event's data; none if the row does not hold one.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        match Form::from_number(self.form)? {
            Form::Inline => Some(digest(&self.data)),
            Form::Blob | Form::Erased => {
                let mut digest = [0; 32];
                hex::decode_to_slice(&self.data, &mut digest).ok()?;
                Some(digest)
            }
        }
    }

    /// The hash that this row must have after the row with the hash `before`; none if it holds no digest.
    #[must_use]
    pub fn link(&self, before: &[u8]) -> Option<[u8; 32]> {
        Some(
            Link {
                digest: self.digest()?,
                position: self.position,
                version: self.version,
                at: self.at,
                schema: self.schema,
                command: &self.command,
                stream: &self.name,
                kind: &self.kind,
                meta: &self.meta,
            }
            .after(before),
        )
    }

    /// The event, if its data is in the row.
    pub(crate) fn into_event(self) -> Result<RawEvent, ReadError> {
        let position = self.position;
        let damaged = |what: &str| ReadError::Damaged { position, what: what.to_owned() };
        Ok(RawEvent {
            position,
            stream: StreamName::parse(&self.name).map_err(|_| damaged("its stream has no valid name"))?,
            version: self.version,
            kind: self.kind,
            schema: u16::try_from(self.schema).map_err(|_| damaged("its schema number is out of range"))?,
            data: self.data,
            command: command_id(&self.command).ok_or_else(|| damaged("its command id is no UUID"))?,
            meta: serde_json::from_str::<Meta>(&self.meta)
                .map_err(|error| damaged(&format!("its metadata cannot be read ({error})")))?,
            at: Timestamp::from_micros(self.at),
        })
    }
}

pub(crate) fn digest(data: &str) -> [u8; 32] {
    Sha256::digest(data.as_bytes()).into()
}

pub(crate) fn command_id(bytes: &[u8]) -> Option<CommandId> {
    uuid::Uuid::from_slice(bytes).ok().map(CommandId::new)
}

/// What a hash covers besides the hash before. The function `append` of the PostgreSQL log does the same in
/// SQL; the contract suite runs `verify` over both.
pub(crate) struct Link<'a> {
    pub digest: [u8; 32],
    pub position: Position,
    pub version: Version,
    pub at: i64,
    pub schema: i64,
    pub command: &'a [u8],
    pub stream: &'a str,
    pub kind: &'a str,
    pub meta: &'a str,
}

impl Link<'_> {
    /// Fields of fixed size first, then texts that cannot contain the NUL between them.
    pub(super) fn after(&self, before: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(self.digest);
        hash.update(self.position.to_be_bytes());
        hash.update(self.version.to_be_bytes());
        hash.update(self.at.to_be_bytes());
        hash.update(self.schema.to_be_bytes());
        hash.update(self.command);
        hash.update(self.stream.as_bytes());
        hash.update([0]);
        hash.update(self.kind.as_bytes());
        hash.update([0]);
        hash.update(self.meta.as_bytes());
        hash.finalize().into()
    }
}
