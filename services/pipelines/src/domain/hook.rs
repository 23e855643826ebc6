//! Webhooks: made once, and their secrets, of which several count while one takes the other's place.

use shipway_events::{
    HookId, SecretRef,
    project::{Event, HookCreated, HookRetired, HookRotated, HookSource},
};

use super::{CreateHook, Hook, ProjectState, Rejection, Why};

/// How many secrets of a hook count at once: each is tried for every delivery.
const MOST_SECRETS: usize = 4;

pub(super) fn create_hook(state: &ProjectState, wish: &CreateHook) -> Vec<Event> {
    if state.hook_of(&wish.source).is_some() {
        return Vec::new();
    }
    let created = HookCreated {
        hook: wish.hook,
        source: wish.source.clone(),
        secret: wish.secret.clone(),
        options: serde_json::Map::new(),
    };
    vec![created.into()]
}

pub(super) fn rotate_hook(
    state: &ProjectState,
    hook: HookId,
    secret: &SecretRef,
) -> Result<Vec<Event>, Rejection> {
    let known = known(state, hook)?;
    if known.secrets.contains(secret) {
        return Ok(Vec::new());
    }
    if known.secrets.len() >= MOST_SECRETS {
        return Err(Rejection::one("", Why::HookSecrets { hook: hook.to_string(), most: MOST_SECRETS }));
    }
    Ok(vec![HookRotated { hook, secret: secret.clone() }.into()])
}

pub(super) fn retire_hook(state: &ProjectState, hook: HookId, all: bool) -> Result<Vec<Event>, Rejection> {
    let known = known(state, hook)?;
    if all && matches!(known.source, HookSource::Git { .. }) {
        return Err(Rejection::one("", Why::HookUnsigned { hook: hook.to_string() }));
    }
    let kept = usize::from(!all);
    let ended = known.secrets.len().saturating_sub(kept);
    if ended == 0 {
        return Ok(Vec::new());
    }
    Ok(vec![HookRetired { hook, secrets: known.secrets[..ended].to_vec() }.into()])
}

fn known(state: &ProjectState, hook: HookId) -> Result<&Hook, Rejection> {
    state.hooks.get(&hook).ok_or_else(|| Rejection::one("", Why::NoSuchHook { hook: hook.to_string() }))
}
