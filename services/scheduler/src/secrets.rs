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
            // What it hands on: its variables, and those of the addons that it names.
            let files = secret::files(&group.spec);
            Lookup::Value(Cow::Owned(json!({ "values": group.environment, "files": files })))
        }
        None => {
            let groups = resources.iter().filter(|(_, resource)| open(resource));
            Lookup::Missing { known: groups.map(|(slug, _)| slug.clone()).collect() }
        }
    }
}

/// The secret that `randomSecret` means at a place in a flow, whose nodes have these names at their pointers: the same
/// one for every run, wherever the node has moved to. None outside of nodes, and where there is no project to keep it.
pub(crate) fn random<'a>(
    flow: FlowId,
    node_at: impl Fn(&str) -> Option<&'a str>,
    place: Place<'_>,
) -> Option<SecretRef> {
    if flow.uuid().is_nil() {
        return None;
    }
    // A workflow's `spec` holds its steps: the innermost node is meant.
    let mut at = place.pointer;
    while let Some((around, _)) = at.rsplit_once('/') {
        let path = &place.pointer[around.len()..];
        let mut fields = ["/spec", "/skipNodeExecution", "/timeoutDuration"].iter();
        if fields.any(|field| pointer::is_within(path, field))
            && let Some(reference) = node_at(around)
        {
            return Some(secret::random_name(&flow.to_string(), reference, path, place.ordinal));
        }
        at = around;
    }
    None
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn name(pointer: &str, ordinal: usize, nodes: &[(&str, &str)]) -> Option<String> {
        let flow = FlowId::new(Uuid::from_u128(7));
        let node_at = |at: &str| nodes.iter().find(|(pointer, _)| *pointer == at).map(|(_, name)| *name);
        random(flow, node_at, Place { pointer, ordinal }).map(|secret| secret.to_string())
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
    fn a_group_is_what_it_hands_on_and_nothing_if_it_is_restricted() {
        let environment = json!({"A": {"$secret": "group/g/A@1"}, "DATABASE": "shop_db"});
        let group_of = |restricted: bool| PinnedResource {
            kind: ResourceKind::SecretGroup,
            spec: json!({
                "restrictions": {"restricted": restricted},
                "secrets": {
                    "variables": {"A": {"$secret": "group/g/A@1"}},
                    "files": {"CERT": {"data": {"$secret": "file/g/CERT@3"}, "encoding": "base64"}},
                },
            }),
            project: shipway_events::ProjectId::new(Uuid::nil()),
            id: shipway_events::ResourceId::new(Uuid::nil()),
            ports: BTreeMap::new(),
            environment: environment.as_object().unwrap().clone(),
            login: None,
        };
        let all = BTreeMap::from([("open".to_owned(), group_of(false)), ("shut".to_owned(), group_of(true))]);
        let data = json!({"$secret": "file/g/CERT@3"});
        let files = json!({"CERT": {"data": data, "path": {"$file": data}, "encoding": "base64"}});
        let found = Lookup::Value(Cow::Owned(json!({"values": environment, "files": files})));
        assert_eq!(group(&all, "open"), found);
        assert_eq!(group(&all, "shut"), Lookup::Missing { known: vec!["open".to_owned()] });
    }
}
