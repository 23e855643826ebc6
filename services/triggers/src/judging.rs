//! What is made of a delivery about a repository: by what it tells itself when it comes, and with what the repository
//! tells once it has answered.

use std::sync::Arc;

use shipway_events::delivery::Verdict;

use crate::{
    domain::{
        happened::{Facts, Happened, Needs},
        push::Delivered,
        repository::RepositoryKey,
        rules::{self, FlowTrigger},
    },
    hooks::GitHook,
    inbox::{Incoming, Question, Subject},
};

/// How many commits of a push a sender lists at most. One that lists so many, and does not say that these are all, may have
/// left some out.
fn listed_by(source: &str) -> usize {
    match source {
        // GitHub itself lists up to 2,048; Shipway's own `post-receive` helper, which speaks like it, this many.
        "github" => 100,
        "gitlab" => 20,
        _ => 5,
    }
}

/// The delivery with what each trigger makes of it, as far as it can be told without its repository.
pub(crate) fn judged(
    incoming: Incoming,
    delivered: Result<Delivered, String>,
    hook: &GitHook,
    source: &str,
    event: &str,
) -> Incoming {
    let delivered = match delivered {
        Err(problem) => return incoming.saying(&problem),
        Ok(Delivered::Ping) => return incoming.saying("ping: the hook works"),
        Ok(Delivered::Other(name)) => {
            return incoming.saying(&format!("`{name}` event: nothing listens to it"));
        }
        Ok(delivered) => delivered,
    };
    let happened = Happened::all(delivered);
    if happened.is_empty() {
        return incoming.saying("a push of nothing");
    }
    let nothing = vec![Facts::default(); happened.len()];
    let judged = judge(&happened, &hook.key, &hook.triggers, &nothing, source);
    let summary = summary(&happened, &hook.key, !judged.verdicts.is_empty());
    let about = happened.iter().all(|one| one.is_about(&hook.key));
    let to = happened.into_iter().map(|one| Subject::new(&hook.key, one)).collect();
    let is_open = judged.needs.iter().any(|needs| !needs.none());
    let question = Question { source: source.to_owned(), event: event.to_owned(), is_open };
    let incoming = incoming.saying(&summary).judged(judged.verdicts);
    if about { incoming.about(to).asking(question) } else { incoming }
}

/// What the triggers make of the things that a delivery tells of.
pub(crate) struct Judged {
    pub(crate) verdicts: Vec<Verdict>,
    /// Of each thing, what its repository has to tell first.
    pub(crate) needs: Vec<Needs>,
}

/// Judges each thing by what is known of it.
pub(crate) fn judge(
    happened: &[Happened],
    repository: &RepositoryKey,
    triggers: &[Arc<FlowTrigger>],
    facts: &[Facts],
    source: &str,
) -> Judged {
    let mut judged = Judged { verdicts: Vec::new(), needs: Vec::new() };
    for (part, (one, facts)) in (0..).zip(happened.iter().zip(facts)) {
        let triggers = triggers.iter().map(AsRef::as_ref);
        let mut judgement = rules::judge(one, repository, triggers, facts, listed_by(source));
        judgement.verdicts.iter_mut().for_each(|verdict| verdict.part = part);
        judged.verdicts.extend(judgement.verdicts);
        judged.needs.push(judgement.needs);
    }
    judged
}

/// What it was, in words.
pub(crate) fn summary(happened: &[Happened], repository: &RepositoryKey, has_triggers: bool) -> String {
    let all: Vec<String> = happened.iter().map(Happened::summary).collect();
    let all = all.join(", ");
    match (has_triggers, happened.iter().all(|one| one.is_about(repository))) {
        (true, _) => all,
        (false, true) => format!("{all}: no trigger names this repository"),
        (false, false) => format!("{all}: the hook is for {repository}"),
    }
}
