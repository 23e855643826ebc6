//! Making streams, and making sure that they are what was asked for: an old server ignores what it does not know, and
//! a stream of the name may have been there before.

use std::{fmt::Debug, time::Duration};

use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, push},
    context::{CreateStreamError, GetStreamErrorKind},
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream},
};

use super::{Names, Nats};

/// The largest message on the stream of events: data of 256 KiB and what stands around it.
pub const MAX_MESSAGE: usize = 512 * 1024;

/// How long a starting service waits for NATS to be there.
const MOMENT: Duration = Duration::from_secs(2);

/// What an operator may choose about the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// On how many servers the events are kept: 1 or 3.
    pub replicas: usize,
    /// How many bytes of events are kept at most.
    pub max_bytes: i64,
    /// How long events are kept.
    pub max_age: Duration,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self { replicas: 1, max_bytes: 2 << 30, max_age: Duration::from_secs(72 * 3600) }
    }
}

/// Why a stream or consumer on NATS cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetUpError {
    /// It is not what it must be. Waiting does not mend that.
    #[error("{what} on NATS has {field} = {found} where Shipway needs {wanted}; change or delete it")]
    Differs {
        /// The stream or consumer.
        what: String,
        /// The setting.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// The server does not take it.
    #[error("{what} could not be made on NATS")]
    Refused {
        /// The stream or consumer.
        what: String,
        /// Why.
        #[source]
        source: async_nats::Error,
    },
    /// The server did not answer; it may later.
    #[error("NATS did not answer while {what} was looked at")]
    Away {
        /// The stream or consumer.
        what: String,
        /// Why.
        #[source]
        source: async_nats::Error,
    },
}

impl SetUpError {
    /// Whether only an operator can mend it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Differs { .. })
    }
}

/// Checks that the streams are or can be made what they must be. If NATS is not there within a moment, nothing is
/// checked: the relay will find it out.
///
/// # Errors
/// See [`SetUpError`]; a service refuses to start with one that [is final](SetUpError::is_final).
pub async fn check(nats: &Nats, names: &Names, settings: StreamSettings) -> Result<(), SetUpError> {
    if tokio::time::timeout(MOMENT, nats.connected()).await.is_ok() {
        ensure(nats, events(names, settings)).await?;
        ensure(nats, work(names)).await?;
    }
    Ok(())
}

/// The stream of all events.
pub(super) fn events(names: &Names, settings: StreamSettings) -> Config {
    Config {
        name: names.events_stream(),
        subjects: vec![names.all_events()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_age: settings.max_age,
        max_bytes: settings.max_bytes,
        max_message_size: i32::try_from(MAX_MESSAGE).unwrap_or(i32::MAX),
        duplicate_window: Duration::from_secs(120),
        num_replicas: settings.replicas,
        deny_purge: true,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        ..Config::default()
    }
}

/// The stream of the bell: what nobody hears within a minute, beats have handed over long since.
pub(super) fn work(names: &Names) -> Config {
    let minute = Duration::from_secs(60);
    Config {
        name: names.work_stream(),
        subjects: vec![names.all_work()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::Memory,
        discard: DiscardPolicy::Old,
        max_age: minute,
        max_bytes: 64 << 20,
        max_message_size: 1 << 20,
        duplicate_window: minute,
        num_replicas: 1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        ..Config::default()
    }
}

/// The stream, made if it is missing; also whether it was.
pub(super) async fn ensure(nats: &Nats, wanted: Config) -> Result<(Stream, bool), SetUpError> {
    let what = format!("the stream {}", wanted.name);
    let jetstream = nats.jetstream();
    let (stream, made) = match jetstream.get_stream(&wanted.name).await {
        Ok(stream) => (stream, false),
        Err(error) if is_missing(&error.kind()) => match jetstream.create_stream(&wanted).await {
            Ok(stream) => {
                tracing::info!(stream = wanted.name, "made a stream on NATS");
                (stream, true)
            }
            Err(error) => return Err(not_made(what, error)),
        },
        Err(error) => return Err(SetUpError::Away { what, source: error.into() }),
    };
    compare(&what, &stream.cached_info().config, &wanted)?;
    Ok((stream, made))
}

pub(super) fn is_missing(kind: &GetStreamErrorKind) -> bool {
    use async_nats::jetstream::ErrorCode;
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn not_made(what: String, error: CreateStreamError) -> SetUpError {
    use async_nats::jetstream::context::CreateStreamErrorKind as Kind;
    match error.kind() {
        Kind::TimedOut | Kind::Response | Kind::JetStreamUnavailable => {
            SetUpError::Away { what, source: error.into() }
        }
        _ => SetUpError::Refused { what, source: error.into() },
    }
}

fn compare(what: &str, found: &Config, wanted: &Config) -> Result<(), SetUpError> {
    same(what, "subjects", &found.subjects, &wanted.subjects)?;
    same(what, "retention", &found.retention, &wanted.retention)?;
    same(what, "storage", &found.storage, &wanted.storage)?;
    same(what, "discard", &found.discard, &wanted.discard)?;
    same(what, "max_age", &found.max_age, &wanted.max_age)?;
    same(what, "max_bytes", &found.max_bytes, &wanted.max_bytes)?;
    same(what, "max_msg_size", &found.max_message_size, &wanted.max_message_size)?;
    same(what, "max_msgs", &found.max_messages, &wanted.max_messages)?;
    same(what, "max_msgs_per_subject", &found.max_messages_per_subject, &wanted.max_messages_per_subject)?;
    same(what, "max_consumers", &found.max_consumers, &wanted.max_consumers)?;
    same(what, "duplicate_window", &found.duplicate_window, &wanted.duplicate_window)?;
    same(what, "num_replicas", &found.num_replicas, &wanted.num_replicas)?;
    same(what, "deny_purge", &found.deny_purge, &wanted.deny_purge)?;
    same(what, "no_ack", &found.no_ack, &wanted.no_ack)?;
    same(what, "sealed", &found.sealed, &wanted.sealed)?;
    same(what, "allow_rollup_hdrs", &found.allow_rollup, &wanted.allow_rollup)?;
    same(what, "mirror", &found.mirror.is_some(), &wanted.mirror.is_some())?;
    let sources = |config: &Config| config.sources.as_ref().map_or(0, Vec::len);
    same(what, "sources", &sources(found), &sources(wanted))
}

fn same<T: PartialEq + Debug>(
    what: &str,
    field: &'static str,
    found: &T,
    wanted: &T,
) -> Result<(), SetUpError> {
    if found == wanted {
        return Ok(());
    }
    Err(SetUpError::Differs {
        what: what.to_owned(),
        field,
        found: format!("{found:?}"),
        wanted: format!("{wanted:?}"),
    })
}

/// How often a consumer says that it is there; after two it did not say, it is made anew.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Messages of a stream from now on, in order, kept by nobody: an ephemeral consumer that acks nothing.
pub(super) async fn listen(nats: &Nats, stream: &str, subject: &str) -> Result<push::Messages, SetUpError> {
    let what = format!("a consumer of the stream {stream}");
    let wanted = push::Config {
        deliver_subject: nats.client().new_inbox(),
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::None,
        filter_subject: subject.to_owned(),
        flow_control: true,
        idle_heartbeat: HEARTBEAT,
        memory_storage: true,
        num_replicas: 1,
        max_deliver: 1,
        ..push::Config::default()
    };
    let made = nats.jetstream().create_consumer_on_stream(wanted.clone(), stream).await;
    let consumer = made.map_err(|error| SetUpError::Away { what: what.clone(), source: error.into() })?;
    let found = &consumer.cached_info().config;
    same(&what, "filter_subject", &found.filter_subject, &wanted.filter_subject)?;
    same(&what, "deliver_policy", &found.deliver_policy, &wanted.deliver_policy)?;
    same(&what, "ack_policy", &found.ack_policy, &wanted.ack_policy)?;
    same(&what, "flow_control", &found.flow_control, &wanted.flow_control)?;
    same(&what, "idle_heartbeat", &found.idle_heartbeat, &wanted.idle_heartbeat)?;
    same(&what, "deliver_subject", &found.deliver_subject, &Some(wanted.deliver_subject))?;
    consumer.messages().await.map_err(|error| SetUpError::Away { what, source: error.into() })
}
