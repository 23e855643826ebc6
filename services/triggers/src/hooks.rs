//! The hooks and triggers as this process knows them: asked of their home, asked again when a project changed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use shipway_contracts::{
    Channel,
    v1::{self, project_home_client::ProjectHomeClient},
};
use shipway_eventing::{Feed, failing, failpoint};
use shipway_events::{FlowId, HookId, Position, ProjectId, RawEvent};
use shipway_repository::{Credential, Secret};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::{
    domain::{
        repository::RepositoryKey,
        rules::FlowTrigger,
        sources::{self, Source},
        trigger::{Kind, Trigger},
    },
    signature::Secrets,
};

/// How long a request waits for hooks that are being asked for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many events are read at once to find changes.
const READ: usize = 500;

/// How long it rests after events that were about nothing here.
const REST: Duration = Duration::from_millis(5);

/// Pauses between attempts to ask the home.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// All hooks and triggers at one position of the log.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    position: Position,
    git: HashMap<HookId, Arc<GitHook>>,
    flows: HashMap<Token, Arc<FlowHook>>,
    triggers: Vec<Arc<FlowTrigger>>,
}

/// A repository's hook in a project.
#[derive(Debug)]
pub(crate) struct GitHook {
    pub id: HookId,
    /// The repository, as it can be asked.
    pub address: String,
    pub key: RepositoryKey,
    /// Who may send to it.
    pub sources: Vec<&'static Source>,
    /// The linked account that may ask it.
    pub login: Option<Credential>,
    pub secrets: Secrets,
    /// The project's triggers that name the repository.
    pub triggers: Vec<Arc<FlowTrigger>>,
}

/// A flow's own address.
#[derive(Debug)]
pub(crate) struct FlowHook {
    pub id: HookId,
    pub path: String,
    pub secrets: Secrets,
    /// Whether every request must be signed.
    pub signed: bool,
    /// The webhook trigger that the address fires; none if the flow has none any more.
    pub trigger: Option<Arc<FlowTrigger>>,
    /// All triggers of the flow.
    pub siblings: Vec<Arc<FlowTrigger>>,
}

/// A digest of the last part of an address, so that looking it up tells nothing by its time.
#[derive(PartialEq, Eq, Hash, Debug)]
struct Token([u8; 32]);

impl Token {
    fn of(text: &str) -> Self {
        // An id is the same with and without its dashes.
        let text = HookId::from_str(text).map_or_else(|_| text.to_owned(), |id| id.to_string());
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl Hooks {
    pub(crate) fn git(&self, id: HookId) -> Option<Arc<GitHook>> {
        self.git.get(&id).cloned()
    }

    pub(crate) fn flow(&self, token: &str) -> Option<Arc<FlowHook>> {
        self.flows.get(&Token::of(token)).cloned()
    }

    /// The address of a flow whose hook and trigger are known; of one whose trigger is no longer, by its first one.
    pub(crate) fn flow_of(&self, id: HookId, trigger: Option<&str>) -> Option<Arc<FlowHook>> {
        let mut own = self.flows.values().filter(|flow| flow.id == id);
        let fires = |flow: &&Arc<FlowHook>| {
            flow.trigger.as_ref().map(|own| own.trigger.reference.as_str()) == trigger
        };
        own.clone().find(fires).or_else(|| own.next()).cloned()
    }

    /// Every hook.
    pub(crate) fn ids(&self) -> HashSet<HookId> {
        self.git.keys().copied().chain(self.flows.values().map(|flow| flow.id)).collect()
    }

    /// All triggers of all projects.
    pub(crate) fn triggers(&self) -> impl Iterator<Item = &FlowTrigger> {
        self.triggers.iter().map(AsRef::as_ref)
    }

    /// Each repository that a trigger waits for pushes of, with an address to ask.
    pub(crate) fn repositories(&self) -> BTreeMap<RepositoryKey, String> {
        self.triggers()
            .filter(|trigger| !trigger.trigger.manual_only)
            .filter_map(|trigger| match &trigger.trigger.kind {
                Kind::Git(rule) if rule.hears_pushes() => Some((rule.key.clone(), rule.repository.clone())),
                _ => None,
            })
            .collect()
    }

    /// The login that a repository is asked with, if an account is linked for it.
    pub(crate) fn login(&self, key: &RepositoryKey) -> Option<&Credential> {
        self.git.values().find_map(|hook| hook.login.as_ref().filter(|_| hook.key == *key))
    }

    fn read(reply: v1::HooksForTriggersReply) -> Self {
        let mut triggers = Vec::new();
        for record in reply.triggers {
            match flow_trigger(record) {
                Ok(trigger) => triggers.push(Arc::new(trigger)),
                // The others still work.
                Err(problem) => tracing::error!(%problem, "a trigger is left out"),
            }
        }
        let of = Of::all(&triggers);
        let mut hooks = Self { position: reply.position, triggers, ..Self::default() };
        for record in reply.hooks {
            if let Err(problem) = hooks.add(record, &of) {
                tracing::error!(%problem, "a hook is left out");
            }
        }
        hooks
    }

    fn add(&mut self, record: v1::HookRecord, of: &Of) -> Result<(), shipway_contracts::Error> {
        let id: HookId = shipway_contracts::id("hooks.id", &record.id)?;
        let project: ProjectId = shipway_contracts::id("hooks.project", &record.project)?;
        let secrets = Secrets::new(record.secrets);
        if record.kind == "git" {
            let key = RepositoryKey::of(&record.repo_url);
            let triggers = of.repositories.get(&(project, key.clone())).cloned().unwrap_or_default();
            let mut sources: Vec<_> = record.sources.iter().filter_map(|name| sources::named(name)).collect();
            if record.sources.is_empty() {
                // A home that does not tell has hooks of this one alone.
                sources.extend(sources::named("github"));
            }
            let login = record.login.map(credential);
            let hook = GitHook { id, address: record.repo_url, key, sources, login, secrets, triggers };
            self.git.insert(id, Arc::new(hook));
            return Ok(());
        }
        let flow = shipway_contracts::id("hooks.flow", &record.flow)?;
        let siblings = of.flows.get(&flow).cloned().unwrap_or_default();
        let path = siblings.first().map_or_else(|| record.flow.clone(), |trigger| trigger.path.clone());
        let hook = |trigger: Option<&Arc<FlowTrigger>>| {
            let (secrets, trigger) = (secrets.clone(), trigger.cloned());
            let (path, siblings, signed) = (path.clone(), siblings.clone(), record.signed);
            Arc::new(FlowHook { id, path, secrets, signed, trigger, siblings })
        };
        let webhooks = || siblings.iter().filter(|t| matches!(t.trigger.kind, Kind::Webhook { .. }));
        for trigger in webhooks() {
            if let Kind::Webhook { token: Some(token) } = &trigger.trigger.kind {
                self.flows.insert(Token::of(token), hook(Some(trigger)));
            }
        }
        self.flows.insert(Token::of(&record.id), hook(webhooks().next()));
        Ok(())
    }
}

/// Triggers by what hooks look for; there may be thousands of both.
#[derive(Default)]
struct Of {
    /// Those of a project that name a repository.
    repositories: HashMap<(ProjectId, RepositoryKey), Vec<Arc<FlowTrigger>>>,
    flows: HashMap<FlowId, Vec<Arc<FlowTrigger>>>,
}

impl Of {
    fn all(triggers: &[Arc<FlowTrigger>]) -> Self {
        let mut of = Self::default();
        for trigger in triggers {
            if let Kind::Git(rule) = &trigger.trigger.kind {
                let named = of.repositories.entry((trigger.project, rule.key.clone()));
                named.or_default().push(trigger.clone());
            }
            of.flows.entry(trigger.flow).or_default().push(trigger.clone());
        }
        of
    }
}

fn credential(login: v1::RepositoryLogin) -> Credential {
    let (host, name) = (&login.host, &login.login);
    let (value, known_hosts) = (Zeroizing::new(login.secret), login.known_hosts);
    let secret =
        if known_hosts.is_empty() { Secret::Token(value) } else { Secret::Key { key: value, known_hosts } };
    Credential::new(host, name, secret)
}

fn flow_trigger(record: v1::TriggerRecord) -> Result<FlowTrigger, String> {
    let id = |error: shipway_contracts::Error| error.message;
    Ok(FlowTrigger {
        project: shipway_contracts::id("triggers.project", &record.project).map_err(id)?,
        flow: shipway_contracts::id("triggers.flow", &record.flow).map_err(id)?,
        trigger: Trigger::parse(&record.path, &record.trigger_json).map_err(|error| error.to_string())?,
        path: record.path,
        paused: record.paused,
        secret_arguments: record.secret_arguments,
    })
}

/// What was read of the log for the sake of the hooks.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// Everything up to here was read.
    seen: Position,
    /// The newest event of a project.
    changed: Position,
}

/// The hooks as they are known now, kept fresh by [`keep`].
#[derive(Clone, Debug)]
pub(crate) struct HookCache {
    known: watch::Receiver<Option<Arc<Hooks>>>,
    heard: watch::Receiver<Heard>,
}

impl HookCache {
    /// The hooks with every change up to a position of the log; none if their home has never answered. Where the
    /// log cannot be followed in time, older ones are better than none: a delivery for a hook that they know is
    /// not turned away.
    pub(crate) async fn at(&self, position: Position) -> Option<Arc<Hooks>> {
        let end = tokio::time::Instant::now() + PATIENCE;
        if self.heard.borrow().seen < position {
            let mut heard = self.heard.clone();
            drop(tokio::time::timeout_at(end, heard.wait_for(|heard| heard.seen >= position)).await);
        }
        let wanted = self.heard.borrow().changed;
        let is_fresh = |hooks: &Option<Arc<Hooks>>| hooks.as_ref().is_some_and(|h| h.position >= wanted);
        if !is_fresh(&self.known.borrow()) {
            let mut known = self.known.clone();
            drop(tokio::time::timeout_at(end, known.wait_for(is_fresh)).await);
        }
        self.known.borrow().clone()
    }

    /// What is known, for background work.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Hooks>>> {
        self.known.clone()
    }
}

/// Keeps a cache of the hooks: asked of their home now and after each change of a project. The futures run until
/// they are dropped.
pub(crate) fn keep(
    feed: Feed,
    home: Channel,
) -> (HookCache, impl Future<Output = ()>, impl Future<Output = ()>) {
    let start = *feed.tail().borrow();
    let (know, known) = watch::channel(None);
    // What happened before the start counts as one change.
    let (hear, heard) = watch::channel(Heard { seen: start, changed: start });
    let cache = HookCache { known, heard: heard.clone() };
    (cache, listen(feed, hear), ask(ProjectHomeClient::new(home), heard, know))
}

async fn listen(feed: Feed, hear: watch::Sender<Heard>) {
    let mut tail = feed.tail();
    let mut pause = PAUSES.0;
    loop {
        let seen = hear.borrow().seen;
        if *tail.borrow_and_update() <= seen {
            if tail.changed().await.is_err() {
                return;
            }
            continue;
        }
        match feed.read(seen, READ).await {
            Ok(events) => {
                pause = PAUSES.0;
                let of_project = |event: &&Arc<RawEvent>| matches!(event.stream.kind(), "project" | "org");
                let changed = events.iter().rev().find(of_project).map(|event| event.position);
                let last = events.last().map_or(seen, |event| event.position);
                failpoint!("triggers.heard", continue);
                hear.send_modify(|heard| {
                    *heard = Heard { seen: last, changed: changed.unwrap_or(heard.changed) };
                });
                if changed.is_none() {
                    // A busy log that says nothing of hooks is looked at now and then, not at every commit.
                    tokio::time::sleep(REST).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the log could not be read for changes of the hooks; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

async fn ask(
    mut home: ProjectHomeClient<Channel>,
    mut heard: watch::Receiver<Heard>,
    know: watch::Sender<Option<Arc<Hooks>>>,
) {
    let mut pause = PAUSES.0;
    loop {
        let at_least = heard.borrow_and_update().changed;
        let asked = home.hooks_for_triggers(v1::HooksForTriggersRequest { at_least });
        match failing!("triggers.hooks", tonic::Status::unavailable, asked.await) {
            Ok(reply) => {
                pause = PAUSES.0;
                let mut hooks = Hooks::read(reply.into_inner());
                // An answer that does not tell its position is as new as it was asked to be.
                hooks.position = hooks.position.max(at_least);
                know.send_replace(Some(Arc::new(hooks)));
                let have = at_least;
                if heard.wait_for(|heard| heard.changed > have).await.is_err() {
                    return;
                }
            }
            Err(status) => {
                tracing::warn!(error = %status, "the home of the hooks did not answer; asking again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}
