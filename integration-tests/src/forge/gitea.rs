//! Gitea and Forgejo: `repoCreateStatus`, `issueGetComments`, `issueCreateComment` and `issueEditComment` of their
//! OpenAPI description.

use serde_json::{Value, json};

use super::{Asked, COMMIT, CommentRow, Held, PULL, Reply, TOKEN};

fn message(status: u16, text: &str) -> Reply {
    Reply::new(status, json!({ "message": text, "url": "https://gitea.example.org/api/swagger" }))
}

fn shown(row: &CommentRow) -> Value {
    json!({ "id": row.id, "body": row.text, "user": { "login": "shipway-bot" } })
}

pub(super) fn answer(held: &mut Held, asked: &Asked) -> Reply {
    let authorization = asked.header("authorization");
    if ![format!("token {TOKEN}"), format!("Bearer {TOKEN}")].contains(&authorization.to_owned()) {
        return message(401, "user does not exist [uid: 0, name: ]");
    }
    let (method, path) = asked.line();
    if path.len() < 3 || path[..3] != ["repos", "acme", "api"] {
        return message(404, "The target couldn't be found.");
    }
    match (method, &path[3..]) {
        ("POST", ["statuses", commit]) => status(held, asked, commit),
        ("GET" | "POST", ["issues", number, "comments"]) if *number != PULL.to_string() => {
            message(404, "The target couldn't be found.")
        }
        // All of them, oldest first: this list has no pages.
        ("GET", ["issues", _, "comments"]) => Reply::new(200, held.comments.iter().map(shown).collect()),
        ("POST", ["issues", _, "comments"]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => Reply::new(201, shown(&held.add(text))),
        },
        ("PATCH", ["issues", "comments", id]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => match held.change(id, text) {
                Some(row) => Reply::new(200, shown(&row)),
                None => message(404, "The target couldn't be found."),
            },
        },
        _ => message(404, "The target couldn't be found."),
    }
}

fn status(held: &mut Held, asked: &Asked, commit: &str) -> Reply {
    if let Some(field) = asked.unknown(&["state", "target_url", "description", "context"]) {
        return message(422, &format!("[{field}]: unknown field"));
    }
    let state = asked.text("state");
    if !["pending", "success", "error", "failure", "warning"].contains(&state) {
        return message(422, "[State]: invalid commit status");
    }
    if commit != COMMIT {
        return message(404, &format!("object does not exist [id: {commit}, rel_path: ]"));
    }
    let description = asked.text("description");
    if description.chars().count() > 255 {
        return message(422, "[Description]: MaxSize");
    }
    let target = asked.body["target_url"].as_str();
    held.set(asked.text("context"), state, description, target);
    Reply::new(201, json!({ "id": held.statuses.len(), "status": state, "context": asked.text("context") }))
}

fn body(asked: &Asked) -> Result<&str, Reply> {
    if let Some(field) = asked.unknown(&["body", "updated_at"]) {
        return Err(message(422, &format!("[{field}]: unknown field")));
    }
    asked.body["body"]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| message(422, "[Body]: Required"))
}
