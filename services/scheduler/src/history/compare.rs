//! What is different in two runs, node by node.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shipway_contracts::{
    Error,
    v1::{CompareRunsReply, CompareRunsRequest, ComparedNode, ComparedSide, Difference},
};
use shipway_engine::RunState;
use shipway_events::run::Effect;

use super::Moment;
use crate::{run::present, service::Shared};

impl Shared {
    /// What is different in two runs.
    pub(crate) async fn compare_runs(&self, request: CompareRunsRequest) -> Result<CompareRunsReply, Error> {
        let left = self.find_run(&request.left).await?;
        let right = self.find_run(&request.right).await?;
        let (left, _) = self.folds.at(&*self.log, left, Moment::Now).await?;
        let (right, _) = self.folds.at(&*self.log, right, Moment::Now).await?;
        Ok(CompareRunsReply {
            left: Some(present::head(&left.state, left.position)),
            right: Some(present::head(&right.state, right.position)),
            given: given(&left.state, &right.state),
            nodes: nodes(&left.state, &right.state),
        })
    }
}

/// Where what they were given and came from is not the same.
fn given(left: &RunState, right: &RunState) -> Vec<Difference> {
    let of = |state: &RunState| {
        let plan = state.plan();
        let object = |map: fn(&shipway_events::plan::Plan) -> &Map<String, Value>| {
            Value::Object(plan.map(map).cloned().unwrap_or_default())
        };
        Value::Object(Map::from_iter([
            ("arguments".to_owned(), object(|plan| &plan.args)),
            ("triggers".to_owned(), object(|plan| &plan.triggers)),
        ]))
    };
    let mut found = Vec::new();
    differ("", Some(&of(left)), Some(&of(right)), &mut found);
    found
}

/// All nodes by name: in the order of the left one's plan, then what only the right one has.
fn nodes(left: &RunState, right: &RunState) -> Vec<ComparedNode> {
    let names = |state: &RunState| -> Vec<String> {
        (0..).take(state.nodes().len()).map(|node| state.name_of(node)).collect()
    };
    let (of_left, of_right) = (names(left), names(right));
    let by_name = |names: &[String]| -> BTreeMap<String, u32> { names.iter().cloned().zip(0..).collect() };
    let (in_left, in_right) = (by_name(&of_left), by_name(&of_right));
    let only_right = of_right.iter().filter(|name| !in_left.contains_key(*name));
    let all = of_left.iter().chain(only_right);
    all.map(|name| {
        let (l, r) = (in_left.get(name).copied(), in_right.get(name).copied());
        let kind = l.and_then(|node| left.plan_node(node)).or_else(|| right.plan_node(r?));
        let mut differences = Vec::new();
        // What is in one run alone is not different, it is not there.
        if let (Some(l), Some(r)) = (l, r) {
            let (about_left, about_right) = (about(left, l), about(right, r));
            differ("", Some(&about_left), Some(&about_right), &mut differences);
        }
        ComparedNode {
            r#ref: name.clone(),
            kind: kind.map(|node| node.kind.clone()).unwrap_or_default(),
            left: l.and_then(|node| side(left, node)),
            right: r.and_then(|node| side(right, node)),
            differences,
        }
    })
    .collect()
}

/// What a node was given, and what came of it.
fn about(state: &RunState, node: u32) -> Value {
    let mut about = Map::new();
    if let Some(plan) = state.plan_node(node) {
        about.insert("inputs".to_owned(), plan.spec.clone());
    }
    for effect in state.effects_of(node) {
        if let Effect::Released { artifact, .. } | Effect::Built { artifact, .. } = effect {
            about.insert("image".to_owned(), artifact.digest.clone().into());
            about.insert("commit".to_owned(), artifact.commit.clone().into());
        }
    }
    if let Some(outputs) = state.node(node).and_then(|node| node.outputs.as_deref()) {
        about.insert("outputs".to_owned(), Value::Object(outputs.clone()));
    }
    Value::Object(about)
}

fn side(state: &RunState, node: u32) -> Option<ComparedSide> {
    let node = state.node(node)?;
    let took = node.started_at.zip(node.ended_at).map(|(from, until)| until.since(from));
    let error = node.error.as_deref();
    Some(ComparedSide {
        status: node.status.to_string(),
        took: took.map_or(0, |took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        error_code: error.map(|error| error.code.clone()).unwrap_or_default(),
        error_message: error.map(|error| error.message.clone()).unwrap_or_default(),
        attempt: node.attempts,
    })
}

/// Finds where two values are not the same; objects are looked into.
fn differ(at: &str, left: Option<&Value>, right: Option<&Value>, found: &mut Vec<Difference>) {
    if left == right {
        return;
    }
    if let (Some(Value::Object(left)), Some(Value::Object(right))) = (left, right) {
        let only_right = right.keys().filter(|key| !left.contains_key(*key));
        for key in left.keys().chain(only_right) {
            let at = if at.is_empty() { key.clone() } else { format!("{at}/{key}") };
            differ(&at, left.get(key), right.get(key), found);
        }
        return;
    }
    let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
    found.push(Difference { what: at.to_owned(), left_json: text(left), right_json: text(right) });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_looked_into_and_all_else_is_one_value() {
        let left = json!({"a": 1, "b": {"c": [1, 2], "d": "same"}, "gone": null});
        let right = json!({"a": 1, "b": {"c": [1, 3], "d": "same"}, "new": {"x": 1}});
        let mut found = Vec::new();
        differ("", Some(&left), Some(&right), &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.what.as_str(), it.left_json.as_str(), it.right_json.as_str()))
            .collect();
        assert_eq!(found, [("b/c", "[1,2]", "[1,3]"), ("gone", "null", ""), ("new", "", "{\"x\":1}")]);
    }
}
