//! Bitbucket Cloud: developer.atlassian.com/cloud/bitbucket/rest, commit statuses and pull requests.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Asked, COMMIT, CommentRow, Held, LOGIN, PULL, Reply, TOKEN, is_web, page};

fn message(status: u16, text: &str) -> Reply {
    Reply::new(status, json!({ "type": "error", "error": { "message": text } }))
}

fn invalid(field: &str, text: &str) -> Reply {
    Reply::new(
        400,
        json!({ "type": "error", "error": { "message": "Bad request", "fields": { field: [text] } } }),
    )
}

fn shown(row: &CommentRow) -> Value {
    json!({ "type": "pullrequest_comment", "id": row.id, "content": { "type": "rendered", "raw": row.text, "markup": "markdown" }, "deleted": false })
}

pub(super) fn answer(held: &mut Held, asked: &Asked) -> Reply {
    let login = STANDARD.encode(format!("{LOGIN}:{TOKEN}"));
    let authorization = asked.header("authorization");
    if ![format!("Bearer {TOKEN}"), format!("Basic {login}")].contains(&authorization.to_owned()) {
        return message(401, "Token is invalid, expired, or not supported for this endpoint.");
    }
    let (method, path) = asked.line();
    if path.len() < 3 || path[..3] != ["repositories", "acme", "api"] {
        return message(404, "Repository acme/api not found");
    }
    match (method, &path[3..]) {
        ("POST", ["commit", commit, "statuses", "build"]) => status(held, asked, commit),
        ("GET" | "POST" | "PUT", ["pullrequests", number, "comments", ..]) if *number != PULL.to_string() => {
            message(404, "There is no pull request with this id")
        }
        ("GET", ["pullrequests", _, "comments"]) => list(held, asked),
        ("POST", ["pullrequests", _, "comments"]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => Reply::new(201, shown(&held.add(text))),
        },
        ("PUT", ["pullrequests", _, "comments", id]) => match body(asked) {
            Err(reply) => reply,
            Ok(text) => match held.change(id, text) {
                Some(row) => Reply::new(200, shown(&row)),
                None => message(404, "Comment not found"),
            },
        },
        _ => message(404, "Resource not found"),
    }
}

fn status(held: &mut Held, asked: &Asked, commit: &str) -> Reply {
    let known = ["key", "state", "name", "url", "description", "refname", "uuid", "type"];
    if let Some(field) = asked.unknown(&known) {
        return invalid(&field, "extra keys not allowed");
    }
    let (key, state) = (asked.text("key"), asked.text("state"));
    if key.is_empty() || key.chars().count() > 40 {
        return invalid("key", "Ensure this value has between 1 and 40 characters.");
    }
    if !["SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED"].contains(&state) {
        return invalid("state", "is not one of SUCCESSFUL, FAILED, INPROGRESS, STOPPED");
    }
    if !is_web(asked.text("url")) {
        return invalid("url", "required key not provided, or no URL");
    }
    if asked.text("name").chars().count() > 255 {
        return invalid("name", "Ensure this value has at most 255 characters.");
    }
    if asked.text("description").chars().count() > 255 {
        return invalid("description", "Ensure this value has at most 255 characters.");
    }
    if commit != COMMIT {
        return message(404, &format!("Commit not found: {commit}"));
    }
    held.set(key, state, asked.text("description"), asked.body["url"].as_str());
    Reply::new(201, json!({ "type": "build", "key": key, "state": state }))
}

fn list(held: &Held, asked: &Asked) -> Reply {
    let (count, number) = (asked.number("pagelen", 10), asked.number("page", 1));
    if count > 100 {
        return message(400, "Invalid pagelen");
    }
    let mut rows = held.comments.clone();
    if asked.query.get("sort").is_some_and(|sort| sort == "-created_on") {
        rows.reverse();
    }
    let (rows, more) = page(&rows, (number - 1) * count, count);
    let mut body = json!({ "size": held.comments.len(), "page": number, "pagelen": count, "values": rows.iter().map(shown).collect::<Value>() });
    if more {
        body["next"] = json!(format!(
            "https://api.bitbucket.org/2.0/repositories/acme/api/pullrequests/7/comments?page={}",
            number + 1
        ));
    }
    Reply::new(200, body)
}

fn body(asked: &Asked) -> Result<&str, Reply> {
    if let Some(field) = asked.unknown(&["content", "parent", "inline", "pending", "resolution"]) {
        return Err(invalid(&field, "extra keys not allowed"));
    }
    match asked.body.pointer("/content/raw").and_then(Value::as_str) {
        None | Some("") => Err(invalid("content", "required key not provided")),
        Some(text) if text.chars().count() > 32_768 => Err(invalid("content", "is too long")),
        Some(text) => Ok(text),
    }
}
