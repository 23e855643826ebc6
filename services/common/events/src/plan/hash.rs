//! The hash of a plan: the same on every machine for the same digests, document, arguments and members.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Plan;

impl Plan {
    /// The hash of what is planned, the first `nodes` of its nodes: those that it had before loops were entered.
    ///
    /// Equal plans have equal hashes wherever they are made: what an installation gives out by itself (ids, ports) is not in
    /// it, nor is the time. Backups that no node may name are left out, so that a nightly one changes no plan.
    #[must_use]
    pub fn hash(&self, nodes: usize) -> String {
        let nodes: Vec<_> = self.nodes.iter().take(nodes).cloned().collect();
        let mut value = serde_json::to_value(Self { nodes, at: None, ..self.clone() }).unwrap_or_default();
        if let Value::Object(plan) = &mut value {
            leave_out(plan);
        }
        let mut hash = Sha256::new();
        feed(&value, &mut hash);
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }
}

/// Leaves out what is another on every machine, or at every moment.
fn leave_out(plan: &mut Map<String, Value>) {
    plan.remove("given");
    each(plan, "resources", |resource| {
        for name in ["project", "id", "ports"] {
            resource.remove(name);
        }
        if let Some(login) = resource.get_mut("login").and_then(Value::as_object_mut) {
            login.remove("secret");
        }
    });
    each(plan, "deployed", |artifact| drop(artifact.remove("build")));
    each(plan, "triggers", |trigger| drop(trigger.remove("scheduledAt")));
    // Ids of builds are made by chance; what they are comes in their order.
    if let Some(Value::Object(builds)) = plan.remove("builds") {
        let sorted: BTreeMap<String, Value> = builds.into_iter().collect();
        let builds = sorted.into_values().map(|mut build| {
            build.as_object_mut().map(|build| build.remove("build"));
            build
        });
        plan.insert("builds".to_owned(), builds.collect());
    }
    if !plan.get("nodes").is_some_and(|nodes| has_name(nodes, "backupId")) {
        plan.remove("backups");
    }
}

fn each(plan: &mut Map<String, Value>, name: &str, change: impl Fn(&mut Map<String, Value>)) {
    let members = plan.get_mut(name).and_then(Value::as_object_mut);
    members.into_iter().flat_map(|all| all.values_mut()).filter_map(Value::as_object_mut).for_each(change);
}

fn has_name(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => {
            members.contains_key(name) || members.values().any(|member| has_name(member, name))
        }
        Value::Array(items) => items.iter().any(|item| has_name(item, name)),
        _ => false,
    }
}

/// Feeds a value in the order of its names.
fn feed(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            hash.update(format!("{{{}", sorted.len()));
            for (name, member) in sorted {
                feed(&Value::from(name.as_str()), hash);
                match (name.as_str(), member) {
                    // `override/<flow>/TOKEN@3`: the flow's id is this installation's.
                    ("$secret", Value::String(secret)) => feed(&Value::from(without_ids(secret)), hash),
                    ("$random", Value::Object(random)) => {
                        let mut random = random.clone();
                        if let Some(Value::String(secret)) = random.get_mut("secret") {
                            *secret = without_ids(secret);
                        }
                        feed(&Value::Object(random), hash);
                    }
                    (_, member) => feed(member, hash),
                }
            }
        }
        Value::Array(items) => {
            hash.update(format!("[{}", items.len()));
            items.iter().for_each(|item| feed(item, hash));
        }
        plain => hash.update(plain.to_string()),
    }
    hash.update(",");
}

fn without_ids(secret: &str) -> String {
    let parts = secret.split('/').map(|part| if Uuid::parse_str(part).is_ok() { "_" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The plan of a small flow as one installation has it.
    fn plan(here: u128, deployed: &str) -> Plan {
        let (id, build) = (Uuid::from_u128(here), format!("build-{here}"));
        let artifact = json!({
            "digest": deployed, "build": build, "service": "web", "commit": "c0ffee", "branch": "main",
        });
        serde_json::from_value(json!({
            "nodes": [{"ref": "deploy", "kind": "Release", "pointer": "/spec", "when": "success", "spec": {
                "token": {"$secret": format!("override/{id}/TOKEN@1")}, "build": "latest",
            }}],
            "args": {"REGION": "eu"},
            "triggers": {"nightly": {"scheduledAt": format!("{here}")}},
            "at": here as u64,
            "resources": {"web": {
                "project": id, "id": id, "kind": "DeploymentService", "spec": {"instances": 2}, "ports": {"http": here as u16},
                "login": {"account": "bot", "host": "git.example.org", "login": "git",
                    "secret": {"$secret": format!("account/{id}/git.example.org@2")}},
            }},
            "deployed": {"web": artifact.clone()},
            "builds": {build: artifact},
            "backups": {format!("backup-{here}"): {"addon": "db", "digest": format!("sha256:{here}")}},
        }))
        .unwrap()
    }

    #[test]
    fn equal_plans_have_equal_hashes_on_every_machine() {
        assert_eq!(plan(1, "sha256:a").hash(1), plan(2, "sha256:a").hash(1));
    }

    #[test]
    fn whatever_would_be_done_otherwise_is_another_plan() {
        let (same, mut hashes) = (plan(1, "sha256:a"), std::collections::BTreeSet::new());
        let mut other = |change: &dyn Fn(&mut Plan)| {
            let mut plan = same.clone();
            change(&mut plan);
            assert!(hashes.insert(plan.hash(1)), "{plan:?}");
        };
        other(&|_| {});
        other(&|plan| drop(plan.args.insert("REGION".to_owned(), json!("us"))));
        other(&|plan| plan.deployed.get_mut("web").unwrap().digest = "sha256:b".to_owned());
        other(&|plan| plan.builds.values_mut().next().unwrap().commit = "decaf".to_owned());
        other(&|plan| {
            plan.nodes[0].spec = json!({"token": {"$secret": "override/x/TOKEN@2"}, "build": "latest"})
        });
        other(&|plan| plan.resources.get_mut("web").unwrap().spec = json!({"instances": 3}));
        other(&|plan| plan.resources.clear());
        other(&|plan| plan.nodes[0].when = crate::plan::When::Always);
        other(&|plan| plan.without_secrets = Some("of a fork".to_owned()));
    }

    #[test]
    fn a_backup_is_in_it_only_where_a_node_may_name_one() {
        let named = |here: u128| {
            let mut plan = plan(here, "sha256:a");
            plan.nodes[0].spec = json!({"data": {"backupId": "latest"}});
            plan.hash(1)
        };
        assert_ne!(named(1), named(2));
    }
}
