//! Why something is decided once more.

use shipway_eventing::log::{AppendError, ReadError};

use crate::{policies::PolicyError, run::lanes::LaneError};

/// Why commands are to be decided again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undone {
    /// Another scheduler has written to the run.
    #[error("another scheduler has written to it")]
    Behind,
    /// The log did not take what was decided.
    #[error("its events were not appended: {0}")]
    Append(AppendError),
    /// The log has it already: the command came before.
    #[error("it was asked the same before")]
    Before,
    /// The locks that it may want could not be read.
    #[error("its locks could not be read: {0}")]
    Locks(ReadError),
    /// Its lane could not be read.
    #[error("its lane could not be read: {0}")]
    Lane(LaneError),
    /// The policies of its project could not be read.
    #[error("the policies of its project could not be read: {0}")]
    Policies(PolicyError),
}

impl Undone {
    /// Whether the same is to be expected again at once. What another has written is there to be read.
    pub(super) const fn lasts(&self) -> bool {
        match self {
            Self::Behind | Self::Before | Self::Append(AppendError::Conflict { .. }) => false,
            Self::Append(_) | Self::Locks(_) | Self::Lane(_) | Self::Policies(_) => true,
        }
    }
}
