//! The stream `policy-<project>`: what holds the project's runs, whatever their flows say. Written by the scheduler.

mod holds;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::holds::{Before, Held, Line, MarkedBad, Predicate, Released, Subject, Unmarked};
use crate::{FreezeId, Timestamp};

stream_events! {
    /// What happens to a project's policies.
    pub enum Event, upcast upcast {
        /// Somebody froze a part of the project.
        Froze = "policy.froze", 1;
        /// A freeze was taken away.
        Lifted = "policy.lifted", 1;
        /// Some artifacts are held back from a part of the project.
        Held = "policy.held", 1;
        /// A hold was taken away.
        Released = "policy.released", 1;
        /// Some artifacts go no further: somebody has found them bad.
        MarkedBad = "policy.marked_bad", 1;
        /// What was marked bad is not any more.
        Unmarked = "policy.unmarked", 1;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::Froze`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Froze {
    /// The freeze.
    pub freeze: FreezeId,
    /// What people call it: one that is in force or will be has a name of its own in the project.
    pub name: String,
    /// What it is about.
    pub scope: Scope,
    /// When it is in force.
    pub window: Window,
    /// Runs that go on begin nothing more either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stops_all: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a freeze or a hold is about: a whole project, a pipeline of it, or a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The project by the name people use.
    pub project: String,
    /// A pipeline of it, by its slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// A stage of that, by its slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// When a freeze is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Window {
    /// Once.
    Once {
        /// From here.
        from: Timestamp,
        /// Up to here; until it is lifted if there is no end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Again and again: each time that a schedule is due, for some time.
    #[serde(rename_all = "camelCase")]
    Calendar {
        /// When it begins: the five fields.
        cron: String,
        /// The time zone's name in the IANA database.
        timezone: String,
        /// How long it lasts, in minutes.
        minutes: u32,
    },
}

/// See [`Event::Lifted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifted {
    /// The freeze.
    pub freeze: FreezeId,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
