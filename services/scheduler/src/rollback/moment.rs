//! To which moment a rollback goes back.

use shipway_contracts::{Code, Error, v1::FlowForRunReply};
use shipway_engine::RunState;
use shipway_events::{RunId, RunStatus, Timestamp};

use super::{To, Wanted, facts::Stage};
use crate::{queries::Placed, service::Shared};

/// How many of a flow's runs are looked at for the last good release.
const LOOKED_AT: usize = 200;

/// A moment in the life of a stage.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// The run whose release runs now.
    pub(super) of: Option<RunId>,
    /// The run whose release ran then.
    pub(super) to: Option<RunId>,
    pub(super) at: Timestamp,
    /// The version of the flow that ran then.
    version: Option<u32>,
    /// Runs that did something after it were made after this.
    pub(super) since: Timestamp,
}

impl Moment {
    /// The version of the flow that is put back.
    pub(super) fn flow_version(&self, flow: &FlowForRunReply) -> Result<u32, Error> {
        self.version.ok_or_else(|| {
            let message = format!(
                "no run of {} had ended by {}, so it is not known which version of the flow ran then: leave `with_flow` away, \
                 or name a run",
                flow.path, self.at
            );
            Error::new(Code::FailedPrecondition, message)
        })
    }
}

impl Shared {
    /// The moment that is wanted.
    pub(super) async fn moment_of(&self, wanted: &Wanted, stage: &Stage) -> Result<Moment, Error> {
        let project = stage.project.to_string();
        let placed = self.placed(&project, self.log.now()).await?;
        let newest = placed.iter().filter(|placed| stage.is_member(&placed.slug)).max_by_key(|it| it.at);
        let Some(newest) = newest else {
            let message =
                format!("nothing was released to {} yet: there is nothing to go back from", stage.path);
            return Err(Error::new(Code::FailedPrecondition, message));
        };
        let of: Option<RunId> = newest.run.parse().ok();
        match &wanted.to {
            To::Run(run) => {
                let run = self.find_run(run).await?;
                self.release_of(stage, of, run).await
            }
            To::Before => match self.failed_since(stage, newest).await? {
                Some((failed, current)) => self.release_of(stage, Some(failed), current).await,
                None => {
                    let run = self.good_release_before(stage, newest).await?;
                    self.release_of(stage, of, run).await
                }
            },
            To::At(at) => self.at(stage, of, *at).await,
            To::Digest(digest) => {
                let (at, run) = self.had(stage, digest).await?;
                // The rest of its run belongs to it, if that is a run of the flow.
                let run: Option<RunId> = run.parse().ok();
                match run {
                    Some(run) if self.is_release_of(stage, run).await? => {
                        self.release_of(stage, of, run).await
                    }
                    _ => self.at(stage, of, at).await,
                }
            }
        }
    }

    async fn is_release_of(&self, stage: &Stage, run: RunId) -> Result<bool, Error> {
        let state = self.book.look(run).await?;
        let is_here = state.started().is_some_and(|started| started.path == stage.path);
        Ok(is_here && state.ended().is_some())
    }

    /// When a run of the flow had ended.
    async fn release_of(&self, stage: &Stage, of: Option<RunId>, run: RunId) -> Result<Moment, Error> {
        let state = self.book.look(run).await?;
        let refused = |why: String| Error::new(Code::FailedPrecondition, why);
        let started = state.started().ok_or_else(|| Error::not_found(format!("there is no run {run}")))?;
        if started.path != stage.path || started.project != stage.project {
            return Err(refused(format!("run {run} is one of {}, not of {}", started.path, stage.path)));
        }
        let (Some(ended), Some(since)) = (state.ended_at(), state.started_at()) else {
            return Err(refused(format!("run {run} has not ended: nobody can go back to what it comes to")));
        };
        if state.released().is_empty() {
            return Err(refused(format!(
                "run {run} released nothing: `shipway runs {}` lists others",
                stage.path
            )));
        }
        Ok(Moment { of, to: Some(run), at: ended, version: Some(started.flow_version), since })
    }

    /// The newest run of the flow, if it came after what runs now, did not end well, and may have changed data before it
    /// could release anything: then what runs now is what is gone back to, with the data of then.
    async fn failed_since(&self, stage: &Stage, newest: &Placed) -> Result<Option<(RunId, RunId)>, Error> {
        let Ok(current) = newest.run.parse::<RunId>() else { return Ok(None) };
        let Some(last) = self.newest_of(&stage.project.to_string(), &stage.path).await? else {
            return Ok(None);
        };
        let (state, before) = (self.book.look(last).await?, self.book.look(current).await?);
        let is_here = before.started().is_some_and(|started| started.path == stage.path);
        let failed = state.ended().is_some_and(|ended| ended.status != RunStatus::Success);
        if last == current || !is_here || !failed || state.started_at() < before.started_at() {
            return Ok(None);
        }
        let mut nodes = (0_u32..).zip(state.nodes());
        let changed = nodes.any(|(n, node)| {
            node.attempts > 0 && state.plan_node(n).is_some_and(|planned| planned.kind == "JobRun")
        });
        Ok(changed.then(|| (last, stands_for(&before).unwrap_or(current))))
    }

    /// What ran before what runs now, by the last run of the flow that ended well and released something. A rollback stands
    /// for the release that it went back to: what was undone by one is not gone back to, and a second rollback goes back
    /// further.
    async fn good_release_before(&self, stage: &Stage, newest: &Placed) -> Result<RunId, Error> {
        let current: RunId = newest.run.parse().map_err(|_| Error::not_found("no run is known"))?;
        let state = self.book.look(current).await?;
        let current = stands_for(&state).unwrap_or(current);
        let began = self.book.look(current).await?.started_at();
        let project = stage.project.to_string();
        for run in self.last_of(&project, &stage.path, RunStatus::Success, LOOKED_AT).await? {
            let state = self.book.look(run).await?;
            let is_before = run != current && state.started_at() < began;
            if is_before && !state.released().is_empty() {
                return Ok(stands_for(&state).unwrap_or(run));
            }
        }
        let message = format!(
            "no run of {} that ended well has released anything before run {current}: there is nothing to go back to; say \
             --to a time or a run",
            stage.path
        );
        Err(Error::new(Code::FailedPrecondition, message))
    }

    /// A time; and the run of the flow that had ended well last by then.
    async fn at(&self, stage: &Stage, of: Option<RunId>, at: Timestamp) -> Result<Moment, Error> {
        if at > self.log.now() {
            return Err(Error::bad_request(format!("field `at`: {at} is to come")));
        }
        let project = stage.project.to_string();
        let placed = self.placed(&project, at).await?;
        let Some(first) = placed.iter().find(|placed| stage.is_member(&placed.slug)) else {
            let message = format!("nothing ran in {} at {at}: that is before its first release", stage.path);
            return Err(Error::new(Code::FailedPrecondition, message));
        };
        let mut moment = Moment { of, to: None, at, version: None, since: first.at };
        for run in self.last_of(&project, &stage.path, RunStatus::Success, LOOKED_AT).await? {
            let state = self.book.look(run).await?;
            let (Some(started), Some(ended)) = (state.started(), state.ended_at()) else { continue };
            if ended <= at && !state.released().is_empty() {
                moment.to = Some(stands_for(&state).unwrap_or(run));
                moment.version = Some(started.flow_version);
                moment.since = state.started_at().unwrap_or(ended);
                break;
            }
        }
        Ok(moment)
    }
}

/// The release that a rollback went back to, if it is one.
fn stands_for(state: &RunState) -> Option<RunId> {
    state.started()?.rollback.as_ref()?.to
}
