//! What has happened: typed ids, the envelope and one event enum per stream.
//!
//! Events are past tense. Each type carries a schema number; what was stored with an older number is
//! upcast when it is read ([`StreamEvent::decode`]), and one golden file per type and number in
//! `tests/golden/` keeps every shape readable for ever.
//!
//! Two versions of Shipway may run side by side, so the older one reads what the newer one writes, too:
//!
//! * A newer schema only adds fields, and only such as may be left out: the older Shipway does. What has to be known
//!   is another type.
//! * A type whose name begins with `noted_` decides nothing: whoever does not know it passes over it.
//! * At any other unknown type whoever decides by the stream stops, loses nothing, and says so. A release that writes
//!   such a type follows one that reads it.
//!
//! The feature `next-schema` makes of this Shipway the next one, for the tests of that: see `next.rs`.
//!
//! This crate is pure: no clock, no chance, no input or output.

#[macro_use]
mod macros;

mod actor;
pub mod delivery;
mod effect;
mod envelope;
mod fence;
mod freeze;
mod hold;
mod ids;
pub mod lane;
pub mod lock;
#[cfg(feature = "next-schema")]
mod next;
pub mod org;
mod origin;
pub mod place;
pub mod plan;
pub mod policy;
pub mod project;
mod resumed;
mod rollback;
pub mod roster;
pub mod run;
pub mod schedule;
mod secret;
mod status;
mod stream;
mod time;
mod words;

pub use actor::{Actor, Cause};
pub use envelope::{DecodeError, Meta, NewEvent, RawEvent, Recorded, StreamEvent};
pub use fence::Fence;
pub use ids::{
    AccountId, CommandId, DeliveryId, ExecutorId, FlowId, FreezeId, HoldId, HookId, PipelineId, ProjectId,
    RegistrationId, ResourceId, RunId, TokenId,
};
pub use roster::{Asker, Roster};
pub use secret::SecretRef;
pub use status::{ConcurrencyPolicy, EffectClass, NodeStatus, RunStatus};
pub use stream::{StreamName, StreamNameError};
pub use time::{Timestamp, TimestampError};

/// A position in the log: 1 for the first event, without gaps, in commit order.
pub type Position = u64;

/// The place of an event in its own stream: 1 for the first.
pub type Version = u64;
