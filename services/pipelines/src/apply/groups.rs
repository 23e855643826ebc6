//! What secret groups name must be there.

use serde_json::Value;
use shipway_documents::{self as documents, nearest, resources::Declaration};
use shipway_events::project::ResourceKind;

use crate::{
    domain::{ProjectState, did_you_mean},
    environment::ADDON_KEYS,
};

/// Addons and keys that there are not, and resources that nothing gets the group by.
pub(super) fn problems(state: &ProjectState, declared: &Declaration) -> Vec<documents::Problem> {
    let mut problems = Vec::new();
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for (n, dependency) in list(&declared.spec, "addonDependencies").iter().enumerate() {
        let at = format!("{}/spec/addonDependencies/{n}", declared.pointer);
        let addon = dependency.get("addonId").and_then(Value::as_str).unwrap_or_default();
        let addons = || state.resources.values().filter(|known| known.kind == ResourceKind::Addon);
        if !addons().any(|known| known.slug == addon) {
            let known: Vec<&str> = addons().map(|known| known.slug.as_str()).collect();
            let problem =
                documents::Problem::error(format!("{at}/addonId"), format!("there is no addon `{addon}`"));
            problems.push(problem.suggest(addon, known));
        }
        for (n, key) in list(dependency, "keys").iter().enumerate() {
            let name = key.get("keyName").and_then(Value::as_str).unwrap_or_default();
            if !ADDON_KEYS.contains(&name) {
                let at = format!("{at}/keys/{n}/keyName");
                let problem =
                    documents::Problem::error(at, format!("an addon of type postgresql has no key `{name}`"));
                problems.push(problem.suggest(name, ADDON_KEYS));
            }
        }
    }
    let restrictions = declared.spec.get("restrictions").cloned().unwrap_or_default();
    for (n, object) in list(&restrictions, "nfObjects").iter().enumerate() {
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if !state.resources.contains_key(id) {
            let at = format!("{}/spec/restrictions/nfObjects/{n}/id", declared.pointer);
            let meant = nearest(id, state.resources.keys().map(String::as_str));
            let help = meant.map_or_else(|| did_you_mean(id, []), |near| format!("did you mean `{near}`?"));
            let problem = documents::Problem::warning(
                at,
                format!("there is no resource `{id}`; nothing gets the group by it"),
            );
            problems.push(if help.is_empty() { problem } else { problem.help(help) });
        }
    }
    problems
}
