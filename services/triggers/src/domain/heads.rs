//! What is known of a branch's newest commit, and whether a push is one that was already counted.
//!
//! Deliveries come late, twice, in the wrong order or not at all, and the repository itself is asked from
//! time to time. Each push counts once, whichever way it is heard of:
//!
//! * A push that was **found by asking** is remembered, with the commits it brought. When its delivery comes after
//!   all, it is that push; so are deliveries of the pushes on the way to it, or an older commit would be deployed
//!   after a newer one.
//! * A delivery that is **older** than what is known (by the host's time of the push, else because a known push
//!   starts where it ends) does not move the head.
//! * Asking never counts a commit again that was counted for that ref, unless the branch is known to have moved on from
//!   it since: then it was forced back.
//! * The **same body** again is a replay, unless a later push started from its commit and the repository says that
//!   the commit is its head again (a force push back and forth can be byte-equal). While the repository says nothing,
//!   nobody knows which of the two it is.

use serde::{Deserialize, Serialize};
use shipway_events::{DeliveryId, HookId, Timestamp};

pub use claims::{Arrival, Came, Claim};

use super::push::Push;

mod claims;

/// How long a body, or a push found by asking, is remembered: 30 days.
pub const MEMORY: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// How many counted and found pushes of a ref are remembered.
const REMEMBERED: usize = 16;

/// What is known of one ref of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefState {
    /// The newest known commit; none if the ref is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The commit before, if the push told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// When the host got the push, or when it was asked: seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pushed_at: Option<i64>,
    /// Whether the head was learnt by asking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    asked: bool,
    /// The last commits that were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    counted: Vec<Counted>,
    /// Pushes found by asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    found: Vec<Found>,
    /// What was started by the commits that came to the ref.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    started: Vec<claims::Started>,
    /// Counts the changes, so that an answer to an old question can be told.
    #[serde(default)]
    pub revision: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    #[serde(rename = "c")]
    commit: String,
    /// Whether the branch is known to have moved on from it.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    left: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    commit: String,
    delivery: DeliveryId,
    at: Timestamp,
    /// The head before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// The commits on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    way: Vec<String>,
    /// The hooks that told of a commit of it later: each does once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<(HookId, String)>,
}

/// What a delivery is, seen from what is known of its ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A push nobody counted yet.
    New,
    /// The push of an earlier delivery; it gets that one's answer.
    Again(DeliveryId),
    /// The body of an earlier delivery, and the branch has moved since: new only if the repository says that the
    /// commit is the ref's head again.
    AskFirst(DeliveryId),
}

impl RefState {
    /// What a push that a hook tells of is. `same_body` is the newest delivery to the same hook with the same body
    /// in [`MEMORY`]; `confirmed` says that the repository was asked and has the commit as the ref's head.
    #[must_use]
    pub fn seen(
        &self,
        push: &Push,
        hook: Option<HookId>,
        same_body: Option<DeliveryId>,
        confirmed: bool,
    ) -> Seen {
        if let Some(found) = self.found.iter().find(|found| found.awaits(push, hook)) {
            return Seen::Again(found.delivery);
        }
        let stayed = |commit: &str| self.counted.iter().any(|known| known.commit == commit && !known.left);
        match same_body {
            None => Seen::New,
            Some(first) if push.target().is_none_or(stayed) => Seen::Again(first),
            Some(_) if confirmed => Seen::New,
            Some(first) => Seen::AskFirst(first),
        }
    }

    /// Records a delivery of a push that was counted before.
    pub fn record_again(&mut self, push: &Push, hook: Option<HookId>) {
        for found in &mut self.found {
            if found.awaits(push, hook) {
                found.told.extend(hook.zip(push.target().map(str::to_owned)));
                self.revision += 1;
            }
        }
        if self.asked && self.head.as_deref() == push.target() {
            self.asked = false;
            self.revision += 1;
        }
    }

    /// Records a push that counts; `confirmed` if the repository was asked and has its commit as the head.
    pub fn record(&mut self, push: &Push, confirmed: bool) {
        self.revision += 1;
        if let Some(before) = &push.before {
            self.leave(|commit| commit == before);
        }
        if let Some(commit) = push.target() {
            self.count(commit);
        }
        if !confirmed && self.is_older(push) {
            return;
        }
        self.head = push.target().map(str::to_owned);
        self.before.clone_from(&push.before);
        self.pushed_at = push.pushed_at;
        self.asked = false;
    }

    /// Whether a commit that the repository shows as the ref's head is a push nobody counted.
    #[must_use]
    pub fn is_news(&self, commit: &str) -> bool {
        let counted = |known: &Counted| known.commit == commit && !known.left;
        self.head.as_deref() != Some(commit) && !self.counted.iter().any(counted)
    }

    /// Whether a commit was counted, and the branch moved on from it.
    #[must_use]
    pub fn has_left(&self, commit: &str) -> bool {
        self.counted.iter().any(|known| known.commit == commit && known.left)
    }

    /// Whether no push to the ref was ever heard of.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.head.is_none() && self.counted.is_empty() && self.found.is_empty()
    }

    /// Records what the repository shows: known, or the first look at the repository.
    pub fn record_asked(&mut self, commit: &str, at: Timestamp) {
        self.revision += 1;
        self.leave(|known| known != commit);
        self.found.retain(|known| at.since(known.at) < MEMORY);
        self.before = self.head.replace(commit.to_owned());
        self.pushed_at = Some(at.millis().div_euclid(1000));
        self.asked = true;
    }

    /// Records a push that was found by asking, with the commits on the way to it.
    pub fn record_found(&mut self, commit: &str, way: Vec<String>, delivery: DeliveryId, at: Timestamp) {
        let before = self.head.clone();
        self.record_asked(commit, at);
        self.count(commit);
        let (commit, told) = (commit.to_owned(), Vec::new());
        self.found.push(Found { commit, delivery, at, before, way, told });
        keep_newest(&mut self.found);
    }

    fn count(&mut self, commit: &str) {
        self.counted.retain(|known| known.commit != commit);
        self.counted.push(Counted { commit: commit.to_owned(), left: false });
        keep_newest(&mut self.counted);
    }

    fn leave(&mut self, which: impl Fn(&str) -> bool) {
        self.counted.iter_mut().filter(|known| which(&known.commit)).for_each(|known| known.left = true);
    }

    /// Whether the push came before what is known, by all that can be told.
    fn is_older(&self, push: &Push) -> bool {
        if push.before == self.head && (push.before.is_some() || push.created) {
            return false;
        }
        match (push.pushed_at, self.pushed_at) {
            (Some(this), Some(known)) if this != known => this < known,
            _ if self.head.is_none() => false,
            _ => self.asked || (push.after.is_some() && push.after == self.before),
        }
    }
}

impl Found {
    fn awaits(&self, push: &Push, hook: Option<HookId>) -> bool {
        let (Some(hook), Some(target)) = (hook, push.target()) else { return false };
        let on_the_way = |commit: &str| self.way.iter().any(|known| known == commit);
        let from_the_way = push.before == self.before || push.before.as_deref().is_some_and(on_the_way);
        let is_part = target == self.commit || (on_the_way(target) && from_the_way);
        is_part && !self.told.iter().any(|(by, commit)| *by == hook && commit == target)
    }
}

fn keep_newest<T>(list: &mut Vec<T>) {
    if list.len() > REMEMBERED {
        list.drain(..list.len() - REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id(number: usize) -> DeliveryId {
        DeliveryId::new(Uuid::from_u128(number as u128 + 1))
    }

    const HOOK: Option<HookId> = Some(HookId::new(Uuid::from_u128(9)));

    fn commit(number: usize) -> String {
        format!("{:040x}", number + 1)
    }

    fn push(before: Option<usize>, after: usize) -> Push {
        Push {
            reference: "refs/heads/main".to_owned(),
            before: before.map(commit),
            after: Some(commit(after)),
            created: before.is_none(),
            ..Push::default()
        }
    }

    #[test]
    fn a_replay_is_refused_and_a_forced_push_back_and_forth_counts_twice() {
        let (to_b, to_a) = (push(Some(0), 1), push(Some(1), 0));
        let mut state = RefState::default();
        assert_eq!(state.seen(&to_b, HOOK, None, false), Seen::New);
        state.record(&to_b, false);
        assert_eq!(state.seen(&to_b, HOOK, Some(id(1)), false), Seen::Again(id(1)), "still the head");
        state.record(&to_a, false);
        assert_eq!(state.head, Some(commit(0)));
        assert_eq!(
            state.seen(&to_b, HOOK, Some(id(1)), false),
            Seen::AskFirst(id(1)),
            "the branch moved since"
        );
        assert_eq!(state.seen(&to_b, HOOK, Some(id(1)), true), Seen::New, "the repository confirms it");
        state.record(&to_b, true);
        assert_eq!(state.head, Some(commit(1)));
        assert_eq!(state.seen(&to_b, HOOK, Some(id(9)), false), Seen::Again(id(9)));
    }

    #[test]
    fn a_forced_push_back_that_nobody_told_of_is_found_once() {
        let mut state = RefState::default();
        state.record(&push(Some(0), 1), false);
        assert!(!state.has_left(&commit(1)));
        state.record(&push(Some(1), 2), false);
        assert!(state.has_left(&commit(1)) && state.is_news(&commit(1)) && !state.is_news(&commit(2)));
        let at = Timestamp::from_micros(9_000_000);
        state.record_found(&commit(1), Vec::new(), id(7), at);
        assert!(!state.has_left(&commit(1)) && !state.is_news(&commit(1)));
        // Its delivery, with the body of the first time.
        assert_eq!(state.seen(&push(Some(0), 1), HOOK, Some(id(1)), true), Seen::Again(id(7)));
    }

    #[test]
    fn a_deleted_ref_starts_nothing_and_can_come_back() {
        let mut state = RefState::default();
        state.record(&push(None, 1), false);
        let gone = Push { after: None, deleted: true, before: Some(commit(1)), ..push(None, 1) };
        state.record(&gone, false);
        assert_eq!(state.head, None);
        assert_eq!(state.seen(&gone, HOOK, Some(id(2)), true), Seen::Again(id(2)));
        state.record(&push(None, 1), false);
        assert_eq!(state.head, Some(commit(1)));
    }

    #[test]
    fn what_was_found_by_asking_is_its_delivery_when_that_comes() {
        let mut state = RefState::default();
        state.record_asked(&commit(0), Timestamp::from_micros(5_000_000));
        assert!(!state.is_news(&commit(0)) && state.is_news(&commit(2)));
        state.record_found(&commit(2), Vec::new(), id(7), Timestamp::from_micros(9_000_000));
        // The delivery before it, late: counts, and does not hide what is newer.
        assert_eq!(state.seen(&push(Some(0), 1), HOOK, None, false), Seen::New);
        state.record(&push(Some(0), 1), false);
        assert!(!state.is_news(&commit(2)) && !state.is_news(&commit(1)));
        assert_eq!(state.seen(&push(Some(1), 2), HOOK, None, false), Seen::Again(id(7)));
        state.record_again(&push(Some(1), 2), HOOK);
        assert_eq!(state.seen(&push(Some(2), 3), HOOK, None, false), Seen::New);
        state.record(&push(Some(2), 3), false);
        assert_eq!(state.head, Some(commit(3)));
    }

    #[test]
    fn deliveries_on_the_way_to_what_was_found_are_that_push() {
        let mut state = RefState::default();
        state.record_asked(&commit(0), Timestamp::from_micros(1));
        state.record_found(&commit(3), vec![commit(1), commit(2)], id(7), Timestamp::from_micros(2));
        let another = Some(HookId::new(Uuid::from_u128(10)));
        for hook in [HOOK, another] {
            for late in [push(Some(0), 1), push(Some(1), 2), push(Some(2), 3)] {
                assert_eq!(state.seen(&late, hook, None, false), Seen::Again(id(7)));
                state.record_again(&late, hook);
                assert_eq!(state.head, Some(commit(3)));
            }
        }
        // Back to a commit of the way by force: a push of its own.
        assert_eq!(state.seen(&push(Some(3), 1), HOOK, None, false), Seen::New);
    }

    /// One push after the other; deliveries come late, twice or never; the repository is asked in between.
    fn history(pushes: usize, plan: &[(usize, bool, bool)], timed: bool) -> BTreeMap<String, usize> {
        let all: Vec<Push> = (0..pushes)
            .map(|n| Push { pushed_at: timed.then_some(10 * n as i64), ..push(n.checked_sub(1), n) })
            .collect();
        let mut state = RefState::default();
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        let mut bodies: BTreeMap<usize, DeliveryId> = BTreeMap::new();
        let mut ids = 100;
        let mut first_look = true;
        for (step, (which, deliver, ask)) in plan.iter().enumerate() {
            // The repository has the first so many pushes at this step.
            let present = (1 + step * pushes / plan.len()).min(pushes);
            if *deliver {
                let which = which % present;
                let known = bodies.get(&which).copied();
                ids += 1;
                let original = match state.seen(&all[which], HOOK, known, false) {
                    Seen::New => {
                        state.record(&all[which], false);
                        *counted.entry(commit(which)).or_default() += 1;
                        id(ids)
                    }
                    // The repository would not confirm what is not its head.
                    Seen::AskFirst(first) if which + 1 != present => first,
                    Seen::AskFirst(_) => {
                        state.record(&all[which], true);
                        *counted.entry(commit(which)).or_default() += 1;
                        id(ids)
                    }
                    Seen::Again(first) => {
                        state.record_again(&all[which], HOOK);
                        first
                    }
                };
                bodies.insert(which, original);
            }
            if *ask {
                let head = commit(present - 1);
                let news = !first_look && state.is_news(&head);
                ids += 1;
                if news {
                    *counted.entry(head.clone()).or_default() += 1;
                }
                if news || state.head.as_ref() != Some(&head) {
                    let at = Timestamp::from_micros((10 * (present as i64 - 1) + 5) * 1_000_000);
                    if news {
                        state.record_found(&head, Vec::new(), id(ids), at);
                    } else {
                        state.record_asked(&head, at);
                    }
                }
                first_look = false;
            }
        }
        counted
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn every_push_counts_at_most_once(
            pushes in 1usize..6,
            plan in prop::collection::vec((0usize..6, any::<bool>(), any::<bool>()), 1..24),
            timed: bool,
        ) {
            for (commit, times) in history(pushes, &plan, timed) {
                prop_assert_eq!(times, 1, "commit {}", commit);
            }
        }
    }
}
