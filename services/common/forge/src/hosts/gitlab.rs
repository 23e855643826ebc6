//! GitLab: `POST /projects/{path}/statuses/{sha}`, and notes of merge requests.

use reqwest::Method;
use serde_json::json;

use super::{ADD, CHANGE, Host, LONGEST, LOOK, PAGE, Page, STATUS, bearer, listed, plain, short};
use crate::{Account, Answer, Comment, ForgeError, Pull, RepositoryAddress, Request, State, Status};

pub(super) struct GitLab;

/// The most characters of a status' address.
const LONGEST_TARGET: usize = 255;

const fn word(state: State) -> &'static str {
    match state {
        State::Pending => "running",
        State::Success => "success",
        State::Failure => "failed",
        // Older versions refuse `skipped`, and a project may let it pass.
        State::Aborted | State::Skipped => "canceled",
    }
}

/// A merge request's notes.
fn notes(at: &RepositoryAddress, pull: Pull) -> [String; 5] {
    ["projects".to_owned(), at.full(), "merge_requests".to_owned(), pull.0.to_string(), "notes".to_owned()]
}

impl Host for GitLab {
    fn api(&self, host: &str) -> String {
        format!("https://{host}/api/v4")
    }

    fn headers(&self, account: &Account) -> Vec<(&'static str, String)> {
        // Personal, project, group and OAuth tokens alike.
        vec![("authorization", bearer(account)), ("accept", "application/json".to_owned())]
    }

    fn rights(&self) -> &'static str {
        "the scope `api` and at least the role Developer in the project"
    }

    fn status(&self, at: &RepositoryAddress, commit: &str, status: &Status) -> Result<Request, ForgeError> {
        let (name, description) = short(status, LONGEST);
        let mut body = json!({ "state": word(status.state), "name": name, "description": description });
        if let Some(target) = status.target.as_ref().filter(|target| target.len() <= LONGEST_TARGET) {
            body["target_url"] = json!(target);
        }
        Ok(Request::new(STATUS, Method::POST, &["projects", &at.full(), "statuses", commit]).saying(body))
    }

    /// Versions before 18.3 refuse a state that the status has already.
    fn was_set(&self, answer: &Answer, status: &Status) -> bool {
        let body = answer.json();
        let words = body["message"].as_str().unwrap_or_default();
        answer.status == 400
            && words.starts_with("Cannot transition status")
            && words.contains(&format!("from :{} ", word(status.state)))
    }

    fn comments(&self, at: &RepositoryAddress, pull: Pull, page: Option<u64>) -> Result<Request, ForgeError> {
        let path = notes(at, pull);
        let request = Request::new(LOOK, Method::GET, &path.each_ref().map(String::as_str));
        let request = request.with("order_by", "created_at").with("sort", "desc");
        Ok(request.with("per_page", PAGE).with("page", page.unwrap_or(1)))
    }

    fn read_comments(&self, answer: &Answer, _page: Option<u64>) -> Page {
        let next = answer.header("x-next-page").and_then(|next| next.trim().parse().ok());
        Page { comments: listed(&answer.json(), |item| plain(item, "/body")), next }
    }

    fn add(&self, at: &RepositoryAddress, pull: Pull, text: &str) -> Result<Request, ForgeError> {
        let path = notes(at, pull);
        let request = Request::new(ADD, Method::POST, &path.each_ref().map(String::as_str));
        Ok(request.saying(json!({ "body": text })))
    }

    fn change(
        &self,
        at: &RepositoryAddress,
        pull: Pull,
        old: &Comment,
        text: &str,
    ) -> Result<Request, ForgeError> {
        let path = notes(at, pull);
        let mut request = Request::new(CHANGE, Method::PUT, &path.each_ref().map(String::as_str));
        request.path.push(old.id.clone());
        Ok(request.saying(json!({ "body": text })))
    }

    fn longest(&self) -> usize {
        1_000_000
    }
}
