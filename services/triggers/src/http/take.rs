//! Where a verified delivery goes: into the inbox; or, while the database is away, into the spool, and from there the
//! same way in the order of its arrival.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::response::Response;
use futures::{StreamExt as _, stream};
use shipway_events::HookId;
use tokio::time::Instant;

use super::{
    Ingress, flow, git,
    reply::{Refusal, accepted, spooled},
};
use crate::{
    domain::sources::{self, Source},
    hooks::{FlowHook, GitHook},
    inbox::{Inbox, InboxError, Incoming, Kept},
    parcel::{Parcel, Way},
    spool::SpoolError,
};

/// How long a delivery is tried again after the database failed, before it goes to the spool.
const TRY: Duration = Duration::from_secs(2);

/// How long the database may take without failing.
const SLOW: Duration = Duration::from_secs(8);

/// Pauses between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// So many hooks' deliveries go from the spool to the inbox at the same time, each hook's one after the other.
const HOOKS: usize = 32;

/// What a delivery was sent to, as it is now.
pub(crate) enum Target {
    /// A repository's hook.
    Git(&'static Source, Arc<GitHook>),
    /// A flow's own address.
    Flow(Arc<FlowHook>),
}

/// Why a delivery is not in the inbox.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The database did not take it.
    Away(InboxError),
    /// It is not to be taken.
    Refused(Refusal),
}

impl From<InboxError> for NotTaken {
    fn from(error: InboxError) -> Self {
        Self::Away(error)
    }
}

impl Ingress {
    /// Stores a delivery and says what follows.
    ///
    /// # Errors
    /// What its sender is told if it is not stored.
    pub(super) async fn take(&self, parcel: &Parcel, target: &Target) -> Result<Response, Refusal> {
        let incoming = Arc::new(self.judge(parcel, target)?);
        // Behind what waits already, or a hook's deliveries would change their order.
        if !self.spool.holds_any() {
            match self.keep_in_inbox(target, &incoming).await {
                Ok(kept) => return Ok(accepted(&kept)),
                Err(NotTaken::Refused(refusal)) => return Err(refusal),
                Err(NotTaken::Away(InboxError::Closed)) => return Err(Refusal::away("the inbox")),
                Err(NotTaken::Away(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the inbox does not take deliveries; they go to the spool"
                    );
                }
            }
        }
        match self.spool.keep(parcel.packed()).await {
            Ok(()) => Ok(spooled(parcel.delivery)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a delivery could not be kept");
                Err(Refusal::no_spool(&error))
            }
        }
    }

    /// Stores a delivery, with some patience for a database that fails.
    async fn keep_in_inbox(&self, target: &Target, incoming: &Arc<Incoming>) -> Result<Kept, NotTaken> {
        let start = Instant::now();
        loop {
            let kept = tokio::select! {
                kept = self.keep(target, incoming) => kept,
                // Another delivery found out that the database is away: a hook's deliveries stay in their order.
                () = self.spool.filled() => Err(Inbox::too_slow().into()),
                () = tokio::time::sleep_until(start + SLOW) => Err(Inbox::too_slow().into()),
            };
            match kept {
                Err(NotTaken::Away(error))
                    if start.elapsed() < TRY
                        && !matches!(error, InboxError::Closed)
                        && !self.spool.holds_any() =>
                {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a delivery is tried again");
                    tokio::time::sleep(PAUSES.0).await;
                }
                kept => return kept,
            }
        }
    }

    /// The delivery with what each trigger makes of it.
    ///
    /// # Errors
    /// If it is not to be stored at all.
    pub(crate) fn judge(&self, parcel: &Parcel, target: &Target) -> Result<Incoming, Refusal> {
        self.judge_as(Incoming::of(&self.sealer, parcel), parcel, target)
    }

    /// The same for what is to be stored in another manner.
    ///
    /// # Errors
    /// If it is not to be stored at all.
    pub(crate) fn judge_as(
        &self,
        incoming: Incoming,
        parcel: &Parcel,
        target: &Target,
    ) -> Result<Incoming, Refusal> {
        match target {
            Target::Git(source, hook) => Ok(git::judge(parcel, incoming, source, hook)),
            Target::Flow(hook) => flow::judge(parcel, incoming, hook),
        }
    }

    async fn keep(&self, target: &Target, incoming: &Arc<Incoming>) -> Result<Kept, NotTaken> {
        match target {
            Target::Git(_, hook) => git::keep(self, hook, incoming).await,
            Target::Flow(_) => flow::keep(self, incoming).await,
        }
    }

    /// What a way leads to now; none if its hook is no longer.
    ///
    /// # Errors
    /// If nobody knows the hooks yet.
    pub(crate) async fn target(&self, way: &Way) -> Result<Option<Target>, Refusal> {
        let hooks = self.hooks().await?;
        Ok(match way {
            Way::Git { source, hook } => {
                sources::named(source).zip(hooks.git(*hook)).map(|(source, hook)| Target::Git(source, hook))
            }
            Way::Flow { hook, trigger, .. } => hooks.flow_of(*hook, trigger.as_deref()).map(Target::Flow),
        })
    }

    /// Gives the inbox what waits in the spool, whenever something does, until it is dropped.
    pub(crate) async fn drain(self: Arc<Self>) {
        let mut pause = PAUSES.0;
        loop {
            self.spool.filled().await;
            match self.drain_oldest().await {
                Ok(true) => pause = PAUSES.0,
                // It is being written, and is a file in a moment.
                Ok(false) => tokio::time::sleep(PAUSES.0).await,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the spool could not be emptied; trying again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Gives the inbox the oldest file of the spool; false if there is none.
    async fn drain_oldest(&self) -> Result<bool, SpoolError> {
        let Some(file) = self.spool.oldest().await? else { return Ok(false) };
        let (spool, path) = (self.spool.clone(), file.clone());
        let read = tokio::task::spawn_blocking(move || spool.read(&path)).await;
        let contents = read.unwrap_or(Err(SpoolError::Closed))?;
        let mut by_hook: BTreeMap<HookId, Vec<Parcel>> = BTreeMap::new();
        let mut damaged = contents.damaged;
        for packed in contents.deliveries {
            match Parcel::unpacked(packed) {
                Ok(parcel) => by_hook.entry(parcel.way.hook()).or_default().push(parcel),
                Err(error) => {
                    damaged = true;
                    tracing::error!(%error, file = %file.display(), "a delivery in the spool cannot be read");
                }
            }
        }
        let count: usize = by_hook.values().map(Vec::len).sum();
        stream::iter(by_hook.into_values())
            .for_each_concurrent(HOOKS, |parcels| async {
                for parcel in parcels {
                    self.settle(&parcel).await;
                }
            })
            .await;
        self.spool.done(file, damaged).await?;
        tracing::info!(count, folder = %self.spool.folder().display(), "deliveries of the spool are in the inbox");
        Ok(true)
    }

    /// Gives the inbox a delivery of the spool; returns when it has it.
    async fn settle(&self, parcel: &Parcel) {
        let mut pause = PAUSES.0;
        loop {
            if let Ok(target) = self.target(&parcel.way).await {
                let stored = match &target {
                    Some(target) => match self.judge(parcel, target) {
                        Ok(incoming) => self.keep(target, &Arc::new(incoming)).await,
                        // It was taken, so it is stored, with why nothing follows.
                        Err(refusal) => self.keep_bare(parcel, refusal.message()).await,
                    },
                    None => self.keep_bare(parcel, "its hook was taken away before it could be judged").await,
                };
                match stored {
                    Ok(_) => return,
                    Err(NotTaken::Refused(_)) => {}
                    Err(NotTaken::Away(error)) => {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "the inbox does not take deliveries yet"
                        );
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn keep_bare(&self, parcel: &Parcel, why: &str) -> Result<Kept, NotTaken> {
        let summary = format!("a delivery that nothing follows from: {why}");
        flow::keep(self, &Arc::new(Incoming::of(&self.sealer, parcel).saying(&summary))).await
    }
}
