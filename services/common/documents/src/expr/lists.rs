//! Functions over lists and objects.

use serde_json::{Map, Value};

use super::{
    functions::{Failure, list, text},
    strings,
};
use crate::js;

pub(super) fn length(args: &[Value]) -> Result<Value, Failure> {
    match &args[0] {
        Value::Array(items) => Ok(items.len().into()),
        _ => Ok(text(args, 0)?.chars().count().into()),
    }
}

/// All lists one after another; what is no list is one element.
pub(super) fn concat(args: &[Value]) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for value in args {
        match value {
            Value::Array(items) => all.extend(items.iter().cloned()),
            one => all.push(one.clone()),
        }
    }
    Ok(all.into())
}

pub(super) fn slice(args: &[Value]) -> Result<Value, Failure> {
    let items = list(args, 0)?;
    let (from, to) = strings::range(args, items.len())?;
    Ok(items.get(from..to).unwrap_or_default().to_vec().into())
}

pub(super) fn get(args: &[Value]) -> Result<Value, Failure> {
    let path = text(args, 1)?;
    let mut value = &args[0];
    for step in path.split('.') {
        let found = match value {
            Value::Object(members) => members.get(step),
            Value::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        value = found.ok_or_else(|| Failure::Nothing(format!("found nothing at `{path}`")))?;
    }
    Ok(value.clone())
}

pub(super) fn keys(args: &[Value]) -> Result<Value, Failure> {
    Ok(object(args)?.keys().map(|key| Value::from(key.as_str())).collect::<Vec<_>>().into())
}

pub(super) fn values(args: &[Value]) -> Result<Value, Failure> {
    Ok(object(args)?.values().cloned().collect::<Vec<_>>().into())
}

pub(super) fn entries(args: &[Value]) -> Result<Value, Failure> {
    let pair = |(key, value): (&String, &Value)| Value::from(vec![key.as_str().into(), value.clone()]);
    Ok(object(args)?.iter().map(pair).collect::<Vec<_>>().into())
}

fn object(args: &[Value]) -> Result<&Map<String, Value>, Failure> {
    args[0]
        .as_object()
        .ok_or_else(|| Failure::Argument(0, format!("must be an object, not {}", js::type_name(&args[0]))))
}
