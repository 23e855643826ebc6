//! What has moved between a plan that somebody looked at and the plan as it is now.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use shipway_events::plan::{Plan, PlanNode};

use crate::foresee::named;

/// How many plans are remembered.
const KEPT: usize = 64;

/// Plans that were shown, by their hash: only so that what has moved since can be said. Whether anything has, the hash
/// tells, remembered or not.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<VecDeque<(String, Plan)>>);

impl Plans {
    pub(crate) fn keep(&self, hash: &str, plan: Plan) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| known != hash);
        kept.push_back((hash.to_owned(), plan));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// What has moved since the plan of this hash was shown; nothing if it is not remembered.
    pub(crate) fn moved(&self, hash: &str, now: &Plan) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.iter().find(|(known, _)| known == hash);
        before.map(|(_, before)| moved(before, now)).unwrap_or_default()
    }
}

/// What is otherwise in a plan than in one before, in words.
fn moved(before: &Plan, now: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    for slug in names(&before.deployed, &now.deployed) {
        match (before.deployed.get(slug), now.deployed.get(slug)) {
            (Some(was), Some(is)) if was.digest != is.digest => {
                all.push(format!("`{slug}` has {} now, and had {}", named(is), named(was)));
            }
            (Some(was), None) => all.push(format!("`{slug}` has nothing now, and had {}", named(was))),
            (None, Some(is)) => all.push(format!("`{slug}` has {} now, and had nothing", named(is))),
            _ => {}
        }
    }
    for (build, is) in now.builds.iter().filter(|(build, _)| !before.builds.contains_key(*build)) {
        all.push(format!("the build {build} of `{}` was made: {}", is.service, named(is)));
    }
    for slug in names(&before.resources, &now.resources) {
        match (before.resources.get(slug), now.resources.get(slug)) {
            (Some(was), Some(is)) if was != is => all.push(format!("`{slug}` was changed")),
            (Some(_), None) => all.push(format!("`{slug}` is not among what the flow names any more")),
            (None, Some(_)) => all.push(format!("`{slug}` is new among what the flow names")),
            _ => {}
        }
    }
    all.extend(values("argument", &before.args, &now.args));
    all.extend(values("trigger", &before.triggers, &now.triggers));
    all.extend(nodes(&before.nodes, &now.nodes));
    for backup in now.backups.keys().filter(|backup| !before.backups.contains_key(*backup)) {
        all.push(format!("the backup {backup} was made"));
    }
    if before.without_secrets != now.without_secrets {
        all.push("whether it may use secrets".to_owned());
    }
    all
}

fn names<'a, T>(before: &'a BTreeMap<String, T>, now: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    before.keys().chain(now.keys()).collect()
}

/// The values themselves are not said: they are the business of whoever may see the plan.
fn values(
    what: &str,
    before: &serde_json::Map<String, Value>,
    now: &serde_json::Map<String, Value>,
) -> Vec<String> {
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let other = all.into_iter().filter(|name| before.get(*name) != now.get(*name));
    other.map(|name| format!("the {what} `{name}` has another value")).collect()
}

fn nodes(before: &[PlanNode], now: &[PlanNode]) -> Vec<String> {
    let by_name = |nodes: &[PlanNode]| -> BTreeMap<String, PlanNode> {
        nodes.iter().map(|node| (node.reference.clone(), node.clone())).collect()
    };
    let (was, is) = (by_name(before), by_name(now));
    let mut all = Vec::new();
    for name in names(&was, &is) {
        match (was.get(name), is.get(name)) {
            (Some(was), Some(is)) if was != is => all.push(format!("the node `{name}` was changed")),
            (Some(_), None) => all.push(format!("the node `{name}` was taken away")),
            (None, Some(_)) => all.push(format!("the node `{name}` was added")),
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_events::plan::Artifact;

    use super::*;

    fn plan(commit: &str, region: &str, nodes: &[&str]) -> Plan {
        let artifact = Artifact {
            digest: format!("sha256:{commit}"),
            build: "b".to_owned(),
            service: "web".to_owned(),
            commit: commit.to_owned(),
            branch: "main".to_owned(),
        };
        let node = |name: &&str| PlanNode { reference: (*name).to_owned(), ..PlanNode::default() };
        Plan {
            nodes: nodes.iter().map(node).collect(),
            args: [("REGION".to_owned(), json!(region))].into_iter().collect(),
            deployed: [("web".to_owned(), artifact)].into(),
            ..Plan::default()
        }
    }

    #[test]
    fn what_has_moved_is_said_by_name() {
        let plans = Plans::default();
        plans.keep("sha256:1", plan("aaaaaaaaaa", "eu", &["a", "b"]));
        let now = plan("bbbbbbbbbb", "us", &["a", "c"]);
        assert_eq!(
            plans.moved("sha256:1", &now),
            [
                "`web` has commit bbbbbbb of main now, and had commit aaaaaaa of main",
                "the argument `REGION` has another value",
                "the node `b` was taken away",
                "the node `c` was added",
            ]
        );
        assert!(plans.moved("sha256:1", &plan("aaaaaaaaaa", "eu", &["a", "b"])).is_empty());
        assert!(plans.moved("sha256:2", &now).is_empty(), "it is not remembered");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let plans = Plans::default();
        let now = plan("b", "eu", &[]);
        for n in 0..=KEPT {
            plans.keep(&n.to_string(), plan("a", "eu", &[]));
        }
        assert!(plans.moved("0", &now).is_empty() && !plans.moved("1", &now).is_empty());
    }
}
