//! An addon whose host is lost: a person has it restored on another.

use shipway_contracts::{
    Code, Error, id,
    v1::{MoveAddonReply, MoveAddonRequest},
};
use shipway_eventing::log::AppendError;
use shipway_events::{
    CommandId, ExecutorId, Meta, Position, ProjectId, ResourceId, RunId, StreamEvent, Timestamp, place, run,
};

use uuid::Uuid;

use crate::{
    places::{self, Place, Progress},
    service::Shared,
};

/// The newest backup, in requests.
const LATEST: &str = "latest";

impl Shared {
    /// Moves an addon, or says what that would do.
    pub(crate) async fn move_addon(
        &self,
        request: MoveAddonRequest,
        meta: Meta,
    ) -> Result<MoveAddonReply, Error> {
        if self.cluster.together().is_none() {
            let message = "this Shipway has one host: an addon cannot be moved. `AddonBackup` `restore` in a flow \
                           brings a backup's content back";
            return Err(Error::new(Code::FailedPrecondition, message));
        }
        let path = format!("addon/{}/{}", request.project, request.addon);
        let flow = self.flow_for_run("", &path, 0).await?;
        let (target, project): (ResourceId, ProjectId) =
            (id("flow", &flow.flow)?, id("project", &flow.project)?);
        // The run of a command is always the same run.
        let run = if request.dry_run { None } else { Some(id::<RunId>("command", &request.command)?) };
        let place = places::read(&*self.log, target).await?.ok_or_else(|| {
            let message = format!("{} has no host yet: nothing is lost; apply it again", request.addon);
            Error::new(Code::FailedPrecondition, message)
        })?;
        let asked_before = run.filter(|run| place.moving.as_ref().is_some_and(|moving| moving.run == *run));
        if asked_before.is_none() {
            self.may_move(&request.addon, &place).await?;
        }
        let (backup, position) = self.backup_to_restore(project, &request.addon, &request.backup).await?;
        let began = self.backup_began(position).await?;
        let (from, to) = match asked_before {
            Some(_) => (place.executor, place.executor),
            None => (place.executor, self.next_host(&request.addon, &place)?),
        };
        if let (Some(run), None) = (run, asked_before) {
            let moved = place::Moved { from, to, run, backup: Some(backup.clone()) };
            // The run's own id is the command that starts it. Asked again, this one finds its own move.
            let command = CommandId::new(Uuid::now_v7());
            match self.record_place(target, &place, &[moved.into()], meta, command).await {
                Ok(()) => {}
                Err(AppendError::Conflict { .. }) => {
                    let message = format!("something became of {} meanwhile; look again", request.addon);
                    return Err(Error::new(Code::Conflict, message));
                }
                Err(error) => return Err(Error::unavailable(error.to_string())),
            }
        }
        Ok(MoveAddonReply {
            run: run.map(|run| run.to_string()).unwrap_or_default(),
            from: from.to_string(),
            from_host: self.host_of(from),
            to: to.to_string(),
            to_host: self.host_of(to),
            backup,
            backup_began_at: began.to_string(),
            lost_since: place.lost.map(|lost| lost.to_string()).unwrap_or_default(),
            position: *self.log.tail().borrow(),
        })
    }

    /// Only what is lost is moved: a backup never has all that is on a host that is there.
    async fn may_move(&self, addon: &str, place: &Place) -> Result<(), Error> {
        let refused = |message: String| Err(Error::new(Code::FailedPrecondition, message));
        if let Some(moving) = &place.moving
            && moving.failed.is_none()
            && self.progress_of(moving.run).await? == Progress::GoesOn
        {
            return refused(format!(
                "run {} moves {addon} already: wait for its end, or abort it and ask again",
                moving.run
            ));
        }
        if place.lost.is_none() && place.moving.is_none() {
            let host = self.host_of(place.executor);
            return match self.registry.away_since(place.executor) {
                None => refused(format!(
                    "the host {host} of {addon} is there: nothing is lost. To have an earlier content there, use \
                     `AddonBackup` `restore` in a flow"
                )),
                Some(since) => refused(format!(
                    "the host {host} of {addon} has been away since {since} and is given up {} s after that; ask again \
                     then, or start the host: the content is on it",
                    places::GIVEN_UP.as_secs()
                )),
            };
        }
        Ok(())
    }

    /// The backup of that id, or the newest; with the position of the event that says that it is there.
    async fn backup_to_restore(
        &self,
        project: ProjectId,
        addon: &str,
        asked: &str,
    ) -> Result<(String, Position), Error> {
        let backups = self.backups_of(project, addon).await?;
        let asked = if asked.is_empty() { LATEST } else { asked };
        let found = backups.iter().find(|(backup, _)| asked == LATEST || asked == backup);
        found.cloned().ok_or_else(|| {
            let newest: Vec<&str> = backups.iter().take(5).map(|(backup, _)| backup.as_str()).collect();
            let message = if newest.is_empty() {
                format!("{addon} has no backup: its content is on its host alone; start that host again")
            } else {
                let newest = newest.join(", ");
                format!("{addon} has no backup `{asked}`; its newest: {newest}, or say `{LATEST}`")
            };
            Error::new(Code::FailedPrecondition, message)
        })
    }

    /// When the node began that made a backup: what was written later may not be in it.
    pub(crate) async fn backup_began(&self, position: Position) -> Result<Timestamp, Error> {
        let read = self.log.read(position.saturating_sub(1), 1).await;
        let events = read.map_err(|error| Error::unavailable(error.to_string()))?;
        let event = events.first().ok_or_else(|| Error::unavailable("the log was not read; try again"))?;
        let node = match run::Event::from_raw(event).map_err(|error| Error::internal(&error))?.event {
            run::Event::NodeSucceeded(done) => done.node,
            run::Event::NodeEndedLater(done) => done.node,
            _ => return Ok(event.at),
        };
        let Some(run) = event.stream.id().and_then(|run| run.parse().ok()) else { return Ok(event.at) };
        let state = self.book.look(run).await?;
        Ok(state.node(node).and_then(|node| node.started_at).unwrap_or(event.at))
    }

    /// The executor that would take it.
    fn next_host(&self, addon: &str, place: &Place) -> Result<ExecutorId, Error> {
        let lost = place.lost.is_some();
        self.registry.roomiest(&place.labels).filter(|to| !lost || *to != place.executor).ok_or_else(|| {
            let labels = match place.labels.is_empty() {
                true => String::new(),
                false => format!(" with the labels {}", place.labels.join(", ")),
            };
            let message = format!("no other executor{labels} is there that {addon} could go to; start one");
            Error::new(Code::FailedPrecondition, message)
        })
    }

    /// A host by the name or address that its executor said last; by its executor if it said none.
    pub(crate) fn host_of(&self, executor: ExecutorId) -> String {
        let host = self.registry.introduction(executor).map(|intro| intro.host);
        host.filter(|host| !host.is_empty()).unwrap_or_else(|| format!("of executor {executor}"))
    }
}
