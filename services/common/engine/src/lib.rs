//! The run: state, decide, evolve, why and invariants. Pure.
//!
//! A run is the fold of its events ([`RunState::evolve`]). A command becomes the one fact that it brings and
//! everything that follows from it ([`decide_and_evolve`]), appended at once, so that no crash can lose a step.
//! What follows from recorded facts alone is not recorded again: a workflow's own end, steps that are not run
//! because of `when`, what an abort ends at once.
//!
//! What a node's specification means is asked from a [`Language`]; which executor has room, from [`Slots`].

mod answer;
mod applied;
mod approvals;
mod attempt;
mod complete;
mod decide;
mod evolve;
mod flow;
mod freezes;
mod holds;
pub mod invariants;
pub mod lane;
mod locks;
mod loops;
mod rejection;
mod resume;
mod retry;
mod shape;
mod slots;
mod state;
mod step;
mod waits;
mod why;
mod words;

pub use answer::Standing;
pub use applied::applied;
pub use approvals::Approval;
pub use attempt::{Attempt, OpenAttempt, takes_a_process};
pub use decide::{Command, NO_EXECUTOR, Resolution, decide, decide_and_evolve};
pub use evolve::lock_names;
pub use freezes::held_in_words;
pub use holds::{Candidate, Hold, MARKED_BAD, ON_HOLD, in_words as hold_in_words, parse_version, version_of};
pub use locks::{Holder, LockState, Locks};
pub use rejection::Rejection;
pub use resume::{CannotResume, Wish, branch, set_field};
pub use shape::BadPlan;
pub use slots::{Free, Needs, Slots};
pub use state::{NodeState, RunState};
pub use step::{Language, Step};
pub use waits::{ChildEnd, ChildRun, Made};
pub use why::{Blocked, Blocker, why};
