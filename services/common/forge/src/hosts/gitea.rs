//! Gitea and Forgejo: GitHub's paths, other words, and all comments of a pull request in one answer.

use reqwest::Method;
use serde_json::json;

use super::{ADD, CHANGE, Host, LONGEST, LOOK, Page, STATUS, listed, plain, short};
use crate::{Account, Answer, Comment, ForgeError, Pull, RepositoryAddress, Request, State, Status};

pub(super) struct Gitea;

impl Host for Gitea {
    fn api(&self, host: &str) -> String {
        format!("https://{host}/api/v1")
    }

    fn headers(&self, account: &Account) -> Vec<(&'static str, String)> {
        let authorization = format!("token {}", account.token.as_str());
        vec![("authorization", authorization), ("accept", "application/json".to_owned())]
    }

    fn rights(&self) -> &'static str {
        "the scopes `write:repository` for statuses and `write:issue` for comments, and write access to the repository"
    }

    fn status(&self, at: &RepositoryAddress, commit: &str, status: &Status) -> Result<Request, ForgeError> {
        let (owner, name) = at.owner_and_name()?;
        let (context, description) = short(status, LONGEST);
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

    fn comments(
        &self,
        at: &RepositoryAddress,
        pull: Pull,
        _page: Option<u64>,
    ) -> Result<Request, ForgeError> {
        let (owner, name) = at.owner_and_name()?;
        let path = ["repos", owner, name, "issues", &pull.0.to_string(), "comments"];
        Ok(Request::new(LOOK, Method::GET, &path))
    }

    fn read_comments(&self, answer: &Answer, _page: Option<u64>) -> Page {
        Page { comments: listed(&answer.json(), |item| plain(item, "/body")), next: None }
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
