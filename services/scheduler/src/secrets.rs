//! The secrets that a flow's expressions may name. Names only: values are the executor's, last thing before work.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, json};
use shipway_documents::{
    expr::{Lookup, Place},
    pointer, secret,
};
use shipway_events::{FlowId, SecretRef, plan::PinnedResource, project::ResourceKind};

/// `secrets.<id>`: a secret group of the flow's project that is not restricted to others.
pub(crate) fn group<'a>(resources: &BTreeMap<String, PinnedResource>, id: &str) -> Lookup<'a> {
    let open = |resource: &PinnedResource| {
        let restricted = resource.spec.pointer("/restrictions/restricted").and_then(Value::as_bool);
        resource.kind == ResourceKind::SecretGroup && restricted != Some(true)
    };
    match resources.get(id).filter(|resource| open(resource)) {
        Some(group) => {
            let values = group.spec.pointer("/secrets/variables").cloned().unwrap_or_else(|| json!({}));
            Lookup::Value(Cow::Owned(json!({ "values": values })))
        }
        None => {
            let groups = resources.iter().filter(|(_, resource)| open(resource));
            Lookup::Missing { known: groups.map(|(slug, _)| slug.clone()).collect() }
        }
    }
}

/// The secret that `randomSecret` means at a place in a flow, whose nodes have these pointers and names: the same
/// one for every run, wherever the node has moved to. None outside of nodes, and where there is no project to keep it.
pub(crate) fn random<'a>(
    flow: FlowId,
    nodes: impl Iterator<Item = (&'a str, &'a str)>,
    place: Place<'_>,
) -> Option<SecretRef> {
    let field = |node: &str| {
        let fields = ["/spec", "/skipNodeExecution", "/timeoutDuration"];
        fields.iter().any(|field| pointer::is_within(place.pointer, &format!("{node}{field}")))
    };
    // A workflow's `spec` holds its steps: the innermost node is meant, and it has the longest pointer.
    let mut found: Option<(&str, &str)> = None;
    for (at, reference) in nodes.filter(|(at, _)| field(at)) {
        if found.is_none_or(|(longest, _)| at.len() > longest.len()) {
            found = Some((at, reference));
        }
    }
    let (at, reference) = found.filter(|_| !flow.uuid().is_nil())?;
    Some(secret::random_name(&flow.to_string(), reference, &place.pointer[at.len()..], place.ordinal))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn name(pointer: &str, ordinal: usize, nodes: &[(&str, &str)]) -> Option<String> {
        let flow = FlowId::new(Uuid::from_u128(7));
        random(flow, nodes.iter().copied(), Place { pointer, ordinal }).map(|secret| secret.to_string())
    }

    #[test]
    fn a_random_secret_belongs_to_its_node_wherever_that_stands() {
        let before = [("/spec", "all"), ("/spec/spec/steps/0", "web")];
        let after = [("/spec", "all"), ("/spec/spec/steps/0", "new"), ("/spec/spec/steps/1", "web")];
        let first = name("/spec/spec/steps/0/spec/environment/PW", 0, &before).unwrap();
        assert_eq!(first, "random/00000000-0000-0000-0000-000000000007/web/spec/environment/PW@1");
        assert_eq!(name("/spec/spec/steps/1/spec/environment/PW", 0, &after).unwrap(), first);
        assert_ne!(name("/spec/spec/steps/0/spec/environment/PW", 1, &before).unwrap(), first);
        assert_ne!(name("/spec/spec/steps/0/spec/environment/OTHER", 0, &before).unwrap(), first);
        assert_eq!(name("/arguments/A", 0, &before), None);
    }

    #[test]
    fn groups_that_are_restricted_are_not_named() {
        let group_of = |restricted: bool| PinnedResource {
            kind: ResourceKind::SecretGroup,
            spec: json!({"restrictions": {"restricted": restricted}, "secrets": {"variables": {"A": {"$secret": "group/g/A@1"}}}}),
            project: shipway_events::ProjectId::new(Uuid::nil()),
            id: shipway_events::ResourceId::new(Uuid::nil()),
            ports: BTreeMap::new(),
            environment: serde_json::Map::new(),
            login: None,
        };
        let all = BTreeMap::from([("open".to_owned(), group_of(false)), ("shut".to_owned(), group_of(true))]);
        let values = Lookup::Value(Cow::Owned(json!({"values": {"A": {"$secret": "group/g/A@1"}}})));
        assert_eq!(group(&all, "open"), values);
        assert_eq!(group(&all, "shut"), Lookup::Missing { known: vec!["open".to_owned()] });
    }
}
