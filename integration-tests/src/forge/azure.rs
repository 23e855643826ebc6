//! Azure DevOps: learn.microsoft.com/rest/api/azure/devops/git, statuses and pull request threads, version 7.1.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Asked, COMMIT, CommentRow, Held, PULL, Reply, TOKEN};

fn message(status: u16, text: &str) -> Reply {
    Reply::new(
        status,
        json!({ "$id": "1", "innerException": null, "message": text, "typeKey": "GitException" }),
    )
}

/// A thread with its first comment, and somebody's answer.
fn shown(row: &CommentRow) -> Value {
    let first = json!({ "id": 1, "parentCommentId": 0, "content": row.text, "commentType": "text", "isDeleted": false });
    let second = json!({ "id": 2, "parentCommentId": 1, "content": "Thanks.", "commentType": "text", "isDeleted": false });
    json!({ "id": row.id, "status": "closed", "isDeleted": false, "comments": [first, second] })
}

pub(super) fn answer(held: &mut Held, asked: &Asked) -> Reply {
    if asked.header("authorization") != format!("Basic {}", STANDARD.encode(format!(":{TOKEN}"))) {
        return message(401, "TF400813: The user '' is not authorized to access this resource.");
    }
    if asked.query.get("api-version").is_none_or(|version| version != "7.1") {
        return message(400, "No api-version was supplied for the request.");
    }
    let (method, path) = asked.line();
    if path.len() < 6 || path[..6] != ["acme", "shop front", "_apis", "git", "repositories", "api"] {
        return message(404, "TF401019: The Git repository with name or identifier api does not exist.");
    }
    match (method, &path[6..]) {
        ("POST", ["commits", commit, "statuses"]) => status(held, asked, commit),
        (_, ["pullRequests", number, ..]) if *number != PULL.to_string() => {
            message(404, &format!("TF401180: The requested pull request was not found: {number}"))
        }
        ("GET", ["pullRequests", _, "threads"]) => {
            let threads: Vec<Value> = held.comments.iter().map(shown).collect();
            Reply::new(200, json!({ "count": threads.len(), "value": threads }))
        }
        ("POST", ["pullRequests", _, "threads"]) => add(held, asked),
        ("PATCH", ["pullRequests", _, "threads", thread, "comments", "1"]) => {
            match asked.body["content"].as_str() {
                Some(text) if asked.unknown(&["content", "parentCommentId", "commentType"]).is_none() => {
                    let changed = held.change(thread, text);
                    changed.map_or_else(
                        || message(404, "no such thread"),
                        |row| Reply::new(200, shown(&row)["comments"][0].clone()),
                    )
                }
                _ => message(400, "The comment has no content or an unknown field."),
            }
        }
        _ => message(404, "The controller for path was not found or does not implement it."),
    }
}

fn status(held: &mut Held, asked: &Asked, commit: &str) -> Reply {
    if let Some(field) = asked.unknown(&["state", "description", "targetUrl", "context"]) {
        return message(400, &format!("unknown field {field}"));
    }
    let state = asked.text("state");
    if !["notSet", "pending", "succeeded", "failed", "error", "notApplicable", "partiallySucceeded"]
        .contains(&state)
    {
        return message(400, "VS403061: The state is not a GitStatusState.");
    }
    let name = asked.body["context"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        return message(400, "The context name is required.");
    }
    if commit != COMMIT {
        return message(
            404,
            &format!("TF401175: The version descriptor could not be resolved to a commit: {commit}"),
        );
    }
    let genre = asked.body["context"]["genre"].as_str().unwrap_or_default();
    let target = asked.body["targetUrl"].as_str();
    held.set(&format!("{genre}/{name}"), state, asked.text("description"), target);
    Reply::new(201, json!({ "id": held.statuses.len(), "state": state }))
}

fn add(held: &mut Held, asked: &Asked) -> Reply {
    if asked.unknown(&["comments", "status", "threadContext", "properties"]).is_some() {
        return message(400, "The thread has an unknown field.");
    }
    let status = ["active", "fixed", "wontFix", "closed", "byDesign", "pending"];
    let comment = &asked.body["comments"][0];
    let kind = ["text", "codeChange", "system"];
    let right = status.contains(&asked.text("status"))
        && comment["commentType"].as_str().is_some_and(|word| kind.contains(&word));
    match comment["content"].as_str() {
        Some(text) if right && !text.is_empty() => Reply::new(200, shown(&held.add(text))),
        _ => message(400, "The thread's status, or its comment's type or content, is wrong."),
    }
}
