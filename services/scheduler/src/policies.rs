//! What projects say of their runs, whatever the flows say: freezes, holds and bad marks, as the log has them.
//!
//! What is known of a project's policies is kept, and read on from there as soon as it is heard that there is more: from
//! whoever wrote it in this process, and with several schedulers from the feed. So a decision about a run reads nothing,
//! and a freeze or a hold is in force everywhere a moment after it was made.

pub(crate) mod changes;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shipway_contracts::{Error, id, v1};
use shipway_engine::Hold;
use shipway_eventing::log::{Log, ReadError};
use shipway_events::{
    DecodeError, ProjectId, Recorded, StreamEvent, StreamName, Timestamp, Version, policy,
    run::{Frozen, Held, Started},
};

pub(crate) use self::changes::{Change, Changed};
use crate::{
    freezes::Freezes,
    holds::{Holds, candidates},
    service::Shared,
    start::from_status,
};

/// How many events are read at a time.
const PAGE: usize = 500;

/// Why a project's policies are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// The log did not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A newer Shipway has written some: what they mean is not known here.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// A project's policies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub(crate) freezes: Freezes,
    pub(crate) holds: Holds,
}

impl Policies {
    fn evolve(&mut self, recorded: &Recorded<policy::Event>) {
        self.freezes.evolve(recorded);
        self.holds.evolve(recorded);
    }
}

/// What of them is about one run, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce {
    pub(crate) freezes: Arc<[Frozen]>,
    pub(crate) holds: Arc<[Hold]>,
}

/// All policies that this process has read.
#[derive(Default)]
pub(crate) struct PolicyBook {
    projects: Mutex<HashMap<ProjectId, Known>>,
}

/// A project's policies up to the version that was read, and the version that was heard of.
#[derive(Clone, Default)]
struct Known {
    policies: Arc<Policies>,
    read: Option<Version>,
    heard: Version,
}

impl PolicyBook {
    /// A project's policies, with the version of their stream. Nothing is read for what is known.
    pub(crate) async fn of(
        &self,
        log: &dyn Log,
        project: ProjectId,
    ) -> Result<(Arc<Policies>, Version), PolicyError> {
        let known = self.lock().get(&project).cloned().unwrap_or_default();
        match known.read {
            Some(read) if read >= known.heard => Ok((known.policies, read)),
            _ => self.read_on(log, project, known).await,
        }
    }

    /// The same, up to what is in the log by now, whoever wrote it.
    pub(crate) async fn newest(
        &self,
        log: &dyn Log,
        project: ProjectId,
    ) -> Result<(Arc<Policies>, Version), PolicyError> {
        let known = self.lock().get(&project).cloned().unwrap_or_default();
        self.read_on(log, project, known).await
    }

    async fn read_on(
        &self,
        log: &dyn Log,
        project: ProjectId,
        known: Known,
    ) -> Result<(Arc<Policies>, Version), PolicyError> {
        let stream = StreamName::policy(project);
        let (mut policies, mut version) = (known.policies, known.read.unwrap_or(0));
        loop {
            let page = log.read_stream(&stream, version, PAGE).await?;
            for raw in &page {
                if let Some(recorded) = policy::Event::read(raw)? {
                    Arc::make_mut(&mut policies).evolve(&recorded);
                }
                version = raw.version;
            }
            if page.len() < PAGE {
                break;
            }
        }
        let mut projects = self.lock();
        let entry = projects.entry(project).or_default();
        if entry.read.is_none_or(|read| read < version) {
            (entry.policies, entry.read) = (policies.clone(), Some(version));
        }
        Ok((policies, version))
    }

    /// What is in force and about a run, one that is about to start too. `waits`: something holds it up. Only what the log
    /// has by now lets it go on: who has just taken its lane may not have heard of what holds it.
    pub(crate) async fn in_force(
        &self,
        log: &dyn Log,
        started: Option<&Started>,
        waits: bool,
        now: Timestamp,
    ) -> Result<InForce, PolicyError> {
        let Some(started) = started else { return Ok(InForce::default()) };
        let (policies, _) = match waits {
            true => self.newest(log, started.project).await?,
            false => self.of(log, started.project).await?,
        };
        Ok(InForce {
            freezes: policies.freezes.holding(&started.path, now),
            holds: policies.holds.about(&started.path, now),
        })
    }

    /// There is more to be read: whoever asks next reads it.
    pub(crate) fn heard(&self, project: ProjectId, version: Version) {
        let mut projects = self.lock();
        let known = projects.entry(project).or_default();
        known.heard = known.heard.max(version);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProjectId, Known>> {
        // What is in it is put there whole.
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A project's policies as the log has them.
    pub(crate) async fn policies_of(&self, project: ProjectId) -> Result<(Arc<Policies>, Version), Error> {
        self.book.policies().newest(&*self.log, project).await.map_err(|error| match error {
            PolicyError::Read(error) => Error::unavailable(format!("{error}; try again")),
            PolicyError::Decode(error) => Error::internal(&error),
        })
    }

    /// What holds and bad marks keep from being released by a run that starts like this.
    pub(crate) async fn held_back(&self, started: &Started) -> Result<Vec<Held>, Error> {
        let (policies, _) = self.policies_of(started.project).await?;
        let holds = policies.holds.about(&started.path, self.log.now());
        if holds.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for candidate in candidates(started) {
            let about = holds.iter().filter(|hold| hold.is_about(started, &candidate));
            found.extend(about.max_by_key(|hold| hold.bad).map(|hold| hold.on(&candidate)));
        }
        Ok(found)
    }

    /// The parts of projects that a text stands for; every project when it is empty.
    pub(crate) async fn scopes(&self, text: &str) -> Result<Vec<v1::Scope>, Error> {
        let mut home = v1::project_home_client::ProjectHomeClient::new(self.projects.clone());
        let request = v1::FindScopesRequest { text: text.to_owned() };
        Ok(home.find_scopes(request).await.map_err(from_status)?.into_inner().scopes)
    }

    /// The project that a text stands for; every project when it is empty.
    pub(crate) async fn projects_of(&self, text: &str) -> Result<Vec<ProjectId>, Error> {
        let scopes = self.scopes(text).await?;
        scopes.iter().map(|scope| id("project", &scope.project)).collect()
    }
}

#[cfg(test)]
mod tests {
    use shipway_eventing::{Expected, Item, SqliteLog, SqliteOptions};
    use shipway_events::{
        Actor, Cause, CommandId, FreezeId, Meta,
        policy::{Froze, Scope, Window},
    };
    use uuid::Uuid;

    use super::*;

    fn started() -> Started {
        let started = include_str!("../../common/events/tests/golden/run.started.1.json");
        let event: serde_json::Value = serde_json::from_str(started).unwrap();
        serde_json::from_value(event).unwrap()
    }

    /// Who has just taken a lane may not have heard of a freeze that others have told people of.
    #[tokio::test]
    async fn what_is_held_up_goes_on_by_what_the_log_says_alone() {
        let folder = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions::default()).await.unwrap();
        let (book, started, now) = (PolicyBook::default(), started(), log.now());
        let freezes =
            async |waits| book.in_force(&log, Some(&started), waits, now).await.unwrap().freezes.len();
        assert_eq!((freezes(false).await, freezes(true).await), (0, 0));
        let froze = policy::Event::Froze(Froze {
            freeze: FreezeId::new(Uuid::now_v7()),
            name: "outage".to_owned(),
            scope: Scope::default(),
            window: Window::Once { from: now, until: None },
            stops_all: true,
            reason: String::new(),
        });
        let meta = Meta { actor: Actor::nobody(), cause: Cause::Request, trace: None };
        let (command, stream) = (CommandId::new(Uuid::now_v7()), StreamName::policy(started.project));
        let item = Item::one(command, meta, stream, Expected::New, vec![froze.encode()]);
        log.append(item).await.unwrap();
        assert_eq!(freezes(false).await, 0, "nobody has told of it");
        assert_eq!(freezes(true).await, 1);
    }
}
