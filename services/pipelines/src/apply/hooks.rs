//! Webhooks: one for each repository that a flow's triggers or a build service name, one for each flow that has its own
//! address.

use shipway_contracts::{Error, v1::Hook};
use shipway_documents::{
    flow::{Flow, TriggerSource},
    resources::Declared,
};
use shipway_events::{
    FlowId, HookId, ProjectId,
    project::{Event, HookCreated, HookSource},
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
    domain::{Command, CreateHook, ProjectState},
    world::Project,
};

/// The name of a hook's secret.
pub(crate) fn secret_name(hook: HookId) -> String {
    format!("hook/{hook}")
}

impl Planner<'_> {
    /// Gives every source of deliveries its hook.
    pub(super) async fn hooks(&mut self) -> Result<(), Error> {
        let slugs: Vec<String> = self.work.keys().cloned().collect();
        for slug in slugs {
            let sources = self.work.get(&slug).map_or_else(Vec::new, |work| sources(&work.after.state));
            for source in sources {
                self.hook(&slug, source).await?;
            }
        }
        self.tokens().await
    }

    async fn hook(&mut self, slug: &str, source: HookSource) -> Result<(), Error> {
        let Some(work) = self.work.get_mut(slug) else { return Ok(()) };
        let known = work.after.state.hooks.values().any(|hook| same_source(&hook.source, &source));
        if known {
            return Ok(());
        }
        let (project, hook) = (work.after.id, HookId::new(Uuid::from_bytes(rand::random())));
        let secret = match &source {
            HookSource::Git { .. } => {
                let secrets = &self.shared.secrets;
                let planned = secrets.plan_random(project, &secret_name(hook)).await.map_err(secret_error)?;
                let secret = planned.secret.clone();
                self.secrets.push((project, vec![planned]));
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
                        chosen.push((work.after.id, hook.hook, token));
                    }
                }
            }
        }
        for (project, hook, token) in chosen {
            let (secrets, name) = (&self.shared.secrets, secret_name(hook));
            let planned = secrets.plan(project, &name, Zeroizing::new(token)).await.map_err(secret_error)?;
            self.secrets.push((project, vec![planned]));
        }
        Ok(())
    }
}

fn decide(work: &mut Work, command: &Command) {
    // Nothing stands against a hook: it is made, or it is there.
    let refused = work.decide(command).is_err();
    debug_assert!(!refused, "a hook is never refused");
}

/// What the newest versions of the flows can be started by, and what build services build by themselves.
fn sources(state: &ProjectState) -> Vec<HookSource> {
    let mut sources: Vec<HookSource> = Vec::new();
    for flow in state.flows.values() {
        let Some(parsed) = flow.newest().and_then(|newest| Flow::parse(&newest.document).ok()) else {
            continue;
        };
        if has_address(&parsed) {
            sources.push(HookSource::Flow { flow: flow.id });
        }
        for trigger in &parsed.triggers {
            if let TriggerSource::Git(git) = &trigger.source
                && !git.manual_only
            {
                let source = HookSource::Git { repo_url: git.repo_url.clone() };
                if !sources.iter().any(|known| same_source(known, &source)) {
                    sources.push(source);
                }
            }
        }
    }
    for repo_url in state.resources.values().filter_map(builds::repository) {
        let source = HookSource::Git { repo_url: repo_url.to_owned() };
        if !sources.iter().any(|known| same_source(known, &source)) {
            sources.push(source);
        }
    }
    sources
}

/// Whether a flow has an address of its own.
fn has_address(flow: &Flow) -> bool {
    let enabled = flow.webhook.as_ref().is_some_and(|webhook| webhook.enabled);
    enabled || flow.triggers.iter().any(|trigger| matches!(trigger.source, TriggerSource::Webhook(_)))
}

/// The same repository, also where one address ends with `.git` or `/`; or the same flow.
fn same_source(one: &HookSource, other: &HookSource) -> bool {
    let plain = |url: &str| url.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase();
    match (one, other) {
        (HookSource::Git { repo_url: one }, HookSource::Git { repo_url: other }) => {
            plain(one) == plain(other)
        }
        (HookSource::Flow { flow: one }, HookSource::Flow { flow: other }) => one == other,
        _ => false,
    }
}

impl Shared {
    /// The hooks that a command made, with their secrets.
    pub(super) async fn made_hooks(&self, done: &Done) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        let now = self.world.now();
        for part in &done.parts {
            for event in &part.events {
                let Event::HookCreated(created) = event else { continue };
                let project = now.by_id(part.before.id).unwrap_or(&part.before);
                let newest = self
                    .secrets
                    .newest(part.before.id, &secret_name(created.hook))
                    .await
                    .map_err(secret_error)?;
                let secret = newest.map(|(_, value)| value.to_string()).unwrap_or_default();
                hooks.push(Hook { secret, ..shown(project, created) });
            }
        }
        Ok(hooks)
    }
}

/// A hook for people, without its secret.
pub(crate) fn shown(project: &Project, hook: &HookCreated) -> Hook {
    let flow_path = |flow: &FlowId| {
        project.state.flows.get(flow).map_or_else(|| flow.to_string(), crate::domain::Flow::path)
    };
    let (path, kind, of) = match &hook.source {
        HookSource::Git { repo_url } => (format!("/hooks/github/{}", hook.hook), "git", repo_url.clone()),
        HookSource::Flow { flow } => (format!("/hooks/flow/{}", hook.hook), "flow", flow_path(flow)),
    };
    Hook { id: hook.hook.to_string(), path, kind: kind.to_owned(), of, secret: String::new() }
}
