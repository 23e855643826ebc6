//! Resuming a run that has ended: by a run of its own that keeps what need not be done again.

use std::collections::HashMap;

use serde_json::Value;
use shipway_contracts::{
    Code, Error, id,
    v1::{ResumeRunReply, ResumeRunRequest, SetField, StaleNode, runs_client::RunsClient},
};
use shipway_engine::{CannotResume, RunState, Wish, branch};
use shipway_events::{
    Meta, RunId,
    run::{Origin, Resumed, Started},
};
use tonic::metadata::MetadataMap;

use crate::{
    cluster::{is_passed_on, passed_on, shards::Shard},
    service::Shared,
    start::from_status,
};

impl Shared {
    /// Starts the branch of a run, or says what it would run again.
    pub(crate) async fn resume(
        &self,
        request: ResumeRunRequest,
        meta: Meta,
        metadata: &MetadataMap,
    ) -> Result<ResumeRunReply, Error> {
        let run: RunId = id("command", &request.command)?;
        let of = self.find_run(&request.run).await?;
        let state = self.book.look(of).await?;
        let flow = state.started().map(|started| started.flow).ok_or_else(|| gone(of))?;
        if let Some(peer) = self.cluster.route(Shard::of(flow, run), is_passed_on(metadata)).await? {
            let message = ResumeRunRequest { run: of.to_string(), ..request };
            let there = RunsClient::new(peer.channel).resume_run(passed_on(metadata, message)).await;
            return Ok(there.map_err(from_status)?.into_inner());
        }
        let dry_run = request.dry_run;
        if let (false, Ok(before)) = (dry_run, self.book.look(run).await) {
            // The same command came again.
            let resumed =
                before.resumed().ok_or_else(|| Error::bad_request("field `command`: it is a run's id"))?;
            let kept = u32::try_from(resumed.kept.len()).unwrap_or(u32::MAX);
            return Ok(ResumeRunReply {
                run: Some(self.show(run).await?),
                kept,
                ..ResumeRunReply::default()
            });
        }
        let wish = wish(request)?;
        let (mut started, resumed) = branch(&state, &wish, run).map_err(cannot)?;
        started.author = Some(meta.actor.clone());
        started.origin = Origin::Manual;
        started.description = if wish.reason.is_empty() { in_words(of, &resumed) } else { wish.reason };
        let mut reply = stale(&state, &started, &resumed);
        if !dry_run {
            self.book.resume(started, resumed, meta).await?;
            reply.run = Some(self.show(run).await?);
        }
        Ok(reply)
    }
}

fn wish(request: ResumeRunRequest) -> Result<Wish, Error> {
    let set = request.set.into_iter().map(|SetField { node, field, value_json }| {
        let value: Value = serde_json::from_str(&value_json)
            .map_err(|error| Error::bad_request(format!("field `set`: the value for `{node}`: {error}")))?;
        Ok((node, field, value))
    });
    let skip: HashMap<String, String> = request.skip;
    if let Some((node, _)) = skip.iter().find(|(_, reason)| reason.trim().is_empty()) {
        return Err(Error::bad_request(format!("field `skip`: say why `{node}` is passed over")));
    }
    Ok(Wish {
        from: request.from,
        skip: skip.into_iter().collect(),
        set: set.collect::<Result<_, Error>>()?,
        reason: request.reason,
    })
}

/// What is not kept: what it came to in the run that is resumed, and whether doing it again is safe.
fn stale(state: &RunState, started: &Started, resumed: &Resumed) -> ResumeRunReply {
    let plan = started.plan.hash(started.plan.nodes.len());
    let mut reply =
        ResumeRunReply { other_plan: plan != state.plan_hash(), plan, ..ResumeRunReply::default() };
    for (n, node) in (0..).zip(state.nodes()) {
        let name = state.name_of(n);
        if resumed.kept.contains_key(&name) {
            reply.kept += 1;
        } else if let (true, Some(plan)) = (state.steps(n).is_empty(), state.plan_node(n)) {
            let effect = state.effect_of(n).map(|effect| effect.to_string());
            reply.stale.push(StaleNode {
                r#ref: name,
                kind: plan.kind.clone(),
                was: node.status.to_string(),
                effect: effect.unwrap_or_default(),
            });
        }
    }
    reply
}

fn in_words(of: RunId, resumed: &Resumed) -> String {
    let mut from = resumed.from.clone();
    let more = from.len().saturating_sub(3);
    from.truncate(3);
    let from = from.join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let at = if from.is_empty() { String::new() } else { format!(", from {from}{more}") };
    // As much as a run's description may have.
    format!("resumes run {of}{at}").chars().take(200).collect()
}

fn cannot(why: CannotResume) -> Error {
    let code = match &why {
        CannotResume::GoesOn | CannotResume::NothingToRun | CannotResume::Unknown(_) => {
            Code::FailedPrecondition
        }
        CannotResume::NoSuchNode(_) => Code::NotFound,
        CannotResume::Keeps(_) | CannotResume::NoSuchField { .. } | CannotResume::Gate(_) => Code::BadRequest,
    };
    Error::new(code, why.to_string())
}

fn gone(run: RunId) -> Error {
    Error::not_found(format!("there is no run {run}"))
}
