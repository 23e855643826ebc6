//! Bitbucket Cloud: build statuses of commits, and comments of pull requests.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{ADD, CHANGE, Host, LONGEST, LOOK, PAGE, Page, STATUS, basic, bearer, listed, plain, short};
use crate::{Account, Answer, Comment, ForgeError, Pull, RepositoryAddress, Request, State, Status};

pub(super) struct Bitbucket;

/// The most characters of a status' key.
const LONGEST_KEY: usize = 40;

/// Users of Git that are nobody: tokens of a repository, project or workspace say themselves who they are.
const NOBODY: [&str; 3] = ["", "git", "x-token-auth"];

/// A context as a key: itself, or as much of it as fits and a digest.
fn key(context: &str) -> String {
    if context.chars().count() <= LONGEST_KEY {
        return context.to_owned();
    }
    let digest = hex::encode(Sha256::digest(context));
    let begin: String = context.chars().take(LONGEST_KEY - 17).collect();
    format!("{begin}-{}", &digest[..16])
}

fn comments(at: &RepositoryAddress, pull: Pull) -> Result<[String; 6], ForgeError> {
    let (workspace, name) = at.owner_and_name()?;
    let number = pull.0.to_string();
    Ok(["repositories", workspace, name, "pullrequests", &number, "comments"].map(str::to_owned))
}

fn read(item: &Value) -> Option<Comment> {
    // What is gone cannot be changed.
    if item["deleted"] == true { None } else { plain(item, "/content/raw") }
}

impl Host for Bitbucket {
    fn api(&self, host: &str) -> String {
        format!("https://api.{}/2.0", host.trim_start_matches("www."))
    }

    fn headers(&self, account: &Account) -> Vec<(&'static str, String)> {
        let authorization = match account.login.as_str() {
            nobody if NOBODY.contains(&nobody) => bearer(account),
            login => basic(login, account),
        };
        vec![("authorization", authorization), ("accept", "application/json".to_owned())]
    }

    fn rights(&self) -> &'static str {
        "the scopes `repository` for statuses and `pullrequest:write` for comments"
    }

    fn status(&self, at: &RepositoryAddress, commit: &str, status: &Status) -> Result<Request, ForgeError> {
        let (workspace, name) = at.owner_and_name()?;
        let (context, description) = short(status, LONGEST);
        // An address is asked for; the commit's own is always right.
        let own = || format!("https://{}/{}/commits/{commit}", at.host(), at.full());
        let body = json!({
            "key": key(&status.context),
            "state": match status.state {
                State::Pending => "INPROGRESS",
                State::Success => "SUCCESSFUL",
                State::Failure => "FAILED",
                State::Aborted | State::Skipped => "STOPPED",
            },
            "name": context,
            "description": description,
            "url": status.target.clone().unwrap_or_else(own),
        });
        let path = ["repositories", workspace, name, "commit", commit, "statuses", "build"];
        Ok(Request::new(STATUS, Method::POST, &path).saying(body))
    }

    fn comments(&self, at: &RepositoryAddress, pull: Pull, page: Option<u64>) -> Result<Request, ForgeError> {
        let path = comments(at, pull)?;
        let request = Request::new(LOOK, Method::GET, &path.each_ref().map(String::as_str));
        Ok(request.with("sort", "-created_on").with("pagelen", PAGE).with("page", page.unwrap_or(1)))
    }

    fn read_comments(&self, answer: &Answer, page: Option<u64>) -> Page {
        let body = answer.json();
        let more = body["next"].is_string();
        Page { comments: listed(&body["values"], read), next: more.then(|| page.unwrap_or(1) + 1) }
    }

    fn add(&self, at: &RepositoryAddress, pull: Pull, text: &str) -> Result<Request, ForgeError> {
        let path = comments(at, pull)?;
        let request = Request::new(ADD, Method::POST, &path.each_ref().map(String::as_str));
        Ok(request.saying(json!({ "content": { "raw": text } })))
    }

    fn change(
        &self,
        at: &RepositoryAddress,
        pull: Pull,
        old: &Comment,
        text: &str,
    ) -> Result<Request, ForgeError> {
        let path = comments(at, pull)?;
        let mut request = Request::new(CHANGE, Method::PUT, &path.each_ref().map(String::as_str));
        request.path.push(old.id.clone());
        Ok(request.saying(json!({ "content": { "raw": text } })))
    }

    fn longest(&self) -> usize {
        32_768
    }

    /// HTML is shown as it is written; a definition of a link that nothing uses is not shown.
    fn marker(&self, key: &str) -> String {
        format!("[//]: # (shipway {key})\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_is_too_long_for_a_key_keeps_its_own() {
        assert_eq!(key("shipway/shop/production"), "shipway/shop/production");
        let (one, other) =
            (key(&format!("shipway/{}", "a".repeat(60))), key(&format!("shipway/{}", "a".repeat(61))));
        assert_eq!((one.len(), other.len()), (40, 40));
        assert!(one != other && one.starts_with("shipway/aaa"));
    }
}
