//! Whether a node has always, perhaps or never run well when another one has its turn.

use shipway_documents::{expr, flow::is_skipped};
use shipway_events::plan::When;

use super::index::{Fork, Index, Steps};

/// How the node that is referred to stands to the one that refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has run well.
    Before,
    /// It may have failed, or not have run; the node that this hangs on, and how.
    Perhaps(u32, Doubt),
    /// It never has outputs when they are needed; the node that this hangs on, and why.
    Never(u32, Why),
    /// It is the very node.
    Itself,
    /// It is around the node.
    Around,
    /// It is in the node.
    Inside,
    /// It starts at the same time.
    Beside,
    /// It comes after.
    After,
    /// It is in another part of a graph: the step that would have to wait, and the one for which.
    Unordered(u32, u32),
    /// It is in this loop, and the node is not.
    InLoop(u32),
}

/// Why outputs may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Who asks also runs when something has failed.
    MayHaveFailed,
    /// The node is skipped under some condition.
    MayBeSkipped,
}

/// Why outputs are always missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It only runs when something failed, and who asks only when nothing did.
    OnlyOnFailure,
    /// It is always skipped.
    AlwaysSkipped,
}

/// How `source` stands to `reader`.
pub(super) fn standing(index: &Index<'_>, source: u32, reader: u32) -> Standing {
    let (around, a, b) = match index.fork(source, reader) {
        Fork::Same => return Standing::Itself,
        Fork::Around => return Standing::Around,
        Fork::Inside => return Standing::Inside,
        Fork::Siblings { around, a, b } => (around, a, b),
    };
    let (first, second) = (index.get(a), index.get(b));
    match index.steps(around) {
        Steps::Sequential if first.place < second.place => {}
        Steps::Sequential => return Standing::After,
        Steps::Parallel => match (first.node.when, second.node.when) {
            (When::Success, When::Failure | When::Always) => {}
            (When::Failure | When::Always, When::Success) => return Standing::After,
            _ => return Standing::Beside,
        },
        Steps::Graph if index.waits_for(around, b, a) => {}
        Steps::Graph if index.waits_for(around, a, b) => return Standing::After,
        Steps::Graph => return Standing::Unordered(b, a),
    }
    let inner = |at: &u32| *at != around;
    let way: Vec<u32> = index.outwards(source).take_while(inner).collect();
    if let Some(looped) =
        way.iter().rev().find(|at| **at != source && index.get(**at).node.kind == "LoopWorkflow")
    {
        return Standing::InLoop(*looped);
    }
    if let Some(skipped) = way.iter().find(|at| always_skipped(index, **at)) {
        return Standing::Never(*skipped, Why::AlwaysSkipped);
    }
    if second.node.when != When::Success {
        return Standing::Perhaps(source, Doubt::MayHaveFailed);
    }
    // What is before has ended well: nothing in it has failed, so nothing in it ran because of a failure. And a step
    // for failures before this one ran only if this one does not.
    if let Some(only) = way.iter().find(|at| index.get(**at).node.when == When::Failure) {
        return Standing::Never(*only, Why::OnlyOnFailure);
    }
    let guarded = index.outwards(reader).take_while(inner).any(|at| index.get(at).node.skip.is_some());
    match way.iter().find(|at| index.get(**at).node.skip.is_some() && !never_skipped(index, **at)) {
        Some(skipped) if !guarded => Standing::Perhaps(*skipped, Doubt::MayBeSkipped),
        _ => Standing::Before,
    }
}

/// Whether `skipNodeExecution` of a node is true whatever happens.
pub(super) fn always_skipped(index: &Index<'_>, at: u32) -> bool {
    constant(index, at) == Some(true)
}

fn never_skipped(index: &Index<'_>, at: u32) -> bool {
    constant(index, at) == Some(false)
}

/// The truth of a `skipNodeExecution` that refers to nothing; none if it depends on something.
fn constant(index: &Index<'_>, at: u32) -> Option<bool> {
    let skip = index.get(at).node.skip.as_ref()?;
    if !shipway_documents::is_expression(skip) {
        return expr::all_references(skip, "").is_empty().then(|| is_skipped(skip));
    }
    if !expr::references(skip, "").is_empty() {
        return None;
    }
    expr::resolve(skip, &Nothing, "").ok().map(|value| is_skipped(&value))
}

/// A scope without names.
struct Nothing;

impl expr::Scope for Nothing {
    fn arg(&self, _name: &str) -> expr::Lookup<'_> {
        expr::Lookup::Missing { known: Vec::new() }
    }

    fn reference(&self, _reference: &str) -> expr::Lookup<'_> {
        expr::Lookup::Missing { known: Vec::new() }
    }

    fn trigger(&self, _reference: &str) -> expr::Lookup<'_> {
        expr::Lookup::Missing { known: Vec::new() }
    }
}
