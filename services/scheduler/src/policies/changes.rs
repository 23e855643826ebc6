//! Changes of projects' policies: made once for each command, and answered the same when the command comes again.

use std::sync::Arc;

use shipway_contracts::{Code, Error, id};
use shipway_eventing::log::{AppendError, Appended, Expected, Item, ReadError, Write};
use shipway_events::{
    Actor, CommandId, Meta, Position, ProjectId, StreamEvent, StreamName, Timestamp, Version, policy,
};

use super::{PAGE, Policies};
use crate::service::Shared;

/// How often a change is decided again after somebody else's came in between.
const TRIES: u32 = 10;

/// What a command has changed.
#[derive(Debug)]
pub(crate) struct Change {
    /// The command that has.
    pub(crate) command: CommandId,
    /// Who gave it.
    pub(crate) by: Actor,
    /// When, by the log's clock.
    pub(crate) at: Timestamp,
    /// Of its last event.
    pub(crate) position: Position,
    /// Its events, oldest first.
    pub(crate) events: Vec<Changed>,
}

/// An event of a change.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) project: ProjectId,
    pub(crate) event: policy::Event,
    /// The project's policies as they were before the command.
    pub(crate) before: Arc<Policies>,
}

impl Change {
    /// That the command's id is of one that did something else.
    pub(crate) fn was_another(&self) -> Error {
        was_another(self.command)
    }
}

/// What is said to whoever gives a command the id of one that did something else.
pub(crate) fn was_another(command: CommandId) -> Error {
    Error::bad_request(format!(
        "field `command`: the command {command} did something else before; give each command an id of its own"
    ))
}

impl Shared {
    /// Appends to a project's policies what is decided on them as they are; every run looks again.
    pub(crate) async fn change_policies(
        &self,
        command: CommandId,
        project: ProjectId,
        meta: Meta,
        decide: impl Fn(&Policies, Timestamp) -> Result<policy::Event, Error> + Send,
    ) -> Result<Change, Error> {
        let decide = move |all: &[(ProjectId, Arc<Policies>)], now| {
            all.iter().map(|(project, policies)| Ok((*project, decide(policies, now)?))).collect()
        };
        self.change_some(command, &[project], meta, decide).await
    }

    /// The same where it is decided which of several projects are changed: all of them at once.
    pub(crate) async fn change_some(
        &self,
        command: CommandId,
        projects: &[ProjectId],
        meta: Meta,
        decide: impl Fn(
            &[(ProjectId, Arc<Policies>)],
            Timestamp,
        ) -> Result<Vec<(ProjectId, policy::Event)>, Error>
        + Send,
    ) -> Result<Change, Error> {
        for _ in 0..TRIES {
            let (mut known, mut versions) = (Vec::new(), Vec::new());
            for project in projects {
                let (policies, version) = self.policies_of(*project).await?;
                known.push((*project, policies));
                versions.push((*project, version));
            }
            let decided = match decide(&known, self.log.now()) {
                Ok(decided) => decided,
                // The same command may have come twice at once: then the other one is why this cannot be done any more.
                Err(refused) => return self.changed_before(command).await?.ok_or(refused),
            };
            let of = |project| decided.iter().filter(move |(other, _)| *other == project);
            versions.retain(|(project, _)| of(*project).next().is_some());
            let write = |(project, version): &(ProjectId, Version)| Write {
                stream: StreamName::policy(*project),
                expected: if *version == 0 { Expected::New } else { Expected::Version(*version) },
                events: of(*project).map(|(_, event)| event.encode()).collect(),
            };
            let item = Item { command, meta: meta.clone(), writes: versions.iter().map(write).collect() };
            let appended = match self.log.append(item).await {
                Ok(appended) => appended,
                Err(AppendError::Conflict { .. }) => continue,
                Err(error) => return Err(Error::unavailable(format!("{error}; try again"))),
            };
            if appended.duplicate {
                let gone = || Error::unavailable("what the command did cannot be read; try again");
                return self.changed_before(command).await?.ok_or_else(gone);
            }
            let Appended { last, at, versions: reached, .. } = appended;
            for ((project, _), (_, version)) in versions.iter().zip(reached) {
                self.book.policies_changed(*project, version);
            }
            let before =
                |project| known.iter().find(|(other, _)| *other == project).map(|(_, it)| it.clone());
            let changed =
                |(project, event)| Changed { project, event, before: before(project).unwrap_or_default() };
            let events = decided.into_iter().map(changed).collect();
            return Ok(Change { command, by: meta.actor, at, position: last, events });
        }
        Err(Error::new(Code::Conflict, "the project's policies change all the time; try again"))
    }

    /// What a command has changed, if it came before: then only its answer was lost.
    pub(crate) async fn changed_before(&self, command: CommandId) -> Result<Option<Change>, Error> {
        let found = self.log.command_result(command).await.map_err(unread)?;
        let Some(Appended { first, last, at, .. }) = found else { return Ok(None) };
        let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        let mut change =
            Change { command, by: Actor::nobody(), at, position: last, events: Vec::with_capacity(count) };
        for raw in self.log.read(first - 1, count).await.map_err(unread)? {
            let project = raw.stream.id().filter(|_| raw.stream.kind() == "policy");
            let project = project.ok_or_else(|| was_another(command))?;
            let project: ProjectId = id("project", project)?;
            let read = policy::Event::read(&raw).map_err(|error| Error::internal(&error))?;
            let recorded = read.ok_or_else(|| was_another(command))?;
            let before = match change.events.iter().find(|changed| changed.project == project) {
                Some(first) => first.before.clone(),
                None => Arc::new(self.policies_before(project, recorded.version).await?),
            };
            change.by = recorded.meta.actor;
            change.events.push(Changed { project, event: recorded.event, before });
        }
        Ok(Some(change))
    }

    /// A project's policies as they were before an event of their stream.
    async fn policies_before(&self, project: ProjectId, version: Version) -> Result<Policies, Error> {
        let (stream, mut policies, mut read) = (StreamName::policy(project), Policies::default(), 0);
        while read + 1 < version {
            let page = self.log.read_stream(&stream, read, PAGE).await.map_err(unread)?;
            for raw in page.iter().filter(|raw| raw.version < version) {
                if let Some(recorded) = policy::Event::read(raw).map_err(|error| Error::internal(&error))? {
                    policies.evolve(&recorded);
                }
            }
            match page.last() {
                Some(last) => read = last.version,
                None => break,
            }
        }
        Ok(policies)
    }
}

pub(crate) fn unread(error: ReadError) -> Error {
    Error::unavailable(format!("{error}; try again"))
}
