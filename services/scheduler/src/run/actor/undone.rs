//! Why something is decided once more, and how long to wait before.

use std::time::Duration;

use shipway_eventing::log::{AppendError, ReadError};

use crate::{policies::PolicyError, run::lanes::LaneError};

/// The longest that what is due by itself waits while the log takes nothing, as when its disk is full.
const LONGEST: Duration = Duration::from_secs(5);

/// How long to wait after so many failures in a row: not at all after none, then twice as long each time.
pub(super) fn after(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        more => (Duration::from_millis(10) * 2_u32.pow(more.min(16))).min(LONGEST),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_waits_longer_each_time_and_never_for_ever() {
        let all: Vec<Duration> = (0..40).map(after).collect();
        assert_eq!((all[0], all[1], all[39]), (Duration::ZERO, Duration::from_millis(20), LONGEST));
        assert!(all.is_sorted());
    }
}
