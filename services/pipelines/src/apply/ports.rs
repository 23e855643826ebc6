//! Public ports: from a range, once, and kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
};

use serde_json::Value;
use shipway_documents::resources::{Protocol, ports};
use shipway_events::project::ResourceKind;

/// Hands out ports that no resource has and nothing listens on.
pub(super) struct Ports {
    range: RangeInclusive<u16>,
    taken: BTreeSet<u16>,
}

/// No port of the range is free.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Ports {
    /// Ports of this range that are not among those that resources have.
    pub(super) fn new(range: RangeInclusive<u16>, taken: BTreeSet<u16>) -> Self {
        Self { range, taken }
    }

    /// A port for each of these names.
    pub(super) fn assign(&mut self, names: Vec<String>) -> Result<BTreeMap<String, u16>, Exhausted> {
        names.into_iter().map(|name| Ok((name, self.next()?))).collect()
    }

    fn next(&mut self) -> Result<u16, Exhausted> {
        let free = self.range.clone().find(|port| !self.taken.contains(port) && can_be_bound(*port));
        let port = free.ok_or(Exhausted)?;
        self.taken.insert(port);
        Ok(port)
    }
}

fn can_be_bound(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The names of the ports that a resource needs on its host.
pub(super) fn names(kind: ResourceKind, spec: &Value) -> Vec<String> {
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
    use super::*;

    #[test]
    fn ports_that_are_given_or_listened_on_are_passed_over() {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let busy = listening.local_addr().unwrap().port();
        let Some(end) = busy.checked_add(20) else { return };
        let mut ports = Ports::new(busy..=end, BTreeSet::from([busy + 1]));
        let given = ports.assign(vec!["a".into(), "b".into()]).unwrap();
        assert!(given.values().all(|port| (busy + 2..=end).contains(port)), "{given:?}");
        assert_ne!(given["a"], given["b"]);
        assert_eq!(Ports::new(busy..=busy, BTreeSet::new()).assign(vec!["a".into()]), Err(Exhausted));
    }
}
