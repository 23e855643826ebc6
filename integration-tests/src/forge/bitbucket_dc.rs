//! Bitbucket Data Center: developer.atlassian.com/server/bitbucket/rest, builds and deployments, pull requests.

use serde_json::{Value, json};

use super::{Asked, COMMIT, CommentRow, Held, PULL, Reply, TOKEN, is_web, page};

fn errors(status: u16, context: Option<&str>, text: &str) -> Reply {
    let error = json!({ "context": context, "message": text, "exceptionName": null });
    Reply::new(status, json!({ "errors": [error] }))
}

fn shown(row: &CommentRow) -> Value {
    json!({ "id": row.id, "version": row.version, "text": row.text, "state": "OPEN", "severity": "NORMAL" })
}

pub(super) fn answer(held: &mut Held, asked: &Asked) -> Reply {
    if asked.header("authorization") != format!("Bearer {TOKEN}") {
        return errors(401, None, "Authentication failed. Please check your credentials and try again.");
    }
    let (method, path) = asked.line();
    if path.len() < 4 || path[..4] != ["projects", "acme", "repos", "api"] {
        return errors(404, None, "Repository acme/api does not exist.");
    }
    match (method, &path[4..]) {
        ("POST", ["commits", commit, "builds"]) => status(held, asked, commit),
        (_, ["pull-requests", number, ..]) if *number != PULL.to_string() => {
            errors(404, None, &format!("No pull request exists with ID {number} for this repository."))
        }
        ("GET", ["pull-requests", _, "activities"]) => list(held, asked),
        ("POST", ["pull-requests", _, "comments"]) => {
            match text(asked, &["text", "parent", "anchor", "severity", "state"]) {
                Err(reply) => reply,
                Ok(text) => Reply::new(201, shown(&held.add(text))),
            }
        }
        ("PUT", ["pull-requests", _, "comments", id]) => {
            match text(asked, &["text", "version", "severity", "state"]) {
                Err(reply) => reply,
                Ok(text) => change(held, asked, id, text),
            }
        }
        _ => errors(404, None, "null for uri"),
    }
}

/// Who changes a comment says which version of it was read.
fn change(held: &mut Held, asked: &Asked, id: &str, text: &str) -> Reply {
    let Some(old) = held.comments.iter().find(|row| row.id.to_string() == id) else {
        return errors(404, None, &format!("The comment {id} does not exist."));
    };
    match asked.body["version"].as_u64() {
        None => errors(400, Some("version"), "The version of the comment is required."),
        Some(version) if version != old.version => {
            errors(409, None, "The comment has been updated since it was last retrieved.")
        }
        Some(_) => held
            .change(id, text)
            .map_or_else(|| errors(404, None, "gone"), |row| Reply::new(200, shown(&row))),
    }
}

fn status(held: &mut Held, asked: &Asked, commit: &str) -> Reply {
    let known = [
        "key",
        "state",
        "url",
        "buildNumber",
        "description",
        "duration",
        "lastUpdated",
        "name",
        "parent",
        "ref",
        "testResults",
    ];
    if let Some(field) = asked.unknown(&known) {
        return errors(400, Some(&field), "is not known");
    }
    let (key, state) = (asked.text("key"), asked.text("state"));
    if key.is_empty() || key.chars().count() > 255 {
        return errors(400, Some("key"), "The key must be between 1 and 255 characters.");
    }
    if !["SUCCESSFUL", "FAILED", "INPROGRESS"].contains(&state) {
        return errors(400, Some("state"), "A state of INPROGRESS, SUCCESSFUL or FAILED is required.");
    }
    if !is_web(asked.text("url")) {
        return errors(400, Some("url"), "The build URL must be a valid HTTP URL.");
    }
    for (field, longest) in [("name", 255), ("description", 255), ("url", 450)] {
        if asked.text(field).chars().count() > longest {
            return errors(400, Some(field), "is too long");
        }
    }
    if commit != COMMIT {
        return errors(404, None, &format!("Commit '{commit}' does not exist in repository 'api'."));
    }
    held.set(key, state, asked.text("description"), asked.body["url"].as_str());
    Reply::new(204, Value::Null)
}

/// Newest first: comments among whatever else happened.
fn list(held: &Held, asked: &Asked) -> Reply {
    let (count, start) = (asked.number("limit", 25).min(1000), asked.number("start", 0));
    let comment = |row: &CommentRow| json!({ "id": 1, "action": "COMMENTED", "commentAction": "ADDED", "comment": shown(row) });
    let mut all: Vec<Value> = held.comments.iter().rev().map(comment).collect();
    all.insert(0, json!({ "id": 2, "action": "RESCOPED" }));
    all.push(json!({ "id": 3, "action": "OPENED" }));
    let (rows, more) = page(&all, start, count);
    let next = if more { json!(start + count) } else { Value::Null };
    Reply::new(
        200,
        json!({ "size": rows.len(), "limit": count, "isLastPage": !more, "values": rows, "start": start, "nextPageStart": next }),
    )
}

fn text<'a>(asked: &'a Asked, known: &[&str]) -> Result<&'a str, Reply> {
    if let Some(field) = asked.unknown(known) {
        return Err(errors(400, Some(&field), "is not known"));
    }
    match asked.body["text"].as_str() {
        None | Some("") => Err(errors(400, Some("text"), "The comment text must not be blank.")),
        Some(text) if text.chars().count() > 32_768 => {
            Err(errors(400, Some("text"), "Please enter a comment less than 32768 characters."))
        }
        Some(text) => Ok(text),
    }
}
