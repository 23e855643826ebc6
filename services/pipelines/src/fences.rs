//! Which secrets an attempt may see: what its recorded work names, while the log shows the attempt to be open,
//! or to be its target's last release.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shipway_documents::secret::{RandomShape, randoms_in, secrets_in};
use shipway_engine::{RunState, Standing};
use shipway_eventing::log::{Log, ReadError};
use shipway_events::{
    DecodeError, Fence, ProjectId, RawEvent, ResourceId, RunId, SecretRef, StreamEvent, StreamName,
    run::{self, Effect},
};

use crate::domain::is_account_secret;

/// Events that are read at once.
const PAGE: usize = 1000;

/// Why an attempt gets no secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There is no such request in the run.
    #[error("fence {fence} is no attempt of run {run}")]
    NoSuchAttempt { fence: Fence, run: RunId },
    /// The run is another project's.
    #[error("run {run} is not of project {project}")]
    OtherProject { run: RunId, project: ProjectId },
    /// The attempt is over, and it is not what its target has.
    #[error("the attempt with fence {fence} of run {run} is over, and its target has another release")]
    Over { fence: Fence, run: RunId },
    /// The attempt is over.
    #[error("the attempt with fence {fence} of run {run} is over")]
    Ended { fence: Fence, run: RunId },
    /// The run may use none.
    #[error("run {run} may use no secrets: {why}")]
    WithoutSecrets { run: RunId, why: String },
    /// The attempt's work does not name the secret.
    #[error("the work with fence {fence} of run {run} does not name the secret `{secret}`")]
    NotNamed { fence: Fence, run: RunId, secret: SecretRef },
}

/// Why it could not be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FenceError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("reading the run")]
    Read(#[from] ReadError),
    #[error("reading the run")]
    Decode(#[from] DecodeError),
}

/// What an attempt may see, and how it is made where nobody has made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Whether it is open.
    pub(crate) open: Open,
    /// Those among the secrets of its work that are made when they are first asked for.
    pub(crate) randoms: BTreeMap<SecretRef, RandomShape>,
}

/// What an attempt did to targets, as far as the log shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// It has not ended.
    Running,
    /// It has ended, and made these releases.
    Released(BTreeSet<ResourceId>),
}

/// Checks that the run's own stream lets this attempt see these secrets; what it released if it is over, which
/// must then still be what one of these targets has.
pub(crate) async fn check(
    log: &dyn Log,
    project: ProjectId,
    run: RunId,
    fence: Fence,
    names: &[SecretRef],
) -> Result<Allowed, FenceError> {
    let events = stream(log, run).await?;
    let (request, state) = request(&events, run, fence, log.generation())?;
    if state.started().is_none_or(|started| started.project != project) {
        return Err(Refused::OtherProject { run, project }.into());
    }
    if let Some(why) = state.started().and_then(|started| started.plan.without_secrets.clone())
        && !names.is_empty()
    {
        return Err(Refused::WithoutSecrets { run, why }.into());
    }
    let named = secrets_in(&request.work);
    // An account belongs to all projects: nothing that a document says may name its credential, only the place that
    // Shipway itself fills.
    let login = request.work.pointer("/login/secret").map(secrets_in).unwrap_or_default();
    let may =
        |name: &SecretRef| if is_account_secret(name) { login.contains(name) } else { named.contains(name) };
    if let Some(secret) = names.iter().find(|name| !may(name)) {
        return Err(Refused::NotNamed { fence, run, secret: secret.clone() }.into());
    }
    let randoms = randoms_in(&request.work);
    if state.standing(request.node, fence) == Standing::Current {
        return Ok(Allowed { open: Open::Running, randoms });
    }
    let released = released(&events, fence)?;
    if released.is_empty() {
        return Err(Refused::Over { fence, run }.into());
    }
    Ok(Allowed { open: Open::Released(released), randoms })
}

/// The work of an attempt that the run's own stream shows to be open.
pub(crate) async fn open_work(
    log: &dyn Log,
    project: ProjectId,
    run: RunId,
    fence: Fence,
) -> Result<Value, FenceError> {
    let events = stream(log, run).await?;
    let (request, state) = request(&events, run, fence, log.generation())?;
    if state.started().is_none_or(|started| started.project != project) {
        return Err(Refused::OtherProject { run, project }.into());
    }
    if state.standing(request.node, fence) != Standing::Current {
        return Err(Refused::Ended { fence, run }.into());
    }
    Ok(request.work)
}

async fn stream(log: &dyn Log, run: RunId) -> Result<Vec<RawEvent>, ReadError> {
    let (stream, mut events) = (StreamName::run(run), Vec::new());
    loop {
        let after = events.last().map_or(0, |last: &RawEvent| last.version);
        let page = log.read_stream(&stream, after, PAGE).await?;
        let full = page.len() == PAGE;
        events.extend(page);
        if !full {
            return Ok(events);
        }
    }
}

/// The request that the fence is the position of, and the run's state.
fn request(
    events: &[RawEvent],
    run: RunId,
    fence: Fence,
    generation: u32,
) -> Result<(run::AttemptRequested, RunState), FenceError> {
    let no_such = || Refused::NoSuchAttempt { fence, run };
    let raw = events.iter().find(|raw| raw.position == fence.position()).ok_or_else(no_such)?;
    let run::Event::AttemptRequested(request) = run::Event::from_raw(raw)?.event else {
        return Err(no_such().into());
    };
    // After a restore no attempt of an earlier generation is current: positions are used again.
    Ok((request, RunState::fold(events, generation)?))
}

/// The targets that this attempt released something to.
fn released(events: &[RawEvent], fence: Fence) -> Result<BTreeSet<ResourceId>, DecodeError> {
    let mut targets = BTreeSet::new();
    for raw in events {
        if let Some((by, effects)) = effects(raw)?
            && by == fence
        {
            targets.extend(effects.iter().filter_map(target));
        }
    }
    Ok(targets)
}

/// The effects that an event tells of, with the fence of the attempt that made them.
pub(crate) fn effects(raw: &RawEvent) -> Result<Option<(Fence, Vec<Effect>)>, DecodeError> {
    if !matches!(raw.kind.as_str(), "run.node_succeeded" | "run.node_ended_later") {
        return Ok(None);
    }
    Ok(match run::Event::from_raw(raw)?.event {
        run::Event::NodeSucceeded(e) => e.fence.map(|fence| (fence, e.effects)),
        run::Event::NodeEndedLater(e) => Some((e.fence, e.effects)),
        _ => None,
    })
}

/// What an effect gave something to run from, if it is such an effect.
pub(crate) fn target(effect: &Effect) -> Option<ResourceId> {
    match effect {
        Effect::Released { target, .. } => Some(*target),
        Effect::AddonStarted { addon, .. } => Some(*addon),
        Effect::Built { .. } | Effect::BackedUp { .. } | Effect::Restored { .. } | Effect::JobRan { .. } => {
            None
        }
    }
}

/// The names in a request: `name@version` each.
pub(crate) fn parse_names(names: &[String]) -> Result<Vec<SecretRef>, String> {
    names.iter().map(|name| name.parse().map_err(|_| name.clone())).collect()
}
