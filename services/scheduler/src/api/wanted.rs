//! What people ask of a run that they start by hand, or plan.

use serde_json::{Map, Value};
use shipway_contracts::{Code, Error};
use shipway_documents::{flow::Flow, secret};
use shipway_events::{Meta, RunId, plan::Given};

use crate::{
    service::Shared,
    start::{Asked, FlowChoice},
};

/// The longest name and the longest description, in characters.
const LONGEST: usize = 200;

/// A flow or a run that is repeated, with what is another for this run.
pub(crate) struct WantedRun {
    pub(crate) project: String,
    pub(crate) flow: String,
    pub(crate) arguments: Map<String, Value>,
    /// See [`Given::fields`].
    pub(crate) fields: Map<String, Value>,
    /// See [`Given::releases`].
    pub(crate) releases: Map<String, Value>,
    /// The run that is repeated; empty for none.
    pub(crate) again: String,
}

impl Shared {
    /// What is started, or planned, for whoever wants this.
    pub(crate) async fn asked_by_hand(
        &self,
        run: RunId,
        wanted: WantedRun,
        meta: Meta,
    ) -> Result<Asked, Error> {
        let WantedRun { project, flow, arguments, fields, releases, again } = wanted;
        let choice = FlowChoice::Published { project, flow };
        let given = Given { fields, releases, ..Given::default() };
        let asked = Asked { arguments, given, ..Asked::by_hand(run, choice, meta) };
        if again.is_empty() { Ok(asked) } else { self.repeated(&again, asked).await }
    }

    /// The same for a run that repeats another one: its flow in the same version, with what that one had below what is
    /// given now. A fork's commit stays one.
    async fn repeated(&self, again: &str, asked: Asked) -> Result<Asked, Error> {
        if matches!(&asked.choice, FlowChoice::Published { flow, .. } if !flow.is_empty()) {
            return Err(Error::bad_request(
                "field `flow`: a run that is repeated says itself of which flow it is",
            ));
        }
        let run = self.find_run(again).await?;
        let state = self.book.look(run).await?;
        let started = state.started().ok_or_else(|| Error::not_found(format!("there is no run {run}")))?;
        let cannot = |why: &str| Err(Error::new(Code::FailedPrecondition, format!("run {run} {why}")));
        if started.rollback.is_some() {
            return cannot(
                "is a rollback, which is made of what runs now: `shipway rollback` makes another one",
            );
        }
        if started.pipeline.is_none() {
            return cannot("is of no stage's flow: it cannot be repeated");
        }
        let flow = started.flow.to_string();
        self.asks_for_no_more(&flow, started.flow_version).await?;
        let plan = &started.plan;
        let mut arguments = plan.args.clone();
        // Secrets are what they are now.
        arguments.retain(|_, value| !secret::is_secret(value));
        arguments.extend(asked.arguments);
        let mut fields = plan.given.fields.clone();
        for (reference, more) in asked.given.fields {
            match (fields.get_mut(&reference), more) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                (_, more) => drop(fields.insert(reference, more)),
            }
        }
        let mut releases = plan.given.releases.clone();
        releases.extend(asked.given.releases);
        Ok(Asked {
            choice: FlowChoice::Published { project: String::new(), flow },
            arguments,
            given: Given {
                fields,
                releases,
                flow_version: started.flow_version,
                again: Some(run),
                ..Given::default()
            },
            triggers: plan.triggers.clone(),
            without_secrets: plan.without_secrets.clone(),
            fork: plan.fork.clone(),
            ..asked
        })
    }
}

impl Shared {
    /// Refuses a version of a flow in which nobody has to approve what its newest one has people approve.
    async fn asks_for_no_more(&self, flow: &str, version: u32) -> Result<(), Error> {
        let newest = self.flow_for_run("", flow, 0).await?;
        if newest.version == version {
            return Ok(());
        }
        let earlier = self.flow_version_for_run("", flow, version, 0).await?;
        let Some(gate) = gate_missing(&newest.document_json, &earlier.document_json) else { return Ok(()) };
        let message = format!(
            "version {version} of {path} has no approval as `{gate}` of version {}, its newest: `shipway run {path}` starts that",
            newest.version,
            path = newest.path,
        );
        Err(Error::new(Code::FailedPrecondition, message))
    }
}

/// The first approval of a flow's newest document that an earlier one does not have as it is.
fn gate_missing(newest: &str, earlier: &str) -> Option<String> {
    let gates = |text: &str| -> Vec<(String, Value)> {
        let flow = serde_json::from_str(text).ok().and_then(|document| Flow::parse(&document).ok());
        let nodes = flow.iter().flat_map(Flow::nodes).map(|placed| placed.node);
        nodes
            .filter(|node| node.kind == "Approval")
            .map(|node| (node.reference.clone(), node.spec.clone()))
            .collect()
    };
    let mut had = gates(earlier);
    for (name, spec) in gates(newest) {
        match had.iter().position(|(_, other)| *other == spec) {
            Some(place) => drop(had.swap_remove(place)),
            None => return Some(name),
        }
    }
    None
}

/// A field that holds a JSON object, or nothing.
pub(super) fn json_object(field: &str, text: &str) -> Result<Map<String, Value>, Error> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text)
        .map_err(|error| Error::bad_request(format!("field `{field}`: not a JSON object: {error}")))
}

/// What a run is called; empty for its id.
pub(super) fn named(name: String) -> Result<String, Error> {
    if name.chars().any(char::is_control) {
        return Err(Error::bad_request("field `name`: a run's name is one line of text"));
    }
    short("name", name)
}

/// What is said about a run.
pub(super) fn described(description: String) -> Result<String, Error> {
    short("description", description)
}

fn short(field: &str, text: String) -> Result<String, Error> {
    let length = text.chars().count();
    if length > LONGEST {
        let message = format!("field `{field}`: it has {length} characters and may have {LONGEST}");
        return Err(Error::bad_request(message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(steps: Value) -> String {
        json!({"apiVersion": "v1.2", "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}}})
            .to_string()
    }

    #[test]
    fn an_earlier_version_may_not_leave_out_who_approves() {
        let gate =
            |name: &str, amount: u32| json!({"kind": "Approval", "ref": name, "spec": {"amount": amount}});
        let step = json!({"kind": "Noop", "ref": "work", "spec": {}});
        let none = document(json!([step]));
        let one = document(json!([gate("lead", 1), step]));
        let two = document(json!([step, gate("lead", 1), {"kind": "Workflow", "ref": "inner", "spec":
            {"type": "parallel", "steps": [gate("board", 2)]}}]));
        assert_eq!(gate_missing(&none, &one), None, "it asks for more than it has to");
        assert_eq!(gate_missing(&one, &none).as_deref(), Some("lead"));
        assert_eq!(gate_missing(&two, &one).as_deref(), Some("board"));
        assert_eq!(gate_missing(&one, &two), None);
        let renamed = document(json!([gate("team-lead", 1)]));
        assert_eq!(gate_missing(&one, &renamed), None, "what it is called does not matter");
        let twice = document(json!([gate("lead", 1), gate("other", 1)]));
        assert_eq!(gate_missing(&twice, &one).as_deref(), Some("other"), "two people have to approve");
    }
}
