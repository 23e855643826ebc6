//! GitHub: `POST /repos/{owner}/{repo}/statuses/{sha}`, and comments of issues, which a pull request is too.

use reqwest::Method;
use serde_json::json;

use super::{ADD, CHANGE, Host, LOOK, PAGE, Page, STATUS, bearer, listed, plain, short};
use crate::{Account, Answer, Comment, ForgeError, Pull, RepositoryAddress, Request, State, Status};

pub(super) struct GitHub;

/// The most characters of a description; the documentation does not say it, the API does.
const LONGEST_DESCRIPTION: usize = 140;

impl Host for GitHub {
    fn api(&self, host: &str) -> String {
        match host {
            "github.com" | "www.github.com" => "https://api.github.com/".to_owned(),
            // Enterprise with data residency.
            tenant if tenant.ends_with(".ghe.com") => format!("https://api.{tenant}/"),
            server => format!("https://{server}/api/v3"),
        }
    }

    fn headers(&self, account: &Account) -> Vec<(&'static str, String)> {
        vec![
            ("authorization", bearer(account)),
            ("accept", "application/vnd.github+json".to_owned()),
            ("x-github-api-version", "2022-11-28".to_owned()),
        ]
    }

    fn rights(&self) -> &'static str {
        "write access to `Commit statuses` for statuses and to `Pull requests` for comments (or the scopes \
         `repo:status` and `repo` of a classic token)"
    }

    fn status(&self, at: &RepositoryAddress, commit: &str, status: &Status) -> Result<Request, ForgeError> {
        let (owner, name) = at.owner_and_name()?;
        let (context, description) = short(status, LONGEST_DESCRIPTION);
        let mut body = json!({
            "state": match status.state {
                State::Pending => "pending",
                State::Success => "success",
                State::Failure => "failure",
                State::Aborted | State::Skipped => "error",
            },
            "context": context,
            "description": description,
        });
        if let Some(target) = &status.target {
            body["target_url"] = json!(target);
        }
        Ok(Request::new(STATUS, Method::POST, &["repos", owner, name, "statuses", commit]).saying(body))
    }

    fn comments(&self, at: &RepositoryAddress, pull: Pull, page: Option<u64>) -> Result<Request, ForgeError> {
        let (owner, name) = at.owner_and_name()?;
        let path = ["repos", owner, name, "issues", &pull.0.to_string(), "comments"];
        let request = Request::new(LOOK, Method::GET, &path);
        Ok(request.with("per_page", PAGE).with("page", page.unwrap_or(1)))
    }

    fn read_comments(&self, answer: &Answer, page: Option<u64>) -> Page {
        let more = answer.header("link").is_some_and(|link| link.contains("rel=\"next\""));
        let comments = listed(&answer.json(), |item| plain(item, "/body"));
        Page { comments, next: more.then(|| page.unwrap_or(1) + 1) }
    }

    fn add(&self, at: &RepositoryAddress, pull: Pull, text: &str) -> Result<Request, ForgeError> {
        let (owner, name) = at.owner_and_name()?;
        let path = ["repos", owner, name, "issues", &pull.0.to_string(), "comments"];
        Ok(Request::new(ADD, Method::POST, &path).saying(json!({ "body": text })))
    }

    fn change(
        &self,
        at: &RepositoryAddress,
        _pull: Pull,
        old: &Comment,
        text: &str,
    ) -> Result<Request, ForgeError> {
        let (owner, name) = at.owner_and_name()?;
        let path = ["repos", owner, name, "issues", "comments", &old.id];
        Ok(Request::new(CHANGE, Method::PATCH, &path).saying(json!({ "body": text })))
    }

    fn longest(&self) -> usize {
        65_536
    }
}
