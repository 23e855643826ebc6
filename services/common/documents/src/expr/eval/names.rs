//! What names stand for.

use std::borrow::Cow;

use serde_json::Value;

use super::{Stop, Trouble};
use crate::{
    Code,
    expr::{
        Lookup, Scope,
        ast::{Expr, PathRoot},
        functions::lists_member,
    },
    js, secret,
};

pub(super) fn look_up(
    expr: &Expr,
    root: PathRoot,
    name: &str,
    path: &[String],
    scope: &dyn Scope,
) -> Result<Value, Stop> {
    let (what, lookup) = find(root, name, scope);
    let base = match lookup {
        Lookup::Value(base) => base,
        Lookup::Later => return Err(Stop::Later(expr.span.clone(), name.to_owned())),
        Lookup::Missing { known } => {
            let code = if root == PathRoot::Args { Code::ArgUnknown } else { Code::RefUnknown };
            let trouble = Trouble::new(&expr.span, format!("no {what} is called `{name}`")).code(code);
            let help = match root {
                PathRoot::Args => format!("declare it: `arguments: {{{name}: …}}`"),
                PathRoot::Refs => format!("give the node that is meant the name: `ref: {name}`"),
                PathRoot::Triggers => format!("give the trigger that is meant the name: `ref: {name}`"),
                PathRoot::Secrets => "make the secret group first".to_owned(),
            };
            return Err(Stop::Unresolved(trouble.help(help).suggest(name, known)));
        }
        Lookup::Skipped(why) => {
            let why = if why.is_empty() || why == name { String::new() } else { format!(": {why}") };
            let message = format!("the node `{name}` was skipped and has no outputs{why}");
            let help = "skip this node as well, or give another value with fn.if";
            return Err(Stop::Unresolved(Trouble::new(&expr.span, message).help(help)));
        }
    };
    // What came from outside may look like a mark; it is data, and no way to somebody's secrets.
    if what == "trigger" && secret::is_secret(&base) {
        let trouble = Trouble::new(&expr.span, format!("what the trigger `{name}` brought names a secret"));
        return Err(Stop::Error(
            trouble.help("`$secret`, `$text`, `$call` and `$file` are Shipway's own names"),
        ));
    }
    member(expr, name, base, path)
}

/// What a name is looked for among, and what it stands for.
fn find<'s>(root: PathRoot, name: &str, scope: &'s dyn Scope) -> (&'static str, Lookup<'s>) {
    match root {
        PathRoot::Args => ("argument", scope.arg(name)),
        PathRoot::Triggers => ("trigger", scope.trigger(name)),
        PathRoot::Secrets => ("secret", scope.secret(name)),
        PathRoot::Refs => match scope.reference(name) {
            Lookup::Missing { mut known } => match scope.trigger(name) {
                Lookup::Missing { known: triggers } => {
                    known.extend(triggers);
                    ("node or trigger", Lookup::Missing { known })
                }
                found => ("trigger", found),
            },
            found => ("node", found),
        },
    }
}

pub(super) fn member(expr: &Expr, name: &str, base: Cow<'_, Value>, path: &[String]) -> Result<Value, Stop> {
    let mut value: &Value = &base;
    let mut taken = name.to_owned();
    for step in path {
        if secret::is_mark(value) {
            let trouble = Trouble::new(&expr.span, format!("`{taken}` is a secret and has no `{step}`"));
            let help =
                "use it as a whole; of one that holds JSON, `fn.get(fn.parseJSON(…), 'path')` is a part";
            return Err(Stop::Error(trouble.help(help)));
        }
        let Some(found) = lists_member(value, step) else {
            let trouble = Trouble::new(&expr.span, format!("`{taken}` has no `{step}`")).code(Code::RefPath);
            let known: Vec<String> = match value {
                Value::Object(members) => members.keys().cloned().collect(),
                Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
                _ => {
                    let kind = js::type_name(value);
                    return Err(Stop::Unresolved(trouble.help(format!("it is {kind}"))));
                }
            };
            return Err(Stop::Unresolved(trouble.help("there is nothing in it").suggest(step, known)));
        };
        value = found;
        taken = format!("{taken}.{step}");
    }
    Ok(if path.is_empty() { base.into_owned() } else { value.clone() })
}
