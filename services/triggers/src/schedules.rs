//! Says when flows are due by their schedules: one event a tick, whoever looks and however often.
//!
//! What was dealt with is in the log, in a stream of each flow. A tick is appended to the version of the stream that it was
//! decided on, so of two processes that both believe to be the one that looks, one is refused and reads again. Only the
//! log's clock counts. Nothing here is remembered that could not be read again.

mod list;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shipway_documents::schedule::{Schedule, ScheduleError};
use shipway_eventing::{AppendError, Expected, Item, Leadership, Log, ReadError, fold};
use shipway_events::{
    Actor, Cause, CommandId, DecodeError, FlowId, Meta, StreamEvent as _, StreamName, Timestamp, Version,
    schedule::Event,
};
use tokio::time::Instant;

use crate::{
    domain::{
        cron::{State, Wanted, decide, evolve},
        rules::FlowTrigger,
        trigger::Kind,
    },
    hooks::{HookCache, Hooks},
};

pub(crate) use list::list;

/// How long it rests at most, because the log's clock may have been corrected.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// How long it rests after a failure.
const REST: Duration = Duration::from_secs(1);

/// The number of the shape of [`State`].
const SCHEMA: u32 = 1;

/// A snapshot is made each time that so many events were added.
const SNAPSHOT_EVERY: Version = 200;

/// Why a schedule could not be looked after.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TickError {
    #[error("its stream could not be read")]
    Read(#[from] ReadError),
    #[error("its stream holds what this Shipway cannot read")]
    Decode(#[from] DecodeError),
    #[error("it could not be written")]
    Append(#[from] AppendError),
    #[error("it is no schedule: {0}")]
    Schedule(#[from] ScheduleError),
}

/// Looks after the schedules of all flows.
pub(crate) struct Ticker {
    pub(crate) hooks: HookCache,
    pub(crate) log: Arc<dyn Log>,
    /// Only one of several processes looks.
    pub(crate) leadership: Leadership,
}

/// A flow's schedule, as this process knows it.
struct Known {
    state: State,
    version: Version,
    /// The schedule that `wanted` says, read.
    schedule: Option<Schedule>,
    wanted: Option<Wanted>,
    /// When it is due next; none: never.
    next: Option<Timestamp>,
}

type Flows = BTreeMap<FlowId, Known>;

impl Ticker {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut changes = self.hooks.watch();
        loop {
            let epoch = self.leadership.gained().await;
            // Another process may have gone on with them.
            let mut flows = Flows::new();
            while self.leadership.epoch() == Some(epoch) {
                changes.borrow_and_update();
                let head = *self.log.tail().borrow();
                let rest = match self.hooks.at(head).await {
                    Some(hooks) => self.look(&hooks, &mut flows).await,
                    None => REST,
                };
                tokio::select! {
                    () = tokio::time::sleep_until(Instant::now() + rest) => {}
                    more = changes.changed() => if more.is_err() { return },
                }
            }
        }
    }

    /// Looks at each flow; how long to rest.
    async fn look(&self, hooks: &Hooks, flows: &mut Flows) -> Duration {
        let mut wanted: BTreeMap<FlowId, Wanted> =
            hooks.triggers().filter_map(wanted).map(|wanted| (wanted.flow, wanted)).collect();
        let gone: Vec<FlowId> = flows.keys().filter(|flow| !wanted.contains_key(flow)).copied().collect();
        let mut rest = LONGEST_REST;
        let mut looks: Vec<(FlowId, Option<Wanted>)> = gone.into_iter().map(|flow| (flow, None)).collect();
        while let Some((flow, one)) = wanted.pop_first() {
            looks.push((flow, Some(one)));
        }
        for (flow, wanted) in looks {
            let path = wanted.as_ref().map_or_else(|| flow.to_string(), |wanted| wanted.path.clone());
            match self.look_at(flow, wanted, flows).await {
                Ok(Some(next)) => rest = rest.min(next.since(self.log.now())),
                Ok(None) => {}
                Err(TickError::Append(AppendError::Conflict { .. })) => {
                    flows.remove(&flow);
                    rest = Duration::ZERO;
                }
                Err(problem) => {
                    // What the log holds of it is read again.
                    flows.remove(&flow);
                    rest = rest.min(REST);
                    let error = &problem as &dyn std::error::Error;
                    tracing::warn!(path, error, "a schedule could not be looked after; trying again");
                }
            }
        }
        rest
    }

    /// Does what has become due for one flow; when it is due next.
    async fn look_at(
        &self,
        flow: FlowId,
        wanted: Option<Wanted>,
        flows: &mut Flows,
    ) -> Result<Option<Timestamp>, TickError> {
        let now = self.log.now();
        let mut known = match flows.remove(&flow) {
            Some(known) if known.wanted == wanted && known.next.is_none_or(|next| next > now) => {
                let next = known.next;
                flows.insert(flow, known);
                return Ok(next);
            }
            Some(known) => known,
            None => {
                let (state, version) = read(&*self.log, flow).await?;
                Known { state, version, schedule: None, wanted: None, next: None }
            }
        };
        if known.wanted != wanted || known.schedule.is_none() {
            known.schedule = wanted
                .as_ref()
                .map(|wanted| Schedule::parse(&wanted.rule.cron, &wanted.rule.timezone))
                .transpose()?;
            known.wanted = wanted;
        }
        let due = known.wanted.as_ref().zip(known.schedule.as_ref());
        let events = decide(&known.state, due, now);
        if !events.is_empty() {
            self.append(flow, &mut known, events).await?;
        }
        let Some(schedule) = known.schedule.as_ref().filter(|_| known.state.set.is_some()) else {
            // Nothing is due; it is looked at again when the flow is changed.
            if known.wanted.is_some() {
                known.next = None;
                flows.insert(flow, known);
            }
            return Ok(None);
        };
        known.next = schedule.after(known.state.through);
        let next = known.next;
        flows.insert(flow, known);
        Ok(next)
    }

    async fn append(&self, flow: FlowId, known: &mut Known, events: Vec<Event>) -> Result<(), TickError> {
        let meta = Meta { actor: Actor::System("schedule".to_owned()), cause: Cause::Clock, trace: None };
        // A command of its own each time: the version tells whether it was made before, and an answer that was lost is
        // found in the stream.
        let command = CommandId::new(uuid::Uuid::now_v7());
        let encoded: Vec<_> = events.iter().map(Event::encode).collect();
        let added = Version::try_from(encoded.len()).unwrap_or(0);
        let stream = StreamName::schedule(flow);
        let item = Item::one(command, meta, stream.clone(), Expected::Version(known.version), encoded);
        self.log.append(item).await?;
        for event in &events {
            if let Event::Ticked(ticked) = event {
                tracing::info!(path = ticked.path, run = %ticked.run(), scheduled_at = %ticked.scheduled_at, "a flow was due");
            }
        }
        known.state = events.into_iter().fold(std::mem::take(&mut known.state), evolve);
        let before = known.version;
        known.version += added;
        if known.version / SNAPSHOT_EVERY > before / SNAPSHOT_EVERY
            && let Ok(state) = serde_json::to_vec(&known.state)
        {
            let snapshot = shipway_eventing::log::Snapshot { version: known.version, state };
            if let Err(error) = self.log.put_snapshot(&stream, SCHEMA, snapshot).await {
                tracing::debug!(%error, "no snapshot of a schedule was made");
            }
        }
        Ok(())
    }
}

/// What the log says of a flow's schedule.
async fn read(log: &dyn Log, flow: FlowId) -> Result<(State, Version), TickError> {
    let stream = StreamName::schedule(flow);
    let decode = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
    fold::<State, TickError>(log, &stream, SCHEMA, State::default(), decode, |state, raw| {
        Ok(match Event::read(raw)? {
            Some(recorded) => evolve(state, recorded.event),
            None => state,
        })
    })
    .await
}

/// The schedule that a trigger is, if it is one.
fn wanted(trigger: &FlowTrigger) -> Option<Wanted> {
    let Kind::Cron(rule) = &trigger.trigger.kind else { return None };
    Some(Wanted {
        project: trigger.project,
        flow: trigger.flow,
        path: trigger.path.clone(),
        trigger: trigger.trigger.reference.clone(),
        rule: rule.clone(),
        paused: trigger.paused,
    })
}
