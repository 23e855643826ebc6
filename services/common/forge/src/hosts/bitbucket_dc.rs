//! Bitbucket Data Center, from 7.4: builds of commits, and comments among the activities of pull requests.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ADD, CHANGE, Host, LONGEST, LOOK, PAGE, Page, STATUS, bearer, listed, short};
use crate::{Account, Answer, Comment, ForgeError, Pull, RepositoryAddress, Request, State, Status};

pub(super) struct BitbucketDataCenter;

/// A project's key and a repository's name: of `/scm/acme/api.git`, `/projects/ACME/repos/api`, `/users/me/repos/api`,
/// or over SSH `/acme/api.git`.
fn place(at: &RepositoryAddress) -> Result<(String, &str), ForgeError> {
    let steps: Vec<&str> = at.path.iter().map(String::as_str).collect();
    match steps[..] {
        [.., "projects", project, "repos", name] => Ok((project.to_owned(), name)),
        [.., "users", user, "repos", name] => Ok((format!("~{user}"), name)),
        [.., "scm", project, name] => Ok((project.to_owned(), name)),
        [project, name] if at.ssh => Ok((project.to_owned(), name)),
        _ => Err(at.misshapen("scm/project/name")),
    }
}

fn below(at: &RepositoryAddress, rest: &[&str]) -> Result<Vec<String>, ForgeError> {
    let (project, name) = place(at)?;
    let all = ["projects", &project, "repos", name].into_iter().chain(rest.iter().copied());
    Ok(all.map(str::to_owned).collect())
}

fn request(
    attempting: &'static str,
    method: Method,
    at: &RepositoryAddress,
    rest: &[&str],
) -> Result<Request, ForgeError> {
    Ok(Request { path: below(at, rest)?, ..Request::new(attempting, method, &[]) })
}

/// An activity is a comment if one was added; changes of it are in it already.
fn read(item: &Value) -> Option<Comment> {
    if item["action"] != "COMMENTED" || item["commentAction"] != "ADDED" {
        return None;
    }
    let comment = item.get("comment")?;
    Some(Comment {
        id: comment.get("id")?.as_u64()?.to_string(),
        thread: None,
        version: comment.get("version")?.as_u64(),
        text: comment.get("text")?.as_str()?.to_owned(),
    })
}

impl Host for BitbucketDataCenter {
    fn api(&self, host: &str) -> String {
        format!("https://{host}/rest/api/1.0")
    }

    fn headers(&self, account: &Account) -> Vec<(&'static str, String)> {
        vec![("authorization", bearer(account)), ("accept", "application/json".to_owned())]
    }

    fn rights(&self) -> &'static str {
        "an HTTP access token that may read the repository"
    }

    fn status(&self, at: &RepositoryAddress, commit: &str, status: &Status) -> Result<Request, ForgeError> {
        let (context, description) = short(status, LONGEST);
        let (project, name) = place(at)?;
        // An address is asked for; the commit's own is always right.
        let own = || format!("https://{}/projects/{project}/repos/{name}/commits/{commit}", at.host());
        let body = json!({
            "key": context,
            "state": match status.state {
                State::Pending => "INPROGRESS",
                State::Success => "SUCCESSFUL",
                // `CANCELLED` came with 8; older ones would refuse it, and the description says that it was stopped.
                State::Failure | State::Aborted | State::Skipped => "FAILED",
            },
            "name": context,
            "description": description,
            "url": status.target.clone().unwrap_or_else(own),
        });
        Ok(request(STATUS, Method::POST, at, &["commits", commit, "builds"])?.saying(body))
    }

    fn comments(&self, at: &RepositoryAddress, pull: Pull, page: Option<u64>) -> Result<Request, ForgeError> {
        let rest = ["pull-requests", &pull.0.to_string(), "activities"];
        let asked = request(LOOK, Method::GET, at, &rest)?;
        Ok(asked.with("limit", PAGE).with("start", page.unwrap_or(0)))
    }

    fn read_comments(&self, answer: &Answer, _page: Option<u64>) -> Page {
        let body = answer.json();
        let next = if body["isLastPage"] == true { None } else { body["nextPageStart"].as_u64() };
        Page { comments: listed(&body["values"], read), next }
    }

    fn add(&self, at: &RepositoryAddress, pull: Pull, text: &str) -> Result<Request, ForgeError> {
        let rest = ["pull-requests", &pull.0.to_string(), "comments"];
        Ok(request(ADD, Method::POST, at, &rest)?.saying(json!({ "text": text })))
    }

    fn change(
        &self,
        at: &RepositoryAddress,
        pull: Pull,
        old: &Comment,
        text: &str,
    ) -> Result<Request, ForgeError> {
        let rest = ["pull-requests", &pull.0.to_string(), "comments", &old.id];
        let body = json!({ "text": text, "version": old.version.unwrap_or(0) });
        Ok(request(CHANGE, Method::PUT, at, &rest)?.saying(body))
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
    fn every_address_of_a_repository_leads_to_its_project() {
        for (address, project) in [
            ("https://git.acme.org/scm/acme/api.git", "acme"),
            ("https://git.acme.org/bitbucket/scm/~me/api.git", "~me"),
            ("https://git.acme.org/projects/ACME/repos/api", "ACME"),
            ("https://git.acme.org/users/me/repos/api", "~me"),
            ("ssh://git@git.acme.org:7999/acme/api.git", "acme"),
        ] {
            let at = RepositoryAddress::parse(address).unwrap();
            assert_eq!(place(&at).unwrap(), (project.to_owned(), "api"), "{address}");
        }
        assert!(place(&RepositoryAddress::parse("https://git.acme.org/acme/api").unwrap()).is_err());
    }
}
