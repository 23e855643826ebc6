//! Deliveries that only their repository can tell about: asked until it answers.
//!
//! What was changed by a forced push, or what the messages of a cut list of commits say, a delivery does not tell. It is
//! neither match nor mismatch then: it waits, and with it what comes to the same branch after it, so that an older
//! commit never starts after a newer one. One of several processes asks; what was asked is on disk, so that another
//! goes on if it dies.
//!
//! Each repository goes on by itself, and one that does not answer is asked once for all that waits for it: however many
//! of them are away, and however much waits for those, others' deliveries are judged meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use shipway_eventing::{Leadership, Log};
use shipway_events::{
    HookId,
    delivery::{RuleOutcome, RuleVerdict, Verdict},
};
use shipway_repository::{Allow, GitError, Trouble};
use tokio::time::Instant;

use crate::{
    changes::{ChangesError, Clones},
    domain::{
        happened::{Facts, Happened},
        push::short,
        sources,
    },
    git::{self, AskError, Asking},
    hooks::{GitHook, HookCache, Hooks},
    inbox::{self, Answered, Confirmed, Inbox, InboxError, Subject, Waiting},
    judging,
    sealer::Sealer,
};

/// How many deliveries of a repository are looked at together.
const BATCH: i64 = 1_000;

/// How many repositories are asked at the same time.
const AT_ONCE: usize = 8;

/// How often it looks although nothing was stored here.
const LOOK: Duration = Duration::from_millis(500);

/// A commit that the repository still does not have this long after it was told of will not come: it was replaced
/// before anybody looked. Until then the repository may only be behind its own deliveries.
const GONE: Duration = Duration::from_secs(600);

/// So many errors' characters are kept.
const MAX_ERROR: usize = 500;

/// What asking needs.
pub(crate) struct Waiter {
    pub hooks: HookCache,
    pub inbox: Inbox,
    pub log: Arc<dyn Log>,
    pub sealer: Arc<Sealer>,
    pub clones: Clones,
    /// How long a repository may take to say which branches it has.
    pub limit: Duration,
    /// Which repositories are asked at all.
    pub allow: Allow,
    /// Only one of several processes asks.
    pub leadership: Leadership,
}

#[derive(Debug, thiserror::Error)]
enum WaitError {
    #[error(transparent)]
    Changes(#[from] ChangesError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the inbox could not be read")]
    Inbox(#[from] InboxError),
    #[error("{0}")]
    Unreadable(String),
}

impl WaitError {
    /// What Git said, if it was asked.
    fn git(&self) -> Option<&GitError> {
        match self {
            Self::Ask(AskError::Git(error)) | Self::Changes(ChangesError::Ask(AskError::Git(error))) => {
                Some(error)
            }
            Self::Ask(_) | Self::Changes(_) | Self::Inbox(_) | Self::Unreadable(_) => None,
        }
    }
}

impl Waiter {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let known = self.hooks.watch();
        let mut asked: FuturesUnordered<BoxFuture<'_, (String, bool)>> = FuturesUnordered::new();
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut next_look = Instant::now();
        loop {
            tokio::select! {
                Some((repository, moved)) = asked.next() => {
                    busy.remove(&repository);
                    if moved {
                        next_look = Instant::now();
                    }
                }
                () = self.inbox.waiting.notified() => next_look = Instant::now(),
                () = tokio::time::sleep_until(next_look) => {
                    next_look = Instant::now() + LOOK;
                    let hooks = known.borrow().clone();
                    let Some(hooks) = hooks.filter(|_| self.leadership.leads()) else { continue };
                    for repository in self.due().await {
                        if busy.len() < AT_ONCE && busy.insert(repository.clone()) {
                            asked.push(self.repository(Arc::clone(&hooks), repository).boxed());
                        }
                    }
                }
            }
        }
    }

    /// The repositories that are to be asked now.
    async fn due(&self) -> Vec<String> {
        self.inbox.due(self.log.now()).await.unwrap_or_else(|error| {
            wait_on(&error);
            Vec::new()
        })
    }

    /// Judges a repository's deliveries; the repository, and whether anything became of any of them.
    async fn repository(&self, hooks: Arc<Hooks>, repository: String) -> (String, bool) {
        let judged = self.judge_all(&hooks, &repository).await;
        let moved = judged.unwrap_or_else(|error| {
            wait_on(&error);
            false
        });
        (repository, moved)
    }

    /// Judges a repository's deliveries in the order in which they came, each once the older ones of its refs are judged;
    /// whether anything became of any of them.
    async fn judge_all(&self, hooks: &Hooks, repository: &str) -> Result<bool, InboxError> {
        let mut blocked: BTreeSet<String> = BTreeSet::new();
        // By hook: the next one may have a login.
        let mut away: BTreeMap<Option<HookId>, String> = BTreeMap::new();
        let mut moved = false;
        for waiting in self.inbox.waiting_for(repository, BATCH).await? {
            let is_due = waiting.next_try <= self.log.now();
            if is_due && !waiting.follows().any(|reference| blocked.contains(reference)) {
                moved = true;
                let said = match away.get(&waiting.hook) {
                    Some(said) => said.clone(),
                    None => match self.answer(hooks, &waiting).await {
                        Ok(answered) => {
                            self.inbox.answered(answered).await?;
                            continue;
                        }
                        Err(problem) => {
                            let said = with_causes(&problem);
                            tracing::info!(delivery = %waiting.delivery, said, "the delivery waits on for its repository");
                            let said: String =
                                said.chars().filter(|c| !c.is_control()).take(MAX_ERROR).collect();
                            if self.is_away(hooks, &waiting, &problem).await {
                                away.insert(waiting.hook, said.clone());
                            }
                            said
                        }
                    },
                };
                self.inbox.postponed(waiting.delivery, said).await?;
            }
            blocked.extend(waiting.refs);
        }
        Ok(moved)
    }

    /// Whether every other delivery to the hook would hear the same. Where it took too long, that may be for what
    /// this one asks.
    async fn is_away(&self, hooks: &Hooks, waiting: &Waiting, problem: &WaitError) -> bool {
        match problem.git() {
            None => false,
            Some(GitError::TimedOut { .. }) => {
                let hook = waiting.hook.and_then(|hook| hooks.git(hook));
                match hook {
                    Some(hook) => self.branches(&hook).await.is_err(),
                    None => false,
                }
            }
            Some(error) => error.trouble() != Trouble::Other,
        }
    }

    /// The branches that a hook's repository has.
    async fn branches(&self, hook: &GitHook) -> Result<BTreeMap<String, String>, AskError> {
        let asking = Asking { login: hook.login.as_ref(), limit: self.limit, allow: self.allow };
        git::branches(&hook.address, asking).await
    }

    /// What is made of a delivery, with what its repository tells.
    async fn answer(&self, hooks: &Hooks, waiting: &Waiting) -> Result<Answered, WaitError> {
        let happened = self.happened(waiting).await?;
        let Some(hook) = waiting.hook.and_then(|hook| hooks.git(hook)) else {
            let all: Vec<String> = happened.iter().map(Happened::summary).collect();
            let summary = format!("{}: its hook is no longer", all.join(", "));
            return Ok(Answered {
                delivery: waiting.delivery,
                to: Vec::new(),
                confirmed: None,
                summary,
                verdicts: Vec::new(),
            });
        };
        let confirmed = match &waiting.unconfirmed {
            Some(unconfirmed) => {
                let branches = self.branches(&hook).await?;
                let is_head = |reference: &String| {
                    let subjects = happened.iter().map(|one| Subject::new(&hook.key, one.clone()));
                    let mut of_ref = subjects.filter(|subject| subject.reference == *reference);
                    (reference.clone(), of_ref.any(|subject| subject.is_head(&branches)))
                };
                let refs = unconfirmed.refs.iter().map(is_head).collect();
                Some(Confirmed { hook: waiting.hook, first: unconfirmed.first, refs })
            }
            None => None,
        };
        let mut facts = vec![Facts::default(); happened.len()];
        let judged = judging::judge(&happened, &hook.key, &hook.triggers, &facts, &waiting.source);
        let mut gone = vec![None; happened.len()];
        let is_repeat = |one: &Happened| {
            let refs = confirmed.as_ref().map(|confirmed| &confirmed.refs);
            refs.and_then(|refs| refs.get(&one.reference(&hook.key))) == Some(&false)
        };
        for (part, needs) in judged.needs.iter().enumerate() {
            if needs.none() || is_repeat(&happened[part]) {
                continue;
            }
            match self
                .clones
                .facts(&hook.address, hook.login.as_ref(), &hook.key, &happened[part], *needs)
                .await
            {
                Ok(told) => facts[part] = told,
                Err(ChangesError::NoCommit(commit)) if self.log.now().since(waiting.since) >= GONE => {
                    gone[part] = Some(commit);
                }
                Err(problem) => return Err(problem.into()),
            }
        }
        Ok(answered(waiting, &hook, happened, &facts, &gone, confirmed))
    }

    async fn happened(&self, waiting: &Waiting) -> Result<Vec<Happened>, WaitError> {
        let sealed = self.inbox.sealed(waiting.delivery).await?;
        let sealed = sealed.ok_or_else(|| WaitError::Unreadable("its body is no longer there".to_owned()))?;
        let body = self
            .sealer
            .unseal(waiting.key.as_bytes(), &sealed)
            .map_err(|error| WaitError::Unreadable(format!("its body cannot be opened: {error}")))?;
        let source = sources::named(&waiting.source)
            .ok_or_else(|| WaitError::Unreadable(format!("no source is called `{}`", waiting.source)))?;
        let delivered = (source.read)(&waiting.event, &body);
        delivered.map(Happened::all).map_err(|error| WaitError::Unreadable(error.to_string()))
    }
}

fn wait_on(error: &InboxError) {
    tracing::warn!(error = error as &dyn std::error::Error, "deliveries wait on; looking again");
}

/// An error with what led to it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn answered(
    waiting: &Waiting,
    hook: &GitHook,
    happened: Vec<Happened>,
    facts: &[Facts],
    gone: &[Option<String>],
    confirmed: Option<Confirmed>,
) -> Answered {
    let mut judged = judging::judge(&happened, &hook.key, &hook.triggers, facts, &waiting.source);
    let summary = judging::summary(&happened, &hook.key, !judged.verdicts.is_empty());
    let to: Vec<Subject> = happened.into_iter().map(|one| Subject::new(&hook.key, one)).collect();
    let refs = confirmed.as_ref().map(|confirmed| &confirmed.refs);
    let is_new = |verdict: &Verdict| {
        to.get(verdict.part as usize).is_some_and(|subject| {
            let is_head = refs.and_then(|refs| refs.get(&subject.reference));
            waiting.is_replay() || *is_head.unwrap_or(&waiting.refs.contains(&subject.reference))
        })
    };
    for verdict in judged.verdicts.iter_mut().filter(|verdict| !is_new(verdict)) {
        let words = match &waiting.unconfirmed {
            Some(unconfirmed) => inbox::told_before(unconfirmed.first),
            None => "an earlier delivery told of this push before".to_owned(),
        };
        inbox::refuse(verdict, "once", words);
    }
    for verdict in judged.verdicts.iter_mut().filter(|verdict| verdict.is_open()) {
        // Everything else was told: only a commit that is gone leaves a rule open.
        let commit = gone.get(verdict.part as usize).and_then(Option::as_deref).unwrap_or_default();
        let words = format!(
            "the repository has no commit {}: it was replaced before anybody could look",
            short(commit)
        );
        verdict.reason.clone_from(&words);
        verdict.rules.push(RuleVerdict { rule: "commit".to_owned(), outcome: RuleOutcome::Failed, words });
    }
    // A replay counts whatever came before, and takes nothing from what comes: a person decided.
    let to = if waiting.is_replay() { Vec::new() } else { to };
    let summary = summary.replace(char::is_control, " ");
    Answered { delivery: waiting.delivery, to, confirmed, summary, verdicts: judged.verdicts }
}
