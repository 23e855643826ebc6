//! NATS: how several processes learn of events at once. It owns nothing.
//!
//! ```text
//!  append ──► commit ──► wake (core: the head) ──► relay (one, by lease) ──► stream of events ──► every process
//!               │                                    │ reads rows after its position                │ `follow`
//!               ▼                                    ▼                                              ▼
//!              log ◄─── a gap, 200 ms without what a wake told, a look each second ──────────── feed's newest events
//! ```
//!
//! Lost, wiped, rolled back, reordered or absent, nothing is lost: consumers' positions are in the database, each
//! message proves by the log's own hashes that it is what the log holds at that position, and whatever is missing or
//! wrong is read from the log.
//!
//! * [`Nats`]: the connection. [`names`]: every stream, subject and header.
//! * [`Relay`]: publishes the log by position. [`Feed::over_nats`](crate::Feed::over_nats): hears it.
//! * [`BellRinger`], [`BellReceiver`]: tell an executor of work.
//!
//! # For other programs
//! The messages are CloudEvents in binary mode. Keep the `Shipway-Position` of the last one that was handled. A message
//! with a position up to that is a repetition. One whose `Shipway-Prev` is not that position comes after a gap: read
//! what is missing with `ReadEvents` (`shipway.v1.Events`), then go on. A higher `Shipway-Generation` than before says
//! that Shipway was restored from a backup: what follows the restored position then was never so, and is read anew.
//! `examples/consume.rs` does all of this.

mod bell;
mod connection;
mod follow;
mod message;
pub mod names;
mod relay;
mod streams;
mod wake;

pub use bell::{BellReceiver, BellRinger, Heard};
pub use connection::{Link, Nats, NatsError, NatsOptions};
pub use names::Names;
pub(crate) use relay::TABLES as RELAY_TABLES;
pub use relay::{Relay, RelayStatus};
pub use streams::{MAX_MESSAGE, SetUpError, StreamSettings, check};

pub(crate) use follow::Following;
