//! Pushes that nobody told of: the repositories that triggers name are asked for their branches.
//!
//! At the first look at a repository its branches are only recorded: they were pushed before anybody could tell.
//! It is taken as soon as a trigger names the repository. From then on a branch whose newest commit was never
//! counted is a push, and if a trigger matches it, it becomes a delivery of its own, once for each repository, ref
//! and commit; a delivery that comes later is recognised as the same push (`domain::heads`). A commit that was counted and
//! that the branch has left since is one that was forced back, if two rounds in a row show it: a host may be behind its
//! own deliveries for a moment.
//!
//! A push is judged with its commits' messages, which are fetched. A repository that cannot answer is asked again
//! with the next round: neither match nor mismatch.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use shipway_eventing::{Leadership, Log};
use shipway_events::{Timestamp, delivery::Verdict};
use shipway_repository::Allow;
use tokio::time::Instant;

use crate::{
    changes::{ChangesError, Clones},
    domain::{
        happened::{Facts, Happened},
        heads::RefState,
        push::Push,
        repository::RepositoryKey,
        rules::judge,
    },
    git::{self, AskError, Asking},
    hooks::{HookCache, Hooks},
    inbox::{Asked, Inbox, InboxError, Incoming, Subject, asked_body},
    sealer::Sealer,
};

/// So many repositories are asked one right after the other; more are spread over the time between two rounds.
const AT_ONCE: usize = 16;

/// The longest pause between two questions.
const LONGEST_GAP: Duration = Duration::from_secs(1);

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
    /// Which repositories are asked at all.
    pub allow: Allow,
    /// Where repositories are fetched to, in folders that go away again.
    pub scratch: PathBuf,
    /// Where it is asked which files were changed.
    pub clones: Clones,
    /// Only one of several processes asks.
    pub leadership: Leadership,
}

/// Refs that the round before showed at a commit that they had left, with what was known of them.
type Returned = BTreeMap<(RepositoryKey, String), (String, u64)>;

#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("the repository could not be asked")]
    Ask(#[from] AskError),
    #[error("which files were changed is not known")]
    Changes(#[from] ChangesError),
    #[error("what it showed could not be recorded")]
    Inbox(#[from] InboxError),
    #[error("no folder to fetch to could be made")]
    Scratch(#[from] std::io::Error),
}

impl Reconciler {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut known = self.hooks.watch();
        let mut asked: BTreeSet<RepositoryKey> = BTreeSet::new();
        let mut away: BTreeSet<RepositoryKey> = BTreeSet::new();
        let mut returned = Returned::new();
        let mut round = Instant::now();
        loop {
            self.leadership.gained().await;
            let hooks = known.borrow_and_update().clone();
            if let Some(hooks) = hooks {
                let all = Instant::now() >= round;
                if all {
                    round = Instant::now() + self.every;
                }
                let repositories = hooks.repositories();
                let gap = self.gap(repositories.len());
                for (key, address) in repositories {
                    if !all && asked.contains(&key) {
                        continue;
                    }
                    match self.look(&hooks, &key, &address, &mut returned).await {
                        Ok(()) => drop(away.remove(&key)),
                        // Said once: one that is away, or asks for a login, is so in every round.
                        Err(problem) if away.insert(key.clone()) => {
                            let error = &problem as &dyn std::error::Error;
                            tracing::warn!(repository = %key, error, "asking it again in each round");
                        }
                        Err(_) => {}
                    }
                    asked.insert(key);
                    tokio::time::sleep(gap).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(round), if known.borrow().is_some() => {}
                more = known.changed() => if more.is_err() { return } else { tokio::time::sleep(SOON).await },
            }
        }
    }

    /// The pause between two questions of a round with so many.
    fn gap(&self, questions: usize) -> Duration {
        if questions <= AT_ONCE {
            return Duration::ZERO;
        }
        (self.every / u32::try_from(questions).unwrap_or(u32::MAX)).min(LONGEST_GAP)
    }

    /// Asks one repository and records what it shows.
    async fn look(
        &self,
        hooks: &Hooks,
        key: &RepositoryKey,
        address: &str,
        returned: &mut Returned,
    ) -> Result<(), ReconcileError> {
        let first = !self.inbox.knows(key).await?;
        // What was known before the question: a delivery that comes meanwhile makes the answer too old.
        let known: BTreeMap<String, RefState> = self.inbox.refs(key).await?.into_iter().collect();
        let at = self.log.now();
        for (reference, commit) in git::branches(address, self.asking(hooks, key)).await? {
            let state = known.get(&reference).cloned().unwrap_or_default();
            let unknown = state.is_unknown();
            let place = (key.clone(), reference.clone());
            if state.head.as_deref() == Some(commit.as_str()) {
                returned.remove(&place);
                continue;
            }
            if state.has_left(&commit) {
                let shown = (commit.clone(), state.revision);
                if returned.get(&place) != Some(&shown) {
                    returned.insert(place, shown);
                    continue;
                }
            }
            returned.remove(&place);
            let found = if (first && unknown) || !state.is_news(&commit) {
                None
            } else {
                self.found(hooks, key, address, &reference, &commit, &state).await?
            };
            let (found, way) = found.map_or((None, Vec::new()), |(found, way)| (Some(found), way));
            let (repository, revision) = (key.clone(), state.revision);
            let asked = Asked { repository, reference, commit, revision, at: whole(at), found, way };
            // Too old: the next round sees what is true then.
            self.inbox.asked(asked).await?;
        }
        if first {
            self.inbox.looked_at(key).await?;
        }
        Ok(())
    }

    fn asking<'a>(&self, hooks: &'a Hooks, key: &RepositoryKey) -> Asking<'a> {
        Asking { login: hooks.login(key), limit: self.limit, allow: self.allow }
    }

    /// The delivery that nobody made, if a trigger matches the push, and the commits on the way to it.
    async fn found(
        &self,
        hooks: &Hooks,
        key: &RepositoryKey,
        address: &str,
        reference: &str,
        commit: &str,
        state: &RefState,
    ) -> Result<Option<(Incoming, Vec<String>)>, ReconcileError> {
        let mut push = Push {
            repositories: vec![address.to_owned()],
            reference: reference.to_owned(),
            before: state.head.clone(),
            after: Some(commit.to_owned()),
            created: state.head.is_none(),
            ..Push::default()
        };
        let judged = |push: &Push, facts: &Facts| {
            let judgement = judge(&Happened::Push(push.clone()), key, hooks.triggers(), facts, usize::MAX);
            let starts = |verdict: &Verdict| verdict.matched || verdict.is_open();
            judgement.verdicts.iter().any(starts).then_some(judgement)
        };
        if judged(&push, &Facts::default()).is_none() {
            return Ok(None);
        }
        tokio::fs::create_dir_all(&self.scratch).await?;
        let folder = self.scratch.join(uuid::Uuid::now_v7().to_string());
        tokio::fs::create_dir(&folder).await?;
        let before = push.before.as_deref();
        let asking = self.asking(hooks, key);
        let commits = git::pushed_commits(address, reference, before, commit, &folder, asking).await;
        tokio::fs::remove_dir_all(&folder).await?;
        push.commits = commits?;
        let Some(mut judgement) = judged(&push, &Facts::default()) else { return Ok(None) };
        if !judgement.needs.none() {
            let happened = Happened::Push(push.clone());
            let facts = self.clones.facts(address, hooks.login(key), key, &happened, judgement.needs).await?;
            let Some(told) = judged(&push, &facts).filter(|told| told.needs.none()) else { return Ok(None) };
            judgement = told;
        }
        let summary = format!("{}, found by asking {key}", push.summary());
        let body = asked_body(&git::without_password(address), &push);
        let incoming = Incoming::found(&self.sealer, &body);
        let brought = push.commits.iter().map(|brought| brought.id.clone());
        let way = brought.filter(|id| id != commit).collect();
        let to = vec![Subject::new(key, Happened::Push(push))];
        Ok(Some((incoming.saying(&summary).judged(judgement.verdicts).about(to), way)))
    }
}

/// A host's times are whole seconds.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.millis().div_euclid(1000) * 1_000_000)
}
