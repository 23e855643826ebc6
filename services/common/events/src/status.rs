//! The statuses that users see (the names of the reference's REST API).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in documents, interfaces and on screens.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value of that name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|status| status.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

statuses! {
    /// Where a run stands.
    RunStatus {
        /// Accepted, nothing of it started.
        Pending = "pending",
        /// Waits for its lane.
        Queued = "queued",
        /// A node is running or ready.
        Running = "running",
        /// Only conditions are being waited for.
        Waiting = "waiting",
        /// Waits for people to approve.
        ApprovalWait = "approval_wait",
        /// A failed node waits for its next attempt.
        Retrying = "retrying",
        /// Ended well.
        Success = "success",
        /// Ended badly.
        Failure = "failure",
        /// Ended without having started anything, by policy.
        Skipped = "skipped",
        /// Asked to stop; something still runs.
        Aborting = "aborting",
        /// Stopped on request.
        Aborted = "aborted",
        /// Nobody can know what an effect did; a person decides.
        Unknown = "unknown",
    }
}

impl RunStatus {
    /// Whether nothing more will happen in the run.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Skipped | Self::Aborted)
    }
}

statuses! {
    /// Where a node of a run stands.
    NodeStatus {
        /// Its turn has not come.
        Pending = "pending",
        /// Its turn has come; it waits for a free slot of an executor that can run it.
        Ready = "ready",
        /// Given to an executor.
        Running = "running",
        /// Waits for a condition to hold.
        Waiting = "waiting",
        /// Waits for people to approve.
        ApprovalWait = "approval_wait",
        /// Failed; waits for its next attempt.
        Retrying = "retrying",
        /// Ended well.
        Success = "success",
        /// Ended badly.
        Failure = "failure",
        /// Not run, by its own or the flow's rules.
        Skipped = "skipped",
        /// Asked to stop.
        Aborting = "aborting",
        /// Stopped on request.
        Aborted = "aborted",
        /// Nobody can know what its effect did; a person decides.
        Unknown = "unknown",
    }
}

impl NodeStatus {
    /// Whether the node's own outcome stands.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Skipped | Self::Aborted)
    }
}

statuses! {
    /// What happens to a run that is asked for while others of its flow go on.
    #[derive(Default)]
    ConcurrencyPolicy {
        /// It starts beside them.
        #[default]
        Allow = "allow",
        /// It waits for its turn: first in, first out, one at a time.
        Queue = "queue",
        /// It ends as skipped.
        Forbid = "forbid",
        /// It waits, and of those that wait only the newest is kept.
        Latest = "latest",
        /// The others are aborted, and it starts when they have ended.
        Replace = "replace",
    }
}

statuses! {
    /// How an effect stays single over crashes.
    EffectClass {
        /// The target knows the effect key and does it once: retried freely.
        Keyed = "keyed",
        /// The target keeps the highest fence and refuses lower ones: retried with a higher fence.
        Fenced = "fenced",
        /// The target is asked by effect key before a retry.
        Checked = "checked",
        /// Started once; what cannot be known is left to a person.
        Once = "once",
    }
}
