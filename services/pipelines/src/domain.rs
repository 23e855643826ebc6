//! What a project is and which changes it takes. Pure: [`decide`] and [`evolve`] over one project's stream,
//! so that "a resource is in at most one pipeline" is a single decision.

mod accounts;
mod delivery;
mod hook;
mod names;
mod pipeline;
mod rejection;
mod removal;
mod resource;
mod state;
mod tokens;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use shipway_events::{
    FlowId, HookId, PipelineId, ResourceId, RunId, SecretRef,
    plan::Artifact,
    project::{self, HookSource, ResourceKind},
};

pub(crate) use accounts::{
    Account, AccountCommand, AccountRefusal, Accounts, Mention, decide_account, evolve_accounts,
    is_account_secret, named as named_account, resolve as resolve_account,
    secret_name as account_secret_name, undecided as undecided_accounts,
};
pub(crate) use delivery::source;
use hook::{create_hook, retire_hook, rotate_hook};
pub(crate) use names::did_you_mean;
pub(crate) use rejection::{Refusal, Rejection, Why};
use removal::deleted_pipeline;
pub(crate) use removal::{MemberRemoval, member_removal};
pub(crate) use state::{Flow, FlowVersion, Hook, Override, Pipeline, ProjectState, Resource, evolve};
pub(crate) use tokens::{TokenCommand, TokenRefusal, decide_token, named as named_token};

/// What somebody wants of a project. What a decision needs and the stream does not hold (new ids, ports,
/// where else a name exists) comes with the command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Makes a resource, or brings the one of that slug to this spec.
    ApplyResource(ApplyResource),
    /// Makes a pipeline, or adds to the one of that slug; publishes the flows that changed.
    ApplyPipeline(ApplyPipeline),
    /// Takes a resource out of its stage, with every flow node that refers to it.
    RemoveMember {
        /// The resource's slug.
        resource: String,
    },
    /// Deletes a pipeline with its flows; its resources go on.
    DeletePipeline {
        /// The pipeline's slug.
        pipeline: String,
    },
    /// Overrides an argument of a flow.
    SetOverride(SetOverride),
    /// Gives a repository or a flow an address for webhooks, unless it has one.
    CreateHook(CreateHook),
    /// Lets a flow's triggers start nothing. Stays over new versions of its document.
    Pause {
        /// The flow.
        flow: FlowId,
        /// Why, in a person's words.
        reason: String,
    },
    /// Lets a flow's triggers start runs again.
    Resume {
        /// The flow.
        flow: FlowId,
    },
    /// Makes the document of an earlier version of a flow its newest one.
    RestoreFlow {
        /// The flow.
        flow: FlowId,
        /// The earlier version.
        version: u32,
        /// Why, in a person's words.
        reason: String,
    },
    /// Gives a hook one more secret.
    RotateHook {
        /// The hook.
        hook: HookId,
        /// Where the new secret is.
        secret: SecretRef,
    },
    /// Ends a hook's secrets, the newest apart.
    RetireHook {
        /// The hook.
        hook: HookId,
        /// Whether the newest ends too: then nothing has to be signed. For hooks of flows alone.
        all: bool,
    },
    /// Says that a run has built something.
    Built {
        /// What.
        artifact: Artifact,
        /// The run.
        run: RunId,
    },
    /// Says that a run has released something.
    Released {
        /// What got it.
        target: ResourceId,
        /// The run's flow.
        flow: FlowId,
        /// The run.
        run: RunId,
    },
}

/// See [`Command::ApplyResource`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApplyResource {
    /// The id it gets if it is new.
    pub(crate) id: ResourceId,
    /// Its slug.
    pub(crate) slug: String,
    /// What it is.
    pub(crate) kind: ResourceKind,
    /// The document's `spec`, secret values already replaced by their names.
    pub(crate) spec: Value,
    /// Ports for the port names that have none yet.
    pub(crate) new_ports: BTreeMap<String, u16>,
}

/// See [`Command::ApplyPipeline`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApplyPipeline {
    /// The id it gets if it is new.
    pub(crate) id: PipelineId,
    /// Its slug.
    pub(crate) slug: String,
    /// Its name.
    pub(crate) name: String,
    /// What people say about it.
    pub(crate) description: String,
    /// The stages that the document names, in its order.
    pub(crate) stages: Vec<StageWish>,
    /// Ids for the flows of stages that are new; as many as there can be new stages.
    pub(crate) new_flows: Vec<FlowId>,
}

/// A stage as a document declares it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StageWish {
    /// Its name.
    pub(crate) name: String,
    /// Its members: added if they are not yet.
    pub(crate) members: Vec<MemberWish>,
    /// Its flow's document; `None` leaves the flow as it is.
    pub(crate) flow: Option<Value>,
    /// Where the stage stands in the declaration: `/spec/stages/0`.
    pub(crate) pointer: String,
}

/// A member as a document declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberWish {
    /// The resource's slug (or `project/slug`, which is refused with its reason).
    pub(crate) id: String,
    /// `service`, `job` or `addon`; empty if the document does not say.
    pub(crate) member_type: String,
    /// The project that has such a resource, if this one has not.
    pub(crate) found_in: Option<String>,
    /// Where it stands: `/spec/stages/0/nfObjects/1`.
    pub(crate) pointer: String,
}

/// See [`Command::SetOverride`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SetOverride {
    /// The flow.
    pub(crate) flow: FlowId,
    /// The argument.
    pub(crate) argument: String,
    /// Where a secret value is, or the plain value.
    pub(crate) value: Override,
}

/// See [`Command::CreateHook`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CreateHook {
    /// The id it gets: 128 random bits.
    pub(crate) hook: HookId,
    /// What comes to it.
    pub(crate) source: HookSource,
    /// Where the secret is that deliveries are signed with.
    pub(crate) secret: Option<SecretRef>,
}

/// The events that carry a command out, or every reason against it. No event: it is so already.
pub(crate) fn decide(state: &ProjectState, command: &Command) -> Result<Vec<project::Event>, Rejection> {
    match command {
        Command::ApplyResource(wish) => resource::apply(state, wish),
        Command::ApplyPipeline(wish) => pipeline::apply(state, wish),
        Command::RemoveMember { resource } => member_removal(state, resource).map(MemberRemoval::into_events),
        Command::DeletePipeline { pipeline } => {
            deleted_pipeline(state, pipeline).map(|deleted| vec![deleted.into()])
        }
        Command::SetOverride(wish) => set_override(state, wish),
        Command::CreateHook(wish) => Ok(create_hook(state, wish)),
        Command::Pause { flow, reason } => pause(state, *flow, reason),
        Command::Resume { flow } => resume(state, *flow),
        Command::RestoreFlow { flow, version, reason } => restore_flow(state, *flow, *version, reason),
        Command::RotateHook { hook, secret } => rotate_hook(state, *hook, secret),
        Command::RetireHook { hook, all } => retire_hook(state, *hook, *all),
        Command::Built { artifact, run } => Ok(delivery::built(state, artifact, *run)),
        Command::Released { target, flow, run } => Ok(delivery::released(state, *target, *flow, *run)),
    }
}

fn set_override(state: &ProjectState, wish: &SetOverride) -> Result<Vec<project::Event>, Rejection> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if wish.argument.is_empty() || wish.argument.len() > 100 || !wish.argument.chars().all(word) {
        return Err(Rejection::one("", Why::BadArgumentName { argument: wish.argument.clone() }));
    }
    if !state.flows.contains_key(&wish.flow) {
        return Err(Rejection::one("", Why::NoSuchFlow { flow: wish.flow.to_string() }));
    }
    let now = state.overrides.get(&wish.flow).and_then(|all| all.get(&wish.argument));
    if now == Some(&wish.value) {
        return Ok(Vec::new());
    }
    let (secret, plain) = match wish.value.clone() {
        Override::Secret(secret) => (Some(secret), None),
        Override::Plain(value) => (None, Some(value)),
    };
    let set = project::OverrideSet { flow: wish.flow, argument: wish.argument.clone(), secret, plain };
    Ok(vec![set.into()])
}

fn pause(state: &ProjectState, flow: FlowId, reason: &str) -> Result<Vec<project::Event>, Rejection> {
    if !state.flows.contains_key(&flow) {
        return Err(Rejection::one("", Why::NoSuchFlow { flow: flow.to_string() }));
    }
    if state.paused.contains_key(&flow) {
        return Ok(Vec::new());
    }
    Ok(vec![project::FlowPaused { flow, reason: reason.to_owned() }.into()])
}

fn resume(state: &ProjectState, flow: FlowId) -> Result<Vec<project::Event>, Rejection> {
    let Some(known) = state.flows.get(&flow) else {
        return Err(Rejection::one("", Why::NoSuchFlow { flow: flow.to_string() }));
    };
    if known.newest().is_some_and(|newest| is_paused(&newest.document)) {
        return Err(Rejection::one("", Why::PausedByDocument { path: known.path() }));
    }
    let paused = state.paused.contains_key(&flow);
    Ok(paused.then(|| project::FlowResumed { flow }.into()).into_iter().collect())
}

fn restore_flow(
    state: &ProjectState,
    flow: FlowId,
    version: u32,
    reason: &str,
) -> Result<Vec<project::Event>, Rejection> {
    let gone = || Rejection::one("", Why::NoSuchFlow { flow: flow.to_string() });
    let known = state.flows.get(&flow).ok_or_else(gone)?;
    let pipeline = state.pipelines.get(&known.pipeline).ok_or_else(gone)?;
    let newest = known.newest().ok_or_else(gone)?;
    let earlier = known.versions.iter().find(|known| known.version == version).ok_or_else(|| {
        let (path, newest) = (known.path(), newest.version);
        Rejection::one("", Why::NoSuchVersion { path, version, newest })
    })?;
    if earlier.document == newest.document {
        return Ok(Vec::new());
    }
    let published = project::FlowPublished {
        flow,
        pipeline: pipeline.id,
        stage: known.stage.clone(),
        version: newest.version + 1,
        document: earlier.document.clone(),
        reason: format!("version {version} again: {reason}"),
    };
    Ok(vec![published.into()])
}

/// Whether the document itself says that the flow's triggers start nothing.
pub(crate) fn is_paused(document: &Value) -> bool {
    document.pointer("/options/paused").is_some_and(|paused| *paused == true || *paused == "true")
}
