//! From a decision to the log: one command after another, each applied once.

use std::{ops::RangeInclusive, sync::Arc};

use shipway_contracts::{Code, Error};
use shipway_eventing::{
    People, failing,
    log::{AppendError, Expected, Item, Log, Write},
    views::Views,
};
use shipway_events::{CommandId, Meta, Position, ProjectId, StreamEvent, StreamName, Version, org, project};
use shipway_repository::Allow;
use tokio::sync::Mutex;

use crate::{
    domain::{Command, Rejection, Why, decide, evolve},
    secrets::{Pending, SecretError, Secrets},
    statuses::Rows,
    world::{Project, Projects, World, WorldError},
};

/// How often a command is decided again after somebody else changed the same project.
const TRIES: usize = 20;

/// What the parts of this service share.
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) people: People,
    pub(crate) views: Views,
    pub(crate) world: Arc<World>,
    pub(crate) secrets: Secrets,
    /// What Git hosts hear of runs; none where they are told nothing.
    pub(crate) told: Option<Rows>,
    /// Ports that services and addons are given.
    pub(crate) ports: RangeInclusive<u16>,
    /// Which repositories may be looked into.
    pub(crate) repositories: Allow,
    /// One command is decided and appended at a time; conflicts come from other processes only.
    pub(crate) turn: Mutex<()>,
}

/// What a command does, or did, to the projects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// The version of the stream `org` that it was decided on.
    pub(crate) org_version: Version,
    /// Projects that it makes.
    pub(crate) created: Vec<org::ProjectCreated>,
    /// What it does to the linked accounts or to people's tokens.
    pub(crate) accounts: Vec<org::Event>,
    /// What it does to each project.
    pub(crate) parts: Vec<Part>,
    /// The position of its last event; 0 without one.
    pub(crate) position: Position,
}

/// What a command does to one project.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The project as it was.
    pub(crate) before: Arc<Project>,
    /// What happens to it.
    pub(crate) events: Vec<project::Event>,
}

impl Part {
    /// A part that does nothing yet.
    pub(crate) fn new(before: Arc<Project>) -> Self {
        Self { before, events: Vec::new() }
    }

    /// The state after these commands, and what they do; nothing of a command that is rejected.
    pub(crate) fn decide(
        &mut self,
        state: &mut crate::domain::ProjectState,
        command: &Command,
    ) -> Result<(), Rejection> {
        let events = decide(state, command)?;
        *state = events.iter().fold(std::mem::take(state), evolve);
        self.events.extend(events);
        Ok(())
    }
}

impl Shared {
    /// Carries out a command to one project, or answers what it did when it came before. It is decided again when
    /// somebody else has changed the project meanwhile.
    pub(crate) async fn change(
        &self,
        command: CommandId,
        meta: Meta,
        project: ProjectId,
        wish: &Command,
        pending: &[Pending],
    ) -> Result<Done, Error> {
        let _turn = self.turn.lock().await;
        if let Some(done) = self.replay(command).await? {
            return Ok(done);
        }
        for tried in 0..TRIES {
            let projects = self.world.refresh_some(&[project]).await.map_err(world_error)?;
            let mut done = decide_one(&projects, project, wish)?;
            if tried == 0 {
                self.secrets.keep(project, pending).await.map_err(secret_error)?;
            }
            if self.append(command, &meta, &mut done).await? {
                return Ok(done);
            }
        }
        Err(busy())
    }

    /// What the command did, if it came before.
    pub(crate) async fn replay(&self, command: CommandId) -> Result<Option<Done>, Error> {
        let known = failing!("pipelines.replay", self.log.command_result(command).await);
        let known = known.map_err(|error| away(&error))?;
        let Some(appended) = known else { return Ok(None) };
        self.world.refresh().await.map_err(world_error)?;
        let mut done = Done { position: appended.last, ..Done::default() };
        for (stream, _) in &appended.versions {
            let events = self.whole(stream).await?;
            if stream.kind() == "org" {
                for raw in events.iter().filter(|raw| raw.command == command) {
                    let recorded = org::Event::read(raw).map_err(|error| Error::internal(&error))?;
                    let Some(org::Event::ProjectCreated(created)) = recorded.map(|recorded| recorded.event)
                    else {
                        continue;
                    };
                    done.created.push(created);
                }
                continue;
            }
            let id = stream.id().and_then(|id| id.parse().ok());
            let Some(now) = id.and_then(|id| self.world.now().by_id(id).cloned()) else { continue };
            let mut before = Project { version: 0, state: Default::default(), ..Project::clone(&now) };
            let mut own = Vec::new();
            for raw in &events {
                let recorded = project::Event::read(raw).map_err(|error| Error::internal(&error))?;
                let Some(event) = recorded.map(|recorded| recorded.event) else { continue };
                match (raw.command == command, own.is_empty()) {
                    (true, _) => own.push(event),
                    (false, true) => {
                        before.state = evolve(before.state, &event);
                        before.version = raw.version;
                    }
                    (false, false) => break,
                }
            }
            done.parts.push(Part { before: Arc::new(before), events: own });
        }
        Ok(Some(done))
    }

    /// Appends what was decided and folds it in; false if somebody else was first.
    pub(crate) async fn append(
        &self,
        command: CommandId,
        meta: &Meta,
        done: &mut Done,
    ) -> Result<bool, Error> {
        let mut writes = Vec::new();
        if !done.created.is_empty() || !done.accounts.is_empty() {
            let created = done.created.iter().map(|event| org::Event::from(event.clone()).encode());
            writes.push(Write {
                stream: StreamName::org(),
                expected: Expected::Version(done.org_version),
                events: created.chain(done.accounts.iter().map(StreamEvent::encode)).collect(),
            });
        }
        for part in done.parts.iter().filter(|part| !part.events.is_empty()) {
            writes.push(Write {
                stream: StreamName::project(part.before.id),
                expected: Expected::Version(part.before.version),
                events: part.events.iter().map(StreamEvent::encode).collect(),
            });
        }
        if writes.is_empty() {
            return Ok(true);
        }
        let append = self.log.append(Item { command, meta: meta.clone(), writes });
        match failing!("pipelines.append", append.await) {
            Ok(appended) => done.position = appended.last,
            Err(AppendError::Conflict { .. }) => {
                self.world.refresh().await.map_err(world_error)?;
                return Ok(false);
            }
            Err(error) if error.is_transient() => return Err(away(&error)),
            Err(error @ AppendError::TooLarge { .. }) => return Err(Error::bad_request(error.to_string())),
            Err(error) => return Err(Error::internal(&error)),
        }
        let touched: Vec<ProjectId> = done.parts.iter().map(|part| part.before.id).collect();
        let refreshed = self.world.refresh_some(&touched);
        failing!("pipelines.appended", |why| WorldError::Read(why.into()), refreshed.await)
            .map_err(world_error)?;
        Ok(true)
    }

    async fn whole(&self, stream: &StreamName) -> Result<Vec<shipway_events::RawEvent>, Error> {
        const PAGE: usize = 500;
        let mut events: Vec<shipway_events::RawEvent> = Vec::new();
        loop {
            let after = events.last().map_or(0, |last| last.version);
            let page = self.log.read_stream(stream, after, PAGE).await.map_err(|error| away(&error))?;
            let full = page.len() == PAGE;
            events.extend(page);
            if !full {
                return Ok(events);
            }
        }
    }
}

/// What a command would do to a project.
pub(crate) fn decide_one(projects: &Projects, project: ProjectId, wish: &Command) -> Result<Done, Error> {
    let gone = || Error::not_found(format!("there is no project {project}"));
    let before = projects.by_id(project).ok_or_else(gone)?;
    let mut part = Part::new(before.clone());
    part.decide(&mut before.state.clone(), wish).map_err(|rejection| refused(&rejection))?;
    Ok(Done { parts: vec![part], ..Done::default() })
}

/// Somebody else kept changing the project.
pub(crate) fn busy() -> Error {
    Error::new(
        Code::Conflict,
        "the project was changed by others at the same time, again and again; try again",
    )
}

/// A refusal, with the code of its first reason.
pub(crate) fn refused(rejection: &Rejection) -> Error {
    let code = match rejection.refusals.first().map(|refusal| &refusal.why) {
        Some(
            Why::NoSuchResource { .. }
            | Why::NoSuchPipeline { .. }
            | Why::NoSuchFlow { .. }
            | Why::NoSuchVersion { .. }
            | Why::NoSuchHook { .. },
        ) => Code::NotFound,
        Some(Why::BadArgumentName { .. }) => Code::BadRequest,
        _ => Code::FailedPrecondition,
    };
    Error::new(code, rejection.to_string())
}

/// The log, or a table, is away.
pub(crate) fn away(error: &dyn std::error::Error) -> Error {
    Error::new(Code::Unavailable, Error::internal(error).message)
}

pub(crate) fn world_error(error: WorldError) -> Error {
    match &error {
        WorldError::Read(_) => away(&error),
        WorldError::Decode { .. } => Error::internal(&error),
    }
}

pub(crate) fn secret_error(error: SecretError) -> Error {
    match &error {
        SecretError::Database { .. } | SecretError::Durable(_) => away(&error),
        SecretError::Missing { .. } => Error::not_found(error.to_string()),
        SecretError::Conflict { .. } => Error::new(Code::Conflict, error.to_string()),
        SecretError::NotAuthentic { .. } | SecretError::OtherKek { .. } => Error::internal(&error),
    }
}
