//! Pushes that nobody told of: the repositories that triggers name are asked for their branches.
//!
//! At the first look at a repository its branches are only recorded: they were pushed before anybody could tell.
//! It is taken as soon as a trigger names the repository. From then on a branch whose newest commit was never
//! counted is a push, and if a trigger matches it, it becomes a delivery of its own, once for each repository, ref
//! and commit; a delivery that comes later is recognised as the same push (`domain::heads`).
//!
//! A push is judged with its commits' messages, which are fetched. A repository that cannot answer is asked again
//! with the next round: neither match nor mismatch.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use shipway_eventing::Log;
use shipway_events::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        heads::RefState,
        push::Push,
        repository::RepositoryKey,
        rules::{FlowTrigger, judge_push},
    },
    git::{self, AskError},
    hooks::{HookCache, Hooks},
    inbox::{Asked, Inbox, InboxError, Incoming, asked_body},
    sealer::Sealer,
};

/// How soon after a change of the triggers repositories named for the first time are looked at.
const SOON: Duration = Duration::from_millis(50);

/// What asking needs.
pub(crate) struct Reconciler {
    pub hooks: HookCache,
    pub inbox: Inbox,
    pub log: Arc<dyn Log>,
    pub sealer: Arc<Sealer>,
    /// How long after one round the next begins.
    pub every: Duration,
    /// How long a repository may take.
    pub limit: Duration,
    /// Where repositories are fetched to, in folders that go away again.
    pub scratch: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("the repository could not be asked")]
    Ask(#[from] AskError),
    #[error("what it showed could not be recorded")]
    Inbox(#[from] InboxError),
    #[error("no folder to fetch to could be made")]
    Scratch(#[from] std::io::Error),
}

impl Reconciler {
    /// Runs until the service stops.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut known = self.hooks.watch();
        let mut asked: BTreeSet<RepositoryKey> = BTreeSet::new();
        let mut round = tokio::time::Instant::now();
        loop {
            let hooks = known.borrow_and_update().clone();
            if let Some(hooks) = hooks {
                let all = tokio::time::Instant::now() >= round;
                for (key, address) in hooks.repositories() {
                    if stop.is_cancelled() {
                        return;
                    }
                    if !all && asked.contains(&key) {
                        continue;
                    }
                    if let Err(problem) = self.look(&hooks, &key, &address).await {
                        let error = &problem as &dyn std::error::Error;
                        tracing::warn!(repository = %key, error, "asking again with the next round");
                    }
                    asked.insert(key);
                }
                if all {
                    round = tokio::time::Instant::now() + self.every;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(round), if known.borrow().is_some() => {}
                more = known.changed() => if more.is_err() { return } else { tokio::time::sleep(SOON).await },
            }
        }
    }

    /// Asks one repository and records what it shows.
    async fn look(&self, hooks: &Hooks, key: &RepositoryKey, address: &str) -> Result<(), ReconcileError> {
        let first = !self.inbox.knows(key).await?;
        // What was known before the question: a delivery that comes meanwhile makes the answer too old.
        let known: BTreeMap<String, RefState> = self.inbox.refs(key).await?.into_iter().collect();
        let at = self.log.now();
        for (reference, commit) in git::branches(address, self.limit).await? {
            let state = known.get(&reference).cloned().unwrap_or_default();
            let unknown = state == RefState::default();
            if state.head.as_deref() == Some(commit.as_str()) {
                continue;
            }
            let found = if (first && unknown) || !state.is_news(&commit) {
                None
            } else {
                self.found(hooks, key, address, &reference, &commit, &state).await?
            };
            let (repository, revision) = (key.clone(), state.revision);
            let asked = Asked { repository, reference, commit, revision, at: whole(at), found };
            // Too old: the next round sees what is true then.
            self.inbox.asked(asked).await?;
        }
        if first {
            self.inbox.looked_at(key).await?;
        }
        Ok(())
    }

    /// The delivery that nobody made, if a trigger matches the push.
    async fn found(
        &self,
        hooks: &Hooks,
        key: &RepositoryKey,
        address: &str,
        reference: &str,
        commit: &str,
        state: &RefState,
    ) -> Result<Option<Incoming>, ReconcileError> {
        let mut push = Push {
            repositories: vec![address.to_owned()],
            reference: reference.to_owned(),
            before: state.head.clone(),
            after: Some(commit.to_owned()),
            created: state.head.is_none(),
            ..Push::default()
        };
        let matches = |push: &Push| {
            let verdicts = judge_push(push, key, hooks.triggers());
            verdicts.iter().any(|verdict| verdict.matched).then_some(verdicts)
        };
        if matches(&push).is_none() {
            return Ok(None);
        }
        if hooks.triggers().any(FlowTrigger::reads_messages) {
            tokio::fs::create_dir_all(&self.scratch).await?;
            let folder = self.scratch.join(uuid::Uuid::now_v7().to_string());
            tokio::fs::create_dir(&folder).await?;
            let before = push.before.as_deref();
            let commits = git::pushed_commits(address, reference, before, commit, &folder, self.limit).await;
            tokio::fs::remove_dir_all(&folder).await?;
            push.commits = commits?;
        }
        let Some(verdicts) = matches(&push) else { return Ok(None) };
        let summary = format!("{}, found by asking {key}", push.summary());
        let body = asked_body(&git::without_password(address), &push);
        let incoming = Incoming::new(&self.sealer, None, None, "{}".to_owned(), &body);
        Ok(Some(incoming.saying(&summary).judged(verdicts)))
    }
}

/// A host's times are whole seconds.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.millis().div_euclid(1000) * 1_000_000)
}
