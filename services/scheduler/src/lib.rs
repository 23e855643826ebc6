//! Admission, runs, timers, assignment, run queries and watches.
//!
//! A request becomes a [`start`]; a run's own task (`run::actor`) decides its commands and appends; executors are
//! told through the `registry`; read tables (`projections`) answer the `queries`.

mod api;
mod children;
mod cluster;
mod foresee;
mod freezes;
mod history;
mod holds;
mod hosts;
mod insight;
mod language;
mod lists;
mod moved;
mod older;
mod places;
mod planning;
mod policies;
mod projections;
mod promised;
mod queries;
mod reactions;
mod refused;
mod registry;
mod rollback;
mod run;
mod schedules;
mod secrets;
mod service;
mod settings;
mod start;
mod state;
mod upkeep;
mod watchdog;
mod whereabouts;
mod why;

pub use api::{EventsApi, FreezesApi, HistoryApi, HoldsApi, RollbacksApi, RunsApi, WorkApi};
pub use cluster::{PeersApi, Together};
pub use registry::{Bell, Bells};
pub use service::{Deps, Service, StartError};
pub use settings::{Logs, Settings};

/// A refusal of the engine, in words for people.
fn refusal(rejection: &shipway_engine::Rejection) -> shipway_contracts::Error {
    use shipway_contracts::{Code, Error};
    use shipway_engine::Rejection;
    let code = match rejection {
        Rejection::NotStarted | Rejection::NoSuchNode(_) => Code::NotFound,
        Rejection::AlreadyStarted => Code::AlreadyExists,
        Rejection::BadPlan(_) | Rejection::NoSuchAttempt { .. } => Code::BadRequest,
        Rejection::NotAnApprover { .. } | Rejection::IsAuthor(_) | Rejection::AuthorUnknown => {
            Code::PermissionDenied
        }
        Rejection::ProvesNoName => Code::Unauthenticated,
        Rejection::Ended(_)
        | Rejection::NothingToResolve(_)
        | Rejection::NothingToRetry(_)
        | Rejection::NoApprovalWanted(_)
        | Rejection::NotFrozen
        | Rejection::StopsAll(_)
        | Rejection::OnHold(_)
        | Rejection::MarkedBad(_)
        | Rejection::NotOnHold
        | Rejection::OtherPlan { .. } => Code::FailedPrecondition,
    };
    let cause = std::error::Error::source(rejection).map(|cause| format!(": {cause}")).unwrap_or_default();
    Error::new(code, format!("{rejection}{cause}"))
}
