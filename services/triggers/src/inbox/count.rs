//! What a delivery's things count for: pushes and pull requests that came before, and those that wait for their turn.

use serde_json::Value;
use shipway_events::{
    DeliveryId,
    delivery::{RuleOutcome, RuleVerdict, Verdict},
};

use super::{
    Incoming, Kept, Subject,
    decide::Group,
    wait::{REST, Wait, suspend},
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
                refuse(verdict, "once", told_before(*first));
            }
        }
        let order = incoming.to.iter().map(Subject::ref_key).find(|key| self.waiting.contains(key));
        let question = incoming.question.as_ref().filter(|question| question.is_open || order.is_some());
        if let Some(question) = question.cloned() {
            let words = match order {
                Some((_, reference)) => format!("an older delivery of {reference} is judged first"),
                None => REST.to_owned(),
            };
            suspend(&mut incoming.verdicts, "order", &words);
            let kept = self.insert_as(&incoming, None, Some("waiting"));
            self.waiting.extend(incoming.to.iter().map(Subject::ref_key));
            // What came before is not judged again.
            let new = incoming.to.iter().zip(seen).filter(|(_, seen)| **seen == Seen::New);
            let new: Vec<&Subject> = new.map(|(subject, _)| subject).collect();
            self.waits.push(Wait::new(kept.delivery, &incoming.to, &new, question, self.now));
            return kept;
        }
        self.claim(incoming.delivery, &incoming.to, &mut incoming.verdicts);
        self.insert(&incoming, None)
    }

    /// Adds a delivery whose body came before, `first`, and whose branch has moved since, while its repository does not
    /// say whether the commit is the newest again. Nothing else of the branch waits for it: it counts only if its commit is
    /// the newest when the repository answers.
    pub(super) fn insert_unconfirmed(
        &mut self,
        incoming: &Incoming,
        seen: &[Seen],
        first: DeliveryId,
    ) -> Kept {
        let mut waiting = incoming.clone();
        let (mut new, mut unsure) = (Vec::new(), Vec::new());
        for (part, (subject, seen)) in incoming.to.iter().zip(seen).enumerate() {
            match seen {
                Seen::New => new.push(subject),
                Seen::AskFirst(_) => unsure.push(subject.reference.clone()),
                Seen::Again(first) => {
                    let of_part = waiting.verdicts.iter_mut().filter(|verdict| verdict.part as usize == part);
                    of_part.for_each(|verdict| refuse(verdict, "once", told_before(*first)));
                }
            }
            if !matches!(seen, Seen::AskFirst(_)) {
                self.record(incoming, subject, part, *seen != Seen::New);
            }
        }
        let words = format!(
            "delivery {first} had the same body, and the branch has moved since: whether this is that push again, or a \
             forced push back, only the repository can tell"
        );
        suspend(&mut waiting.verdicts, "once", &words);
        let kept = self.insert_as(&waiting, None, Some("waiting"));
        self.waiting.extend(new.iter().map(|subject| subject.ref_key()));
        let question = incoming.question.clone().unwrap_or_default();
        let wait = Wait::new(kept.delivery, &incoming.to, &new, question, self.now);
        self.waits.push(wait.unconfirmed(first, &unsure));
        kept
    }

    /// Adds a delivery that a person asked for again: new whatever came before, and nothing counts for it.
    pub(super) fn insert_replay(&mut self, incoming: &Incoming) -> Kept {
        let Some(question) = incoming.open_question() else { return self.insert(incoming, None) };
        let mut waiting = incoming.clone();
        suspend(&mut waiting.verdicts, "order", REST);
        let kept = self.insert_as(&waiting, None, Some("waiting"));
        self.waits.push(Wait::new(kept.delivery, &incoming.to, &[], question.clone(), self.now));
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

/// Why a push that was counted starts nothing.
pub(crate) fn told_before(first: DeliveryId) -> String {
    format!("delivery {first} told of this push before")
}

/// Takes back that a trigger matches, or may.
pub(crate) fn refuse(verdict: &mut Verdict, rule: &str, words: String) {
    let may_start = verdict.matched || verdict.held.is_some() || verdict.is_open();
    verdict.rules.push(RuleVerdict {
        rule: rule.to_owned(),
        outcome: RuleOutcome::Failed,
        words: words.clone(),
    });
    if may_start {
        verdict.reason = words;
    }
    (verdict.matched, verdict.held) = (false, None);
    verdict.values.clear();
}
