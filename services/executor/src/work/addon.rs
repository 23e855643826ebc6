//! Addons: started, or brought to their declared state.

use serde_json::{Map, Value, json};
use shipway_events::run::Effect;
use shipway_nodes::workload::Addon;

use super::{Attempt, Failure, Success};
use crate::addon;

pub(super) async fn run(attempt: &Attempt<'_>, work: &Addon) -> Result<Success, Failure> {
    addon::engine(&work.engine)?.start(attempt, work).await?;
    attempt.note("it takes connections");
    let outputs = match json!({ "id": work.addon.slug, "port": work.port, "status": "running" }) {
        Value::Object(outputs) => outputs,
        _ => Map::new(),
    };
    let effect =
        Effect::AddonStarted { addon: work.addon.id, slug: work.addon.slug.clone(), let_go: Vec::new() };
    Ok(Success { outputs, effects: vec![effect] })
}
