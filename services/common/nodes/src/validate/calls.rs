//! Locks in flows that run each other. A `RunTemplate` that waits keeps the locks around it until the other run has
//! ended; where that run needs one of them, neither goes on.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use shipway_documents::{
    Code, Problem,
    flow::{Flow, Node, is_skipped},
    is_expression, pointer,
};

/// Finds the flow that a `templateId` names: its path, and what it says.
pub type FindFlow<'a> = &'a dyn Fn(&str) -> Option<(String, Cow<'a, Flow>)>;

/// A node that would wait for a lock that it holds itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Stuck {
    /// What is wrong, at the node that waits for the other run.
    pub problem: Problem,
    /// The paths of the flows that the lock is needed through; the last one needs it.
    pub through: Vec<String>,
}

/// The most flows that run each other: as deep as runs may be nested.
const DEPTH: usize = 8;

/// Every node of a flow that holds a lock and waits for the run of a flow that needs it, as far as names of locks and
/// flows are no expressions: what else there is shows when the other run would start.
#[must_use]
pub fn check_calls(flow: &Flow, find: FindFlow<'_>) -> Vec<Stuck> {
    let mut found = Vec::new();
    calls(&flow.root, &BTreeMap::new(), &mut |node, held| {
        let mut search = Search { find, held, through: Vec::new(), seen: Vec::new() };
        if let Some((lock, needs)) = search.run_of(node) {
            found.push(stuck(node, lock, held[lock], &needs, search.through));
        }
    });
    found
}

fn stuck(node: &Node, lock: &str, holder: &str, needs: &str, through: Vec<String>) -> Stuck {
    let is_own = holder == node.reference;
    let holds = if is_own { format!("`{holder}`") } else { format!("`{holder}`, which this node is in,") };
    let (last, before) =
        (through.last().map_or("", String::as_str), &through[..through.len().saturating_sub(1)]);
    let by = if before.is_empty() { String::new() } else { format!(", run through {},", before.join(", ")) };
    let message = format!(
        "{holds} holds the lock `{lock}` until the run of {last}{by} has ended, and `{needs}` in there waits for that lock"
    );
    // Where the lock is a workflow's, the node has no `locks` to point at.
    let place = if node.locks.is_empty() {
        pointer::join(&node.spec_pointer(), "templateId")
    } else {
        pointer::join(&node.pointer, "locks")
    };
    let problem = Problem::error(place, message).code(Code::LockHeld);
    let help =
        "take the lock out of one of the two flows, or do not wait for the run: leave `condition` away";
    Stuck { problem: problem.help(help), through }
}

/// Visits every `RunTemplate` that waits, with the locks that are held meanwhile and by which node.
fn calls<'n>(
    node: &'n Node,
    held: &BTreeMap<&'n str, &'n str>,
    visit: &mut dyn FnMut(&'n Node, &BTreeMap<&'n str, &'n str>),
) {
    if never_runs(node) {
        return;
    }
    let mut own = BTreeMap::new();
    // The outermost node with locks takes those of all in it.
    if held.is_empty() && !node.locks.is_empty() {
        each(node, &mut |inner| own.extend(names(inner).map(|name| (name, node.reference.as_str()))));
    }
    let held = if own.is_empty() { held } else { &own };
    if node.kind == "RunTemplate" && node.condition.is_some() && !held.is_empty() {
        visit(node, held);
    }
    for step in &node.children {
        calls(step, held, visit);
    }
}

struct Search<'a, 'h> {
    find: FindFlow<'a>,
    held: &'h BTreeMap<&'h str, &'h str>,
    /// The flows between.
    through: Vec<String>,
    seen: Vec<String>,
}

impl<'h> Search<'_, 'h> {
    /// The lock that the run of a node would wait for, and the node that needs it.
    fn run_of(&mut self, node: &Node) -> Option<(&'h str, String)> {
        let text = |place: &str| {
            node.spec.get(place).and_then(Value::as_str).filter(|text| !is_expression(&Value::from(*text)))
        };
        let id = text("templateId").filter(|_| text("templateType") == Some("release-flow-template"))?;
        let (path, flow) = (self.find)(id)?;
        if self.seen.contains(&path) || self.through.len() >= DEPTH {
            return None;
        }
        self.seen.push(path.clone());
        self.through.push(path);
        let found = self.within(&flow.root);
        if found.is_none() {
            self.through.pop();
        }
        found
    }

    fn within(&mut self, node: &Node) -> Option<(&'h str, String)> {
        if never_runs(node) {
            return None;
        }
        let own = names(node).find_map(|name| self.held.get_key_value(name));
        if let Some((lock, _)) = own {
            return Some((lock, node.reference.clone()));
        }
        if node.kind == "RunTemplate" && node.condition.is_some() {
            return self.run_of(node);
        }
        node.children.iter().find_map(|step| self.within(step))
    }
}

fn never_runs(node: &Node) -> bool {
    node.skip.as_ref().is_some_and(|skip| !is_expression(skip) && is_skipped(skip))
}

fn each<'n>(node: &'n Node, visit: &mut impl FnMut(&'n Node)) {
    visit(node);
    node.children.iter().for_each(|step| each(step, visit));
}

fn names(node: &Node) -> impl Iterator<Item = &str> {
    node.locks.iter().map(String::as_str).filter(|name| !is_expression(&Value::from(*name)))
}
