//! Who says something to a host.

use async_trait::async_trait;
use shipway_forge::Account;

/// What is said of what: the trigger that a run followed from, and the repository that it had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken<'a> {
    /// The flow.
    pub(crate) flow: &'a str,
    /// The trigger's ref.
    pub(crate) trigger: &'a str,
    /// The repository.
    pub(crate) repository: &'a str,
}

/// Who says it.
#[derive(Clone, Debug)]
pub(crate) enum Voice {
    /// This account.
    Account(Account),
    /// Nobody, for this reason.
    Nobody(String),
}

/// Knows the accounts.
#[async_trait]
pub(crate) trait Voices: Send + Sync {
    /// Who speaks for a trigger's runs, as the flow and the accounts are now.
    ///
    /// # Errors
    /// In words, if that cannot be told at the moment.
    async fn voice(&self, spoken: &Spoken<'_>) -> Result<Voice, String>;
}
