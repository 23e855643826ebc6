//! Who may depend on whom: an arrow that is not in this list breaks the build.

use std::collections::{BTreeMap, BTreeSet};

use super::{Problem, Repository};

const EVENTS: &str = "shipway-events";
const DOCUMENTS: &str = "shipway-documents";
const NODES: &str = "shipway-nodes";
const EDITOR: &str = "shipway-editor";
const ENGINE: &str = "shipway-engine";
const EVENTING: &str = "shipway-eventing";
const CONTRACTS: &str = "shipway-contracts";
const KIT: &str = "shipway-service-kit";
const REPOSITORY: &str = "shipway-repository";
const FORGE: &str = "shipway-forge";
const COMMON: &[&str] =
    &[EVENTS, DOCUMENTS, NODES, EDITOR, ENGINE, EVENTING, CONTRACTS, KIT, REPOSITORY, FORGE];
const SERVICES: &[&str] =
    &["shipway-pipelines", "shipway-triggers", "shipway-scheduler", "shipway-executor", "shipway-console"];

/// What a crate may depend on; none for a crate that the design does not know.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    let list: Vec<&[&str]> = match name {
        EVENTS | REPOSITORY | FORGE | "xtask" => vec![],
        DOCUMENTS | EVENTING | CONTRACTS => vec![&[EVENTS]],
        NODES => vec![&[DOCUMENTS, EVENTS]],
        EDITOR => vec![&[NODES, DOCUMENTS]],
        ENGINE => vec![&[NODES, DOCUMENTS, EVENTS]],
        KIT => vec![&[CONTRACTS, EVENTS]],
        "shipway-fuzz" => vec![&[NODES, DOCUMENTS, EVENTS, "shipway-triggers"]],
        "shipway" | "shipway-integration-tests" => vec![COMMON, SERVICES],
        service if SERVICES.contains(&service) => vec![COMMON],
        _ => return None,
    };
    Some(list.concat())
}

pub(super) fn check(repository: &Repository<'_>) -> Vec<Problem> {
    let graph = &repository.graph;
    let unknown = graph.members.keys().filter(|name| allowed(name).is_none());
    let unknown = unknown.map(|name| format!("crate {name} is not in the design"));
    unknown.chain(wrong(&graph.arrows)).collect()
}

fn wrong(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Problem> {
    let mut found = Vec::new();
    for (from, targets) in arrows {
        let allowed = allowed(from).unwrap_or_default();
        for target in targets.iter().filter(|target| !allowed.contains(&target.as_str())) {
            found.push(format!("crate {from} depends on {target}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str) -> Vec<Problem> {
        wrong(&BTreeMap::from([(from.to_owned(), BTreeSet::from([to.to_owned()]))]))
    }

    #[test]
    fn arrows_of_the_design_are_allowed_and_no_others() {
        assert!(arrow(ENGINE, NODES).is_empty());
        assert!(arrow("shipway-scheduler", ENGINE).is_empty());
        assert!(arrow("shipway", "shipway-scheduler").is_empty());
        assert_eq!(arrow(EVENTS, DOCUMENTS), ["crate shipway-events depends on shipway-documents"]);
        assert_eq!(arrow("shipway-scheduler", "shipway-executor").len(), 1);
        assert_eq!(arrow(ENGINE, EVENTING).len(), 1);
    }
}
