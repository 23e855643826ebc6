//! An event as a message: CloudEvents in binary mode for other programs, and what the log's row has besides, so that a
//! reader can prove that the message is what the log holds.

use async_nats::{HeaderMap, header};
use bytes::Bytes;
use shipway_events::{Meta, Position, StreamName, Timestamp};

use super::names::{self, Names, cloud};
use crate::log::{Form, Log, Stored};

/// The data of an event that is not in its message.
const NO_DATA: &str = "{}";

/// What the headers and the subject of a message may take of the largest message.
const AROUND: usize = 16 * 1024;

/// The log that messages are of.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub names: Names,
    pub log_id: String,
    pub generation: u32,
}

/// A message to publish.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub subject: String,
    pub headers: HeaderMap,
    pub data: Bytes,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Incoming {
    pub row: Stored,
    pub previous: Position,
    pub generation: u32,
    /// Whether `row.data` is the event's data; else the log has it.
    pub whole: bool,
}

/// What the data of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// The event's.
    Whole,
    /// The digest of the blob that holds it: it is over 256 KiB.
    Blob,
    /// The digest of what a retention rule has erased.
    Erased,
    /// Nothing: it is larger than the server's largest message, and in the log.
    InLog,
}

impl Data {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Blob => Some("blob"),
            Self::Erased => Some("erased"),
            Self::InLog => Some("log"),
        }
    }

    fn of(row: &Stored, largest: usize) -> Self {
        match Form::from_number(row.form) {
            Some(Form::Blob) => Self::Blob,
            Some(Form::Erased) => Self::Erased,
            Some(Form::Inline) if row.data.len() <= largest.saturating_sub(AROUND) => Self::Whole,
            Some(Form::Inline) | None => Self::InLog,
        }
    }
}

impl Origin {
    pub(super) fn of(log: &dyn Log) -> Self {
        Self { names: Names::of(log.id()), log_id: log.id().to_owned(), generation: log.generation() }
    }

    /// The message of a row. `message_id` makes the server drop a repetition; `largest` is its largest message.
    pub(super) fn message(&self, row: Stored, message_id: &str, largest: usize) -> Outgoing {
        let data = Data::of(&row, largest);
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, message_id);
        headers.insert(names::POSITION, row.position.to_string());
        headers.insert(names::PREVIOUS, row.position.saturating_sub(1).to_string());
        headers.insert(names::GENERATION, self.generation.to_string());
        headers.insert(names::HASH, hex::encode(&row.hash));
        headers.insert(names::VERSION, row.version.to_string());
        headers.insert(names::SCHEMA, row.schema.to_string());
        headers.insert(names::COMMAND, hex::encode(&row.command));
        headers.insert(names::META, one_line(&row.meta));
        headers.insert(names::AT, row.at.to_string());
        headers.insert(cloud::SPEC_VERSION, "1.0");
        headers.insert(cloud::ID, cloud::id(row.position, &row.hash));
        headers.insert(cloud::SOURCE, names::source(&self.log_id));
        headers.insert(cloud::TYPE, one_line(&row.kind));
        headers.insert(cloud::SUBJECT, one_line(&row.name));
        headers.insert(cloud::TIME, Timestamp::from_micros(row.at).to_string());
        headers.insert(cloud::CONTENT_TYPE, "application/json");
        if let Some(trace) = serde_json::from_str::<Meta>(&row.meta).ok().and_then(|meta| meta.trace) {
            headers.insert(cloud::TRACE, one_line(&trace));
            headers.insert(cloud::PLAIN_TRACE, one_line(&trace));
        }
        if let Some(name) = data.name() {
            headers.insert(names::DATA, name);
        }
        let subject = match StreamName::parse(&row.name) {
            Ok(stream) => self.names.event(&stream),
            // A damaged row. It goes where nobody listens to one kind, and is no reason to stand still.
            Err(_) => self.names.all_events().replace('>', "-.-.-"),
        };
        let data = match data {
            Data::Whole => Bytes::from(row.data),
            Data::Blob | Data::Erased => Bytes::from(serde_json::json!({ "sha256": row.data }).to_string()),
            Data::InLog => Bytes::from_static(NO_DATA.as_bytes()),
        };
        Outgoing { subject, headers, data }
    }

    /// Reads a message; none if it is not one of this log's events.
    pub(super) fn read(&self, headers: Option<&HeaderMap>, payload: &[u8]) -> Option<Incoming> {
        let headers = headers?;
        let text = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
        if text(cloud::SOURCE)? != names::source(&self.log_id) {
            return None;
        }
        let data = std::str::from_utf8(payload).ok()?;
        let (form, data, whole) = match text(names::DATA) {
            None => (Form::Inline, data.to_owned(), true),
            Some("blob") => (Form::Blob, digest(data)?, false),
            Some("erased") => (Form::Erased, digest(data)?, false),
            Some(_) => (Form::Inline, String::new(), false),
        };
        let row = Stored {
            position: text(names::POSITION)?.parse().ok()?,
            stream: 0,
            name: text(cloud::SUBJECT)?.to_owned(),
            version: text(names::VERSION)?.parse().ok()?,
            kind: text(cloud::TYPE)?.to_owned(),
            schema: text(names::SCHEMA)?.parse().ok()?,
            form: form.number(),
            data,
            command: hex::decode(text(names::COMMAND)?).ok()?,
            items: None,
            meta: text(names::META)?.to_owned(),
            at: text(names::AT)?.parse().ok()?,
            hash: hex::decode(text(names::HASH)?).ok()?,
        };
        let previous = text(names::PREVIOUS)?.parse().ok()?;
        let generation = text(names::GENERATION)?.parse().ok()?;
        Some(Incoming { row, previous, generation, whole })
    }
}

impl Incoming {
    /// Whether the log's chain goes on with this message after an event with this hash: then it is, in every part,
    /// what the log holds. A message without data or digest cannot be judged.
    pub(super) fn follows(&self, hash: &[u8]) -> bool {
        self.row.link(hash).is_some_and(|link| link[..] == self.row.hash[..])
    }
}

fn digest(data: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Reference {
        sha256: String,
    }
    serde_json::from_str::<Reference>(data).ok().map(|reference| reference.sha256)
}

/// A header's value ends with its line. What the log holds has no line breaks; a damaged row may.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{GENESIS, MAX_INLINE};

    fn origin() -> Origin {
        Origin { names: Names::of("log-1"), log_id: "log-1".into(), generation: 2 }
    }

    fn row(data: &str) -> Stored {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut row = Stored {
            position: 1,
            stream: 9,
            name: "run-7".into(),
            version: 4,
            kind: "run.started".into(),
            schema: 2,
            form: 0,
            data: data.into(),
            command: vec![7; 16],
            items: Some(1),
            meta: format!(r#"{{"actor":{{"person":"Žofie"}},"cause":"request","trace":"{trace}"}}"#),
            at: 1_700_000_000_123_456,
            hash: Vec::new(),
        };
        row.hash = row.link(&GENESIS).unwrap().to_vec();
        row
    }

    #[test]
    fn what_comes_is_what_went() {
        let sent = row(r#"{"é":1}"#);
        let message = origin().message(sent.clone(), "id", 1 << 20);
        assert_eq!(message.subject, origin().names.event(&StreamName::parse("run-7").unwrap()));
        let header = |name: &str| message.headers.get(name).unwrap().as_str();
        assert_eq!(header("ce-specversion"), "1.0");
        assert_eq!(header("ce-source"), "/shipway/logs/log-1");
        assert_eq!((header("ce-type"), header("ce-subject")), ("run.started", "run-7"));
        assert_eq!(header("ce-time"), "2023-11-14T22:13:20.123456Z");
        assert_eq!(header("Nats-Msg-Id"), "id");
        let came = origin().read(Some(&message.headers), &message.data).unwrap();
        assert!(came.whole && came.follows(&GENESIS));
        assert_eq!((came.previous, came.generation), (0, 2));
        assert_eq!(came.row, Stored { stream: 0, items: None, ..sent });
    }

    #[test]
    fn an_event_has_one_id_and_another_at_its_position_has_another() {
        let id = |data: &str, generation: u32| {
            let origin = Origin { generation, ..origin() };
            origin.message(row(data), "id", 1 << 20).headers.get("ce-id").unwrap().as_str().to_owned()
        };
        assert!(id("{}", 2).starts_with("1-"), "{}", id("{}", 2));
        assert_eq!(id("{}", 2), id("{}", 3), "published again after a restore it is still that event");
        assert_ne!(id("{}", 2), id(r#"{"a":1}"#, 3), "what came there after a restore is another");
    }

    #[test]
    fn a_changed_message_does_not_follow() {
        let message = origin().message(row(r#"{"a":1}"#), "id", 1 << 20);
        let read = |headers: &HeaderMap, data: &[u8]| origin().read(Some(headers), data);
        assert!(!read(&message.headers, br#"{"a":2}"#).unwrap().follows(&GENESIS));
        assert!(!read(&message.headers, &message.data).unwrap().follows(&[1; 32]));
        for (name, value) in [("Shipway-Position", "2"), ("ce-type", "run.ended"), ("Shipway-Version", "5")] {
            let mut headers = message.headers.clone();
            headers.insert(name, value);
            assert!(!read(&headers, &message.data).unwrap().follows(&GENESIS), "{name}");
        }
        let mut foreign = message.headers.clone();
        foreign.insert("ce-source", "/shipway/logs/other");
        assert!(read(&foreign, &message.data).is_none());
        assert!(origin().read(None, &message.data).is_none());
    }

    #[test]
    fn what_is_too_large_is_named_and_not_carried() {
        let inline = row(&format!("\"{}\"", "x".repeat(MAX_INLINE - 2)));
        let message = origin().message(inline.clone(), "id", super::super::MAX_MESSAGE);
        assert_eq!(message.data.len(), MAX_INLINE, "256 KiB go as they are");
        let small = origin().message(inline, "id", 64 * 1024);
        assert_eq!(small.headers.get("Shipway-Data").unwrap().as_str(), "log");
        assert!(!origin().read(Some(&small.headers), &small.data).unwrap().whole);

        let mut blob = row(&"ab".repeat(32));
        blob.form = Form::Blob.number();
        blob.hash = blob.link(&GENESIS).unwrap().to_vec();
        let message = origin().message(blob, "id", 1 << 20);
        assert_eq!(&message.data[..], format!(r#"{{"sha256":"{}"}}"#, "ab".repeat(32)).as_bytes());
        let came = origin().read(Some(&message.headers), &message.data).unwrap();
        assert!(!came.whole && came.follows(&GENESIS));
    }
}
