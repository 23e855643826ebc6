//! What edits mean, on values.

use serde_json::{Map, Value};

use super::Edit;
use crate::{Problem, js, pointer, suggest};

pub(super) fn apply(edit: &Edit, root: &mut Value) -> Result<(), Problem> {
    match edit {
        Edit::Set { at, value } => set(root, at, value),
        Edit::Insert { at, value, before } => insert(root, at, value, before.as_deref()),
        Edit::Remove { at } => remove(root, at).map(drop),
        Edit::Rename { at, name } => rename(root, at, name),
        Edit::Move { from, to, before } => {
            if pointer::is_within(to, from) && to != from {
                let problem = Problem::error(to, "a value cannot be moved into itself");
                return Err(problem.help("choose a place that is not in it"));
            }
            // On a copy: what has been taken away must not be lost if it cannot be put in.
            let mut moved = root.clone();
            let value = remove(&mut moved, from)?;
            insert(&mut moved, to, &value, before.as_deref())?;
            *root = moved;
            Ok(())
        }
    }
}

fn set(root: &mut Value, at: &str, value: &Value) -> Result<(), Problem> {
    if let Some(place) = root.pointer_mut(at) {
        *place = value.clone();
        return Ok(());
    }
    let (parent, last) = parent(root, at)?;
    match parent {
        Value::Object(members) => {
            members.insert(last, value.clone());
            Ok(())
        }
        _ => Err(missing(at)),
    }
}

fn insert(root: &mut Value, at: &str, value: &Value, before: Option<&str>) -> Result<(), Problem> {
    let (parent, last) = parent(root, at)?;
    match parent {
        Value::Array(items) => {
            let index = if last == "-" { Some(items.len()) } else { index(&last) };
            let Some(index) = index.filter(|index| *index <= items.len()) else {
                let message = format!("the list has no place {last}; it has {} items", items.len());
                return Err(Problem::error(at, message).help("give a number up to that, or `-` for the end"));
            };
            items.insert(index, value.clone());
            Ok(())
        }
        Value::Object(members) => {
            if members.contains_key(&last) {
                return Err(Problem::error(at, format!("`{last}` is there already")).help("set it instead"));
            }
            let place = match before {
                None => members.len(),
                Some(before) => position(members, before).ok_or_else(|| missing(&sibling(at, before)))?,
            };
            members.shift_insert(place, last, value.clone());
            Ok(())
        }
        other => {
            let message = format!("nothing can be put into {}", js::type_name(other));
            Err(Problem::error(at, message).help("set the value around it to a list or an object first"))
        }
    }
}

fn remove(root: &mut Value, at: &str) -> Result<Value, Problem> {
    let (parent, last) = parent(root, at)?;
    let removed = match parent {
        Value::Array(items) => {
            index(&last).filter(|index| *index < items.len()).map(|index| items.remove(index))
        }
        Value::Object(members) => members.shift_remove(&last),
        _ => None,
    };
    removed.ok_or_else(|| missing(at))
}

fn rename(root: &mut Value, at: &str, name: &str) -> Result<(), Problem> {
    let (parent, last) = parent(root, at)?;
    let Value::Object(members) = parent else {
        let problem = Problem::error(at, "only members of objects have names");
        return Err(problem.help("elements of a list go by their places: move it instead"));
    };
    let Some(place) = position(members, &last) else { return Err(missing(at)) };
    if last == name {
        return Ok(());
    }
    if members.contains_key(name) {
        let problem = Problem::error(at, format!("there is a `{name}` beside it already"));
        return Err(problem.help("choose another name, or take the other away first"));
    }
    let value = members.shift_remove(&last).unwrap_or_default();
    members.shift_insert(place, name.to_owned(), value);
    Ok(())
}

/// What is around a place, and the last step to it.
fn parent<'a>(root: &'a mut Value, at: &str) -> Result<(&'a mut Value, String), Problem> {
    let Some((parent, _)) = at.rsplit_once('/') else {
        return Err(Problem::error(at, "the whole document is in nothing").help("set it instead"));
    };
    let last = pointer::steps(at).last().unwrap_or_default();
    root.pointer_mut(parent).map(|parent| (parent, last)).ok_or_else(|| missing(at))
}

/// A number as pointers write it: no sign, no zeros before it.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    step.parse().ok().filter(|_| plain)
}

fn position(members: &Map<String, Value>, name: &str) -> Option<usize> {
    members.keys().position(|key| key == name)
}

fn sibling(at: &str, name: &str) -> String {
    pointer::join(at.rsplit_once('/').map_or("", |(parent, _)| parent), name)
}

pub(super) fn missing(at: &str) -> Problem {
    let shown = suggest::list([at]);
    Problem::error(at, format!("there is nothing at {shown}"))
        .help("places are JSON pointers: `/spec/spec/steps/0`")
}
