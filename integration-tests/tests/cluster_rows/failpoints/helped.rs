//! Points that a plain round passes by chance or not at all, and what makes a round pass them.

use super::cases::{Action, Bench};
use crate::given::full;

/// What a round needs beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Help {
    /// The log is proved whole by the armed service.
    Verify,
    /// A read model stands still for a while, and who asks does not wait so long.
    StandStill,
    /// A process of the service is killed while it has runs, one of which has work on the way.
    Takeover,
    /// Another project, whose lane may be with another process.
    OtherLane,
    /// An executor is started again, which tells the armed service what it can run.
    Newcomer,
    /// The armed service is one whose processes all come to it, where others do by chance only.
    Surely,
}

/// How often a round is gone through until its point fires: which process has a lane is chance.
pub(super) const TRIES: usize = 8;

impl Help {
    /// What a point needs, with the service that passes it then; none where plain rounds pass it.
    fn of(point: &str, many: bool) -> Option<(Self, &'static str)> {
        let call = point.strip_suffix(".before").or_else(|| point.strip_suffix(".after")).unwrap_or(point);
        Some(match (call, many) {
            ("db.pg.streams", true) => (Self::Verify, "scheduler"),
            ("db.lite.streams", false) => (Self::Verify, "up"),
            ("db.views.position", true) => (Self::StandStill, "scheduler"),
            ("scheduler.open" | "scheduler.complete_there", true) => (Self::Takeover, "scheduler"),
            ("scheduler.start_there", true) => (Self::OtherLane, "scheduler"),
            ("scheduler.register", true) => (Self::Newcomer, "scheduler"),
            // Each scheduler has lanes to give up; of the relay's lease there is one.
            ("db.lease.release", true) => (Self::Surely, "scheduler"),
            _ => return None,
        })
    }

    /// What the service is armed with.
    pub(super) fn armed(self, point: &str, action: Action) -> String {
        let armed = format!("{point}={}@1", action.word());
        match self {
            Self::StandStill => {
                // Every read model of the service, step by step, for longer than anybody waits for one.
                let late = (1..=18).map(|nth| format!(";feed.project.before=delay@{nth}"));
                late.fold(armed, |armed, late| armed + &late)
            }
            Self::Verify | Self::Takeover | Self::OtherLane | Self::Newcomer | Self::Surely => armed,
        }
    }
}

impl Bench {
    /// How a round is helped to pass a point, with the service that passes it then. Only in the long test: some take
    /// minutes until they come to it.
    pub(super) fn help(&self, point: &str) -> Option<(Help, &'static str)> {
        full().then(|| Help::of(point, self.is_many())).flatten()
    }
}
