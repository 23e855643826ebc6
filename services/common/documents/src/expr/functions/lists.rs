//! Functions over lists and objects, and JSON.

use serde_json::{Map, Value};

use super::{Arg, Failure, list, strings, text, value};
use crate::{js, secret};

pub(super) fn length(args: &[Arg]) -> Result<Value, Failure> {
    match value(args, 0)? {
        Value::Array(items) => Ok(items.len().into()),
        _ => Ok(text(args, 0)?.chars().count().into()),
    }
}

pub(super) fn count(args: &[Arg]) -> Result<Value, Failure> {
    Ok(list(args, 0)?.len().into())
}

/// All lists one after another; what is no list is one element.
pub(super) fn concat(args: &[Arg]) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for n in 0..args.len() {
        match value(args, n)? {
            Value::Array(items) => all.extend(items.iter().cloned()),
            one => all.push(one.clone()),
        }
    }
    Ok(all.into())
}

pub(super) fn slice(args: &[Arg]) -> Result<Value, Failure> {
    let items = list(args, 0)?;
    let (from, to) = strings::range(args, items.len())?;
    Ok(items.get(from..to).unwrap_or_default().to_vec().into())
}

pub(super) fn get(args: &[Arg]) -> Result<Value, Failure> {
    let path = text(args, 1)?;
    let mut value = value(args, 0)?;
    for step in path.split('.') {
        value = member(value, step).ok_or_else(|| Failure::Nothing(format!("found nothing at `{path}`")))?;
    }
    Ok(value.clone())
}

/// What `get` gives where secrets are among the members, if its path leads into none of them: then only the secrets
/// in what it gives are needed.
pub(in crate::expr) fn get_beside_secrets(args: &[Arg]) -> Option<Result<Value, Failure>> {
    let (path, mut value) = (text(args, 1).ok()?, value(args, 0).ok()?);
    for step in path.split('.') {
        if secret::is_mark(value) {
            return None;
        }
        let Some(found) = member(value, step) else { break };
        value = found;
    }
    Some(get(args))
}

/// The member of an object or the element of a list.
pub(in crate::expr) fn member<'v>(value: &'v Value, step: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(step),
        Value::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
        _ => None,
    }
}

pub(super) fn stringify(args: &[Arg]) -> Result<Value, Failure> {
    Ok(js::json_text(value(args, 0)?).into())
}

pub(super) fn parse(args: &[Arg]) -> Result<Value, Failure> {
    Ok(serde_json::from_str(&text(args, 0)?).unwrap_or_else(|_| "".into()))
}

pub(super) fn keys(args: &[Arg]) -> Result<Value, Failure> {
    Ok(object(args)?.keys().map(|key| Value::from(key.as_str())).collect::<Vec<_>>().into())
}

pub(super) fn values(args: &[Arg]) -> Result<Value, Failure> {
    Ok(object(args)?.values().cloned().collect::<Vec<_>>().into())
}

pub(super) fn entries(args: &[Arg]) -> Result<Value, Failure> {
    let pair = |(key, value): (&String, &Value)| Value::from(vec![key.as_str().into(), value.clone()]);
    Ok(object(args)?.iter().map(pair).collect::<Vec<_>>().into())
}

fn object(args: &[Arg]) -> Result<&Map<String, Value>, Failure> {
    let value = value(args, 0)?;
    let wrong = || Failure::Argument(0, format!("must be an object, not {}", js::type_name(value)));
    value.as_object().ok_or_else(wrong)
}
