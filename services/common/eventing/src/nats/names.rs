//! Every name on NATS: streams, subjects and headers. Nobody formats one by hand.
//!
//! Installations may share a server: each puts a token made from its log's id into its names, so that neither reads
//! nor writes what is another's. Processes without a database (executors) are told the log's id by those that have
//! one.
//!
//! | name | what |
//! |---|---|
//! | stream `SHIPWAY_EVENTS_<log>` | all events, on `shipway.ev.<log>.<kind>.<project>.<stream>` |
//! | stream `SHIPWAY_WORK_<log>` | the bell, in memory, on `shipway.work.<log>.<executor>` |
//! | core subject `shipway.wake.<log>` | the head of the log, after each commit |
//! | core subject `shipway.ctl.<log>.<executor>` | what an executor must hear at once: stop |
//! | core subject `shipway.log.<log>.<run>` | lines of a run's nodes while they are written |
//!
//! `<project>` is `-` where the stream's name does not tell it. A part that is not `[A-Za-z0-9-]` throughout, or is
//! longer than 64 characters, stands as `x` and the start of its SHA-256: no text can become a wildcard or a level.

use sha2::{Digest, Sha256};
use shipway_events::StreamName;

/// The message's place in the log.
pub const POSITION: &str = "Shipway-Position";
/// The position of the event before: a reader whose last one is another has missed something.
pub const PREVIOUS: &str = "Shipway-Prev";
/// The log's generation, which a restore raises.
pub const GENERATION: &str = "Shipway-Generation";
/// The hash of the log's chain at this event, in hex.
pub const HASH: &str = "Shipway-Hash";
/// The event's place in its stream.
pub const VERSION: &str = "Shipway-Version";
/// The schema number of the event's type.
pub const SCHEMA: &str = "Shipway-Schema";
/// The id of the command that made the event.
pub const COMMAND: &str = "Shipway-Command";
/// Who and why, as JSON.
pub const META: &str = "Shipway-Meta";
/// When, in microseconds since 1970.
pub const AT: &str = "Shipway-At";
/// What the message's data is if it is not the event's: `blob`, `erased` or `log`.
pub const DATA: &str = "Shipway-Data";

/// The CloudEvents attributes of a message in binary mode.
pub mod cloud {
    /// The version of CloudEvents.
    pub const SPEC_VERSION: &str = "ce-specversion";
    /// Unique for the source: the position, and the beginning of the event's hash, since after a restore another event
    /// may come to a position.
    pub const ID: &str = "ce-id";
    /// The log.
    pub const SOURCE: &str = "ce-source";
    /// The event's type.
    pub const TYPE: &str = "ce-type";
    /// The stream.
    pub const SUBJECT: &str = "ce-subject";
    /// When, as RFC 3339.
    pub const TIME: &str = "ce-time";
    /// The W3C trace context, as the distributed tracing extension names it.
    pub const TRACE: &str = "ce-traceparent";
    /// The same for libraries that look there.
    pub const PLAIN_TRACE: &str = "traceparent";
    /// What the data is.
    pub const CONTENT_TYPE: &str = "content-type";

    /// The value of [`ID`].
    #[must_use]
    pub fn id(position: u64, hash: &[u8]) -> String {
        format!("{position}-{}", hex::encode(hash.get(..8).unwrap_or(hash)))
    }
}

/// The longest part of a subject that stands as it is.
const LONGEST: usize = 64;

/// The names of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    log: String,
}

impl Names {
    /// The names of the installation whose log has this id.
    #[must_use]
    pub fn of(log_id: &str) -> Self {
        Self { log: short_hash(log_id, 6) }
    }

    /// The stream that all events are published to.
    #[must_use]
    pub fn events_stream(&self) -> String {
        format!("SHIPWAY_EVENTS_{}", self.log.to_ascii_uppercase())
    }

    /// The subjects of that stream.
    #[must_use]
    pub fn all_events(&self) -> String {
        format!("shipway.ev.{}.>", self.log)
    }

    /// The subjects of the events of one kind of stream.
    #[must_use]
    pub fn events_of(&self, kind: &str) -> String {
        format!("shipway.ev.{}.{}.>", self.log, token(kind))
    }

    /// The subject of one stream's events.
    #[must_use]
    pub fn event(&self, stream: &StreamName) -> String {
        let kind = stream.kind();
        let project = stream.id().filter(|_| kind == "project").unwrap_or("-");
        format!("shipway.ev.{}.{}.{}.{}", self.log, token(kind), token(project), token(stream.as_str()))
    }

    /// The stream of the bell.
    #[must_use]
    pub fn work_stream(&self) -> String {
        format!("SHIPWAY_WORK_{}", self.log.to_ascii_uppercase())
    }

    /// The subjects of that stream.
    #[must_use]
    pub fn all_work(&self) -> String {
        format!("shipway.work.{}.*", self.log)
    }

    /// The subject of an executor's bell.
    #[must_use]
    pub fn work(&self, executor: &str) -> String {
        format!("shipway.work.{}.{}", self.log, token(executor))
    }

    /// The subject that carries the head after each commit.
    #[must_use]
    pub fn wake(&self) -> String {
        format!("shipway.wake.{}", self.log)
    }

    /// The subject of what an executor must hear at once.
    #[must_use]
    pub fn control(&self, executor: &str) -> String {
        format!("shipway.ctl.{}.{}", self.log, token(executor))
    }

    /// The subject of a run's lines while they are written.
    #[must_use]
    pub fn lines(&self, run: &str) -> String {
        format!("shipway.log.{}.{}", self.log, token(run))
    }
}

/// The source of all events of a log, as CloudEvents wants it.
#[must_use]
pub fn source(log_id: &str) -> String {
    format!("/shipway/logs/{log_id}")
}

/// One part of a subject, whatever the text.
fn token(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !text.is_empty() && text.len() <= LONGEST && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("x{}", short_hash(text, 16))
}

fn short_hash(text: &str, bytes: usize) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_tells_kind_project_and_stream() {
        let names = Names::of("log");
        let subject = |name: &str| names.event(&StreamName::parse(name).unwrap());
        let log = &names.log;
        assert_eq!(subject("run-0190-7a"), format!("shipway.ev.{log}.run.-.run-0190-7a"));
        assert_eq!(subject("project-0190"), format!("shipway.ev.{log}.project.0190.project-0190"));
        assert_eq!(subject("org"), format!("shipway.ev.{log}.org.-.org"));
        assert!(subject("run-0190").starts_with(names.events_of("run").trim_end_matches('>')));
    }

    #[test]
    fn row_n_13_no_text_becomes_a_wildcard_a_level_or_a_server_subject() {
        let names = Names::of("log");
        let long = "n".repeat(300);
        let odd = [
            "",
            ".",
            "a.b",
            "*",
            ">",
            "a b",
            "a\tb",
            "$JS",
            "$JS.API.STREAM.DELETE.X",
            "é",
            "名前",
            "a\r\nPUB x 0",
            "a\0b",
            "_",
            &long,
        ];
        let mut subjects = std::collections::BTreeSet::new();
        for text in odd.iter().chain(&["plain-1"]) {
            for subject in [names.work(text), names.control(text), names.lines(text)] {
                let parts: Vec<&str> = subject.split('.').collect();
                assert_eq!(parts.len(), 4, "{subject}");
                assert!(parts[0] == "shipway" && parts[3].len() <= LONGEST, "{subject}");
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
                assert!(parts.iter().all(|part| !part.is_empty() && part.chars().all(plain)), "{subject}");
                assert!(subjects.insert(subject), "two texts share a subject");
            }
        }
        println!("ROW N-13 texts={} injections=0", odd.len());
    }

    #[test]
    fn installations_do_not_share_names() {
        let (one, other) = (Names::of("one"), Names::of("other"));
        assert_ne!(one.events_stream(), other.events_stream());
        assert_ne!(one.wake(), other.wake());
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        for name in [one.events_stream(), one.work_stream()] {
            assert!(name.len() <= 32 && name.chars().all(plain), "{name}");
        }
    }
}
