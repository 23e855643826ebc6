//! Changes of values below a thing: by member, and in lists by what names an item.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pointer;

/// A change of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Where it is, from the thing that it belongs to: in the second document, or in the first if it is gone.
    pub pointer: String,
    /// The same for people: `spec.ports[http].public`. Empty for the thing itself.
    pub label: String,
    /// What it was; none if it is new.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub before: Option<Value>,
    /// What it is; none if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Value>,
}

/// A value that is there, be it null.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl FieldChange {
    pub(super) fn added(value: &Value) -> Self {
        Place::default().change(None, Some(value))
    }

    pub(super) fn removed(value: &Value) -> Self {
        Place::default().change(Some(value), None)
    }
}

/// All that is different in the second of two values. Numbers are compared by their value.
pub(super) fn compare(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    visit(before, after, &Place::default(), &mut changes);
    changes
}

/// Where a value is.
#[derive(Clone, Debug, Default)]
struct Place {
    pointer: String,
    label: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let dot = if self.label.is_empty() { "" } else { "." };
        Self { pointer: pointer::join(&self.pointer, name), label: format!("{}{dot}{name}", self.label) }
    }

    fn item(&self, index: usize, name: Option<&str>) -> Self {
        let shown = name.map_or_else(|| index.to_string(), str::to_owned);
        Self { pointer: pointer::item(&self.pointer, index), label: format!("{}[{shown}]", self.label) }
    }

    fn change(&self, before: Option<&Value>, after: Option<&Value>) -> FieldChange {
        FieldChange {
            pointer: self.pointer.clone(),
            label: self.label.clone(),
            before: before.cloned(),
            after: after.cloned(),
        }
    }
}

fn visit(before: &Value, after: &Value, at: &Place, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                match old.get(name) {
                    Some(old) => visit(old, value, &at.member(name), changes),
                    None => changes.push(at.member(name).change(None, Some(value))),
                }
            }
            for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
                changes.push(at.member(name).change(Some(value), None));
            }
        }
        (Value::Array(old), Value::Array(new)) => match (names(old), names(new)) {
            (Some(old_names), Some(new_names)) => by_name(old, &old_names, new, &new_names, at, changes),
            _ if old.len() == new.len() && new.iter().any(Value::is_object) => {
                for (index, (old, new)) in old.iter().zip(new).enumerate() {
                    visit(old, new, &at.item(index, None), changes);
                }
            }
            _ if !crate::js::equal(before, after) => changes.push(at.change(Some(before), Some(after))),
            _ => {}
        },
        _ if !crate::js::equal(before, after) => changes.push(at.change(Some(before), Some(after))),
        _ => {}
    }
}

/// What names each item of a list, if something names them all and each differently.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let by = |key: &str| -> Option<Vec<&str>> {
        let names: Vec<&str> = items.iter().map(|item| item.get(key)?.as_str()).collect::<Option<_>>()?;
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        (sorted.len() == names.len()).then_some(names)
    };
    ["ref", "name", "id", "key"].into_iter().find_map(by)
}

fn by_name(
    old: &[Value],
    old_names: &[&str],
    new: &[Value],
    new_names: &[&str],
    at: &Place,
    changes: &mut Vec<FieldChange>,
) {
    for (index, name) in new_names.iter().enumerate() {
        let place = at.item(index, Some(name));
        match old_names.iter().position(|old| old == name) {
            Some(before) => visit(&old[before], &new[index], &place, changes),
            None => changes.push(place.change(None, Some(&new[index]))),
        }
    }
    for (index, name) in old_names.iter().enumerate().filter(|(_, name)| !new_names.contains(name)) {
        changes.push(at.item(index, Some(name)).change(Some(&old[index]), None));
    }
    let stays = |names: &[&str], others: &[&str]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).map(|name| (*name).to_owned()).collect()
    };
    let (before, after) = (stays(old_names, new_names), stays(new_names, old_names));
    if before != after {
        // Only the order: that of the names says it.
        changes.push(at.change(Some(&before.into()), Some(&after.into())));
    }
}
