//! Webhooks: one for each repository that a flow's triggers or a build service name, one for each flow that has its own
//! address.

use std::collections::HashSet;

use shipway_contracts::{
    Error,
    v1::{Hook, HookAddress},
};
use shipway_documents::{
    flow::{Flow, TriggerSource},
    resources::Declared,
};
use shipway_events::{
    FlowId, HookId, ProjectId,
    project::{Event, HookSource},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    flows,
    plan::{Planner, Work},
};
use crate::{
    builds,
    change::{Done, Shared, secret_error},
    domain::{self, Command, CreateHook, ProjectState},
    secrets,
    senders::{self, Services},
    world::Project,
};

/// What the names of the secrets of hooks begin with.
pub(crate) const HOOKS: &str = "hook/";

/// The name of what a document chose, or Shipway, for a hook: the secret of a repository's, the token of a flow's.
pub(crate) fn secret_name(hook: HookId) -> String {
    format!("{HOOKS}{hook}")
}

/// The name of the secrets that requests to a hook are signed with.
pub(crate) fn signing_name(hook: &domain::Hook) -> String {
    match hook.source {
        HookSource::Git { .. } => secret_name(hook.id),
        HookSource::Flow { .. } => format!("{HOOKS}{}/signing", hook.id),
    }
}

impl Planner<'_> {
    /// Gives every source of deliveries its hook.
    pub(super) async fn hooks(&mut self) -> Result<(), Error> {
        let slugs: Vec<String> = self.work.keys().cloned().collect();
        for slug in slugs {
            let Some(work) = self.work.get(&slug) else { continue };
            let known: HashSet<SourceKey> =
                work.after.state.hooks.values().map(|hook| SourceKey::of(&hook.source)).collect();
            for source in sources(&work.after.state, known) {
                self.hook(&slug, source).await?;
            }
        }
        self.tokens().await
    }

    async fn hook(&mut self, slug: &str, source: HookSource) -> Result<(), Error> {
        let Some(work) = self.work.get_mut(slug) else { return Ok(()) };
        let (project, hook) = (work.after.id, HookId::new(Uuid::from_bytes(rand::random())));
        let secret = match &source {
            HookSource::Git { .. } => {
                let home = &self.shared.secrets;
                let planned = home.plan_made(project, &secret_name(hook), secrets::signing()).await;
                let planned = planned.map_err(secret_error)?;
                let secret = planned.secret.clone();
                self.secrets.entry(project).or_default().push(planned);
                Some(secret)
            }
            HookSource::Flow { .. } => None,
        };
        decide(work, &Command::CreateHook(CreateHook { hook, source, secret }));
        Ok(())
    }

    /// Tokens that documents choose for their flows are kept beside the flows' hooks.
    async fn tokens(&mut self) -> Result<(), Error> {
        let mut chosen: Vec<(ProjectId, HookId, String)> = Vec::new();
        for declared in self.intake.declarations() {
            let Declared::Pipeline(pipeline) = &declared.declared else { continue };
            for work in self.work.values() {
                let Some(known) = work.after.state.pipelines.get(&declared.slug) else { continue };
                for stage in &pipeline.stages {
                    let token = stage.flow.as_ref().and_then(|flow| flows::token(&flow.flow.value));
                    let flow =
                        known.stages.iter().find(|other| other.name == stage.name).map(|other| other.flow);
                    let hook = flow.and_then(|flow| work.after.state.hook_of(&HookSource::Flow { flow }));
                    if let (Some(token), Some(hook)) = (token, hook) {
                        chosen.push((work.after.id, hook.id, token));
                    }
                }
            }
        }
        for (project, hook, token) in chosen {
            let (secrets, name) = (&self.shared.secrets, secret_name(hook));
            let planned = secrets.plan(project, &name, Zeroizing::new(token)).await.map_err(secret_error)?;
            self.secrets.entry(project).or_default().push(planned);
        }
        Ok(())
    }
}

fn decide(work: &mut Work, command: &Command) {
    // Nothing stands against a hook: it is made, or it is there.
    let refused = work.decide(command).is_err();
    debug_assert!(!refused, "a hook is never refused");
}

/// What the newest versions of the flows can be started by, and what build services build by themselves, that is not
/// known yet.
fn sources(state: &ProjectState, mut known: HashSet<SourceKey>) -> Vec<HookSource> {
    let mut sources: Vec<HookSource> = Vec::new();
    let mut add = |source: HookSource| {
        if known.insert(SourceKey::of(&source)) {
            sources.push(source);
        }
    };
    for flow in state.flows.values() {
        let Some(parsed) = flow.newest().and_then(|newest| Flow::parse(&newest.document).ok()) else {
            continue;
        };
        if has_address(&parsed) {
            add(HookSource::Flow { flow: flow.id });
        }
        for trigger in &parsed.triggers {
            let git = match &trigger.source {
                TriggerSource::Git(git) => git,
                TriggerSource::Typed(typed) => &typed.git,
                TriggerSource::Webhook(_) => continue,
            };
            // A schedule has no repository.
            if !git.manual_only && !git.repo_url.is_empty() {
                add(HookSource::Git { repo_url: git.repo_url.clone() });
            }
        }
    }
    for repo_url in state.resources.values().filter_map(builds::repository) {
        add(HookSource::Git { repo_url: repo_url.to_owned() });
    }
    sources
}

/// Whether a flow has an address of its own.
fn has_address(flow: &Flow) -> bool {
    let enabled = flow.webhook.as_ref().is_some_and(|webhook| webhook.enabled);
    enabled || flow.triggers.iter().any(|trigger| matches!(trigger.source, TriggerSource::Webhook(_)))
}

/// What a source is known by: one repository has several ways to write its address.
#[derive(PartialEq, Eq, Hash)]
enum SourceKey {
    Repository(String),
    Flow(FlowId),
}

impl SourceKey {
    fn of(source: &HookSource) -> Self {
        match source {
            HookSource::Git { repo_url } => Self::Repository(senders::plain(repo_url)),
            HookSource::Flow { flow } => Self::Flow(*flow),
        }
    }
}

impl Shared {
    /// The hooks that a command made, with their secrets.
    pub(super) async fn made_hooks(&self, done: &Done) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        let now = self.world.now();
        for part in &done.parts {
            let created = part.events.iter().filter_map(|event| match event {
                Event::HookCreated(created) => Some(created),
                _ => None,
            });
            let created: Vec<_> = created.collect();
            if created.is_empty() {
                continue;
            }
            let project = now.by_id(part.before.id).unwrap_or(&part.before);
            let services = Services::of(&project.state);
            let secrets = self.secrets.all_of(project.id, HOOKS).await.map_err(secret_error)?;
            for created in created {
                let Some(hook) = project.state.hooks.get(&created.hook) else { continue };
                let secret = match &created.secret {
                    Some(secret) => secrets.get(secret).map_err(secret_error)?.to_string(),
                    None => String::new(),
                };
                hooks.push(Hook { secret, ..shown(project, &services, hook) });
            }
        }
        Ok(hooks)
    }
}

/// A hook for people, without its secrets.
pub(crate) fn shown(project: &Project, services: &Services, hook: &domain::Hook) -> Hook {
    let flow_path =
        |flow: &FlowId| project.state.flows.get(flow).map_or_else(|| flow.to_string(), domain::Flow::path);
    let (senders, kind, of) = match &hook.source {
        HookSource::Git { repo_url } => (services.senders(repo_url), "git", repo_url.clone()),
        HookSource::Flow { flow } => (vec!["flow"], "flow", flow_path(flow)),
    };
    let address = |sender: &str| HookAddress {
        sender: sender.to_owned(),
        path: format!("/hooks/{sender}/{}", hook.id),
    };
    let addresses: Vec<HookAddress> = senders.into_iter().map(address).collect();
    Hook {
        id: hook.id.to_string(),
        path: addresses.first().map(|address| address.path.clone()).unwrap_or_default(),
        kind: kind.to_owned(),
        of,
        secret: String::new(),
        addresses,
        secrets: u32::try_from(hook.secrets.len()).unwrap_or(u32::MAX),
    }
}
