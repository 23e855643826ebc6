//! The difference of two documents as people speak of it: by the names of nodes, arguments and triggers, not by
//! lines. A node that stands elsewhere has moved; it was not taken away and added.

mod fields;
mod matching;
mod nodes;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use fields::FieldChange;

/// What is different in the second of two documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Arguments, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<NamedChange>,
    /// Triggers, by `ref`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<NamedChange>,
    /// Everything else around the nodes: `options`, `gitops` and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Nodes, in the order of the second document; one that is gone stands where it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeChange>,
}

/// What happened to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is in both.
    Changed,
}

/// A change of an argument or a trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedChange {
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub fate: Fate,
    /// What is different in it; all of it when it is new or gone.
    pub fields: Vec<FieldChange>,
}

/// A change of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeChange {
    /// Its `ref`, or a name made from its kind and target.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What happened to it.
    pub fate: Fate,
    /// Its name before, where that was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// The names of the workflows around it, from outside; in the second document, if it is there.
    pub workflows: Vec<String>,
    /// The names of the workflows that it was in, if it stands in another or in another place among those that
    /// stayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Vec<String>>,
    /// Where it was in the first document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Where it is in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What is different in it, without its steps. Pointers begin at the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

impl Difference {
    /// Whether the documents say the same, though perhaps in another order of members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
            && self.triggers.is_empty()
            && self.fields.is_empty()
            && self.nodes.is_empty()
    }
}

/// Compares two documents. They need not be without problems, only be values.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Difference {
    let named = |key: &str| named(before.get(key), after.get(key));
    let (arguments, triggers) = (
        named("arguments"),
        // The legacy list and the typed list have names alike.
        self::named(by_ref(before.get("triggers")).as_ref(), by_ref(after.get("triggers")).as_ref()),
    );
    let (old, new) = (nodes::collect(before), nodes::collect(after));
    Difference {
        arguments,
        triggers,
        fields: fields::compare(&nodes::around(before), &nodes::around(after)),
        nodes: matching::compare(&old, &new),
    }
}

/// Changes of the members of two objects, each a thing with a name.
fn named(before: Option<&Value>, after: Option<&Value>) -> Vec<NamedChange> {
    let empty = Map::new();
    let members = |value: Option<&Value>| value.and_then(Value::as_object).unwrap_or(&empty).clone();
    let (before, after) = (members(before), members(after));
    let mut all = Vec::new();
    for (name, new) in &after {
        let (fate, fields) = match before.get(name) {
            Some(old) => (Fate::Changed, fields::compare(old, new)),
            None => (Fate::Added, vec![FieldChange::added(new)]),
        };
        if !fields.is_empty() {
            all.push(NamedChange { name: name.clone(), fate, fields });
        }
    }
    for (name, old) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        all.push(NamedChange {
            name: name.clone(),
            fate: Fate::Removed,
            fields: vec![FieldChange::removed(old)],
        });
    }
    all
}

/// A list of things with a `ref` as an object; a number stands for a `ref` that is not given.
fn by_ref(list: Option<&Value>) -> Option<Value> {
    let items = list?.as_array()?.iter().enumerate();
    let named = items.map(|(n, item)| {
        let name =
            item.get("ref").and_then(Value::as_str).map_or_else(|| format!("#{}", n + 1), str::to_owned);
        (name, item.clone())
    });
    Some(Value::Object(named.collect()))
}
