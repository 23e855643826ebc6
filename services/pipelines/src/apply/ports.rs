//! Public ports: from a range, once, and kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
};

use serde_json::Value;
use shipway_documents::resources::{Declaration, Declared, Protocol, ports};
use shipway_events::project::ResourceKind;

use super::intake::Intake;
use crate::world::Projects;

/// The ports that declared resources get, by the slugs of project and resource and the port's name.
#[derive(Debug, Default)]
pub(super) struct Given {
    new: BTreeMap<(String, String), BTreeMap<String, u16>>,
    known: BTreeMap<(String, String), BTreeMap<String, u16>>,
    /// Declarations for which no port of the range was free, by their place among all.
    pub(super) exhausted: BTreeSet<usize>,
}

impl Given {
    /// Gives every declared resource the ports that it needs and has not yet. `of` tells a declaration's project.
    pub(super) fn out(
        range: &RangeInclusive<u16>,
        intake: &Intake,
        projects: &Projects,
        of: impl Fn(&Declaration) -> String,
    ) -> Self {
        let mut given = Self::default();
        let mut taken = BTreeSet::new();
        for project in projects.by_slug.values() {
            for resource in project.state.resources.values().filter(|resource| !resource.ports.is_empty()) {
                taken.extend(resource.ports.values().copied());
                given.known.insert((project.slug.clone(), resource.slug.clone()), resource.ports.clone());
            }
        }
        for (place, declared) in intake.declarations().enumerate() {
            let Declared::Resource(kind) = declared.declared else { continue };
            let key = (of(declared), declared.slug.clone());
            for name in names(kind, &declared.spec) {
                if given.known.get(&key).is_some_and(|known| known.contains_key(&name)) {
                    continue;
                }
                let free = range.clone().find(|port| !taken.contains(port) && can_be_bound(*port));
                let Some(port) = free else {
                    given.exhausted.insert(place);
                    continue;
                };
                taken.insert(port);
                given.new.entry(key.clone()).or_default().insert(name, port);
            }
        }
        given
    }

    /// The ports that a resource gets now.
    pub(super) fn new_ports(&self, project: &str, slug: &str) -> BTreeMap<String, u16> {
        self.new.get(&(project.to_owned(), slug.to_owned())).cloned().unwrap_or_default()
    }

    /// Where a service's port is reached from this machine.
    pub(super) fn address(&self, slug: &str, name: &str) -> Option<String> {
        let mut all = self.new.iter().chain(&self.known);
        let port = all.find_map(|((_, known), ports)| ports.get(name).filter(|_| known == slug))?;
        Some(format!("{}:{port}", Ipv4Addr::LOCALHOST))
    }
}

fn can_be_bound(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The names of the ports that a resource needs on its host.
fn names(kind: ResourceKind, spec: &Value) -> Vec<String> {
    match kind {
        ResourceKind::DeploymentService | ResourceKind::CombinedService => ports(spec)
            .into_iter()
            .filter(|port| port.protocol != Protocol::Udp)
            .map(|port| port.name)
            .collect(),
        ResourceKind::Addon => vec!["server".to_owned()],
        ResourceKind::BuildService
        | ResourceKind::ManualJob
        | ResourceKind::CronJob
        | ResourceKind::SecretGroup => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::{ApplyRequest, SourceFile};

    use super::*;

    #[test]
    fn ports_that_are_given_or_listened_on_are_passed_over() {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let busy = listening.local_addr().unwrap().port();
        let Some(end) = busy.checked_add(20) else { return };
        let text = "[{kind: DeploymentService, spec: {name: web, ports: [{name: a}, {name: b}]}}, \
                    {kind: Addon, spec: {name: shop-db, type: postgresql}}]";
        let files = vec![SourceFile { name: "shop.yaml".into(), text: text.into() }];
        let intake = Intake::read(&ApplyRequest { files, ..ApplyRequest::default() }, &|_, _| None);
        let none = Projects::default();
        let given = Given::out(&(busy..=end), &intake, &none, |_| "shop".into());
        let (web, db) = (given.new_ports("shop", "web"), given.new_ports("shop", "shop-db"));
        let all: BTreeSet<u16> = web.values().chain(db.values()).copied().collect();
        assert_eq!((web.len(), db.len(), all.len()), (2, 1, 3));
        assert!(all.iter().all(|port| (busy + 1..=end).contains(port)), "{all:?}");
        assert_eq!(given.address("web", "a"), Some(format!("127.0.0.1:{}", web["a"])));
        assert_eq!(given.address("web", "c"), None);

        let given = Given::out(&(busy..=busy), &intake, &none, |_| "shop".into());
        assert_eq!(given.exhausted, BTreeSet::from([0, 1]));
    }
}
