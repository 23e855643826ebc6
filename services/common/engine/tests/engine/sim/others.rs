//! Others around the run: people who approve, runs of other flows, and another run that wants the same locks.

use shipway_engine::{ChildEnd, Command};
use shipway_events::{
    Actor, Asker, RunId, RunStatus,
    lock::{Event as Lock, Released, Taken},
    run::Event,
};

use super::{Happening, World};
use crate::story::id;

/// The other run.
fn other() -> RunId {
    id(77)
}

impl World {
    /// What follows from events outside of the run: children start, and end in their time.
    pub(crate) fn others_hear(&mut self, event: &Event) {
        match event {
            Event::ChildRequested(wanted) if wanted.wait => {
                let takes = self.rng.within(10, 3_000);
                self.later(takes, Happening::ChildEnds(wanted.node, wanted.child));
            }
            Event::ChildCancelled(cancelled) => {
                let takes = self.rng.within(1, 500);
                self.later(takes, Happening::ChildEnds(cancelled.node, cancelled.child));
            }
            _ => {}
        }
    }

    /// Says that a child has ended, until it is heard; the first word stands.
    pub(crate) fn child_ends(&mut self, node: u32, child: RunId) {
        let waits = self.observer.node(node).and_then(|node| node.child);
        let Some(waited) = waits.filter(|waited| waited.run == child) else { return };
        let status = match waited.cancelled {
            true if self.rng.per_mille(800) => RunStatus::Aborted,
            _ if self.behaves(node).ends == super::plans::Ends::Well => RunStatus::Success,
            _ => RunStatus::Failure,
        };
        let end = ChildEnd { status, reason: String::new(), refs: serde_json::Map::new() };
        let s = self.any_scheduler();
        self.command(s, Command::ChildEnded { node, child, end: Box::new(end) }, None);
        self.later(700, Happening::ChildEnds(node, child));
    }

    /// A person approves or, seldom, rejects; the other run takes locks and gives them back.
    pub(crate) fn person(&mut self) {
        self.later(500, Happening::Person);
        let waiting: Vec<u32> = self.observer.awaiting_approval().collect();
        for node in waiting.into_iter().filter(|_| self.rng.per_mille(600)).collect::<Vec<_>>() {
            let actor = Actor::Person(self.rng.pick(&["bo", "cy", "dan"]).to_owned());
            let by = Asker { actor, roles: Vec::new(), counts: true };
            let (reason, plan) = (String::new(), None);
            let s = self.any_scheduler();
            if self.rng.per_mille(100) {
                self.given_up = true;
                self.command(s, Command::Reject { node, by, reason, plan }, None);
            } else {
                self.command(s, Command::Approve { node, by, reason, plan }, None);
            }
        }
        for name in ["db", "dns"] {
            let lock = self.locks.entry(name.to_owned()).or_default();
            let (run, node) = (other(), 1);
            let event: Lock = match lock.holder() {
                Some(holder) if holder.run == run => Released { run, node }.into(),
                None if lock.waiting().next().is_none()
                    && self.now < self.faults_until
                    && self.rng.per_mille(300) =>
                {
                    Taken { run, node }.into()
                }
                _ => continue,
            };
            lock.evolve(&event);
            self.lock_version += 1;
        }
    }

    /// Locks are written with the run's own events; what is written must be as it may be.
    pub(crate) fn write_locks(&mut self, s: usize) {
        let run = self.started.run;
        for (name, event) in self.schedulers[s].state.lock_events(&self.locks) {
            let lock = self.locks.entry(name.clone()).or_default();
            // What the run gives back in the same commit is given back first.
            if let (Lock::Taken(Taken { node, .. }), Some(holder)) = (&event, lock.holder()) {
                let broken = format!("node {node} took the lock `{name}` from {holder:?}");
                self.broken.get_or_insert(broken);
                return;
            }
            lock.evolve(&event);
            self.lock_version += 1;
        }
        if self.observer.ended().is_some() {
            let has = |lock: &shipway_engine::LockState| {
                lock.holder().into_iter().chain(lock.waiting()).any(|who| who.run == run)
            };
            if let Some((name, _)) = self.locks.iter().find(|(_, lock)| has(lock)) {
                self.broken(format!("the run has ended and has or wants the lock `{name}`"));
            }
        }
    }

    /// An attempt runs only while its node has its locks, and nobody else has.
    pub(crate) fn check_locks(&mut self) {
        let run = self.started.run;
        for open in self.observer.open_attempts() {
            let names = self.observer.plan_node(open.node).map_or(&[][..], |plan| plan.locks.as_slice());
            if self.observer.ended().is_some() {
                continue;
            }
            for name in names {
                let holder = self.locks.get(name).and_then(shipway_engine::LockState::holder);
                if holder.is_none_or(|holder| (holder.run, holder.node) != (run, open.node)) {
                    let what = format!("node {} runs and the lock `{name}` has {holder:?}", open.node);
                    self.broken.get_or_insert(what);
                    return;
                }
            }
        }
    }
}
