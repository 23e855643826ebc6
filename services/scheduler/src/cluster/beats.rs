//! Says that this scheduler is there, looks who else is, and which executors are; takes over what fell to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use shipway_eventing::{DurableError, Member, failpoint};
use shipway_events::{ExecutorId, RegistrationId, Timestamp};
use shipway_service_kit::metrics;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{COUNTS, Cluster, Peer, Together, View, shards, shards::Shard};
use crate::{registry::Introduction, service::Shared};

/// How the members are called.
const SCHEDULERS: &str = "scheduler";
pub(crate) const EXECUTORS: &str = "executor";
/// How often this scheduler says that it is there.
const BEAT: Duration = Duration::from_millis(500);
/// An executor whose lease has so little left has been silent for 25 s: its shims have ended all work 20 s after the beat
/// that was heard last, so what it was told to stop has stopped. What it was not told to stop waits for the lease's end.
const SILENT: Duration = Duration::from_secs(5);
/// Schedulers that have been gone for so long are forgotten: whoever looks reads them all.
const FORGET: Duration = Duration::from_secs(300);

/// Runs until the service stops; then others take over at once.
pub(crate) async fn keep(shared: Arc<Shared>, together: Together, stopping: CancellationToken) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut owned = BTreeSet::new();
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = shared.cluster.look.notified() => {}
            () = stopping.cancelled() => break,
        }
        if let Err(error) = beat(&shared, &together, &mut owned).await {
            tracing::warn!(%error, "this scheduler could not say that it is there; trying again");
            // What it had may be another's by now.
            if shared.cluster.has_expired() {
                lapse(&shared, &mut owned).await;
            }
        }
    }
    shared.cluster.leave_all();
    if let Err(error) = together.leases.leave(SCHEDULERS, &together.id).await {
        tracing::warn!(%error, "the other schedulers were not told; they notice in a moment");
    }
    shared.give_up(owned).await;
}

async fn beat(
    shared: &Arc<Shared>,
    together: &Together,
    owned: &mut BTreeSet<Shard>,
) -> Result<(), DurableError> {
    // What an earlier holding owned may have been another's in between: it is read again.
    if shared.cluster.has_expired() {
        lapse(shared, owned).await;
    }
    let sent = Instant::now();
    let leases = &together.leases;
    leases.beat(SCHEDULERS, &together.id, &together.address, "{}", COUNTS).await?;
    let schedulers = leases.members(SCHEDULERS).await?;
    shared.meet(&leases.members(EXECUTORS).await?).await;
    failpoint!("scheduler.see");
    let next = shared.cluster.see(together, &schedulers, sent + COUNTS);
    let (gained, lost): (BTreeSet<_>, BTreeSet<_>) =
        (next.difference(owned).copied().collect(), owned.difference(&next).copied().collect());
    *owned = next;
    if !lost.is_empty() {
        shared.give_up(lost).await;
    }
    if !gained.is_empty() {
        tracing::info!(shards = gained.len(), owned = owned.len(), "lanes have come to this scheduler");
        let shared = shared.clone();
        tokio::spawn(async move { shared.take_up(gained).await });
    }
    if schedulers.iter().any(|member| member.gone_for > FORGET) {
        leases.forget(SCHEDULERS, FORGET).await?;
    }
    Ok(())
}

/// This scheduler was silent for so long that others have its lanes by now.
async fn lapse(shared: &Shared, owned: &mut BTreeSet<Shard>) {
    metrics::LEASES_LOST.add(owned.len() as u64, &["shard"]);
    shared.give_up(std::mem::take(owned)).await;
}

/// Tells how many lanes are here, and how many executors count.
pub(crate) fn measure(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    metrics::LEASES_HELD.observe(move |seen| {
        let shared = weak.upgrade()?;
        let shards = Shard::all().filter(|shard| shared.cluster.is_here(*shard)).count();
        seen.value(shards as f64, &["shard"]);
        seen.value(shared.registry.present().len() as f64, &["executor"]);
        Some(())
    });
}

impl Cluster {
    /// This scheduler has been silent for too long to count.
    fn has_expired(&self) -> bool {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.until.is_some_and(|until| Instant::now() >= until)
    }

    /// This scheduler leaves: everything is the others'.
    fn leave_all(&self) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        view.until = None;
        view.owners = owners(view.peers.keys().map(String::as_str));
        drop(view);
        self.looked.notify_waiters();
    }

    /// Notes who is there; the shards that are this scheduler's.
    fn see(&self, together: &Together, members: &[Member], until: Instant) -> BTreeSet<Shard> {
        let live: Vec<&Member> = members.iter().filter(|member| !member.left.is_zero()).collect();
        let owners = owners(live.iter().map(|member| member.id.as_str()));
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let others = live.iter().filter(|member| member.id != together.id);
        let peers: BTreeMap<String, Peer> = others
            .filter_map(|member| {
                let known = view.peers.get(&member.id).filter(|peer| peer.address == member.address);
                Some((member.id.clone(), known.cloned().or_else(|| Peer::at(&member.address))?))
            })
            .collect();
        let own = owners.iter().filter(|(_, owner)| **owner == together.id);
        let own = own.map(|(shard, _)| *shard).collect();
        *view = View { owners, peers, until: Some(until) };
        drop(view);
        self.looked.notify_waiters();
        own
    }
}

fn owners<'a>(schedulers: impl Iterator<Item = &'a str> + Clone) -> BTreeMap<Shard, String> {
    let owner = |shard| Some((shard, shards::owner(shard, schedulers.clone())?.to_owned()));
    Shard::all().filter_map(owner).collect()
}

impl Shared {
    /// Learns which executors are there, and deals with what those left that are not.
    async fn meet(self: &Arc<Self>, members: &[Member]) {
        let mut changed = false;
        for member in members {
            let (Ok(executor), Ok(intro)) =
                (member.id.parse::<ExecutorId>(), serde_json::from_str::<Introduction>(&member.detail))
            else {
                tracing::error!(id = member.id, "an executor's row cannot be read");
                continue;
            };
            let registration: RegistrationId = intro.registration;
            if member.left.is_zero() {
                if self.registry.standing(executor, registration) == crate::registry::Standing::Unknown {
                    self.registry.register(executor, intro);
                }
                let gone = i64::try_from(member.gone_for.as_micros()).unwrap_or(i64::MAX);
                let since = Timestamp::from_micros(self.log.now().micros().saturating_sub(gone));
                if self.registry.mark_away(executor, registration, since) {
                    tracing::warn!(%executor, "an executor's lease is over");
                    metrics::LEASES_LOST.add(1, &["executor"]);
                    changed = true;
                }
            } else {
                let was_away = self.registry.standing(executor, registration);
                if self.registry.register(executor, intro) {
                    tracing::info!(%executor, %registration, "an executor has started");
                    changed = true;
                }
                changed |= was_away == crate::registry::Standing::LeaseOver;
                changed |= self.registry.note_silence(executor, member.left <= SILENT);
            }
        }
        if changed {
            let shared = self.clone();
            tokio::spawn(async move { shared.settle_all().await });
        }
    }
}
