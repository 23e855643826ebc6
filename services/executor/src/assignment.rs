//! What an executor is given, and whom it talks to.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use shipway_events::{EffectClass, Fence, ProjectId, RegistrationId, RunId, SecretRef, Timestamp};
use shipway_forge::Account;
use shipway_nodes::{Outcome, Workload};
use zeroize::Zeroizing;

/// One attempt of a node, given to this executor.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The project whose secrets the work may use.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// The node's index in the run's plan.
    pub node: u32,
    /// 1 for the first attempt; requests after a lost attempt keep the number.
    pub attempt: u32,
    /// The attempt's fence.
    pub fence: Fence,
    /// How the effect stays single.
    pub effect: EffectClass,
    /// The same over attempts.
    pub effect_key: String,
    /// What is to be done.
    pub work: Workload,
    /// When the node's time is up.
    pub deadline: Option<Timestamp>,
    /// Nothing waits for its end: `Started` is reported when it has started, then its end.
    pub detached: bool,
    /// The start of an executor that it was given to. None where there is only one at a time.
    pub registration: Option<RegistrationId>,
    /// What it asks of its executor.
    pub labels: BTreeSet<String>,
    /// The W3C `traceparent` of the request that it follows from.
    pub trace: Option<String>,
}

/// Why an outcome was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It may be taken later: asked again until it is.
    #[error("the scheduler cannot be reached: {0}")]
    Unavailable(String),
    /// It never will be, because the fence is not current.
    #[error("the outcome was refused: {0}")]
    Refused(String),
}

/// Who takes outcomes.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Takes an outcome and gives the next work, if there is some. Asked again, answers the same.
    ///
    /// # Errors
    /// See [`ReportError`].
    async fn complete(
        &self,
        fence: Fence,
        run: RunId,
        node: u32,
        outcome: Outcome,
    ) -> Result<Option<Vec<Assignment>>, ReportError>;

    /// Gives back work that was never started here and never will be. Asked again, answers the same.
    ///
    /// # Errors
    /// See [`ReportError`].
    async fn refuse(&self, fence: Fence, run: RunId, node: u32, reason: String) -> Result<(), ReportError> {
        self.complete(fence, run, node, Outcome::Refused { reason }).await.map(|_| ())
    }
}

/// Why secrets were not given out.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Asking again later may work.
    #[error("secrets cannot be fetched: {0}")]
    Unavailable(String),
    /// The fence gives no right to them, or there are none of that name.
    #[error("secrets were refused: {0}")]
    Refused(String),
}

/// Who gives values of secrets.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The values, for an open attempt's fence or that of a target's last release. What is not in the answer has
    /// no value.
    ///
    /// # Errors
    /// See [`SecretsError`].
    async fn fetch(
        &self,
        project: ProjectId,
        fence: Fence,
        names: &BTreeSet<SecretRef>,
    ) -> Result<BTreeMap<SecretRef, Zeroizing<String>>, SecretsError>;

    /// The account at a Git host that an open attempt speaks as: its work says where and as whom.
    ///
    /// # Errors
    /// See [`SecretsError`]; refused in words where no account fits.
    async fn account(&self, project: ProjectId, fence: Fence) -> Result<Account, SecretsError>;
}
