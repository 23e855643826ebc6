//! What a plan has to have of the project: what its nodes may name, and nothing else.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};
use shipway_events::plan::{PinnedResource, Plan, PlanNode};

use super::World;

/// What the nodes may name goes into the plan, and nothing else: a run of a small flow has a small plan.
pub(super) fn pin(
    nodes: Vec<PlanNode>,
    args: Map<String, Value>,
    triggers: Map<String, Value>,
    resources: BTreeMap<String, PinnedResource>,
    world: World,
) -> Plan {
    let mut texts = Texts::default();
    texts.read(&nodes);
    let (open, latest) = (texts.open, texts.whole.contains("latest"));
    let resources: BTreeMap<_, _> =
        resources.into_iter().filter(|(slug, _)| open || texts.whole.contains(slug.as_str())).collect();
    let is_wanted = |build: &str, service: &str| {
        texts.words.contains(build) || (latest && resources.contains_key(service))
    };
    let builds =
        world.builds.into_iter().filter(|(build, artifact)| is_wanted(build, &artifact.service)).collect();
    let deployed = world.deployed.into_iter().filter(|(slug, _)| resources.contains_key(slug)).collect();
    let is_named = |id: &str, addon: &str| open || texts.whole.contains(id) || resources.contains_key(addon);
    let backups = world.backups.into_iter().filter(|(id, pin)| is_named(id, &pin.addon)).collect();
    // Nothing of the nodes is borrowed any more.
    drop(texts);
    Plan { deployed, builds, backups, nodes, args, triggers, resources, ..Plan::default() }
}

/// The texts in the specs of nodes. Each is looked at once, however many resources and builds there are.
#[derive(Default)]
struct Texts<'p> {
    /// As they are.
    whole: HashSet<&'p str>,
    /// The words in them: a build may be named in the middle of one.
    words: HashSet<&'p str>,
    /// Whether an id may come from another node's outputs: it is not known yet, and every resource may be meant.
    open: bool,
}

impl<'p> Texts<'p> {
    /// Takes the texts of every node, those in loops included.
    fn read(&mut self, nodes: &'p [PlanNode]) {
        for node in nodes {
            let asks = self.value(&node.spec);
            self.open |= asks && !matches!(node.kind.as_str(), "Workflow" | "Noop");
            self.read(&node.body);
        }
    }

    /// Takes the texts of a value; whether one of them waits for something.
    fn value(&mut self, value: &'p Value) -> bool {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                let mut asks = false;
                for item in items {
                    asks |= self.value(item);
                }
                asks
            }
            Value::Object(members) => {
                let mut asks = false;
                for (name, member) in members {
                    asks |= self.text(name) | self.value(member);
                }
                asks
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn text(&mut self, text: &'p str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        self.whole.insert(text);
        self.words.extend(text.split(|c| !is_part(c)).filter(|word| !word.is_empty()));
        text.contains("${")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_events::{ProjectId, ResourceId, plan::Artifact, project::ResourceKind};
    use uuid::Uuid;

    use super::*;

    fn named(spec: Value, kind: &str) -> (Vec<String>, Vec<String>) {
        let resource = || PinnedResource {
            project: ProjectId::new(Uuid::nil()),
            id: ResourceId::new(Uuid::nil()),
            kind: ResourceKind::BuildService,
            spec: json!({}),
            ports: BTreeMap::new(),
            environment: Map::new(),
            login: None,
        };
        let artifact = |service: &str| Artifact {
            digest: String::new(),
            build: String::new(),
            service: service.to_owned(),
            commit: String::new(),
            branch: String::new(),
        };
        let world = World {
            builds: [("b-1", "api"), ("b-12", "web")]
                .map(|(build, of)| (build.to_owned(), artifact(of)))
                .into(),
            ..World::default()
        };
        let inner = PlanNode { kind: kind.to_owned(), spec, ..PlanNode::default() };
        let node = PlanNode { kind: "LoopWorkflow".to_owned(), body: vec![inner], ..PlanNode::default() };
        let resources = ["api", "web"].map(|slug| (slug.to_owned(), resource())).into();
        let plan = pin(vec![node], Map::new(), Map::new(), resources, world);
        (plan.resources.into_keys().collect(), plan.builds.into_keys().collect())
    }

    #[test]
    fn a_plan_holds_what_its_nodes_name() {
        let all = || vec!["api".to_owned(), "web".to_owned()];
        for (spec, kind, resources, builds) in [
            (json!({"id": "api"}), "Build", &["api"][..], &[][..]),
            (json!({"text": "an api, and web-2"}), "Build", &[], &[]),
            (json!({"origin": {"id": "api", "build": "b-12"}}), "Release", &["api"], &["b-12"]),
            (json!({"text": "of build b-1!"}), "Message", &[], &["b-1"]),
            (json!({"id": "api", "build": "latest"}), "Release", &["api"], &["b-1"]),
            (json!({"env": {"web": 1}}), "JobRun", &["web"], &[]),
            (json!({"outputs": "${refs.a.b}"}), "Noop", &[], &[]),
        ] {
            assert_eq!(
                named(spec.clone(), kind),
                (
                    resources.iter().map(|s| (*s).to_owned()).collect(),
                    builds.iter().map(|s| (*s).to_owned()).collect()
                ),
                "{spec}"
            );
        }
        assert_eq!(named(json!({"id": "${refs.a.id}"}), "Build").0, all(), "it may be any of them");
    }
}
