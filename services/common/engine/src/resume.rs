//! Resuming: a run that branches off another one. It is a run of its own with the same plan; what does not depend on the
//! nodes from which it goes on is kept from the other, which stays as it is. So the history has every branch.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use shipway_events::{
    EffectClass, NodeStatus, RunId, Timestamp,
    run::{self, Kept, Resumed, Started},
};

use crate::{RunState, flow::Op, shape::is_loop};

/// What somebody wants of a resumed run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// The nodes from which it goes on, by their names; those that did not end well if none is named.
    pub from: Vec<String>,
    /// Nodes that are passed over, each with the reason.
    pub skip: BTreeMap<String, String>,
    /// Other values in nodes' specifications: the node's name, the field in it (`spec/data/command`), the value.
    pub set: Vec<(String, String, Value)>,
    /// Why, in a person's words.
    pub reason: String,
}

/// Why a run cannot be resumed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotResume {
    /// It goes on.
    #[error("the run has not ended: abort it first, or wait until it has")]
    GoesOn,
    /// It has no such node.
    #[error("the run has no node `{0}`")]
    NoSuchNode(String),
    /// It ended well, and nothing was named to be run again.
    #[error("the run has ended well: name the node from which it is to go on")]
    NothingToRun,
    /// Nobody knows what a node did.
    #[error(
        "nobody knows what `{0}` did: name it to have it run again, or pass over it with a reason, once somebody has looked"
    )]
    Unknown(String),
    /// The node is not run again, so that other values would change nothing.
    #[error("`{0}` is kept as it ended: other values for it need that the run goes on from there or before")]
    Keeps(String),
    /// There is nothing at that place.
    #[error("`{node}` has no field `{field}` that could be set")]
    NoSuchField {
        /// The node.
        node: String,
        /// The field.
        field: String,
    },
    /// Who approves is for the flow to say, not for whoever resumes a run.
    #[error("`{0}` is what people approve: a run cannot have it otherwise than its flow")]
    Gate(String),
}

/// What a run starts with that branches off one that has ended, under an id of its own.
///
/// # Errors
/// See [`CannotResume`].
pub fn branch(state: &RunState, wish: &Wish, run: RunId) -> Result<(Started, Resumed), CannotResume> {
    let started = state.started().filter(|_| state.ended().is_some()).ok_or(CannotResume::GoesOn)?;
    let find = |name: &String| state.node_by_name(name).ok_or_else(|| CannotResume::NoSuchNode(name.clone()));
    let from = wish.from.iter().map(find).collect::<Result<Vec<u32>, _>>()?;
    let skip: BTreeSet<u32> = wish.skip.keys().map(find).collect::<Result<_, _>>()?;
    let badly = badly(state, &from, &skip)?;
    if from.is_empty() && skip.is_empty() && badly.is_empty() {
        return Err(CannotResume::NothingToRun);
    }
    let mut again: BTreeSet<u32> =
        badly.into_iter().chain(from.iter().copied()).chain(skip.iter().copied()).collect();
    if !wish.set.is_empty() {
        // Approvals are of a plan, and this is going to be another one.
        let approved = (0_u32..).zip(state.nodes()).filter(|(_, node)| node.rule.is_some());
        again.extend(approved.map(|(n, _)| n));
    }
    let stale = state.stale(&again);
    let mut plan = started.plan.clone();
    plan.nodes.truncate(state.planned.nodes);
    for (name, field, value) in &wish.set {
        let n = find(name)?;
        if !stale.contains(&n) {
            return Err(CannotResume::Keeps(name.clone()));
        }
        let no_field = || CannotResume::NoSuchField { node: name.clone(), field: field.clone() };
        // Steps of loops are made from the loop's body.
        let node = plan.nodes.get_mut(n as usize).ok_or_else(no_field)?;
        if node.kind == "Approval" {
            return Err(CannotResume::Gate(name.clone()));
        }
        set_field(&mut node.spec, field, value.clone()).ok_or_else(no_field)?;
    }
    let mut kept = BTreeMap::new();
    for n in (0_u32..).take(state.nodes().len()) {
        let name = state.name_of(n);
        if let Some(reason) = wish.skip.get(&name) {
            kept.insert(name, Kept { reason: Some(reason.clone()), ..passed_over() });
        } else if let Some(outcome) = state.outcome_kept(n, &stale) {
            kept.insert(name, outcome);
        }
    }
    let from = (0_u32..).take(state.nodes().len()).filter(|n| again.contains(n) && !skip.contains(n));
    let resumed = Resumed {
        of: started.run,
        from: from.map(|n| state.name_of(n)).collect(),
        kept,
        reason: wish.reason.clone(),
    };
    // Nobody waits for the branch: whoever waited for the first one was told how that ended.
    Ok((Started { run, plan, parent: None, ..started.clone() }, resumed))
}

/// The nodes that did not end well: they are run again, with what depends on them.
fn badly(state: &RunState, from: &[u32], skip: &BTreeSet<u32>) -> Result<Vec<u32>, CannotResume> {
    let mut badly = Vec::new();
    for (n, node) in (0_u32..).zip(state.nodes()).filter(|(n, _)| state.is_leaf(*n)) {
        match node.status {
            NodeStatus::Unknown if !from.contains(&n) && !skip.contains(&n) => {
                return Err(CannotResume::Unknown(state.name_of(n)));
            }
            NodeStatus::Failure | NodeStatus::Aborted => badly.push(n),
            _ => {}
        }
    }
    Ok(badly)
}

const fn passed_over() -> Kept {
    Kept {
        status: NodeStatus::Skipped,
        started_at: None,
        ended_at: None,
        outputs: None,
        effects: Vec::new(),
        reason: None,
        iterations: None,
    }
}

/// Puts a value where there is one, or a new field into an object; none where there is nothing to put it in. `field` is the
/// way to it: `origin/build`.
#[must_use]
pub fn set_field(spec: &mut Value, field: &str, value: Value) -> Option<()> {
    let (around, last) = field.rsplit_once('/').unwrap_or(("", field));
    let around = if around.is_empty() { spec } else { spec.pointer_mut(&format!("/{around}"))? };
    match around {
        Value::Object(fields) => drop(fields.insert(last.to_owned(), value)),
        Value::Array(all) => *all.get_mut(last.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

impl RunState {
    /// The run that this one branches off, and from where.
    #[must_use]
    pub fn resumed(&self) -> Option<&Resumed> {
        self.resumed.as_deref()
    }

    /// How the effect of a node stays single when it is done again, as far as an attempt has said; none if it has none.
    #[must_use]
    pub fn effect_of(&self, n: u32) -> Option<EffectClass> {
        self.node(n)?.effect
    }

    /// What has to be run again if these are: all that comes after them, and all that names them.
    fn stale(&self, from: &BTreeSet<u32>) -> BTreeSet<u32> {
        let texts: Vec<(u32, String)> = (0..)
            .zip(self.plan().map_or(&[][..], |plan| plan.nodes.as_slice()))
            .filter(|(_, node)| node.spec != Value::Null)
            .map(|(n, node)| (n, format!("{}{:?}", node.spec, node.skip)))
            .filter(|(_, text)| text.contains("refs."))
            .collect();
        let mut stale = BTreeSet::new();
        let mut after_these = BTreeSet::new();
        let mut open: Vec<u32> = from.iter().copied().collect();
        loop {
            while let Some(n) = open.pop() {
                if !stale.insert(n) {
                    continue;
                }
                open.extend(self.steps(n));
                // What comes after a node comes after all that it is in, too.
                let mut at = Some(n);
                while let Some(n) = at.filter(|n| after_these.insert(*n)) {
                    open.extend(self.comes_after(n));
                    at = self.plan_node(n).and_then(|plan| plan.parent);
                }
            }
            let names = |text: &str| {
                stale.iter().chain(&after_these).any(|n| {
                    let name = self.plan_node(*n).map_or("", |plan| plan.reference.as_str());
                    text.match_indices("refs.").any(|(at, word)| {
                        let rest = &text[at + word.len()..];
                        rest.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_of_a_name))
                    })
                })
            };
            open.extend(texts.iter().filter(|(n, text)| !stale.contains(n) && names(text)).map(|(n, _)| *n));
            // A workflow whose own words name it is asked again; it holds what is in it.
            open.retain(|n| !after_these.contains(n) || self.is_leaf(*n));
            if open.is_empty() {
                return stale;
            }
        }
    }

    /// The nodes that have their turn after one, in its own workflow.
    fn comes_after(&self, n: u32) -> Vec<u32> {
        let place = &self.shape.places[n as usize];
        let mut after = place.after.clone();
        let parent = self.plan_node(n).and_then(|plan| plan.parent);
        if let Some(workflow) = parent.and_then(|parent| self.shape.places[parent as usize].workflow.as_ref())
            && !place.is_last
        {
            after.extend(&workflow.last);
        }
        after
    }

    /// What a node came to, if that is kept; none if it is run again or follows from what is.
    fn outcome_kept(&self, n: u32, stale: &BTreeSet<u32>) -> Option<Kept> {
        let (node, plan) = (self.node(n)?, self.plan_node(n)?);
        if stale.contains(&n) || node.started_at.is_none() && node.status != NodeStatus::Skipped {
            return None;
        }
        let iterations = is_loop(plan).then(|| {
            let about =
                |step: &u32| self.plan_node(*step).map(|plan| plan.spec["data"].clone()).unwrap_or_default();
            self.steps(n).iter().map(about).collect()
        });
        let kept = |status| Kept {
            status,
            started_at: node.started_at,
            ended_at: node.ended_at,
            outputs: node.outputs.as_deref().cloned(),
            effects: self.effects_known(n),
            reason: None,
            iterations: None,
        };
        match (node.status, &node.reason) {
            // What was skipped because of others follows from them again.
            (NodeStatus::Skipped, Some(Cow::Owned(reason))) => {
                Some(Kept { reason: Some(reason.clone()), ..kept(NodeStatus::Skipped) })
            }
            (NodeStatus::Skipped, _) => None,
            // Its iterations stay what they are, whatever is run again in them.
            _ if iterations.is_some() => Some(Kept { iterations, ..kept(NodeStatus::Success) }),
            (NodeStatus::Success, _) if self.is_leaf(n) || plan.skip.is_some() => {
                Some(kept(NodeStatus::Success))
            }
            _ => None,
        }
    }

    fn effects_known(&self, n: u32) -> Vec<run::Effect> {
        if let Some(own) = self.effects.get(&n) {
            return own.clone();
        }
        let kept = self.resumed.as_ref().filter(|_| self.at(n).kept);
        kept.and_then(|resumed| resumed.kept.get(&self.name_of(n)))
            .map(|kept| kept.effects.clone())
            .unwrap_or_default()
    }

    /// It branches off another run: those whose turn has come already are what they were there.
    pub(crate) fn resume(&mut self, event: &Resumed, at: Timestamp, ops: &mut VecDeque<Op>) {
        self.resumed = Some(Arc::new(event.clone()));
        for n in self.agenda.fresh.clone() {
            self.keep(n, at, ops);
        }
    }

    /// A node whose turn has come is what it was in the other run; false if it is not kept.
    pub(crate) fn keep(&mut self, n: u32, at: Timestamp, ops: &mut VecDeque<Op>) -> bool {
        let Some(resumed) = self.resumed.clone() else { return false };
        let Some(kept) = resumed.kept.get(&self.name_of(n)) else { return false };
        if self.cancelled(n).is_some() {
            return false;
        }
        if let Some(iterations) = &kept.iterations {
            self.grow(&run::LoopEntered { node: n, iterations: iterations.clone() }, at, ops);
            return true;
        }
        if kept.status == NodeStatus::Skipped {
            let reason = kept.reason.clone().unwrap_or_default();
            self.at_mut(n).kept = true;
            self.skip(n, Cow::Owned(reason), at, ops);
            return true;
        }
        if !self.is_leaf(n) {
            self.agenda.remove(n);
            self.enter(n, at, ops);
            return true;
        }
        self.know_effects(&kept.effects);
        let node = self.at_mut(n);
        (node.kept, node.started_at) = (true, kept.started_at);
        node.outputs = kept.outputs.clone().map(Arc::new);
        self.end(n, NodeStatus::Success, at, ops);
        self.at_mut(n).ended_at = kept.ended_at;
        true
    }
}

/// Whether a character can go on a node's name.
fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}
