//! What an outcome's fence stands for.

use shipway_events::Fence;

use crate::{RunState, attempt::End};

/// What a fence is to a node, before a decision or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The attempt that runs: its outcome is taken.
    Current,
    /// The last attempt, of which nobody could know what it did: its outcome is still taken.
    Held,
    /// An attempt whose outcome was taken: it stands, and saying it again changes nothing.
    Taken,
    /// An attempt that was given up: nothing it says counts. The executor drops its work.
    Stale,
    /// No attempt of this node.
    Unknown,
}

impl RunState {
    /// What `fence` is to `node`.
    #[must_use]
    pub fn standing(&self, node: u32, fence: Fence) -> Standing {
        let Some(state) = self.node(node) else { return Standing::Unknown };
        if state.attempt.as_ref().is_some_and(|attempt| attempt.fence == Some(fence)) {
            return Standing::Current;
        }
        if state.held == Some(fence) {
            return Standing::Held;
        }
        match state.past.iter().find(|(past, _)| *past == fence) {
            Some((_, End::Lost)) => Standing::Stale,
            Some(_) => Standing::Taken,
            None => Standing::Unknown,
        }
    }
}
