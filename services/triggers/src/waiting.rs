//! Deliveries that only their repository can tell about: asked until it answers.
//!
//! What was changed by a forced push, or what the messages of a cut list of commits say, a delivery does not tell. It is
//! neither match nor mismatch then: it waits, and with it what comes to the same branch after it, so that an older
//! commit never starts after a newer one. One of several processes asks; what was asked is on disk, so that another
//! goes on if it dies.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use shipway_eventing::{Leadership, Log};
use shipway_events::delivery::{RuleOutcome, RuleVerdict, Verdict};

use crate::{
    changes::{ChangesError, Clones},
    domain::{
        happened::{Facts, Happened},
        push::short,
        sources,
    },
    hooks::{GitHook, HookCache, Hooks},
    inbox::{self, Answered, Inbox, InboxError, Subject, Waiting},
    judging,
    sealer::Sealer,
};

/// How many waiting deliveries are looked at in a round.
const BATCH: i64 = 1_000;

/// How many repositories are asked at the same time.
const AT_ONCE: usize = 4;

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
    /// Only one of several processes asks.
    pub leadership: Leadership,
}

#[derive(Debug, thiserror::Error)]
enum WaitError {
    #[error(transparent)]
    Changes(#[from] ChangesError),
    #[error("{0}")]
    Unreadable(String),
}

impl Waiter {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut known = self.hooks.watch();
        loop {
            self.leadership.gained().await;
            let hooks = known.borrow_and_update().clone();
            if let Some(hooks) = hooks
                && let Err(error) = self.round(&hooks).await
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "deliveries wait on; looking again");
            }
            tokio::select! {
                () = self.inbox.waiting.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Looks at every delivery that waits, those of one repository one after the other.
    async fn round(&self, hooks: &Hooks) -> Result<(), InboxError> {
        let all = self.inbox.waiting_deliveries(BATCH).await?;
        let mut repositories: Vec<(String, Vec<Waiting>)> = Vec::new();
        for waiting in all {
            match repositories.iter_mut().find(|(known, _)| *known == waiting.repository) {
                Some((_, deliveries)) => deliveries.push(waiting),
                None => repositories.push((waiting.repository.clone(), vec![waiting])),
            }
        }
        let each = repositories.into_iter().map(|(_, deliveries)| self.repository(hooks, deliveries));
        let mut done = stream::iter(each).buffer_unordered(AT_ONCE);
        while let Some(result) = done.next().await {
            result?;
        }
        Ok(())
    }

    /// Judges a repository's deliveries in the order in which they came, each once the older ones of its refs are judged.
    async fn repository(&self, hooks: &Hooks, deliveries: Vec<Waiting>) -> Result<(), InboxError> {
        let mut blocked: BTreeSet<String> = BTreeSet::new();
        for waiting in deliveries {
            let is_due = waiting.next_try <= self.log.now();
            if is_due && !waiting.refs.iter().any(|reference| blocked.contains(reference)) {
                match self.answer(hooks, &waiting).await {
                    Ok(answered) => {
                        self.inbox.answered(answered).await?;
                        continue;
                    }
                    Err(problem) => {
                        let said = with_causes(&problem);
                        tracing::info!(delivery = %waiting.delivery, said, "the delivery waits on for its repository");
                        let said = said.chars().filter(|c| !c.is_control()).take(MAX_ERROR).collect();
                        self.inbox.postponed(waiting.delivery, said).await?;
                    }
                }
            }
            blocked.extend(waiting.refs);
        }
        Ok(())
    }

    /// What is made of a delivery, with what its repository tells.
    async fn answer(&self, hooks: &Hooks, waiting: &Waiting) -> Result<Answered, WaitError> {
        let happened = self.happened(waiting)?;
        let Some(hook) = waiting.hook.and_then(|hook| hooks.git(hook)) else {
            let all: Vec<String> = happened.iter().map(Happened::summary).collect();
            let summary = format!("{}: its hook is no longer", all.join(", "));
            return Ok(Answered {
                delivery: waiting.delivery,
                to: Vec::new(),
                summary,
                verdicts: Vec::new(),
            });
        };
        let mut facts = vec![Facts::default(); happened.len()];
        let judged = judging::judge(&happened, &hook.key, &hook.triggers, &facts, &waiting.source);
        let mut gone = vec![None; happened.len()];
        for (part, needs) in judged.needs.iter().enumerate().filter(|(_, needs)| !needs.none()) {
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
        Ok(answered(waiting, &hook, happened, &facts, &gone))
    }

    fn happened(&self, waiting: &Waiting) -> Result<Vec<Happened>, WaitError> {
        let body = self
            .sealer
            .unseal(waiting.key.as_bytes(), &waiting.sealed)
            .map_err(|error| WaitError::Unreadable(format!("its body cannot be opened: {error}")))?;
        let source = sources::named(&waiting.source)
            .ok_or_else(|| WaitError::Unreadable(format!("no source is called `{}`", waiting.source)))?;
        let delivered = (source.read)(&waiting.event, &body);
        delivered.map(Happened::all).map_err(|error| WaitError::Unreadable(error.to_string()))
    }
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
) -> Answered {
    let mut judged = judging::judge(&happened, &hook.key, &hook.triggers, facts, &waiting.source);
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
    let summary = judging::summary(&happened, &hook.key, !judged.verdicts.is_empty());
    let to: Vec<Subject> = happened.into_iter().map(|one| Subject::new(&hook.key, one)).collect();
    if waiting.is_replay() {
        // A person decided: it counts whatever came before, and takes nothing from what comes.
        return Answered {
            delivery: waiting.delivery,
            to: Vec::new(),
            summary: summary.replace(char::is_control, " "),
            verdicts: judged.verdicts,
        };
    }
    let is_new = |verdict: &Verdict| {
        to.get(verdict.part as usize).is_some_and(|subject| waiting.refs.contains(&subject.reference))
    };
    for verdict in judged.verdicts.iter_mut().filter(|verdict| !is_new(verdict)) {
        let words = "an earlier delivery told of this push before".to_owned();
        inbox::refuse(verdict, "once", words);
    }
    Answered {
        delivery: waiting.delivery,
        to,
        summary: summary.replace(char::is_control, " "),
        verdicts: judged.verdicts,
    }
}
