//! Conditions that hold or not by what the run itself knows: no executor looks at anything.

use serde_json::{Map, Value, json};
use shipway_documents::{expr::resolve_partly, flow::is_skipped, is_expression, secret};
use shipway_engine::{Made, RunState, Step};
use shipway_events::{plan::PlanNode, run::NodeError};
use shipway_nodes::codes;

use super::{Outputs, unresolved};

/// Seconds until a condition is given up, unless the node says otherwise.
const TIMEOUT_SECONDS: u32 = 600;

/// A condition of `kind: Expression`; none for all other nodes. As long as it needs a node that has not ended, it does
/// not hold.
pub(super) fn expression(
    planned: &PlanNode,
    scope: &Outputs<'_>,
    pointer: &str,
) -> Option<Result<Step, NodeError>> {
    let is_one = planned.kind == "Condition" && planned.spec.get("kind")?.as_str()? == "Expression";
    is_one.then(|| holds(planned, scope, pointer))
}

fn holds(planned: &PlanNode, scope: &Outputs<'_>, pointer: &str) -> Result<Step, NodeError> {
    let at = |name: &str| planned.spec.pointer(&format!("/spec/data/{name}"));
    let Some(expression) = at("expression") else {
        return Err(refused("`spec.spec.data.expression` is missing: say what has to be true"));
    };
    let value = resolve_partly(expression, scope, &format!("{pointer}/spec/data/expression"));
    let value = value.map_err(unresolved)?;
    if secret::is_secret(&value) {
        return Err(refused("what is waited for may not depend on a secret; use a plain argument"));
    }
    // What is known was put in with its `${` escaped; only what is not known is an expression still.
    if !is_expression(&value) && is_skipped(&value) {
        return Ok(Step::Done { outputs: Map::new() });
    }
    let timeout = at("timeoutDuration").and_then(Value::as_u64).and_then(|limit| u32::try_from(limit).ok());
    let timeout_seconds = timeout.or(planned.timeout_seconds).or(Some(TIMEOUT_SECONDS));
    let text = expression.as_str().map_or_else(|| expression.to_string(), str::to_owned);
    Ok(Step::Wait { watch: json!(format!("{text} to be true")), timeout_seconds })
}

/// A condition on something that a node of the run makes.
pub(super) fn made(
    state: &RunState,
    wanted: &shipway_nodes::Made,
    timeout_seconds: u32,
) -> Result<Step, NodeError> {
    let shipway_nodes::Made { kind, id } = wanted;
    match state.made(kind, id) {
        Some(Made::Well) => Ok(Step::Done { outputs: Map::from_iter([("id".to_owned(), json!(id))]) }),
        Some(Made::Badly(why)) => {
            let message = format!("the {kind} `{id}` that it waits for failed: {why}");
            Err(NodeError { code: "awaited_failed".to_owned(), message, transient: false })
        }
        Some(Made::Going) => Ok(Step::Wait {
            watch: json!(format!("the {kind} `{id}`")),
            timeout_seconds: Some(timeout_seconds),
        }),
        None => Err(refused(&format!(
            "no {kind} `{id}` was made by this run, and none had ended well when it started; \
             a condition waits for what an earlier node of its run makes"
        ))),
    }
}

fn refused(message: &str) -> NodeError {
    NodeError { code: codes::BAD_SPEC.to_owned(), message: message.to_owned(), transient: false }
}
