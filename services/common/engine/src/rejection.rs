//! Why a command was not carried out.

use shipway_events::{Fence, RunStatus};

use crate::BadPlan;

/// Why a command was not carried out. Nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The run does not exist yet.
    #[error("the run has not started")]
    NotStarted,
    /// The run exists already.
    #[error("the run has started already")]
    AlreadyStarted,
    /// Its plan cannot be carried out.
    #[error("the run's plan cannot be carried out")]
    BadPlan(#[from] BadPlan),
    /// It is too late.
    #[error("the run has ended: {0}")]
    Ended(RunStatus),
    /// The plan has no such node.
    #[error("the run's plan has no node {0}")]
    NoSuchNode(u32),
    /// The node never had that attempt.
    #[error("node {node} never had an attempt with fence {fence}")]
    NoSuchAttempt {
        /// The node's index in the plan.
        node: u32,
        /// The fence.
        fence: Fence,
    },
    /// What became of the node is known, or it still runs.
    #[error("node {0} is not `unknown`: there is nothing to resolve")]
    NothingToResolve(u32),
    /// The node does not wait for the time of its next attempt.
    #[error("`{0}` does not wait to be tried again")]
    NothingToRetry(String),
    /// The node does not wait for an approval.
    #[error("`{0}` does not wait for an approval")]
    NoApprovalWanted(String),
    /// Somebody else has to.
    #[error("{by} may not approve or reject this: {may} may")]
    NotAnApprover {
        /// Who asked.
        by: String,
        /// Who may, in words.
        may: String,
    },
    /// Who started the run may not approve it.
    #[error("{0} started this run and may not approve it: another person has to")]
    IsAuthor(String),
    /// People have to be told apart, and this one has proved no name.
    #[error(
        "nobody in particular may not approve this: it says who may, or how many different people have to; prove who you \
         are with a token (`SHIPWAY_TOKEN`)"
    )]
    ProvesNoName,
    /// Who started the run may not approve it, and nobody knows who that was.
    #[error(
        "who started this run may not approve it, and it was started without a token: nobody can tell that you are \
         somebody else; start it again with a token"
    )]
    AuthorUnknown,
    /// There is no freeze to be overridden.
    #[error("no freeze holds the run")]
    NotFrozen,
    /// The freeze is one that lets nobody pass.
    #[error(
        "the freeze `{0}` stops all that begins, and lets no run pass: it has to be lifted (`shipway unfreeze`)"
    )]
    StopsAll(String),
    /// What the run would release is held, and nobody has said that they mean it.
    #[error("{0}")]
    OnHold(String),
    /// What the run would release is marked bad.
    #[error("{0}")]
    MarkedBad(String),
    /// There is no hold to be overridden.
    #[error("no hold keeps the run from going on")]
    NotOnHold,
    /// What was looked at is another plan than the run's.
    #[error("the run's plan is {plan}, not {seen}: look at it again, then approve what is there")]
    OtherPlan {
        /// The plan that was looked at.
        seen: String,
        /// The run's plan.
        plan: String,
    },
}
