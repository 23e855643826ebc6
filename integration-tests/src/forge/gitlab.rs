//! GitLab: docs.gitlab.com/api/commits (set the pipeline status of a commit) and /api/notes, as versions before 18.3
//! answer: a state that a status has already is refused.

use serde_json::{Value, json};

use super::{Asked, COMMIT, CommentRow, Held, PULL, Reply, TOKEN, is_web, page};

fn message(status: u16, text: &str) -> Reply {
    Reply::new(status, json!({ "message": text }))
}

fn invalid(field: &str, text: &str) -> Reply {
    Reply::new(400, json!({ "message": { field: [text] } }))
}

fn shown(row: &CommentRow) -> Value {
    json!({ "id": row.id, "body": row.text, "author": { "username": "shipway-bot" }, "system": false, "noteable_iid": PULL, "noteable_type": "MergeRequest" })
}

pub(super) fn answer(held: &mut Held, asked: &Asked) -> Reply {
    let known =
        asked.header("private-token") == TOKEN || asked.header("authorization") == format!("Bearer {TOKEN}");
    if !known {
        return message(401, "401 Unauthorized");
    }
    let (method, path) = asked.line();
    // The path of a project is one step.
    if path.len() < 2 || path[..2] != ["projects", "acme/tools/api"] {
        return message(404, "404 Project Not Found");
    }
    match (method, &path[2..]) {
        ("POST", ["statuses", commit]) => status(held, asked, commit),
        ("GET" | "POST" | "PUT", ["merge_requests", number, "notes", ..]) if *number != PULL.to_string() => {
            message(404, "404 Not found")
        }
        ("GET", ["merge_requests", _, "notes"]) => list(held, asked),
        ("POST", ["merge_requests", _, "notes"]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => Reply::new(201, shown(&held.add(text))),
        },
        ("PUT", ["merge_requests", _, "notes", id]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => {
                let changed = held.change(id, text);
                changed.map_or_else(|| message(404, "404 Note Not Found"), |row| Reply::new(200, shown(&row)))
            }
        },
        _ => Reply::new(404, json!({ "error": "404 Not Found" })),
    }
}

fn status(held: &mut Held, asked: &Asked, commit: &str) -> Reply {
    let known = ["state", "ref", "name", "context", "target_url", "description", "coverage", "pipeline_id"];
    if let Some(field) = asked.unknown(&known) {
        return Reply::new(400, json!({ "error": format!("{field} is invalid") }));
    }
    let state = asked.text("state");
    if !["pending", "running", "success", "failed", "canceled", "skipped"].contains(&state) {
        return Reply::new(400, json!({ "error": "state does not have a valid value" }));
    }
    if commit != COMMIT {
        return message(404, "404 Commit Not Found");
    }
    let (name, description) = (asked.text("name"), asked.text("description"));
    if name.chars().count() > 255 {
        return invalid("name", "is too long (maximum is 255 characters)");
    }
    if description.chars().count() > 255 {
        return invalid("description", "is too long (maximum is 255 characters)");
    }
    let target = asked.body["target_url"].as_str();
    if target.is_some_and(|target| !is_web(target)) {
        return invalid("target_url", "is blocked: Only allowed schemes are http, https");
    }
    if target.is_some_and(|target| target.len() > 255) {
        return invalid("target_url", "is too long (maximum is 255 characters)");
    }
    // One that is over makes room for a new one; one that goes on is changed, and not to what it is.
    let going = held.statuses.iter().rev().find(|row| row.context == name);
    if going.is_some_and(|row| row.state == state && matches!(state, "pending" | "running")) {
        let verb = if state == "running" { "run" } else { "enqueue" };
        let text = format!(
            "Cannot transition status via :{verb} from :{state} (Reason(s): Status cannot transition via \"{verb}\")"
        );
        return message(400, &text);
    }
    held.set(name, state, description, target);
    Reply::new(201, json!({ "id": held.statuses.len(), "sha": commit, "status": state, "name": name }))
}

fn list(held: &Held, asked: &Asked) -> Reply {
    let (count, number) = (asked.number("per_page", 20).min(100), asked.number("page", 1));
    let mut rows = held.comments.clone();
    if asked.query.get("sort").is_none_or(|sort| sort == "desc") {
        rows.reverse();
    }
    let (rows, more) = page(&rows, (number - 1) * count, count);
    let next = if more { (number + 1).to_string() } else { String::new() };
    Reply::new(200, rows.iter().map(shown).collect()).with("x-next-page", next).with("x-page", number)
}

fn body(asked: &Asked) -> Result<&str, Reply> {
    if let Some(field) = asked.unknown(&["body", "created_at", "internal"]) {
        return Err(Reply::new(400, json!({ "error": format!("{field} is invalid") })));
    }
    match asked.body["body"].as_str() {
        None => Err(Reply::new(400, json!({ "error": "body is missing" }))),
        Some("") => Err(message(400, "400 Bad request - Note {:note=>[\"can't be blank\"]}")),
        Some(text) if text.chars().count() > 1_000_000 => Err(message(
            400,
            "400 Bad request - Note {:note=>[\"is too long (maximum is 1000000 characters)\"]}",
        )),
        Some(text) => Ok(text),
    }
}
