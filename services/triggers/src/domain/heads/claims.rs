//! A commit that comes to a branch is told of twice where the branch has a pull request: by the push, and by the pull
//! request. Whichever comes first starts the flow, for each trigger that hears both.
//!
//! A commit may come to a branch again (a force push back and forth), and then the flow starts again. So the n-th push of
//! a commit and the n-th time that a pull request tells of it are one: a run starts when either count passes the
//! number of runs.

use std::collections::BTreeMap;

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
        /// Whether it says that the commit has come now, rather than that it is there: one that is opened, opened again
        /// or no draft any more may have a commit that was there long before.
        brings_commit: bool,
    },
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
            },
        };
        let told = match arrival {
            Arrival::Push => {
                known.pushes += 1;
                known.pushes
            }
            Arrival::PullRequest { number, brings_commit } => {
                let told = known.pull_requests.entry(number).or_default();
                if brings_commit || *told == 0 {
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
    const OPENED: Arrival = Arrival::PullRequest { number: 7, brings_commit: false };
    const UPDATED: Arrival = Arrival::PullRequest { number: 7, brings_commit: true };

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
        for (one, other) in [(PUSH, UPDATED), (UPDATED, PUSH), (PUSH, OPENED), (OPENED, PUSH)] {
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
        assert_eq!(state.claim(of(2, "app", UPDATED)), Ok(()));
        let second = Arrival::PullRequest { number: 8, brings_commit: true };
        assert_eq!(state.claim(of(1, "app", second)), Err(delivery), "the same commit of the same branch");
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
                let both = if push_first { [PUSH, UPDATED] } else { [UPDATED, PUSH] };
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
