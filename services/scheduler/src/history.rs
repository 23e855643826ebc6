//! Runs as they were: folded up to a moment, and kept for whoever looks at the next page or the next event.

mod compare;
mod states;
mod trace;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use shipway_contracts::{
    Error,
    v1::{OpenRunReply, OpenRunRequest, Run, StatusCount},
};
use shipway_engine::RunState;
use shipway_eventing::log::Log;
use shipway_events::{NodeStatus, Position, RunId, StreamEvent, StreamName, Timestamp, Version, run};

use crate::{
    run::{book::LoadError, present},
    service::Shared,
};

/// How many events are read at a time.
const PAGE: usize = 1_000;
/// So many folds are kept, and no more than the last one beyond so many nodes.
const KEPT: usize = 16;
const KEPT_NODES: usize = 30_000;

/// A moment of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// With all that is in the log.
    Now,
    /// After one of its events, by its number.
    After(Version),
    /// With all that had happened by then.
    At(Timestamp),
}

impl Moment {
    /// Whether an event is later than this.
    fn excludes(self, version: Version, at: Timestamp) -> bool {
        match self {
            Self::Now => false,
            Self::After(last) => version > last,
            Self::At(time) => at > time,
        }
    }
}

/// A run as it was after an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    pub(crate) state: RunState,
    /// The number of that event in the run's stream, its position in the log, and its time.
    pub(crate) version: Version,
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
}

/// Folds of runs that somebody looks at. A cache: each of them is what the log says.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    /// The one that was used last comes first.
    kept: Mutex<VecDeque<(RunId, Arc<Past>)>>,
}

impl Folds {
    /// The run as it was; and whether more has happened since.
    pub(crate) async fn at(
        &self,
        log: &dyn Log,
        run: RunId,
        moment: Moment,
    ) -> Result<(Arc<Past>, bool), LoadError> {
        let stream = StreamName::run(run);
        let mut past = self.nearest(run, moment).unwrap_or_default();
        let mut more = false;
        loop {
            let page = log.read_stream(&stream, past.version, PAGE).await;
            let page = page.map_err(|source| LoadError::Read { run, source })?;
            for raw in &page {
                if moment.excludes(raw.version, raw.at) {
                    more = true;
                    break;
                }
                let recorded = run::Event::read(raw).map_err(|source| LoadError::Decode { run, source })?;
                let past = Arc::make_mut(&mut past);
                if let Some(recorded) = recorded {
                    past.state.evolve(&recorded, log.generation());
                }
                (past.version, past.position, past.at) = (raw.version, raw.position, raw.at);
            }
            if more || page.len() < PAGE {
                break;
            }
        }
        if past.version == 0 && !more {
            return Err(LoadError::Unknown(run));
        }
        if past.version > 0 {
            self.keep(run, &past);
        }
        Ok((past, more))
    }

    /// The latest of the kept folds of a run that is not after the moment.
    fn nearest(&self, run: RunId, moment: Moment) -> Option<Arc<Past>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = kept.iter().filter(|(of, past)| *of == run && !moment.excludes(past.version, past.at));
        of_it.map(|(_, past)| past).max_by_key(|past| past.version).cloned()
    }

    fn keep(&self, run: RunId, past: &Arc<Past>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, other)| (*of, other.version) != (run, past.version));
        kept.push_front((run, past.clone()));
        let (mut count, mut nodes) = (0, 0);
        kept.retain(|(_, past)| {
            (count, nodes) = (count + 1, nodes + past.state.nodes().len());
            count == 1 || (count <= KEPT && nodes <= KEPT_NODES)
        });
    }
}

impl Shared {
    /// A run with a page of its nodes.
    pub(crate) async fn open_past(&self, request: OpenRunRequest) -> Result<OpenRunReply, Error> {
        let run = self.find_run(&request.run).await?;
        let page = request.page.clone().unwrap_or_default();
        let limit = match page.limit {
            0 => 50,
            limit => limit.min(500) as usize,
        };
        let status = match request.status.as_str() {
            "" => None,
            text => Some(NodeStatus::parse(text).ok_or_else(|| {
                Error::bad_request(format!("field `status`: `{text}` is no status of a node"))
            })?),
        };
        let (moment, from) = match page.after.as_str() {
            "" => (moment(&request)?, 0),
            after => cursor(after)?,
        };
        let (past, more) = self.folds.at(&*self.log, run, moment).await?;
        if past.version == 0 {
            let at = &request.at;
            return Err(Error::not_found(format!("there was no run {run} at {at} yet: it was made later")));
        }
        if let Moment::After(event) = moment
            && event > past.version
        {
            let last = past.version;
            return Err(Error::bad_request(format!("run {run} has {last} events, and no event {event}")));
        }
        let now = match moment {
            Moment::Now => self.log.now(),
            Moment::After(_) => past.at,
            Moment::At(time) => time,
        };
        let state = &past.state;
        let fits = |(index, node): (u32, &shipway_engine::NodeState)| {
            (index >= from && status.is_none_or(|status| node.status == status)).then_some(index)
        };
        let mut wanted = (0_u32..).zip(state.nodes()).filter_map(fits);
        let shown: Vec<u32> = wanted.by_ref().take(limit).collect();
        let next = wanted.next().map(|index| format!("{}-{index}", past.version)).unwrap_or_default();
        let mut nodes = present::nodes(state, shown.into_iter(), now);
        for node in &mut nodes {
            node.approval = self.approval(state, node.index).await?;
            if let (Some(approval), true) = (&mut node.approval, more) {
                // Who may approve is a question of today.
                approval.may.clear();
            }
        }
        Ok(OpenRunReply {
            run: Some(Run {
                nodes,
                rollbacks: self.rollbacks_of(run).await?,
                ..present::head(state, past.position)
            }),
            next,
            counts: counts(state),
            event: past.version,
            at: past.at.to_string(),
            last: !more,
        })
    }
}

/// The moment that is asked for.
fn moment(request: &OpenRunRequest) -> Result<Moment, Error> {
    match (request.event, request.at.as_str()) {
        (0, "") => Ok(Moment::Now),
        (event, "") => Ok(Moment::After(event)),
        (0, at) => {
            let at = at.parse().map_err(|error| Error::bad_request(format!("field `at`: {error}")))?;
            Ok(Moment::At(at))
        }
        _ => Err(Error::bad_request("fields `at` and `event`: only one of them can be asked for")),
    }
}

/// Where a page goes on: the event that all pages are of, and the first node.
fn cursor(after: &str) -> Result<(Moment, u32), Error> {
    let read = || {
        let (event, node) = after.split_once('-')?;
        Some((Moment::After(event.parse().ok()?), node.parse().ok()?))
    };
    read().ok_or_else(|| Error::bad_request("field `page.after`: not the `next` of an answer"))
}

/// How many nodes there are in each status.
fn counts(state: &RunState) -> Vec<StatusCount> {
    let count = |status: &NodeStatus| {
        let nodes = state.nodes().iter().filter(|node| node.status == *status).count();
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        (nodes > 0).then(|| StatusCount { status: status.to_string(), nodes })
    };
    NodeStatus::ALL.iter().filter_map(count).collect()
}
