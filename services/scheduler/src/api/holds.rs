//! `shipway.v1.Holds`.

use std::{str::FromStr, sync::Arc};

use shipway_contracts::{
    Code, Error, id,
    v1::{
        BadPlace, LetReleaseRequest, ListHoldsReply, ListHoldsRequest, MarkBadReply, MarkBadRequest,
        PlaceHoldReply, PlaceHoldRequest, ReleaseHoldReply, ReleaseHoldRequest, Run, UnmarkBadReply,
        UnmarkBadRequest, holds_client::HoldsClient, holds_server,
    },
};
use shipway_engine::Command;
use shipway_events::{
    CommandId, HoldId, Meta, ProjectId, Timestamp,
    policy::{self, Held, MarkedBad, Predicate, Released, Subject, Unmarked},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    asked_by,
    freezes::{named, reason},
};
use crate::{
    cluster::passed_on,
    holds::{Kept, Mark, Wanted, shown_bad, shown_hold, version},
    policies::{Change, Changed, Policies},
    service::Shared,
    state::artifact,
};

/// `shipway.v1.Holds`.
#[derive(Clone)]
pub struct HoldsApi {
    pub(crate) shared: Arc<Shared>,
}

/// A hold that is to be placed.
#[derive(Clone, Debug)]
pub(crate) struct NewHold {
    /// Applied once per id; the hold's id is the same.
    pub(crate) command: CommandId,
    /// Where: `<project>`, `<pipeline>/*` or `<pipeline>/<stage>`, the latter two also after `<project>/`.
    pub(crate) scope: String,
    /// One is made when it is empty.
    pub(crate) name: String,
    pub(crate) until: Option<Timestamp>,
    pub(crate) reason: String,
}

#[tonic::async_trait]
impl holds_server::Holds for HoldsApi {
    async fn place_hold(
        &self,
        request: Request<PlaceHoldRequest>,
    ) -> Result<Response<PlaceHoldReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.place_hold(request.into_inner(), meta).await?))
    }

    async fn release_hold(
        &self,
        request: Request<ReleaseHoldRequest>,
    ) -> Result<Response<ReleaseHoldReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.release_hold(request.into_inner(), meta).await?))
    }

    async fn list_holds(
        &self,
        request: Request<ListHoldsRequest>,
    ) -> Result<Response<ListHoldsReply>, Status> {
        let now = self.shared.log.now();
        let mut reply = ListHoldsReply::default();
        for scope in self.shared.scopes(&request.get_ref().project).await? {
            let (known, _) = self.shared.policies_of(id("project", &scope.project)?).await?;
            reply.holds.extend(known.holds.ahead(now).map(shown_hold));
            reply.bad.extend(known.holds.bad().iter().map(|mark| shown_bad(mark, &scope.project_slug)));
        }
        reply.holds.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        reply.bad.sort_by(|a, b| a.marked_at.cmp(&b.marked_at));
        Ok(Response::new(reply))
    }

    async fn let_release(&self, request: Request<LetReleaseRequest>) -> Result<Response<Run>, Status> {
        let asker = self.shared.asker(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let run = self.shared.find_run(&request.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = LetReleaseRequest { run: run.to_string(), ..request };
            let mut there = HoldsClient::new(peer.channel).max_decoding_message_size(64 << 20);
            return there.let_release(passed_on(&metadata, message)).await;
        }
        let command = Ok(Command::OverrideHolds { by: asker.actor.clone(), reason: said(request.reason)? });
        let meta = asked_by(asker.actor);
        self.shared.ask_once(run, &request.command, &["run.hold_overridden"], command, meta).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }

    async fn mark_bad(&self, request: Request<MarkBadRequest>) -> Result<Response<MarkBadReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.mark_bad(request.into_inner(), meta).await?))
    }

    async fn unmark_bad(
        &self,
        request: Request<UnmarkBadRequest>,
    ) -> Result<Response<UnmarkBadReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.unmark_bad(request.into_inner(), meta).await?))
    }
}

impl Shared {
    /// Holds artifacts back, whatever else is built of their commits, and what came before them; of that only what came
    /// after `since`, where something of the same service is in it. A rollback holds what it takes back so, and goes back to
    /// `since`. The same command again changes nothing.
    pub(crate) async fn hold_lineage(
        &self,
        new: NewHold,
        artifacts: Vec<Subject>,
        since: &[Subject],
        meta: Meta,
    ) -> Result<PlaceHoldReply, Error> {
        let (project, held) = self.new_hold(&new).await?;
        self.caught_up().await?;
        let what = self.lineage(project, artifacts, since).await?;
        self.append_hold(new.command, project, Held { what, ..held }, meta).await
    }

    async fn place_hold(&self, request: PlaceHoldRequest, meta: Meta) -> Result<PlaceHoldReply, Error> {
        let command = CommandId::new(id::<Uuid>("command", &request.command)?);
        if let Some(change) = self.changed_before(command).await? {
            return placed(&change);
        }
        let wanted = wanted(&request)?;
        let new = NewHold {
            command,
            until: until(&request.until, self.log.now())?,
            reason: said(request.reason)?,
            scope: request.scope,
            name: request.name,
        };
        let (project, held) = self.new_hold(&new).await?;
        self.caught_up().await?;
        let what = match &wanted {
            Wanted::Digest(text) => {
                let artifacts = self.subjects_of_digest(project, text).await?;
                return self.hold_lineage(new, artifacts, &[], meta).await;
            }
            Wanted::Run(text) => {
                let (_, artifacts) = self.subjects_of_run(project, text).await?;
                return self.hold_lineage(new, artifacts, &[], meta).await;
            }
            Wanted::Commit(text) => self.containing(project, text).await?,
            Wanted::Version { below, inclusive } => version(below, *inclusive)?,
        };
        self.append_hold(command, project, Held { what, ..held }, meta).await
    }

    /// Where a hold is to be, and the hold without what it holds.
    async fn new_hold(&self, new: &NewHold) -> Result<(ProjectId, Held), Error> {
        if new.scope.is_empty() {
            return Err(Error::bad_request(
                "field `scope`: say where it holds: `<project>`, `<pipeline>/*` or `<pipeline>/<stage>`",
            ));
        }
        let scope = self.scopes(&new.scope).await?.pop();
        let scope = scope.ok_or_else(|| Error::not_found(format!("there is no `{}`", new.scope)))?;
        let project: ProjectId = id("project", &scope.project)?;
        let hold = HoldId::new(new.command.uuid());
        let name = match new.name.as_str() {
            "" => {
                let id = hold.uuid().simple().to_string();
                format!("hold-{}", &id[id.len() - 6..])
            }
            name => named(name)?,
        };
        let held = Held {
            hold,
            name,
            scope: policy::Scope {
                project: scope.project_slug,
                pipeline: Some(scope.pipeline).filter(|part| !part.is_empty()),
                stage: Some(scope.stage).filter(|part| !part.is_empty()),
            },
            members: scope.members,
            what: Predicate::Lineage { artifacts: Vec::new(), earlier: Vec::new() },
            until: new.until,
            reason: new.reason.clone(),
        };
        Ok((project, held))
    }

    async fn append_hold(
        &self,
        command: CommandId,
        project: ProjectId,
        held: Held,
        meta: Meta,
    ) -> Result<PlaceHoldReply, Error> {
        let change = self.change_policies(command, project, meta, |policies, now| {
            match policies.holds.named(&held.name, now) {
                Some(other) if other.held.hold != held.hold => Err(Error::new(
                    Code::AlreadyExists,
                    format!(
                        "the project has a hold `{}` already, of {}; end it (`shipway unhold {0}`) or take another name",
                        held.name,
                        other.by.name()
                    ),
                )),
                _ => Ok(held.clone().into()),
            }
        });
        placed(&change.await?)
    }

    async fn release_hold(&self, request: ReleaseHoldRequest, meta: Meta) -> Result<ReleaseHoldReply, Error> {
        let command = CommandId::new(id::<Uuid>("command", &request.command)?);
        if let Some(change) = self.changed_before(command).await? {
            return released(&change);
        }
        let reason = reason(request.reason)?;
        let projects = self.projects_of(&request.project).await?;
        let change = self.change_some(command, &projects, meta, |all, now| {
            let named = |(project, policies): &(ProjectId, Arc<Policies>)| {
                Some((*project, policies.holds.named(&request.hold, now)?.held.hold))
            };
            match all.iter().filter_map(named).collect::<Vec<_>>().as_slice() {
                [] => {
                    let message = format!("there is no hold `{}`; `shipway holds` lists them", request.hold);
                    Err(Error::not_found(message))
                }
                [(project, hold)] => {
                    let released = Released { hold: *hold, reason: reason.clone() };
                    Ok(vec![(*project, released.into())])
                }
                _ => {
                    let message =
                        format!("several projects have a hold `{}`; say which: `--project`", request.hold);
                    Err(Error::bad_request(message))
                }
            }
        });
        released(&change.await?)
    }

    async fn mark_bad(&self, request: MarkBadRequest, meta: Meta) -> Result<MarkBadReply, Error> {
        let command = CommandId::new(id::<Uuid>("command", &request.command)?);
        if let Some(change) = self.changed_before(command).await? {
            return self.marked(change).await;
        }
        let reason = said(request.reason)?;
        self.caught_up().await?;
        let (project, run, artifacts) = self.bad_subjects(&request.what, &request.project).await?;
        let marked = MarkedBad { mark: HoldId::new(command.uuid()), run, artifacts, reason };
        let change = self.change_policies(command, project, meta, |_, _| Ok(marked.clone().into())).await?;
        self.marked(change).await
    }

    /// The answer to whoever marked something bad, now or when the command came before: with where it ran then.
    async fn marked(&self, change: Change) -> Result<MarkBadReply, Error> {
        let Some(Changed { event: policy::Event::MarkedBad(marked), project, .. }) = change.events.first()
        else {
            return Err(change.was_another());
        };
        let mark = Mark { marked: marked.clone(), by: change.by.clone(), at: change.at };
        let placed = self.placed(&project.to_string(), change.at).await?;
        let mut running = Vec::new();
        for placed in placed.into_iter().filter(|placed| mark.is_about(&placed.artifact)) {
            running.push(BadPlace {
                path: self.path_of(&placed.run).await?,
                resource: placed.slug,
                run: placed.run,
                since: placed.at.to_string(),
                artifact: Some(artifact(placed.artifact)),
            });
        }
        let mark = shown_bad(&mark, &self.slug_of(*project).await?);
        Ok(MarkBadReply { mark: Some(mark), position: change.position, running })
    }

    async fn unmark_bad(&self, request: UnmarkBadRequest, meta: Meta) -> Result<UnmarkBadReply, Error> {
        let command = CommandId::new(id::<Uuid>("command", &request.command)?);
        if let Some(change) = self.changed_before(command).await? {
            return self.unmarked(change).await;
        }
        let reason = reason(request.reason)?;
        self.caught_up().await?;
        let projects = self.projects_of(&request.project).await?;
        let change = self.change_some(command, &projects, meta, |all, _| {
            let mut unmarked: Vec<(ProjectId, policy::Event)> = Vec::new();
            for (project, policies) in all {
                for mark in policies.holds.bad().iter().filter(|mark| mark.is_called(&request.what)) {
                    let event = Unmarked { mark: mark.marked.mark, reason: reason.clone() };
                    unmarked.push((*project, event.into()));
                }
            }
            if unmarked.is_empty() {
                let message =
                    format!("nothing is marked bad as `{}`; `shipway holds` lists what is", request.what);
                return Err(Error::not_found(message));
            }
            Ok(unmarked)
        });
        self.unmarked(change.await?).await
    }

    /// The answer to whoever took bad marks back, now or when the command came before.
    async fn unmarked(&self, change: Change) -> Result<UnmarkBadReply, Error> {
        let mut marks = Vec::new();
        for Changed { project, event, before } in &change.events {
            let policy::Event::Unmarked(Unmarked { mark: id, .. }) = event else {
                return Err(change.was_another());
            };
            let slug = self.slug_of(*project).await?;
            let was = before.holds.bad().iter().filter(|mark| mark.marked.mark == *id);
            marks.extend(was.map(|mark| shown_bad(mark, &slug)));
        }
        Ok(UnmarkBadReply { marks, position: change.position })
    }

    /// What people call a project; its id if it is gone.
    async fn slug_of(&self, project: ProjectId) -> Result<String, Error> {
        let project = project.to_string();
        let found = self.scopes("").await?.into_iter().find(|scope| scope.project == project);
        Ok(found.map_or(project, |scope| scope.project_slug))
    }
}

/// The answer to whoever placed a hold, now or when the command came before.
fn placed(change: &Change) -> Result<PlaceHoldReply, Error> {
    let Some(Changed { event: policy::Event::Held(held), .. }) = change.events.first() else {
        return Err(change.was_another());
    };
    let kept = Kept { held: held.clone(), by: change.by.clone(), at: change.at };
    Ok(PlaceHoldReply { hold: Some(shown_hold(&kept)), position: change.position })
}

/// The answer to whoever ended a hold, now or when the command came before.
fn released(change: &Change) -> Result<ReleaseHoldReply, Error> {
    let released = match change.events.as_slice() {
        [Changed { event: policy::Event::Released(Released { hold, .. }), before, .. }] => {
            before.holds.get(*hold)
        }
        _ => None,
    };
    let kept = released.ok_or_else(|| change.was_another())?;
    Ok(ReleaseHoldReply { hold: Some(shown_hold(kept)), position: change.position })
}

/// What is to be held: one thing.
fn wanted(request: &PlaceHoldRequest) -> Result<Wanted, Error> {
    let PlaceHoldRequest { digest, run, commit, below, up_to, .. } = request;
    let version = |below: &str, inclusive| Wanted::Version { below: below.to_owned(), inclusive };
    let mut given = [
        (digest, Wanted::Digest(digest.clone())),
        (run, Wanted::Run(run.clone())),
        (commit, Wanted::Commit(commit.clone())),
        (below, version(below, false)),
        (up_to, version(up_to, true)),
    ]
    .into_iter()
    .filter(|(text, _)| !text.is_empty());
    match (given.next(), given.next()) {
        (Some((_, wanted)), None) => Ok(wanted),
        _ => Err(Error::bad_request(
            "say what is held, by one of `digest`, `run`, `commit`, `below` and `up_to`",
        )),
    }
}

fn until(text: &str, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let until = Timestamp::from_str(text);
    match until.map_err(|error| Error::bad_request(format!("field `until`: {error}")))? {
        until if until <= now => {
            Err(Error::bad_request(format!("field `until`: {until} is over; it is {now}")))
        }
        until => Ok(Some(until)),
    }
}

/// A reason that has to be given.
fn said(text: String) -> Result<String, Error> {
    match text.trim().is_empty() {
        true => Err(Error::bad_request("field `reason`: say why; whoever is held by it reads that")),
        false => reason(text),
    }
}
