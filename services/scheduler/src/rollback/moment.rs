//! To which moment a rollback goes back.

use shipway_contracts::{Code, Error, v1::FlowForRunReply};
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
            To::Before => {
                let run = self.good_release_before(stage, newest).await?;
                self.release_of(stage, of, run).await
            }
            To::At(at) => self.at(stage, of, *at).await,
            To::Digest(digest) => {
                let at = self.had(stage, digest).await?;
                self.at(stage, of, at).await
            }
        }
    }

    /// When a run of the flow had ended.
    async fn release_of(&self, stage: &Stage, of: Option<RunId>, run: RunId) -> Result<Moment, Error> {
        let state = self.book.look(run).await?;
        let (Some(started), refused) =
            (state.started(), |why: String| Error::new(Code::FailedPrecondition, why))
        else {
            return Err(Error::not_found(format!("there is no run {run}")));
        };
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

    /// The last run of the flow that ended well and released something, before the one whose release runs now. A rollback
    /// runs what another run released: it is that one which is gone back from.
    async fn good_release_before(&self, stage: &Stage, newest: &Placed) -> Result<RunId, Error> {
        let mut current: RunId = newest.run.parse().map_err(|_| Error::not_found("no run is known"))?;
        for _ in 0..LOOKED_AT {
            let Ok(state) = self.book.look(current).await else { break };
            match state.started().and_then(|started| started.rollback.as_ref()).and_then(|back| back.to) {
                Some(to) => current = to,
                None => break,
            }
        }
        let project = stage.project.to_string();
        let good = self.last_of(&project, &stage.path, RunStatus::Success, LOOKED_AT).await?;
        for run in good.into_iter().filter(|run| *run < current) {
            let state = self.book.look(run).await?;
            let is_rollback = state.started().is_some_and(|started| started.rollback.is_some());
            if !is_rollback && !state.released().is_empty() {
                return Ok(run);
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
                moment.to = Some(started.rollback.as_ref().and_then(|back| back.to).unwrap_or(run));
                moment.version = Some(started.flow_version);
                moment.since = state.started_at().unwrap_or(ended);
                break;
            }
        }
        Ok(moment)
    }
}
