//! Which node of one document is which of the other.

use std::collections::BTreeMap;

use super::{Fate, FieldChange, NodeChange, fields, nodes::Placed};

/// The changes of nodes, in the order of the second document.
pub(super) fn compare(old: &[Placed<'_>], new: &[Placed<'_>]) -> Vec<NodeChange> {
    let pairs = Pairs::of(old, new);
    let stayed = pairs.stayed(old, new);
    let mut changes = Vec::new();
    let mut gone = Gone::of(old, &pairs);
    // What stood before everything else comes first, each other after the one that it stood behind.
    gone.after(None, &mut changes);
    for (n, node) in new.iter().enumerate() {
        match pairs.new[n] {
            None => changes.push(added(node)),
            Some(m) => {
                changes.extend(changed(&old[m], node, stayed[n]));
                gone.after(Some(m), &mut changes);
            }
        }
    }
    changes
}

/// For each node its other self.
struct Pairs {
    /// By the place in the second document, the place in the first.
    new: Vec<Option<usize>>,
    /// And the other way.
    old: Vec<Option<usize>>,
}

impl Pairs {
    fn of(old: &[Placed<'_>], new: &[Placed<'_>]) -> Self {
        let mut pairs = Self { new: vec![None; new.len()], old: vec![None; old.len()] };
        // A name that is given means the same node, whatever else has changed.
        pairs.join(old, new, |node| node.named.then(|| node.name.clone()));
        // One without a name is the one of its kind and target that says the same, wherever it is.
        pairs.join(old, new, |node| (!node.named).then(|| format!("{} {}", node.kind, node.own)));
        // Then the one of the same kind and target.
        pairs.join(old, new, |node| (!node.named).then(|| format!("{} {}", node.kind, node.name)));
        // What says the same but for its name has another name now.
        pairs.join(old, new, |node| Some(format!("{} {}", node.kind, without_name(node))));
        // The root has no other to be taken for.
        if let (Some(None), Some(None), Some(a), Some(b)) =
            (pairs.new.first(), pairs.old.first(), old.first(), new.first())
            && a.kind == b.kind
            && a.pointer == b.pointer
        {
            pairs.pair(0, 0);
        }
        pairs
    }

    /// Joins those that are still alone and have the same key, the first with the first.
    fn join(&mut self, old: &[Placed<'_>], new: &[Placed<'_>], key: impl Fn(&Placed<'_>) -> Option<String>) {
        let mut waiting: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (m, node) in old.iter().enumerate().rev().filter(|(m, _)| self.old[*m].is_none()) {
            if let Some(key) = key(node) {
                waiting.entry(key).or_default().push(m);
            }
        }
        for (n, node) in new.iter().enumerate() {
            if self.new[n].is_none()
                && let Some(m) = key(node).and_then(|key| waiting.get_mut(&key)?.pop())
            {
                self.pair(m, n);
            }
        }
    }

    fn pair(&mut self, m: usize, n: usize) {
        (self.new[n], self.old[m]) = (Some(m), Some(n));
    }

    /// Whether each node of the second document stands where it stood: in the same workflow, and in the same
    /// order among those that are in it in both. As few as can be have moved.
    fn stayed(&self, old: &[Placed<'_>], new: &[Placed<'_>]) -> Vec<bool> {
        let mut stayed = vec![false; new.len()];
        let mut groups: BTreeMap<Option<usize>, Vec<(usize, usize)>> = BTreeMap::new();
        for (n, node) in new.iter().enumerate() {
            let Some(m) = self.new[n] else { continue };
            let around = node.parent;
            let same = match (around, old[m].parent) {
                (Some(around), Some(before)) => self.new[around] == Some(before),
                (None, None) => true,
                _ => false,
            };
            if same {
                groups.entry(around).or_default().push((n, m));
            }
        }
        for group in groups.values() {
            for place in longest_rising(&group.iter().map(|(_, m)| *m).collect::<Vec<_>>()) {
                stayed[group[place].0] = true;
            }
        }
        stayed
    }
}

/// The places of a longest rising row in a list.
fn longest_rising(list: &[usize]) -> Vec<usize> {
    // `tails[length]` is the place of the smallest last number of a rising row of that length and one more.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; list.len()];
    for (place, number) in list.iter().enumerate() {
        let length = tails.partition_point(|tail| list[*tail] < *number);
        before[place] = length.checked_sub(1).map(|length| tails[length]);
        if length == tails.len() {
            tails.push(place);
        } else {
            tails[length] = place;
        }
    }
    let mut row: Vec<usize> = std::iter::successors(tails.last().copied(), |place| before[*place]).collect();
    row.reverse();
    row
}

/// The nodes that are gone, each kept until its place has come.
struct Gone<'a> {
    waiting: BTreeMap<Option<usize>, Vec<&'a Placed<'a>>>,
}

impl<'a> Gone<'a> {
    fn of(old: &'a [Placed<'a>], pairs: &Pairs) -> Self {
        let mut waiting: BTreeMap<Option<usize>, Vec<&Placed<'_>>> = BTreeMap::new();
        let mut last = None;
        for (m, node) in old.iter().enumerate() {
            if pairs.old[m].is_some() {
                last = Some(m);
            } else {
                waiting.entry(last).or_default().push(node);
            }
        }
        Self { waiting }
    }

    fn after(&mut self, last: Option<usize>, changes: &mut Vec<NodeChange>) {
        changes.extend(self.waiting.remove(&last).into_iter().flatten().map(removed));
    }
}

fn without_name(node: &Placed<'_>) -> serde_json::Value {
    let mut own = node.own.clone();
    own.as_object_mut().map(|members| members.shift_remove("ref"));
    own
}

fn base(node: &Placed<'_>, fate: Fate) -> NodeChange {
    NodeChange {
        name: node.name.clone(),
        kind: node.kind.to_owned(),
        fate,
        renamed_from: None,
        workflows: node.workflows.clone(),
        moved_from: None,
        before: None,
        after: None,
        fields: Vec::new(),
    }
}

fn added(node: &Placed<'_>) -> NodeChange {
    let fields = vec![FieldChange::added(&node.own)];
    NodeChange { after: Some(node.pointer.clone()), fields, ..base(node, Fate::Added) }
}

fn removed(node: &Placed<'_>) -> NodeChange {
    let fields = vec![FieldChange::removed(&node.own)];
    NodeChange { before: Some(node.pointer.clone()), fields, ..base(node, Fate::Removed) }
}

/// What is different, if anything is.
fn changed(old: &Placed<'_>, new: &Placed<'_>, stayed: bool) -> Option<NodeChange> {
    let mut fields = fields::compare(&old.own, &new.own);
    let renamed = (old.named && new.named && old.name != new.name).then(|| old.name.clone());
    fields.retain(|change| renamed.is_none() || change.pointer != "/ref");
    if fields.is_empty() && renamed.is_none() && stayed {
        return None;
    }
    Some(NodeChange {
        renamed_from: renamed,
        moved_from: (!stayed).then(|| old.workflows.clone()),
        before: Some(old.pointer.clone()),
        after: Some(new.pointer.clone()),
        fields,
        ..base(new, Fate::Changed)
    })
}
