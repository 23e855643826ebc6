//! What `-o json` prints: the messages of the contracts with lowerCamelCase names. Fields that hold JSON as
//! text appear as that JSON, under the name without `Json`. Names stay.

use serde_json::{Value, json};
use shipway_contracts::v1::{
    Artifact, Change, Delivery, Deployed, Event, GivenApproval, HeldCommit, Hook, MoveAddonReply, Node,
    NodeApproval, Pipeline, Problem, Project, Rollback, RuleVerdict, Run, change, problem,
};

pub(crate) fn run(run: &Run) -> Value {
    json!({
        "id": run.id,
        "path": run.path,
        "project": run.project,
        "flow": run.flow,
        "flowVersion": run.flow_version,
        "name": run.name,
        "description": run.description,
        "status": run.status,
        "concluded": run.concluded,
        "origin": run.origin,
        "createdAt": run.created_at,
        "endedAt": run.ended_at,
        "reason": run.reason,
        "nodes": run.nodes.iter().map(node).collect::<Vec<_>>(),
        "position": run.position,
        "triggers": nested(&run.triggers_json),
        "fields": nested(&run.fields_json),
        "releases": nested(&run.releases_json),
        "again": run.again,
        "plan": run.plan,
        "parent": run.parent,
        "author": run.author,
        "applied": run.applied,
        "branch": run.branch,
        "commit": run.commit,
        "resumes": run.resumes,
        "resumedFrom": run.resumed_from,
        "kind": run.kind,
        "rollback": rollback(run.rollback.as_ref()),
        "rollbacks": run.rollbacks.iter().map(|made| json!({
            "run": made.run, "at": made.at, "undid": made.undid,
        })).collect::<Vec<_>>(),
    })
}

pub(crate) fn rollback(rollback: Option<&Rollback>) -> Value {
    rollback.map_or(Value::Null, |rollback| {
        json!({
            "of": rollback.of,
            "to": rollback.to,
            "at": rollback.at,
            "flowVersion": rollback.flow_version,
        })
    })
}

pub(crate) fn node(node: &Node) -> Value {
    json!({
        "index": node.index,
        "ref": node.r#ref,
        "kind": node.kind,
        "parent": node.parent,
        "status": node.status,
        "startedAt": node.started_at,
        "endedAt": node.ended_at,
        "errorCode": node.error_code,
        "errorMessage": node.error_message,
        "attempt": node.attempt,
        "maxAttempts": node.max_attempts,
        "nextAttemptAt": node.next_attempt_at,
        "outputs": nested(&node.outputs_json),
        "later": node.later,
        "waitingFor": node.waiting_for,
        "summary": node.summary,
        "kept": node.kept,
        "approval": node.approval.as_ref().map(approval),
    })
}

fn approval(asked: &NodeApproval) -> Value {
    let given =
        |one: &GivenApproval| json!({"by": one.by, "at": one.at, "reason": one.reason, "plan": one.plan});
    json!({
        "amount": asked.amount,
        "missing": asked.missing,
        "approvers": asked.approvers,
        "excludeAuthor": asked.exclude_author,
        "given": asked.given.iter().map(given).collect::<Vec<_>>(),
        "until": asked.until,
        "may": asked.may,
    })
}

pub(crate) fn change(change: &Change) -> Value {
    json!({
        "verb": verb(change),
        "kind": change.kind,
        "id": change.id,
        "note": change.note,
    })
}

/// A change's verb as a word.
pub(crate) fn verb(change: &Change) -> &'static str {
    match change.verb() {
        change::Verb::Create => "create",
        change::Verb::Update => "update",
        change::Verb::Unchanged => "unchanged",
        change::Verb::Remove => "remove",
        change::Verb::Unspecified => "unspecified",
    }
}

pub(crate) fn problem(problem: &Problem) -> Value {
    json!({
        "severity": severity(problem),
        "code": problem.code,
        "pointer": problem.pointer,
        "message": problem.message,
        "help": problem.help,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
    })
}

/// A problem's severity as a word.
pub(crate) fn severity(problem: &Problem) -> &'static str {
    match problem.severity() {
        problem::Severity::Warning => "warning",
        problem::Severity::Unsupported => "unsupported",
        problem::Severity::Error | problem::Severity::Unspecified => "error",
    }
}

pub(crate) fn hook(hook: &Hook, server: &str) -> Value {
    json!({
        "id": hook.id,
        "kind": hook.kind,
        "of": hook.of,
        "path": hook.path,
        "url": format!("{server}{}", hook.path),
        "secret": hook.secret,
        "secrets": hook.secrets,
        "addresses": hook.addresses.iter().map(|address| json!({
            "sender": address.sender,
            "url": format!("{server}{}", address.path),
        })).collect::<Vec<_>>(),
    })
}

pub(crate) fn artifact(artifact: Option<&Artifact>) -> Value {
    artifact.map_or(Value::Null, |artifact| {
        json!({
            "digest": artifact.digest,
            "build": artifact.build,
            "service": artifact.service,
            "commit": artifact.commit,
            "branch": artifact.branch,
        })
    })
}

pub(crate) fn deployed(deployed: &Deployed) -> Value {
    json!({
        "project": deployed.project,
        "stage": deployed.stage,
        "id": deployed.id,
        "resource": deployed.resource,
        "kind": deployed.kind,
        "artifact": artifact(deployed.artifact.as_ref()),
        "run": deployed.run,
        "releasedAt": deployed.released_at,
        "executor": deployed.executor,
        "placedSince": deployed.placed_since,
        "host": deployed.host,
        "hostAwaySince": deployed.lost_since,
        "help": deployed.help,
        "status": deployed.status,
        "addresses": deployed.addresses,
    })
}

pub(crate) fn addon_move(reply: &MoveAddonReply) -> Value {
    json!({
        "run": reply.run,
        "from": reply.from,
        "fromHost": reply.from_host,
        "to": reply.to,
        "toHost": reply.to_host,
        "backup": reply.backup,
        "backupBeganAt": reply.backup_began_at,
        "lostSince": reply.lost_since,
        "position": reply.position,
    })
}

pub(crate) fn project(project: &Project) -> Value {
    json!({
        "id": project.id,
        "slug": project.slug,
        "name": project.name,
        "description": project.description,
    })
}

pub(crate) fn pipeline(pipeline: &Pipeline) -> Value {
    let stages: Vec<_> = pipeline
        .stages
        .iter()
        .map(|stage| {
            let members: Vec<_> = stage
                .members
                .iter()
                .map(|member| {
                    json!({
                        "slug": member.slug,
                        "kind": member.kind,
                        "follows": member.follows,
                        "stoppedFollowing": member.stopped_following,
                    })
                })
                .collect();
            json!({
                "name": stage.name,
                "flow": stage.flow,
                "flowVersion": stage.flow_version,
                "members": members,
            })
        })
        .collect();
    json!({
        "id": pipeline.id,
        "slug": pipeline.slug,
        "name": pipeline.name,
        "project": pipeline.project,
        "stages": stages,
    })
}

pub(crate) fn event(event: &Event) -> Value {
    json!({
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "type": event.r#type,
        "schema": event.schema,
        "at": event.at,
        "command": event.command,
        "data": nested(&event.data_json),
        "meta": nested(&event.meta_json),
    })
}

pub(crate) fn delivery(delivery: &Delivery) -> Value {
    let verdicts: Vec<_> = delivery
        .verdicts
        .iter()
        .map(|verdict| {
            json!({
                "flow": verdict.flow,
                "path": verdict.path,
                "trigger": verdict.trigger,
                "matched": verdict.matched,
                "reason": verdict.reason,
                "run": verdict.run,
                "rules": verdict.rules.iter().map(rule).collect::<Vec<_>>(),
                "held": verdict.held.as_ref().map(held),
            })
        })
        .collect();
    let waiting = delivery.waiting.as_ref().map(|waiting| {
        json!({
            "since": waiting.since,
            "tries": waiting.tries,
            "nextTry": waiting.next_try,
            "lastError": waiting.last_error,
        })
    });
    json!({
        "id": delivery.id,
        "hook": delivery.hook,
        "receivedAt": delivery.received_at,
        "state": delivery.state,
        "summary": delivery.summary,
        "verdicts": verdicts,
        "original": delivery.original,
        "replayOf": delivery.replay_of,
        "of": delivery.of,
        "waiting": waiting,
    })
}

fn rule(rule: &RuleVerdict) -> Value {
    json!({"rule": rule.rule, "outcome": rule.outcome, "words": rule.words})
}

fn held(held: &HeldCommit) -> Value {
    json!({
        "pullRequest": held.pull_request,
        "head": held.head,
        "approvedBy": held.approved_by,
        "withSecrets": held.with_secrets,
    })
}

fn nested(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_text_appears_as_json() {
        let shown = event(&Event {
            position: 7,
            r#type: "run.ended".to_owned(),
            data_json: r#"{"status":"success"}"#.to_owned(),
            ..Event::default()
        });
        assert_eq!(shown["data"]["status"], "success");
        assert_eq!(shown["meta"], Value::Null);
        assert_eq!(shown["position"], 7);
    }
}
