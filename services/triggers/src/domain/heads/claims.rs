//! A commit that comes to a branch is told of twice where the branch has a pull request: by the push, and by the pull
//! request. Whichever comes first starts the flow, for each trigger that hears both.
//!
//! A commit may come to a branch again (a force push back and forth), and then the flow starts again. So the n-th push of
//! a commit and the n-th time that a pull request tells of it are one: a run starts when either count passes the
//! number of runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shipway_events::{DeliveryId, FlowId};

use super::RefState;

/// How many claims of a ref are remembered.
const REMEMBERED: usize = 64;

/// What told of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A push, which was counted by [`RefState::seen`] before.
    Push,
    /// A pull request.
    PullRequest {
        /// Its number.
        number: u64,
        /// When it says that the commit came.
        came: Came,
    },
}

/// When a commit came to a pull request, as far as a delivery about the pull request tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Now.
    Now,
    /// Now, if it had another one before: what was changed the host does not tell, and it may be the title.
    NowIfOther,
    /// It is there: one that is opened, opened again or no draft any more may have a commit that was there long before.
    Before,
}

/// Who wants to start something for a commit.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The flow.
    pub flow: FlowId,
    /// The flow's trigger.
    pub trigger: &'a str,
    /// The commit.
    pub commit: &'a str,
    /// What told of it.
    pub arrival: Arrival,
    /// The delivery that it is in.
    pub delivery: DeliveryId,
}

/// What one trigger started for one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    #[serde(rename = "f")]
    flow: FlowId,
    #[serde(rename = "t")]
    trigger: String,
    #[serde(rename = "c")]
    commit: String,
    /// The delivery that started the newest run.
    #[serde(rename = "d")]
    delivery: DeliveryId,
    #[serde(rename = "r")]
    runs: u32,
    #[serde(rename = "p", default)]
    pushes: u32,
    /// By the pull request's number.
    #[serde(rename = "q", default, skip_serializing_if = "BTreeMap::is_empty")]
    pull_requests: BTreeMap<u64, u32>,
    /// The pull requests that had it when they were last told of.
    #[serde(rename = "n", default, skip_serializing_if = "BTreeSet::is_empty")]
    newest_of: BTreeSet<u64>,
}

impl RefState {
    /// Counts what told of a commit.
    ///
    /// # Errors
    /// The delivery that told of the same before: nothing more is to be started.
    pub fn claim(&mut self, claim: Claim<'_>) -> Result<(), DeliveryId> {
        let Claim { flow, trigger, commit, arrival, delivery } = claim;
        let same = |known: &Started| known.flow == flow && known.trigger == trigger && known.commit == commit;
        // The one that was used last is at the end.
        let mut known = match self.started.iter().position(same) {
            Some(at) => self.started.remove(at),
            None => Started {
                flow,
                trigger: trigger.to_owned(),
                commit: commit.to_owned(),
                delivery,
                runs: 0,
                pushes: 0,
                pull_requests: BTreeMap::new(),
                newest_of: BTreeSet::new(),
            },
        };
        let told = match arrival {
            Arrival::Push => {
                known.pushes += 1;
                known.pushes
            }
            Arrival::PullRequest { number, came } => {
                let others = self.started.iter_mut().filter(|o| o.flow == flow && o.trigger == trigger);
                let had_another =
                    others.filter_map(|other| other.newest_of.remove(&number).then_some(())).count() > 0;
                known.newest_of.insert(number);
                let told = known.pull_requests.entry(number).or_default();
                let is_new = match came {
                    Came::Now => true,
                    Came::NowIfOther => had_another,
                    Came::Before => false,
                };
                if is_new || *told == 0 {
                    *told += 1;
                }
                *told
            }
        };
        let before = known.delivery;
        let is_first = told > known.runs;
        if is_first {
            (known.runs, known.delivery) = (told, delivery);
        }
        self.started.push(known);
        if self.started.len() > REMEMBERED {
            self.started.remove(0);
        }
        if is_first { Ok(()) } else { Err(before) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const PUSH: Arrival = Arrival::Push;
    const OPENED: Arrival = Arrival::PullRequest { number: 7, came: Came::Before };
    const SYNCHRONIZED: Arrival = Arrival::PullRequest { number: 7, came: Came::Now };
    const UPDATED: Arrival = Arrival::PullRequest { number: 7, came: Came::NowIfOther };

    fn flow() -> FlowId {
        FlowId::new(Uuid::from_u128(1))
    }

    fn claim(state: &mut RefState, commit: &str, arrival: Arrival, delivery: u128) -> Result<(), DeliveryId> {
        let delivery = DeliveryId::new(Uuid::from_u128(delivery));
        state.claim(Claim { flow: flow(), trigger: "app", commit, arrival, delivery })
    }

    #[test]
    fn whichever_comes_first_starts_the_flow() {
        let first = Err(DeliveryId::new(Uuid::from_u128(1)));
        for (one, other) in [(PUSH, SYNCHRONIZED), (SYNCHRONIZED, PUSH), (PUSH, OPENED), (OPENED, PUSH)] {
            let mut state = RefState::default();
            assert_eq!(claim(&mut state, "b", one, 1), Ok(()));
            assert_eq!(claim(&mut state, "b", other, 2), first);
            // Opened again, or no draft any more: the commit is the same.
            assert_eq!(claim(&mut state, "b", OPENED, 3), first);
        }
    }

    #[test]
    fn another_trigger_flow_or_pull_request_starts_for_itself() {
        let mut state = RefState::default();
        let delivery = DeliveryId::new(Uuid::from_u128(1));
        let of = |flow: u128, trigger: &'static str, arrival| Claim {
            flow: FlowId::new(Uuid::from_u128(flow)),
            trigger,
            commit: "b",
            arrival,
            delivery,
        };
        assert_eq!(state.claim(of(1, "app", PUSH)), Ok(()));
        assert_eq!(state.claim(of(1, "other", PUSH)), Ok(()));
        assert_eq!(state.claim(of(2, "app", SYNCHRONIZED)), Ok(()));
        let second = Arrival::PullRequest { number: 8, came: Came::Now };
        assert_eq!(state.claim(of(1, "app", second)), Err(delivery), "the same commit of the same branch");
    }

    /// A title, a label or a vote is told like commits by some hosts: each time with the commit that is there.
    #[test]
    fn an_update_that_does_not_say_of_what_counts_for_a_commit_that_came_alone() {
        for opened in [OPENED, UPDATED, SYNCHRONIZED] {
            let mut state = RefState::default();
            assert_eq!(claim(&mut state, "a", opened, 1), Ok(()));
            assert!(claim(&mut state, "a", UPDATED, 2).is_err(), "its title");
            assert_eq!(claim(&mut state, "b", UPDATED, 3), Ok(()));
            assert!(claim(&mut state, "b", UPDATED, 4).is_err(), "its title");
            assert_eq!(claim(&mut state, "a", UPDATED, 5), Ok(()), "forced back");
            assert!(claim(&mut state, "a", UPDATED, 6).is_err(), "its title");
            assert!(claim(&mut state, "a", PUSH, 7).is_err() && claim(&mut state, "a", PUSH, 8).is_err());
        }
    }

    /// What an earlier version wrote down does not say which commit a pull request has.
    #[test]
    fn an_update_after_an_earlier_version_starts_nothing_twice() {
        let mut state = RefState::default();
        assert_eq!(claim(&mut state, "a", OPENED, 1), Ok(()));
        state.started[0].newest_of.clear();
        assert!(claim(&mut state, "a", UPDATED, 2).is_err());
    }

    #[test]
    fn what_is_forgotten_is_the_oldest() {
        let mut state = RefState::default();
        for commit in 0..1000 {
            assert_eq!(claim(&mut state, &commit.to_string(), PUSH, commit), Ok(()));
            assert!(claim(&mut state, "kept", OPENED, 1).is_ok() == (commit == 0));
        }
        assert_eq!(state.started.len(), REMEMBERED);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// A branch is forced back and forth between two commits; every arrival is told of by a push and by a pull
        /// request, in either order, and the two of one arrival may come after those of later ones.
        #[test]
        fn every_arrival_starts_once(
            commits in prop::collection::vec(0usize..3, 1..12),
            order in prop::collection::vec(any::<(u8, bool)>(), 12),
        ) {
            let mut told: Vec<(u8, usize, Arrival)> = Vec::new();
            for (n, commit) in commits.iter().enumerate() {
                let (late, push_first) = order[n];
                let both = if push_first { [PUSH, SYNCHRONIZED] } else { [SYNCHRONIZED, PUSH] };
                told.push((u8::try_from(n).unwrap(), *commit, both[0]));
                told.push((u8::try_from(n).unwrap().saturating_add(late % 4), *commit, both[1]));
            }
            told.sort_by_key(|(at, ..)| *at);
            let mut state = RefState::default();
            let mut runs = [0; 3];
            for (n, (_, commit, arrival)) in told.iter().enumerate() {
                runs[*commit] += i32::from(claim(&mut state, &commit.to_string(), *arrival, n as u128).is_ok());
            }
            for (commit, count) in runs.iter().enumerate() {
                let arrivals = commits.iter().filter(|c| **c == commit).count();
                prop_assert_eq!(*count, i32::try_from(arrivals).unwrap());
            }
        }
    }
}
