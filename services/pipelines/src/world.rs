//! All projects as they are now: the fold of `org` and of every project's stream, in memory.
//!
//! Projects are small and this service alone writes their streams, so a change is folded in before it is
//! answered; what another instance of this service wrote comes by the feed, or when a decision meets a conflict.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use shipway_eventing::{
    feed::Feed,
    log::{Log, ReadError},
};
use shipway_events::{
    DecodeError, FlowId, Position, ProjectId, RawEvent, Roster, StreamEvent, StreamName, Version, org,
    project,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::{Accounts, Flow, ProjectState, evolve, evolve_accounts};

/// Events that are read at once.
const PAGE: usize = 500;

/// How long the feed rests after events that were about nothing here.
const REST: Duration = Duration::from_millis(5);

/// How long a failed reading of the feed rests.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a question waits for a position.
const PATIENCE: Duration = Duration::from_secs(10);

/// A project.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Its id.
    pub(crate) id: ProjectId,
    /// Its slug.
    pub(crate) slug: String,
    /// Its name.
    pub(crate) name: String,
    /// What people say about it.
    pub(crate) description: String,
    /// The version of its stream; 0 without an event.
    pub(crate) version: Version,
    /// Its resources, pipelines and flows.
    pub(crate) state: ProjectState,
}

impl Project {
    /// A project as it is made.
    pub(crate) fn new(created: &org::ProjectCreated) -> Self {
        Self {
            id: created.project,
            slug: created.slug.clone(),
            name: created.name.clone(),
            description: created.description.clone(),
            version: 0,
            state: ProjectState::default(),
        }
    }

    /// Folds in an event of its stream.
    fn fold(&mut self, event: &project::Event) {
        self.state = evolve(std::mem::take(&mut self.state), event);
    }
}

/// Every project at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Projects {
    /// The version of the stream `org`.
    pub(crate) version: Version,
    /// Projects by slug.
    pub(crate) by_slug: BTreeMap<String, Arc<Project>>,
    /// Linked accounts.
    pub(crate) accounts: Accounts,
    /// People's tokens.
    pub(crate) roster: Roster,
    /// The newest position among what is folded.
    pub(crate) position: Position,
}

impl Projects {
    /// The project of that id.
    pub(crate) fn by_id(&self, id: ProjectId) -> Option<&Arc<Project>> {
        self.by_slug.values().find(|project| project.id == id)
    }

    /// The project that a slug or an id names.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Project>> {
        self.by_slug.get(name).or_else(|| self.by_id(name.parse().ok()?))
    }

    /// The flow of that id, with its project.
    pub(crate) fn flow(&self, id: FlowId) -> Option<(&Arc<Project>, &Flow)> {
        self.by_slug.values().find_map(|project| Some((project, project.state.flows.get(&id)?)))
    }

    /// Folds an event in; one that is known or of another kind of stream changes nothing.
    fn fold(&mut self, raw: &RawEvent) -> Result<(), DecodeError> {
        match raw.stream.kind() {
            "org" if raw.version == self.version + 1 => {
                if let Some(recorded) = org::Event::read(raw)? {
                    if let org::Event::ProjectCreated(created) = &recorded.event {
                        self.by_slug.insert(created.slug.clone(), Arc::new(Project::new(created)));
                    }
                    evolve_accounts(&mut self.accounts, &recorded.event);
                    self.roster.evolve(&recorded);
                }
                self.version = raw.version;
            }
            "project" => {
                let id = raw.stream.id().and_then(|id| id.parse::<ProjectId>().ok());
                let mut all = self.by_slug.values_mut();
                let Some(known) = id.and_then(|id| all.find(|known| known.id == id)) else { return Ok(()) };
                if raw.version != known.version + 1 {
                    return Ok(());
                }
                let recorded = project::Event::read(raw)?;
                // Copied once for all events that are folded in together: readers have the one before.
                let known = Arc::make_mut(known);
                if let Some(recorded) = recorded {
                    known.fold(&recorded.event);
                }
                known.version = raw.version;
            }
            _ => return Ok(()),
        }
        self.position = self.position.max(raw.position);
        Ok(())
    }
}

/// Why the projects could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The log did not answer, or is damaged.
    #[error("reading the projects out of the log")]
    Read(#[from] ReadError),
    /// A stream holds what this Shipway does not know.
    #[error("reading the stream {stream}")]
    Decode {
        /// The stream.
        stream: StreamName,
        /// What is not known.
        #[source]
        source: DecodeError,
    },
}

/// The projects, kept current.
pub(crate) struct World {
    log: Arc<dyn Log>,
    now: RwLock<Arc<Projects>>,
    /// Everything up to here is folded in.
    seen: watch::Sender<Position>,
}

impl World {
    /// Reads all projects.
    pub(crate) async fn open(log: Arc<dyn Log>) -> Result<Self, WorldError> {
        let head = log.head().await?.position;
        let world = Self { log, now: RwLock::default(), seen: watch::Sender::new(head) };
        world.refresh().await?;
        Ok(world)
    }

    /// Folds in what the feed brings, until the process stops.
    pub(crate) async fn follow(&self, feed: Feed, stop: CancellationToken) {
        let mut tail = feed.tail();
        loop {
            let (seen, end) = (*self.seen.borrow(), *tail.borrow_and_update());
            if end <= seen {
                tokio::select! {
                    () = stop.cancelled() => return,
                    more = tail.changed() => if more.is_err() { return },
                }
                continue;
            }
            // A busy log that says nothing of projects is looked at now and then, not at every commit.
            let rest = match self.step(&feed, seen).await {
                Ok(true) => continue,
                Ok(false) => REST,
                Err(error) => {
                    tracing::error!(%error, "the projects are not kept current; trying again");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Folds in one page; whether anything in it was about projects.
    async fn step(&self, feed: &Feed, seen: Position) -> Result<bool, WorldError> {
        let events = feed.read(seen, PAGE).await?;
        let ours: Vec<_> =
            events.iter().filter(|event| matches!(event.stream.kind(), "org" | "project")).collect();
        let any = !ours.is_empty();
        self.apply(ours.into_iter().map(AsRef::as_ref))?;
        if let Some(last) = events.last() {
            self.seen.send_replace(last.position);
        }
        Ok(any)
    }

    /// The projects, with everything up to a position folded in; none if that does not come in time.
    pub(crate) async fn at_least(&self, position: Position) -> Option<Arc<Projects>> {
        if self.now().position < position {
            let mut seen = self.seen.subscribe();
            let reached = seen.wait_for(|seen| *seen >= position);
            tokio::time::timeout(PATIENCE, reached).await.ok()?.ok()?;
        }
        Some(self.now())
    }

    /// The projects at this moment.
    pub(crate) fn now(&self) -> Arc<Projects> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads what is new of every project.
    pub(crate) async fn refresh(&self) -> Result<Arc<Projects>, WorldError> {
        self.read(&StreamName::org(), self.now().version).await?;
        for project in self.now().by_slug.values() {
            self.read(&StreamName::project(project.id), project.version).await?;
        }
        Ok(self.now())
    }

    /// Reads what is new of the list of projects and of these.
    pub(crate) async fn refresh_some(&self, projects: &[ProjectId]) -> Result<Arc<Projects>, WorldError> {
        self.read(&StreamName::org(), self.now().version).await?;
        for id in projects {
            let version = self.now().by_id(*id).map_or(0, |project| project.version);
            self.read(&StreamName::project(*id), version).await?;
        }
        Ok(self.now())
    }

    async fn read(&self, stream: &StreamName, mut after: Version) -> Result<(), WorldError> {
        loop {
            let events = self.log.read_stream(stream, after, PAGE).await?;
            self.apply(&events)?;
            match events.last() {
                Some(last) if events.len() == PAGE => after = last.version,
                _ => return Ok(()),
            }
        }
    }

    /// Folds events in; those that are known already change nothing.
    fn apply<'a>(&self, events: impl IntoIterator<Item = &'a RawEvent>) -> Result<(), WorldError> {
        let mut events = events.into_iter().peekable();
        if events.peek().is_none() {
            return Ok(());
        }
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Projects::clone(&now);
        for raw in events {
            next.fold(raw).map_err(|source| WorldError::Decode { stream: raw.stream.clone(), source })?;
        }
        *now = Arc::new(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use shipway_events::{Actor, Cause, CommandId, Meta, Timestamp, project::ResourceKind};
    use uuid::Uuid;

    use super::*;

    fn project() -> ProjectId {
        ProjectId::new(Uuid::from_u128(7))
    }

    fn applied(n: Version) -> RawEvent {
        let event: project::Event = project::ResourceApplied {
            resource: shipway_events::ResourceId::new(Uuid::from_u128(n.into())),
            slug: format!("web-{n}"),
            kind: ResourceKind::DeploymentService,
            spec: Map::new().into(),
            ports: BTreeMap::new(),
        }
        .into();
        let new = event.encode();
        RawEvent {
            position: 100 + n,
            stream: StreamName::project(project()),
            version: n,
            kind: new.kind.to_owned(),
            schema: new.schema,
            data: new.data,
            command: CommandId::new(Uuid::nil()),
            meta: Meta { actor: Actor::System("test".into()), cause: Cause::Request, trace: None },
            at: Timestamp::from_micros(0),
        }
    }

    /// A project without an event.
    fn shop() -> Projects {
        let (project, slug, name) = (project(), "shop".to_owned(), "Shop".to_owned());
        let created = org::ProjectCreated { project, slug, name, description: String::new() };
        let mut projects = Projects::default();
        projects.by_slug.insert("shop".into(), Arc::new(Project::new(&created)));
        projects
    }

    #[test]
    fn events_are_folded_once_each_in_their_order_and_who_looked_before_keeps_what_was_seen() {
        let mut now = shop();
        let seen = now.clone();
        // The third one a second time, the fifth one too early.
        for version in [1, 2, 3, 3, 5, 4] {
            now.fold(&applied(version)).unwrap();
        }
        let known = |projects: &Projects| {
            let project = &projects.by_slug["shop"];
            let slugs: Vec<_> = project.state.resources.keys().cloned().collect();
            (project.version, slugs)
        };
        assert_eq!(known(&now), (4, ["web-1", "web-2", "web-3", "web-4"].map(str::to_owned).to_vec()));
        assert_eq!(known(&seen), (0, Vec::new()));
        // What nobody else has looked at since is not copied.
        let place = Arc::as_ptr(&now.by_slug["shop"]);
        now.fold(&applied(5)).unwrap();
        assert_eq!(Arc::as_ptr(&now.by_slug["shop"]), place);
    }

    #[test]
    fn an_event_that_cannot_be_read_changes_nothing() {
        let mut now = shop();
        now.fold(&applied(1)).unwrap();
        now.fold(&RawEvent { data: "{}".into(), ..applied(2) }).unwrap_err();
        let project = &now.by_slug["shop"];
        assert_eq!((project.version, project.state.resources.len()), (1, 1));
    }
}
