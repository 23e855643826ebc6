//! Which scheduler a lane is with. Pure: the same members give the same answer everywhere.

use sha2::{Digest, Sha256};
use shipway_events::{FlowId, RunId};

/// How many parts the lanes are spread over. Fixed: schedulers of different versions must agree.
pub(crate) const SHARDS: u32 = 64;

/// A part of all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shard(u32);

impl Shard {
    /// The shard of a run's lane. Runs that belong to no flow have no lane to share: each goes by itself.
    pub(crate) fn of(flow: FlowId, run: RunId) -> Self {
        let id = if flow.uuid().is_nil() { run.uuid() } else { flow.uuid() };
        // The last bits of an id are chance.
        Self(u32::from(id.as_bytes()[15]) % SHARDS)
    }

    /// The shard of that number, if there is one.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        (number < SHARDS).then_some(Self(number))
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }
}

/// The scheduler that has a shard: the one with the highest hash, so that a scheduler that comes or goes moves its own
/// share and no other.
pub(crate) fn owner<'a>(shard: Shard, schedulers: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let weight = |id: &str| Sha256::new().chain_update(shard.0.to_be_bytes()).chain_update(id).finalize();
    schedulers.into_iter().max_by_key(|id| (weight(id), *id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;

    fn owners<'a>(schedulers: &[&'a str]) -> BTreeMap<Shard, &'a str> {
        Shard::all().map(|shard| (shard, owner(shard, schedulers.iter().copied()).unwrap())).collect()
    }

    #[test]
    fn everybody_agrees_whatever_the_order() {
        assert_eq!(owners(&["a", "b", "c"]), owners(&["c", "a", "b"]));
        assert_eq!(owner(Shard(0), []), None);
    }

    #[test]
    fn each_has_a_share_and_one_that_goes_moves_its_own_only() {
        let (three, two) = (owners(&["a", "b", "c"]), owners(&["a", "c"]));
        for id in ["a", "b", "c"] {
            let share = three.values().filter(|owner| **owner == id).count();
            assert!((8..=40).contains(&share), "{id} has {share}");
        }
        for (shard, owner) in &three {
            assert!(*owner == "b" || two[shard] == *owner, "{shard:?} moved without need");
        }
    }

    #[test]
    fn runs_of_a_flow_stay_together_and_those_of_none_spread() {
        let flow = FlowId::new(Uuid::from_u128(77));
        let runs: Vec<RunId> = (0..256).map(|n| RunId::new(Uuid::from_u128(n))).collect();
        assert!(runs.iter().all(|run| Shard::of(flow, *run) == Shard::of(flow, runs[0])));
        let none = FlowId::new(Uuid::nil());
        let spread: std::collections::BTreeSet<_> = runs.iter().map(|run| Shard::of(none, *run)).collect();
        assert_eq!(spread.len(), SHARDS as usize);
    }
}
