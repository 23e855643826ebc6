//! GitHub: docs.github.com/rest/commits/statuses and /rest/issues/comments.

use serde_json::{Value, json};

use super::{Asked, COMMIT, CommentRow, Held, PULL, Reply, TOKEN, is_web, page};

const REPOSITORY: [&str; 3] = ["repos", "acme", "api"];

fn message(status: u16, text: &str) -> Reply {
    Reply::new(
        status,
        json!({ "message": text, "documentation_url": "https://docs.github.com/rest", "status": status.to_string() }),
    )
}

fn invalid(resource: &str, field: &str, text: &str) -> Reply {
    let error = json!({ "resource": resource, "code": "custom", "field": field, "message": text });
    Reply::new(
        422,
        json!({ "message": "Validation Failed", "errors": [error], "documentation_url": "https://docs.github.com/rest", "status": "422" }),
    )
}

fn shown(row: &CommentRow) -> Value {
    json!({ "id": row.id, "node_id": "IC_1", "body": row.text, "user": { "login": "shipway-bot" }, "author_association": "MEMBER" })
}

pub(super) fn answer(held: &mut Held, asked: &Asked) -> Reply {
    if asked.header("user-agent").is_empty() {
        return message(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    let authorization = asked.header("authorization");
    if ![format!("Bearer {TOKEN}"), format!("token {TOKEN}")].contains(&authorization.to_owned()) {
        return message(401, "Bad credentials");
    }
    if !matches!(asked.header("x-github-api-version"), "" | "2022-11-28") {
        return message(400, "The API version is not supported");
    }
    let (method, path) = asked.line();
    if path.len() < 3 || path[..3] != REPOSITORY {
        return message(404, "Not Found");
    }
    match (method, &path[3..]) {
        ("POST", ["statuses", commit]) => status(held, asked, commit),
        ("GET" | "POST", ["issues", number, "comments"]) if *number != PULL.to_string() => {
            message(404, "Not Found")
        }
        ("GET", ["issues", _, "comments"]) => list(held, asked),
        ("POST", ["issues", _, "comments"]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => Reply::new(201, shown(&held.add(text))),
        },
        ("PATCH", ["issues", "comments", id]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => held
                .change(id, text)
                .map_or_else(|| message(404, "Not Found"), |row| Reply::new(200, shown(&row))),
        },
        _ => message(404, "Not Found"),
    }
}

fn status(held: &mut Held, asked: &Asked, commit: &str) -> Reply {
    if let Some(field) = asked.unknown(&["state", "target_url", "description", "context"]) {
        return message(422, &format!("Invalid request.\n\n\"{field}\" is not a permitted key."));
    }
    let state = asked.text("state");
    if !["error", "failure", "pending", "success"].contains(&state) {
        return invalid("Status", "state", "state is not included in the list");
    }
    let description = asked.text("description");
    if description.chars().count() > 140 {
        return invalid("Status", "description", "description is too long (maximum is 140 characters)");
    }
    let target = asked.body["target_url"].as_str();
    if target.is_some_and(|target| !is_web(target)) {
        return invalid("Status", "target_url", "target_url must use http(s) scheme");
    }
    let context = asked.body["context"].as_str().unwrap_or("default");
    if context.chars().count() > 255 {
        return invalid("Status", "context", "context is too long (maximum is 255 characters)");
    }
    if commit != COMMIT {
        return message(422, &format!("No commit found for SHA: {commit}"));
    }
    held.set(context, state, description, target);
    Reply::new(
        201,
        json!({ "id": held.statuses.len(), "state": state, "context": context, "description": description, "target_url": target }),
    )
}

fn list(held: &Held, asked: &Asked) -> Reply {
    // Oldest first, at most a hundred at once, and a link while there are more.
    let (count, number) = (asked.number("per_page", 30).min(100), asked.number("page", 1));
    let (rows, more) = page(&held.comments, (number - 1) * count, count);
    let reply = Reply::new(200, rows.iter().map(shown).collect());
    if !more {
        return reply;
    }
    let next = format!(
        "<https://api.github.com/repositories/1/issues/7/comments?per_page={count}&page={}>; rel=\"next\"",
        number + 1
    );
    reply.with("link", next)
}

fn body(asked: &Asked) -> Result<&str, Reply> {
    if let Some(field) = asked.unknown(&["body"]) {
        return Err(message(422, &format!("Invalid request.\n\n\"{field}\" is not a permitted key.")));
    }
    match asked.body["body"].as_str() {
        None => Err(message(422, "Invalid request.\n\n\"body\" wasn't supplied.")),
        Some("") => Err(invalid("IssueComment", "body", "body can't be blank")),
        Some(text) if text.chars().count() > 65_536 => {
            Err(invalid("IssueComment", "body", "body is too long (maximum is 65536 characters)"))
        }
        Some(text) => Ok(text),
    }
}
