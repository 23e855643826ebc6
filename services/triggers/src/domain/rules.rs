//! What a trigger makes of what happened to a repository: a verdict, rule by rule, in words.

mod asked;
mod commits;
mod others;

use serde_json::{Map, Value};
use shipway_events::{FlowId, ProjectId, delivery::Verdict, run::Origin};

use self::asked::Asked;
use super::{
    happened::{Facts, Happened, Needs},
    push::Push,
    repository::RepositoryKey,
    trigger::{GitRule, Kind, Listens, Trigger},
};

/// A trigger with the flow that it can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTrigger {
    /// The flow's project.
    pub project: ProjectId,
    /// The flow.
    pub flow: FlowId,
    /// The flow by the names people use: `shop/development`.
    pub path: String,
    /// Whether the flow's triggers are switched off.
    pub paused: bool,
    /// Arguments of the flow that may not come in a query string.
    pub secret_arguments: Vec<String>,
    /// The trigger.
    pub trigger: Trigger,
}

/// What the triggers make of something, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// A verdict of each trigger that names the repository.
    pub verdicts: Vec<Verdict>,
    /// What the repository has to tell before all of them are final; nothing if they are.
    pub needs: Needs,
}

/// What each trigger that names this repository makes of what happened to it, by what is known. `listed` is how many
/// commits of a push its sender lists, if there are so many.
pub fn judge<'a>(
    happened: &Happened,
    repository: &RepositoryKey,
    triggers: impl IntoIterator<Item = &'a FlowTrigger>,
    facts: &Facts,
    listed: usize,
) -> Judgement {
    let case = Case { happened, repository, facts, listed };
    let mut judgement = Judgement::default();
    for candidate in triggers {
        if let Kind::Git(rule) = &candidate.trigger.kind
            && rule.key == *repository
        {
            let (verdict, needs) = case.verdict(candidate, rule);
            judgement.verdicts.push(verdict);
            judgement.needs = judgement.needs.and(needs);
        }
    }
    judgement
}

/// What the triggers make of a push by what it tells itself.
pub fn judge_push<'a>(
    push: &Push,
    repository: &RepositoryKey,
    triggers: impl IntoIterator<Item = &'a FlowTrigger>,
) -> Vec<Verdict> {
    let happened = Happened::Push(push.clone());
    judge(&happened, repository, triggers, &Facts::default(), usize::MAX).verdicts
}

/// What is judged, and by what.
struct Case<'a> {
    happened: &'a Happened,
    repository: &'a RepositoryKey,
    facts: &'a Facts,
    listed: usize,
}

impl Case<'_> {
    fn verdict(&self, candidate: &FlowTrigger, rule: &GitRule) -> (Verdict, Needs) {
        let mut asked = Asked::default();
        let values = self.ask(candidate, rule, &mut asked);
        let needs = asked.needs();
        let mut verdict = blank(candidate, Origin::Git);
        verdict.reason = asked.reason();
        verdict.matched = asked.passed();
        verdict.rules = asked.rules;
        if let (true, Some(values)) = (verdict.matched, values) {
            verdict.values = values;
            verdict.sender = self.happened.sender().map(str::to_owned);
            if let Happened::PullRequest(pull) = self.happened {
                commits::hold_if_fork(pull, self.repository, &mut verdict);
            }
        }
        (verdict, needs)
    }

    /// Asks every rule that makes sense, and says what the flow's values are.
    fn ask(&self, candidate: &FlowTrigger, rule: &GitRule, asked: &mut Asked) -> Option<Map<String, Value>> {
        if !self.happened.is_about(self.repository) {
            let named = self.happened.repositories().first().map_or("no repository", String::as_str);
            let words = format!("the delivery is about {named}, the trigger names {}", rule.repository);
            asked.fail("repository", words);
            return None;
        }
        let values = match self.happened {
            Happened::Push(push) => self.push(push, rule, asked),
            Happened::PullRequest(pull) => self.pull_request(pull, rule, asked),
            Happened::Release(release) => self.release(release, rule, asked),
            Happened::CheckSuite(suite) => self.check_suite(suite, rule, asked),
        }?;
        if candidate.trigger.manual_only {
            asked.fail_first("manualOnly", "the trigger is for runs by hand only (manualOnly)".to_owned());
        }
        if candidate.paused {
            let words = format!("the flow {} is paused: its Git triggers are off", candidate.path);
            asked.fail_first("paused", words);
        }
        Some(values)
    }

    /// The whole id of the commit to build, once it is known.
    fn commit<'c>(&'c self, told: Option<&'c str>, asked: &mut Asked) -> Option<&'c str> {
        let whole = told.filter(|id| super::push::is_commit(id)).or(self.facts.head.as_deref());
        if whole.is_none() {
            asked.open("commit", "the delivery does not tell the whole id of the commit", |needs| {
                needs.head = true
            });
        }
        whole
    }
}

/// What a trigger listens to, in words.
pub(super) fn listened(listens: &Listens) -> &'static str {
    match listens {
        Listens::Commits { branches: Some(_), pull_requests: Some(_) } => "pushes and pull requests",
        Listens::Commits { pull_requests: Some(_), .. } => "pull requests",
        Listens::Commits { .. } => "pushes",
        Listens::Label { .. } => "labels that are put on pull requests",
        Listens::Release => "releases",
        Listens::CheckSuite { .. } => "checks that passed",
    }
}

/// A verdict that does not match, with nothing said yet.
pub(crate) fn blank(candidate: &FlowTrigger, origin: Origin) -> Verdict {
    Verdict {
        project: candidate.project,
        flow: candidate.flow,
        path: candidate.path.clone(),
        trigger: candidate.trigger.reference.clone(),
        matched: false,
        reason: String::new(),
        rules: Vec::new(),
        part: 0,
        held: None,
        origin,
        sender: None,
        values: Map::new(),
        triggers: Map::new(),
        arguments: Map::new(),
        name: None,
        description: None,
    }
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn listed(rules: &[String]) -> String {
    let shown: Vec<String> = rules.iter().map(|rule| format!("`{rule}`")).collect();
    shown.join(", ")
}
