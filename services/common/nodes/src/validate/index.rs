//! The nodes of a flow by number and by name: what is around what, and what comes before what.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
};

use shipway_documents::flow::{Flow, Node};

use super::reach::Ancestors;

/// A node with its place.
pub(super) struct Item<'a> {
    pub(super) node: &'a Node,
    /// The workflow around it; none for the root.
    pub(super) parent: Option<u32>,
    /// Its place among the steps of that workflow, 0 for the first.
    pub(super) place: u32,
    /// How many workflows are around it.
    pub(super) depth: u32,
    /// Its steps.
    pub(super) children: Vec<u32>,
    /// What its steps wait for among each other, found out when it is first asked for.
    ancestors: OnceCell<Ancestors>,
}

/// In which order the steps of a workflow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// Each when the one before has ended.
    Sequential,
    /// All at once; those for failures and clean-up after all others.
    Parallel,
    /// By `dependsOn`.
    Graph,
}

/// All nodes of a flow, in the order of its plan.
pub(super) struct Index<'a> {
    items: Vec<Item<'a>>,
    names: HashMap<&'a str, u32>,
}

impl<'a> Index<'a> {
    pub(super) fn new(flow: &'a Flow) -> Self {
        let mut index = Self { items: Vec::new(), names: HashMap::new() };
        index.add(&flow.root, None, 0, 0);
        index
    }

    fn add(&mut self, node: &'a Node, parent: Option<u32>, place: u32, depth: u32) -> u32 {
        let at = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let ancestors = OnceCell::new();
        self.items.push(Item { node, parent, place, depth, children: Vec::new(), ancestors });
        // Of two nodes with one name, which is a problem of its own, the first is meant.
        self.names.entry(&node.reference).or_insert(at);
        for (child, place) in node.children.iter().zip(0..) {
            let child = self.add(child, Some(at), place, depth + 1);
            self.items[at as usize].children.push(child);
        }
        at
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Item<'a>)> {
        (0..).zip(&self.items)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn get(&self, at: u32) -> &Item<'a> {
        &self.items[at as usize]
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The names of all nodes, in the order of the document.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.items.iter().map(|item| item.node.reference.as_str())
    }

    /// A node and what is around it, from the inside out.
    pub(super) fn outwards(&self, at: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(at), |at| self.get(*at).parent)
    }

    /// How the steps of a workflow follow each other. The steps of a loop do so within an iteration.
    pub(super) fn steps(&self, workflow: u32) -> Steps {
        let node = self.get(workflow).node;
        match node.spec.get("type").and_then(serde_json::Value::as_str) {
            Some("parallel") if node.kind == "Workflow" => Steps::Parallel,
            Some("graph") if node.kind == "Workflow" => Steps::Graph,
            _ => Steps::Sequential,
        }
    }

    /// Where two nodes' ways from the root part: the last common workflow, and the steps of it that hold them.
    pub(super) fn fork(&self, mut a: u32, mut b: u32) -> Fork {
        let first = (a, b);
        let (mut below_a, mut below_b) = (None, None);
        while a != b {
            let (depth_a, depth_b) = (self.get(a).depth, self.get(b).depth);
            if depth_a >= depth_b {
                below_a = Some(a);
                a = self.get(a).parent.unwrap_or(0);
            }
            if depth_b >= depth_a {
                below_b = Some(b);
                b = self.get(b).parent.unwrap_or(0);
            }
        }
        match (below_a, below_b) {
            (None, None) => Fork::Same,
            (None, Some(_)) => Fork::Around,
            (Some(_), None) => Fork::Inside,
            (Some(a), Some(b)) => {
                debug_assert!(first.0 != first.1, "two nodes that part are two");
                Fork::Siblings { around: self.get(a).parent.unwrap_or(0), a, b }
            }
        }
    }

    /// Whether step `b` of a graph waits for its step `a`, directly or not.
    pub(super) fn waits_for(&self, graph: u32, b: u32, a: u32) -> bool {
        let (a, b) = (self.get(a), self.get(b));
        // Most wait for a few; what waits for thousands and names them all is looked up like what it waits for by way of
        // others.
        if b.node.depends_on.iter().take(16).any(|name| *name == a.node.reference) {
            return true;
        }
        let item = self.get(graph);
        item.ancestors.get_or_init(|| Ancestors::of(self, graph)).contains(b.place, a.place)
    }

    /// The places of the steps that a step of a graph waits for directly; unknown and foreign names left out.
    pub(super) fn direct(&self, graph: u32, step: u32) -> Vec<u32> {
        let item = self.get(step);
        let mut seen = HashSet::new();
        let known = item.node.depends_on.iter().filter_map(|name| self.find(name));
        known
            .filter(|at| self.get(*at).parent == Some(graph) && seen.insert(*at))
            .map(|at| self.get(at).place)
            .collect()
    }
}

/// How two nodes stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fork {
    /// They are one.
    Same,
    /// The first is around the second.
    Around,
    /// The first is in the second.
    Inside,
    /// Each is, or is in, a step of the same workflow.
    Siblings {
        /// That workflow.
        around: u32,
        /// The step of the first.
        a: u32,
        /// The step of the second.
        b: u32,
    },
}
