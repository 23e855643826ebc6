//! What people say to a node that waits for them: who may, whose word counts, and what it is bound to.

use serde_json::{Map, json};
use shipway_events::{
    Actor, Asker, NodeStatus, Roster, Timestamp,
    run::{self, ApprovalRule, NodeError},
};

use crate::{Rejection, RunState, decide::Decision};

/// An approval of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// What they said.
    pub reason: String,
    /// The hash of the plan that they approved: it counts for no other.
    pub plan: String,
}

impl Decision<'_> {
    pub(crate) fn ask_for_approval(&mut self, node: u32, rule: ApprovalRule, timeout: Option<u32>) {
        let unknown = self.state.author().is_none_or(Actor::is_nobody);
        if rule.exclude_author && unknown {
            // It would wait for ever: no approval could count.
            let message = "nobody could ever approve it: who started the run may not (`excludeAuthor`), and nobody knows \
                           who that was, because the run was started without a token; start it again with a token";
            let error = NodeError {
                code: "unknown_author".to_owned(),
                message: message.to_owned(),
                transient: false,
            };
            return self.record(run::NodeFailed { node, fence: None, error });
        }
        let deadline = self.deadline(node, timeout);
        self.record(run::ApprovalRequested { node, rule, deadline });
    }

    pub(crate) fn approve(
        &mut self,
        node: u32,
        by: &Asker,
        reason: &str,
        plan: Option<&str>,
    ) -> Result<(), Rejection> {
        let (rule, plan) = self.may_judge(node, by, plan)?;
        let tells_apart = rule.amount > 1 || rule.exclude_author || !rule.approvers.is_empty();
        if tells_apart && !by.counts {
            return Err(Rejection::ProvesNoName);
        }
        if rule.exclude_author {
            match self.state.author() {
                Some(author) if author.is_same_person(&by.actor) => {
                    return Err(Rejection::IsAuthor(by.actor.name().to_owned()));
                }
                Some(author) if !author.is_nobody() => {}
                _ => return Err(Rejection::AuthorUnknown),
            }
        }
        if self.state.approvals(node).any(|approval| approval.by.is_same_person(&by.actor)) {
            return Ok(());
        }
        self.record(run::ApprovalGiven { node, by: by.actor.clone(), plan, reason: reason.to_owned() });
        if self.state.missing_approvals(node) == 0 {
            let names: Vec<&str> = self.state.approvals(node).map(|approval| approval.by.name()).collect();
            let outputs = Map::from_iter([("approvedBy".to_owned(), json!(names))]);
            self.record(run::NodeSucceeded { node, fence: None, outputs, effects: Vec::new() });
        }
        Ok(())
    }

    pub(crate) fn reject_approval(
        &mut self,
        node: u32,
        by: &Asker,
        reason: &str,
        plan: Option<&str>,
    ) -> Result<(), Rejection> {
        let (_, plan) = self.may_judge(node, by, plan)?;
        let by = by.actor.clone();
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let message = format!("{} rejected it{because}", by.name());
        self.record(run::ApprovalRejected { node, by, plan, reason: reason.to_owned() });
        let error = NodeError { code: "rejected".to_owned(), message, transient: false };
        self.record(run::NodeFailed { node, fence: None, error });
        Ok(())
    }

    /// Whether somebody may say anything about an approval: its rule, and the plan that it is bound to.
    fn may_judge(
        &self,
        node: u32,
        by: &Asker,
        seen: Option<&str>,
    ) -> Result<(ApprovalRule, String), Rejection> {
        if let Some(ended) = self.state.ended() {
            return Err(Rejection::Ended(ended.status));
        }
        let state = self.state.node(node).ok_or(Rejection::NoSuchNode(node))?;
        let rule = state.rule.as_deref().filter(|_| state.status == NodeStatus::ApprovalWait);
        let Some(rule) = rule else {
            return Err(Rejection::NoApprovalWanted(self.state.name_of(node)));
        };
        let is_meant = rule.approvers.is_empty() || rule.approvers.iter().any(|who| by.is(who));
        if !is_meant || !matches!(by.actor, Actor::Person(_)) {
            let (by, may) = (by.actor.name().to_owned(), approvers(rule));
            return Err(Rejection::NotAnApprover { by, may });
        }
        let plan = self.state.plan_hash().to_owned();
        match seen.filter(|seen| *seen != plan) {
            Some(seen) => Err(Rejection::OtherPlan { seen: seen.to_owned(), plan }),
            None => Ok((rule.clone(), plan)),
        }
    }
}

/// Who may approve, in words.
pub(crate) fn approvers(rule: &ApprovalRule) -> String {
    match rule.approvers.as_slice() {
        [] => "every person".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

impl RunState {
    /// The hash of the plan that the run was started with.
    #[must_use]
    pub fn plan_hash(&self) -> &str {
        let hash = || self.plan().map(|plan| plan.hash(self.planned.nodes)).unwrap_or_default();
        self.planned.hash.get_or_init(hash)
    }

    /// Nodes that wait for people to approve.
    pub fn awaiting_approval(&self) -> impl Iterator<Item = u32> + '_ {
        self.asking.iter().copied()
    }

    /// The approvals of a node that count: those of the plan as it is.
    pub fn approvals(&self, node: u32) -> impl Iterator<Item = &Approval> {
        let all = self.node(node).map_or(&[][..], |node| node.approvals.as_slice());
        // The hash is asked for only where there is something to compare it with.
        all.iter().filter(|approval| approval.plan == self.plan_hash())
    }

    /// How many more approvals a node needs.
    #[must_use]
    pub fn missing_approvals(&self, node: u32) -> u32 {
        let amount = self.node(node).and_then(|node| node.rule.as_ref()).map_or(0, |rule| rule.amount);
        amount.saturating_sub(u32::try_from(self.approvals(node).count()).unwrap_or(u32::MAX))
    }

    /// Who may not approve a node because they started the run.
    #[must_use]
    pub fn excluded(&self, node: u32) -> Option<&Actor> {
        let rule = self.node(node)?.rule.as_ref()?;
        self.author().filter(|author| rule.exclude_author && !matches!(author, Actor::System(_)))
    }

    /// Of the people who have a token, those whose approval a node that waits would still count.
    #[must_use]
    pub fn may_still_approve(&self, node: u32, roster: &Roster) -> Vec<String> {
        let Some(rule) = self.node(node).and_then(|node| node.rule.as_ref()) else { return Vec::new() };
        let excluded = self.excluded(node);
        let may = |person: &Actor| {
            excluded.is_none_or(|author| !author.is_same_person(person))
                && !self.approvals(node).any(|approval| approval.by.is_same_person(person))
        };
        let meant = roster
            .tokens()
            .filter(|token| rule.approvers.is_empty() || rule.approvers.iter().any(|who| token.is(who)));
        let names = meant.map(|token| token.name.clone()).filter(|name| may(&Actor::Person(name.clone())));
        names.collect()
    }

    /// Who started the run, as far as that is known.
    fn author(&self) -> Option<&Actor> {
        self.started()?.author.as_ref()
    }

    pub(crate) fn begin_approval(&mut self, event: &run::ApprovalRequested, at: Timestamp) {
        let n = event.node;
        self.agenda.remove(n);
        self.asking.insert(n);
        self.set_deadline(n, event.deadline);
        let node = self.at_mut(n);
        node.rule = Some(std::sync::Arc::new(event.rule.clone()));
        node.started_at.get_or_insert(at);
        self.set_status(n, NodeStatus::ApprovalWait, at);
    }
}
