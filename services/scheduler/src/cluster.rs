//! The schedulers of one Shipway: who is there, and which lanes each has.
//!
//! Owning a shard is for speed: runs stay folded and room is counted in one place. What is true is said by the log's
//! versions, so two schedulers that both believe to own a run cannot both write to it.

mod beats;
mod follow;
mod lost_places;
mod peers;
pub(crate) mod shards;
mod takeover;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use shipway_contracts::{Channel, Error, Targets};
use shipway_eventing::Leases;
use shipway_events::RunId;
use tokio::{sync::Notify, time::Instant};

pub(crate) use beats::{EXECUTORS, keep, measure};
pub(crate) use follow::follow;
pub(crate) use lost_places::watch as watch_places;
pub(crate) use peers::COMPARE;
pub use peers::PeersApi;
pub(crate) use peers::{is_passed_on, passed_on};
use shards::Shard;

/// How long a scheduler counts after a beat.
const COUNTS: Duration = Duration::from_millis(1500);
/// How long a call for a run waits for its shard to come here.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many runs are read or asked at once where all of them are: lanes that move, an executor's beat. Each may wait for
/// the database, and there are few connections.
pub(crate) const AT_ONCE: usize = 8;
/// How many runs' shards are remembered.
const REMEMBERED: usize = 100_000;

/// What several schedulers share.
#[derive(Clone, Debug)]
pub struct Together {
    /// Their members and leases.
    pub leases: Leases,
    /// This start of this scheduler.
    pub id: String,
    /// Where others reach it.
    pub address: String,
}

/// This scheduler among the others; alone, everything is its own.
#[derive(Default)]
pub(crate) struct Cluster {
    together: Option<Together>,
    view: RwLock<View>,
    /// A look at who is there, sooner than the next beat.
    look: Notify,
    /// After each look.
    looked: Notify,
    shards: Mutex<HashMap<RunId, Shard>>,
}

/// Who had what at the last look.
#[derive(Default)]
struct View {
    owners: BTreeMap<Shard, String>,
    peers: BTreeMap<String, Peer>,
    /// Until when this scheduler counts, if no further beat is heard.
    until: Option<Instant>,
}

/// Another scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where it is.
    pub(crate) address: String,
    /// The way to it.
    pub(crate) channel: Channel,
}

/// Where a shard is.
#[derive(Clone, Debug)]
pub(crate) enum Whereabouts {
    /// Here.
    Here,
    /// With another scheduler.
    There(Peer),
    /// Nobody knows at the moment.
    Nowhere,
}

impl Cluster {
    pub(crate) fn new(together: Option<Together>) -> Self {
        Self { together, ..Self::default() }
    }

    /// Where executors and others reach this scheduler; empty in the same process.
    pub(crate) fn address(&self) -> &str {
        self.together.as_ref().map_or("", |together| together.address.as_str())
    }

    /// What several schedulers share; none for one that is alone.
    pub(crate) const fn together(&self) -> Option<&Together> {
        self.together.as_ref()
    }

    /// Where a shard is.
    pub(crate) fn whereabouts(&self, shard: Shard) -> Whereabouts {
        let Some(together) = &self.together else { return Whereabouts::Here };
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let counts = view.until.is_some_and(|until| Instant::now() < until);
        match view.owners.get(&shard) {
            Some(owner) if *owner == together.id && counts => Whereabouts::Here,
            Some(owner) if *owner != together.id => {
                view.peers.get(owner).cloned().map_or(Whereabouts::Nowhere, Whereabouts::There)
            }
            _ => Whereabouts::Nowhere,
        }
    }

    /// Whether a shard is this scheduler's.
    pub(crate) fn is_here(&self, shard: Shard) -> bool {
        matches!(self.whereabouts(shard), Whereabouts::Here)
    }

    /// Every other scheduler.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).peers.values().cloned().collect()
    }

    /// Where a call for a shard is answered: none for here. A call that another scheduler has passed on is not
    /// passed on again: it waits a moment for the shard to come.
    pub(crate) async fn route(&self, shard: Shard, passed_on: bool) -> Result<Option<Peer>, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let looked = self.looked.notified();
            match self.whereabouts(shard) {
                Whereabouts::Here => return Ok(None),
                Whereabouts::There(peer) if !passed_on => return Ok(Some(peer)),
                _ => self.look.notify_one(),
            }
            if tokio::time::timeout_at(until, looked).await.is_err() {
                return Err(Error::unavailable("the run moves to another scheduler; ask again"));
            }
        }
    }

    pub(crate) fn shard_of(&self, run: RunId) -> Option<Shard> {
        self.remembered().get(&run).copied()
    }

    pub(crate) fn remember(&self, run: RunId, shard: Shard) {
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(run, shard);
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<RunId, Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn at(address: &str) -> Option<Self> {
        match Targets::new(&[address.to_owned()]) {
            Ok((_, channel)) => Some(Self { address: address.to_owned(), channel }),
            Err(error) => {
                tracing::error!(%error, "a scheduler says an address that cannot be used");
                None
            }
        }
    }
}
