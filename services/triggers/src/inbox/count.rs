//! What a delivery's things count for: pushes and pull requests that came before, and those that wait for their turn.

use serde_json::Value;
use shipway_events::{
    DeliveryId,
    delivery::{RuleOutcome, RuleVerdict, Verdict},
};

use super::{
    Incoming, Kept, Subject,
    decide::Group,
    wait::{Wait, suspend},
};
use crate::domain::{
    happened::Happened,
    heads::{Arrival, Claim, Seen},
    push::short,
};

impl Group {
    /// What one thing of a delivery is, seen from what is known.
    pub(super) fn seen(
        &mut self,
        incoming: &Incoming,
        subject: &Subject,
        part: usize,
        same_body: Option<DeliveryId>,
    ) -> Seen {
        match &subject.happened {
            Happened::Push(push) => {
                let state = self.states.entry(subject.ref_key()).or_default();
                state.seen(push, incoming.hook, same_body, incoming.is_confirmed(part))
            }
            // Every other body tells when it happened: the same one again is a replay.
            _ => same_body.map_or(Seen::New, Seen::Again),
        }
    }

    pub(super) fn record(&mut self, incoming: &Incoming, subject: &Subject, part: usize, is_repeat: bool) {
        let Happened::Push(push) = &subject.happened else { return };
        let state = self.states.entry(subject.ref_key()).or_default();
        let before = state.revision;
        match is_repeat {
            true => state.record_again(push, incoming.hook),
            false => state.record(push, incoming.is_confirmed(part)),
        }
        if state.revision != before {
            self.changed.insert(subject.ref_key());
        }
    }

    /// Adds a delivery that tells of something new: judged now, or once its repository has answered.
    pub(super) fn insert_new(&mut self, incoming: &Incoming, seen: &[Seen]) -> Kept {
        let mut incoming = incoming.clone();
        for verdict in &mut incoming.verdicts {
            if let Some(Seen::Again(first) | Seen::AskFirst(first)) = seen.get(verdict.part as usize) {
                let words = format!("delivery {first} told of this push before");
                refuse(verdict, "once", words);
            }
        }
        let order = incoming.to.iter().map(Subject::ref_key).find(|key| self.waiting.contains(key));
        let question = incoming.question.as_ref().filter(|question| question.is_open || order.is_some());
        if let Some(question) = question.cloned() {
            suspend(&mut incoming.verdicts, order.map(|(_, reference)| reference));
            let kept = self.insert_as(&incoming, None, Some("waiting"));
            self.waiting.extend(incoming.to.iter().map(Subject::ref_key));
            // What came before is not judged again.
            let new = incoming.to.iter().zip(seen).filter(|(_, seen)| **seen == Seen::New);
            let new: Vec<&Subject> = new.map(|(subject, _)| subject).collect();
            self.waits.push(Wait::new(kept.delivery, &new, question, self.now));
            return kept;
        }
        self.claim(incoming.delivery, &incoming.to, &mut incoming.verdicts);
        self.insert(&incoming, None)
    }

    /// Adds a delivery that a person asked for again: new whatever came before, and nothing counts for it.
    pub(super) fn insert_replay(&mut self, incoming: &Incoming) -> Kept {
        let Some(question) = incoming.open_question() else { return self.insert(incoming, None) };
        let mut waiting = incoming.clone();
        suspend(&mut waiting.verdicts, None);
        let kept = self.insert_as(&waiting, None, Some("waiting"));
        let to: Vec<&Subject> = incoming.to.iter().collect();
        self.waits.push(Wait::new(kept.delivery, &to, question.clone(), self.now).without_refs());
        kept
    }

    /// Of a push and a pull request that tell of the same commit, the first starts the flow.
    pub(super) fn claim(&mut self, delivery: DeliveryId, to: &[Subject], verdicts: &mut [Verdict]) {
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.matched || verdict.held.is_some()) {
            let Some(subject) = to.get(verdict.part as usize).filter(|to| to.happened.is_told_twice()) else {
                continue;
            };
            let arrival = match &subject.happened {
                Happened::PullRequest(pull) => {
                    Arrival::PullRequest { number: pull.number, came: pull.came() }
                }
                _ => Arrival::Push,
            };
            let Some(commit) = verdict.values.get("sha").and_then(Value::as_str) else { continue };
            let (flow, trigger) = (verdict.flow, verdict.trigger.as_str());
            let state = self.states.entry(subject.ref_key()).or_default();
            let claimed = state.claim(Claim { flow, trigger, commit, arrival, delivery });
            self.changed.insert(subject.ref_key());
            if let Err(first) = claimed {
                let words = format!("delivery {first} has told of commit {} before", short(commit));
                refuse(verdict, "once", words);
            }
        }
    }
}

/// Takes back that a trigger matches.
pub(crate) fn refuse(verdict: &mut Verdict, rule: &str, words: String) {
    verdict.rules.push(RuleVerdict {
        rule: rule.to_owned(),
        outcome: RuleOutcome::Failed,
        words: words.clone(),
    });
    if verdict.matched || verdict.held.is_some() {
        verdict.reason = words;
    }
    (verdict.matched, verdict.held) = (false, None);
    verdict.values.clear();
}
