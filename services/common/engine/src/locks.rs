//! Locks: names that nodes hold while they run, across flows. Who has one is the log's, in a stream of its own; what a
//! run does about it is decided here.
//!
//! A node takes all its locks at once or none, and waits in the queues of all of them or of none. So whoever holds a
//! lock waits for no other, and of two nodes that wait for the same two locks one is before the other in both: nobody
//! waits in a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shipway_events::{
    RunId,
    lock::{Event, Queued, Released, Taken},
};

use crate::{RunState, decide::Decision};

/// A node of a run, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// The node's index in its plan.
    pub node: u32,
}

/// A lock: the fold of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockState {
    holder: Option<Holder>,
    waiting: VecDeque<Holder>,
}

/// The locks that a decision may need, by name. One that is not there is free.
pub type Locks = BTreeMap<String, LockState>;

impl LockState {
    /// Adds what happened.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Taken(Taken { run, node }) => {
                let who = Holder { run: *run, node: *node };
                self.waiting.retain(|waiting| *waiting != who);
                self.holder = Some(who);
            }
            Event::Queued(Queued { run, node }) => self.waiting.push_back(Holder { run: *run, node: *node }),
            Event::Released(Released { run, node }) => {
                let who = Holder { run: *run, node: *node };
                self.waiting.retain(|waiting| *waiting != who);
                self.holder = self.holder.filter(|holder| *holder != who);
            }
        }
    }

    /// Who has it.
    #[must_use]
    pub const fn holder(&self) -> Option<Holder> {
        self.holder
    }

    /// Who waits for it, in their order.
    pub fn waiting(&self) -> impl Iterator<Item = Holder> + '_ {
        self.waiting.iter().copied()
    }
}

/// What a node waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockWait {
    pub(crate) name: String,
    /// Who has it, or comes first.
    pub(crate) behind: Holder,
}

impl Decision<'_> {
    /// Whether a node has its locks, or gets them now; else it waits for them.
    pub(crate) fn has_locks(&mut self, node: u32) -> bool {
        let Some(plan) = self.state.plan_node(node).filter(|plan| !plan.locks.is_empty()) else {
            return true;
        };
        // What goes on after the run's end has given them back.
        if self.state.holds_locks(node) || self.state.ended.is_some() {
            return true;
        }
        let Some(run) = self.state.started().map(|started| started.run) else { return true };
        let who = Holder { run, node };
        let locks = self.slots.locks_mut();
        let state = &*self.state;
        let free = LockState::default();
        let taken = plan.locks.iter().find_map(|name| {
            let behind = state.before(who, name, locks.get(name).unwrap_or(&free))?;
            Some(LockWait { name: name.clone(), behind })
        });
        if let Some(wait) = taken {
            self.state.lock_waits.insert(node, wait);
            self.state.agenda.locked.insert(node);
            return false;
        }
        for name in &plan.locks {
            locks.entry(name.clone()).or_default().evolve(&Taken { run, node }.into());
        }
        self.state.lock_waits.remove(&node);
        true
    }
}

impl RunState {
    /// The names of all locks that the run may want: a decision about it needs to know them.
    #[must_use]
    pub fn lock_names(&self) -> &BTreeSet<String> {
        &self.planned.locks
    }

    /// Whether a node holds its locks: it has begun, and neither it nor its run has ended. What is `unknown` holds them.
    #[must_use]
    pub fn holds_locks(&self, node: u32) -> bool {
        let holds = |node: &crate::NodeState| node.started_at.is_some() && (!node.closed || node.trailing);
        self.ended.is_none() && self.node(node).is_some_and(holds)
    }

    /// The locks that come free no sooner than a node has ended, each with the node that holds it: itself, or what it
    /// is in.
    #[must_use]
    pub fn locks_around(&self, node: u32) -> Vec<(&str, u32)> {
        let (mut found, mut at) = (Vec::new(), Some(node));
        while let Some((n, plan)) = at.and_then(|n| Some((n, self.plan_node(n)?))) {
            if self.holds_locks(n) {
                found.extend(plan.locks.iter().map(|name| (name.as_str(), n)));
            }
            at = plan.parent;
        }
        found
    }

    /// Who has a lock that a node wants, or comes before it; none if the node may have it now. What nodes of this run
    /// have is the run's to say: it may have been decided and not be committed. What they had and wanted counts only as
    /// far as they still do.
    fn before(&self, who: Holder, name: &String, lock: &LockState) -> Option<Holder> {
        let takes = |node: u32| self.plan_node(node).is_some_and(|plan| plan.locks.contains(name));
        let mine = self.locking.iter().find(|&&node| self.holds_locks(node) && takes(node));
        if let Some(&node) = mine.filter(|&&node| node != who.node) {
            return Some(Holder { node, ..who });
        }
        let has = |holder: &Holder| holder.run != who.run || self.holds_locks(holder.node);
        if let Some(holder) = lock.holder.filter(has) {
            return (holder != who).then_some(holder);
        }
        let wants =
            |other: &Holder| other.run != who.run || self.agenda.contains(other.node) || *other == who;
        lock.waiting().find(wants).filter(|first| *first != who)
    }

    /// What has to happen to locks so that they say what the run does: what it has taken, gives back, waits for. To be
    /// committed with the run's own events, at the versions of the locks that are given.
    #[must_use]
    pub fn lock_events(&self, locks: &Locks) -> Vec<(String, Event)> {
        let Some(run) = self.started().map(|started| started.run) else { return Vec::new() };
        let mut events = Vec::new();
        let free = LockState::default();
        let waits = |node: u32| self.ended.is_none() && self.agenda.locked.contains(&node);
        for name in self.lock_names() {
            let lock = locks.get(name).unwrap_or(&free);
            let mine = lock.holder.into_iter().chain(lock.waiting()).filter(|who| who.run == run);
            for Holder { node, .. } in mine {
                if !self.holds_locks(node) && !waits(node) {
                    events.push((name.clone(), Released { run, node }.into()));
                }
            }
            for &node in &self.locking {
                if !self.plan_node(node).is_some_and(|plan| plan.locks.contains(name)) {
                    continue;
                }
                let who = Holder { run, node };
                if self.holds_locks(node) && lock.holder != Some(who) {
                    events.push((name.clone(), Taken { run, node }.into()));
                } else if waits(node) && !lock.waiting.contains(&who) {
                    events.push((name.clone(), Queued { run, node }.into()));
                }
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(run: u128, node: u32) -> Holder {
        Holder { run: format!("{run:032x}").parse().unwrap(), node }
    }

    #[test]
    fn a_lock_goes_from_one_to_the_next_in_their_order() {
        let mut lock = LockState::default();
        let [a, b, c] = [who(1, 1), who(2, 1), who(3, 1)];
        let first = |lock: &LockState| lock.holder().or_else(|| lock.waiting().next());
        lock.evolve(&Taken { run: a.run, node: 1 }.into());
        lock.evolve(&Queued { run: b.run, node: 1 }.into());
        lock.evolve(&Queued { run: c.run, node: 1 }.into());
        assert_eq!(first(&lock), Some(a));
        lock.evolve(&Released { run: a.run, node: 1 }.into());
        assert_eq!(first(&lock), Some(b));
        lock.evolve(&Released { run: b.run, node: 1 }.into());
        assert_eq!(first(&lock), Some(c), "who waits no longer is passed over");
        lock.evolve(&Taken { run: c.run, node: 1 }.into());
        assert_eq!((lock.holder(), lock.waiting().count()), (Some(c), 0));
    }
}
