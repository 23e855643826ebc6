//! Making and changing a resource.

use shipway_events::project::{Event, ResourceApplied};

use super::{
    ApplyResource, ProjectState, Refusal, Rejection, Why, names,
    state::{Resource, builds_from_git},
};

/// Upsert by slug: an event if it is new or differs.
pub(super) fn apply(state: &ProjectState, wish: &ApplyResource) -> Result<Vec<Event>, Rejection> {
    let known = state.resources.get(&wish.slug);
    let mut refusals = Vec::new();
    let mut refuse = |pointer: &str, why| refusals.push(Refusal { pointer: pointer.to_owned(), why });
    if known.is_none()
        && let Err(why) = names::check_resource(&wish.slug, wish.kind)
    {
        refuse("/spec/name", why);
    }
    if let Some(known) = known {
        if known.kind != wish.kind {
            let (now, wanted) = (known.kind.to_string(), wish.kind.to_string());
            refuse("/kind", Why::KindChange { slug: wish.slug.clone(), now, wanted });
        } else if let Some(stage) = state.stage_of(known.id)
            && builds_from_git(wish.kind, &wish.spec)
        {
            refuse("/spec/deployment/vcs", Why::MemberBuildsFromGit { slug: wish.slug.clone(), stage });
        }
    }
    let mut ports = known.map(|resource| resource.ports.clone()).unwrap_or_default();
    for (name, port) in &wish.new_ports {
        if ports.contains_key(name) {
            continue;
        }
        if let Some((other, other_name)) = owner_of(state, *port) {
            let why = Why::PortTaken {
                slug: wish.slug.clone(),
                port: *port,
                name: other_name,
                other: other.slug.clone(),
            };
            refuse("/spec/ports", why);
        }
        ports.insert(name.clone(), *port);
    }
    Rejection::unless_none(refusals)?;

    if known.is_some_and(|known| known.spec == wish.spec && known.ports == ports) {
        return Ok(Vec::new());
    }
    let applied = ResourceApplied {
        resource: known.map_or(wish.id, |known| known.id),
        slug: wish.slug.clone(),
        kind: wish.kind,
        spec: wish.spec.clone(),
        ports,
    };
    Ok(vec![applied.into()])
}

fn owner_of(state: &ProjectState, port: u16) -> Option<(&Resource, String)> {
    state.resources.values().find_map(|resource| {
        let (name, _) = resource.ports.iter().find(|(_, taken)| **taken == port)?;
        Some((resource, name.clone()))
    })
}
