//! `shipway.v1.Freezes`.

use std::{str::FromStr, sync::Arc};

use shipway_contracts::{
    Code, Error, id,
    v1::{
        Calendar, CreateFreezeReply, CreateFreezeRequest, Freeze as Shown, InFlight, LetPassRequest,
        LiftFreezeReply, LiftFreezeRequest, ListFreezesReply, ListFreezesRequest, Run,
        freezes_client::FreezesClient, freezes_server,
    },
};
use shipway_documents::schedule::{Schedule, UTC};
use shipway_engine::Command;
use shipway_events::{
    CommandId, FreezeId, Meta, ProjectId, Timestamp,
    policy::{self, Froze, Lifted, Window},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::asked_by;
use crate::{
    cluster::passed_on,
    freezes::Freeze,
    policies::{Change, Changed, Policies},
    run::present,
    service::Shared,
};

/// `shipway.v1.Freezes`.
#[derive(Clone)]
pub struct FreezesApi {
    pub(crate) shared: Arc<Shared>,
}

/// Characters of a reason.
const LONGEST_REASON: usize = 500;
/// Minutes that a window of a calendar lasts at most: 60 days.
const LONGEST_WINDOW: u32 = 60 * 24 * 60;
/// So much work in flight is listed.
const MOST_IN_FLIGHT: usize = 200;

#[tonic::async_trait]
impl freezes_server::Freezes for FreezesApi {
    async fn create_freeze(
        &self,
        request: Request<CreateFreezeRequest>,
    ) -> Result<Response<CreateFreezeReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.create_freeze(request.into_inner(), meta).await?))
    }

    async fn lift_freeze(
        &self,
        request: Request<LiftFreezeRequest>,
    ) -> Result<Response<LiftFreezeReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        Ok(Response::new(self.shared.lift_freeze(request.into_inner(), meta).await?))
    }

    async fn list_freezes(
        &self,
        request: Request<ListFreezesRequest>,
    ) -> Result<Response<ListFreezesReply>, Status> {
        let now = self.shared.log.now();
        let mut freezes = Vec::new();
        for scope in self.shared.scopes(&request.get_ref().project).await? {
            let (known, _) = self.shared.policies_of(id("project", &scope.project)?).await?;
            freezes.extend(known.freezes.ahead(now).map(|freeze| shown(freeze, now)));
        }
        freezes.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        Ok(Response::new(ListFreezesReply { freezes }))
    }

    async fn let_pass(&self, request: Request<LetPassRequest>) -> Result<Response<Run>, Status> {
        let asker = self.shared.asker(request.metadata()).await?;
        let (metadata, _, request) = request.into_parts();
        let run = self.shared.find_run(&request.run).await?;
        if let Some(peer) = self.shared.elsewhere(run, &metadata).await? {
            let message = LetPassRequest { run: run.to_string(), ..request };
            let mut there = freezes_client(peer.channel);
            return there.let_pass(passed_on(&metadata, message)).await;
        }
        if !asker.counts {
            let message = "nobody in particular may not let a run pass a freeze: prove who you are with a token \
                 (`SHIPWAY_TOKEN`)";
            return Err(Error::new(Code::Unauthenticated, message).into());
        }
        let reason = reason(request.reason)?;
        if reason.is_empty() {
            return Err(Error::bad_request("field `reason`: say why this run does not wait").into());
        }
        let by = asker.actor.clone();
        let command = Ok(Command::OverrideFreeze { by, reason });
        let meta = asked_by(asker.actor);
        self.shared.ask_once(run, &request.command, &["run.freeze_overridden"], command, meta).await?;
        Ok(Response::new(self.shared.show(run).await?))
    }
}

impl Shared {
    async fn create_freeze(
        &self,
        request: CreateFreezeRequest,
        meta: Meta,
    ) -> Result<CreateFreezeReply, Error> {
        let command = CommandId::new(id::<Uuid>("command", &request.command)?);
        if let Some(change) = self.changed_before(command).await? {
            return self.frozen(change).await;
        }
        if request.scope.is_empty() {
            return Err(Error::bad_request(
                "field `scope`: say what is frozen: `<project>`, `<pipeline>/*` or `<pipeline>/<stage>`",
            ));
        }
        let scope = self.scopes(&request.scope).await?.pop();
        let scope = scope.ok_or_else(|| Error::not_found(format!("there is no `{}`", request.scope)))?;
        let project: ProjectId = id("project", &scope.project)?;
        let window = window(&request, self.log.now())?;
        let reason = reason(request.reason)?;
        let freeze = FreezeId::new(command.uuid());
        let name = match request.name.as_str() {
            "" => {
                let id = freeze.uuid().simple().to_string();
                format!("{}-{}", if request.stops_all { "stop" } else { "freeze" }, &id[id.len() - 6..])
            }
            name => named(name)?,
        };
        let froze = Froze {
            freeze,
            name,
            scope: policy::Scope {
                project: scope.project_slug,
                pipeline: Some(scope.pipeline).filter(|part| !part.is_empty()),
                stage: Some(scope.stage).filter(|part| !part.is_empty()),
            },
            window,
            stops_all: request.stops_all,
            reason,
        };
        let change = self
            .change_policies(command, project, meta, |policies, now| match policies.freezes.named(&froze.name, now) {
                Some(other) if other.froze.freeze != freeze => Err(Error::new(
                    Code::AlreadyExists,
                    format!(
                        "the project has a freeze `{}` already, of {}; lift it (`shipway unfreeze {0}`) or take another name",
                        froze.name,
                        other.by.name()
                    ),
                )),
                _ => Ok(froze.clone().into()),
            })
            .await?;
        self.frozen(change).await
    }

    /// The answer to whoever froze something, now or when the command came before.
    async fn frozen(&self, change: Change) -> Result<CreateFreezeReply, Error> {
        let Some(Changed { event: policy::Event::Froze(froze), .. }) = change.events.first() else {
            return Err(change.was_another());
        };
        let freeze = Freeze { froze: froze.clone(), by: change.by.clone(), at: change.at };
        let (in_flight, more) = match froze.stops_all {
            true => self.in_flight(&freeze).await?,
            false => (Vec::new(), false),
        };
        let Change { at, position, .. } = change;
        Ok(CreateFreezeReply { freeze: Some(shown(&freeze, at)), position, in_flight, more })
    }

    async fn lift_freeze(&self, request: LiftFreezeRequest, meta: Meta) -> Result<LiftFreezeReply, Error> {
        let command = CommandId::new(id::<Uuid>("command", &request.command)?);
        if let Some(change) = self.changed_before(command).await? {
            return lifted(&change);
        }
        let reason = reason(request.reason)?;
        let projects = self.projects_of(&request.project).await?;
        let change = self.change_some(command, &projects, meta, |all, now| {
            let named = |(project, policies): &(ProjectId, Arc<Policies>)| {
                Some((*project, policies.freezes.named(&request.freeze, now)?.froze.freeze))
            };
            match all.iter().filter_map(named).collect::<Vec<_>>().as_slice() {
                [] => {
                    let message =
                        format!("there is no freeze `{}`; `shipway freezes` lists them", request.freeze);
                    Err(Error::not_found(message))
                }
                [(project, freeze)] => {
                    let lifted = Lifted { freeze: *freeze, reason: reason.clone() };
                    Ok(vec![(*project, lifted.into())])
                }
                _ => {
                    let message = format!(
                        "several projects have a freeze `{}`; say which: `--project`",
                        request.freeze
                    );
                    Err(Error::bad_request(message))
                }
            }
        });
        lifted(&change.await?)
    }

    /// What went on in a freeze's scope when it was made and goes on now, oldest runs first; and whether there is more.
    async fn in_flight(&self, freeze: &Freeze) -> Result<(Vec<InFlight>, bool), Error> {
        self.caught_up().await?;
        let mut found = Vec::new();
        for (run, _) in self.open_runs().await? {
            let Ok(state) = self.book.look(run).await else { continue };
            let Some(path) = state.started().map(|started| started.path.clone()) else { continue };
            if !freeze.is_about(&path) {
                continue;
            }
            for open in state.open_attempts().filter(|open| open.attempt.requested_at <= freeze.at) {
                if found.len() == MOST_IN_FLIGHT {
                    return Ok((found, true));
                }
                found.push(InFlight {
                    run: run.to_string(),
                    path: path.clone(),
                    node: state.name_of(open.node),
                    kind: state.plan_node(open.node).map(|node| node.kind.clone()).unwrap_or_default(),
                    executor: self.host_of(open.attempt.executor),
                    since: open.attempt.requested_at.to_string(),
                });
            }
        }
        Ok((found, false))
    }
}

/// The answer to whoever lifted a freeze, now or when the command came before.
fn lifted(change: &Change) -> Result<LiftFreezeReply, Error> {
    let lifted = match change.events.as_slice() {
        [Changed { event: policy::Event::Lifted(Lifted { freeze, .. }), before, .. }] => {
            before.freezes.get(*freeze)
        }
        _ => None,
    };
    let freeze = lifted.ok_or_else(|| change.was_another())?;
    Ok(LiftFreezeReply { freeze: Some(shown(freeze, change.at)), position: change.position })
}

fn freezes_client(channel: shipway_contracts::Channel) -> FreezesClient<shipway_contracts::Channel> {
    FreezesClient::new(channel).max_decoding_message_size(64 << 20)
}

fn shown(freeze: &Freeze, now: Timestamp) -> Shown {
    let Froze { freeze: id, name, scope, window, stops_all, reason } = &freeze.froze;
    let (from, until, calendar) = match window {
        Window::Once { from, until } => (Some(*from), *until, None),
        Window::Calendar { cron, timezone, minutes } => {
            let calendar = Calendar { cron: cron.clone(), timezone: timezone.clone(), minutes: *minutes };
            (None, None, Some(calendar))
        }
    };
    let policy::Scope { project, pipeline, stage } = scope;
    let in_force = freeze.in_force(now);
    Shown {
        id: id.to_string(),
        name: name.clone(),
        project: project.clone(),
        scope: match (pipeline, stage) {
            (None, _) => project.clone(),
            (Some(pipeline), None) => format!("{project}/{pipeline}/*"),
            (Some(pipeline), Some(stage)) => format!("{project}/{pipeline}/{stage}"),
        },
        stops_all: *stops_all,
        reason: reason.clone(),
        created_at: freeze.at.to_string(),
        created_by: freeze.by.name().to_owned(),
        from: present::text(from),
        until: present::text(until),
        calendar,
        in_force: in_force.is_some(),
        in_force_until: present::text(in_force.flatten()),
        next: present::text(freeze.next(now)),
    }
}

/// When the freeze that is asked for is in force.
fn window(request: &CreateFreezeRequest, now: Timestamp) -> Result<Window, Error> {
    let CreateFreezeRequest { from, until, calendar, .. } = request;
    let bad = |message: String| Err(Error::bad_request(message));
    if let Some(Calendar { cron, timezone, minutes }) = calendar {
        if !from.is_empty() || !until.is_empty() {
            return bad("a freeze has a calendar, or `from` and `until`; not both".to_owned());
        }
        let timezone = if timezone.is_empty() { UTC } else { timezone };
        if let Err(error) = Schedule::parse(cron, timezone) {
            return bad(format!("field `calendar`: {error}; {}", error.help()));
        }
        if !(1..=LONGEST_WINDOW).contains(minutes) {
            return bad(format!("field `calendar.minutes`: from 1 to {LONGEST_WINDOW} (60 days)"));
        }
        let (cron, timezone) = (cron.clone(), timezone.to_owned());
        return Ok(Window::Calendar { cron, timezone, minutes: *minutes });
    }
    let at = |field: &str, text: &str| match text {
        "" => Ok(None),
        text => Timestamp::from_str(text)
            .map(Some)
            .map_err(|error| Error::bad_request(format!("field `{field}`: {error}"))),
    };
    let (from, until) = (at("from", from)?.unwrap_or(now), at("until", until)?);
    match until {
        Some(until) if until <= now => bad(format!("field `until`: {until} is over; it is {now}")),
        Some(until) if until <= from => bad(format!("field `until`: {until} is not after {from}")),
        until => Ok(Window::Once { from, until }),
    }
}

/// A name as people write it on a command line.
pub(super) fn named(name: &str) -> Result<String, Error> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.chars().count() > 39 || !name.chars().all(fits) || name.parse::<Uuid>().is_ok() {
        return Err(Error::bad_request("field `name`: letters, digits, `-`, `_` and `.`, at most 39"));
    }
    Ok(name.to_owned())
}

pub(super) fn reason(text: String) -> Result<String, Error> {
    match text.chars().count() <= LONGEST_REASON {
        true => Ok(text),
        false => Err(Error::bad_request(format!("field `reason`: at most {LONGEST_REASON} characters"))),
    }
}
