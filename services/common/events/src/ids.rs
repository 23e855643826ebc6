//! The registry of ids: each kind is its own type, so that no id can stand where another is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that the caller's id source made (version 7 for everything new).
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A linked account at a Git host.
    AccountId,
    /// A command: applied once, answered the same again.
    CommandId,
    /// A webhook delivery (or a push found by asking the repository).
    DeliveryId,
    /// An executor: one host's, the same over restarts.
    ExecutorId,
    /// A release flow: the one of a stage, or the one-node flow of a resource.
    FlowId,
    /// A freeze.
    FreezeId,
    /// A hold, or what marks something bad.
    HoldId,
    /// A webhook's own address and secret.
    HookId,
    /// A pipeline.
    PipelineId,
    /// A project.
    ProjectId,
    /// One start of an executor; work is given to a registration, never to a name alone.
    RegistrationId,
    /// A service, job, addon or secret group.
    ResourceId,
    /// A run of a flow.
    RunId,
    /// What a person proves their name with.
    TokenId,
}

/// Where ids of runs that were started for a node of another run have this.
const CHILD: u8 = 0xc1;

impl RunId {
    /// The run that a node wants of another flow: always the same for the same attempt, and about as old as the node's run,
    /// with another beginning, so that people can tell them apart.
    #[must_use]
    pub fn of_child(parent: Self, node: u32, attempt: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(parent.uuid().as_bytes());
        hash.update(node.to_be_bytes());
        hash.update(attempt.to_be_bytes());
        let digest = hash.finalize();
        let mut bytes = *parent.uuid().as_bytes();
        bytes[4..].copy_from_slice(&digest[..12]);
        bytes[7] = CHILD;
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Whether it may have been made by [`RunId::of_child`]; few others look like it.
    #[must_use]
    pub fn may_be_child(self) -> bool {
        self.0.get_version_num() == 8 && self.0.as_bytes()[7] == CHILD
    }
}
