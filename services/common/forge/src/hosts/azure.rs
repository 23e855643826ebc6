//! Azure DevOps: Git statuses of commits, and threads of pull requests.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ADD, CHANGE, Host, LONGEST, LOOK, Page, STATUS, basic, same_host, short};
use crate::{Account, Answer, Comment, ForgeError, Pull, RepositoryAddress, Request, State, Status};

pub(super) struct Azure;

const VERSION: &str = "7.1";

/// Hosts of one and the same service.
fn is_cloud(name: &str) -> bool {
    matches!(name, "dev.azure.com" | "ssh.dev.azure.com") || name.ends_with(".visualstudio.com")
}

/// Collection, project and repository: of `/org/project/_git/name`, of `/project/_git/name` where the host names the
/// organisation, or over SSH `/v3/org/project/name`. A project's first repository may stand without the project.
fn place(at: &RepositoryAddress) -> Result<[String; 3], ForgeError> {
    let mut steps: Vec<&str> = at.path.iter().map(String::as_str).collect();
    if at.ssh && steps.first() == Some(&"v3") {
        return match steps[1..] {
            [org, project, name] => Ok([org, project, name].map(str::to_owned)),
            _ => Err(at.misshapen("v3/organisation/project/name")),
        };
    }
    let org = at.name.strip_suffix(".visualstudio.com");
    if let Some(org) = org {
        steps.retain(|step| *step != "DefaultCollection");
        steps.insert(0, org);
    }
    match steps[..] {
        [org, project, "_git", name] => Ok([org, project, name].map(str::to_owned)),
        [org, "_git", name] => Ok([org, name, name].map(str::to_owned)),
        _ => Err(at.misshapen("organisation/project/_git/name")),
    }
}

fn request(
    attempting: &'static str,
    method: Method,
    at: &RepositoryAddress,
    rest: &[&str],
) -> Result<Request, ForgeError> {
    let [org, project, name] = place(at)?;
    let begin = [org.as_str(), &project, "_apis", "git", "repositories", &name];
    let path: Vec<&str> = begin.into_iter().chain(rest.iter().copied()).collect();
    Ok(Request::new(attempting, method, &path).with("api-version", VERSION))
}

/// The first comment of a thread: what others answered is theirs.
fn read(thread: &Value) -> Option<Comment> {
    let first = thread["comments"].get(0)?;
    if thread["isDeleted"] == true || first["isDeleted"] == true {
        return None;
    }
    Some(Comment {
        id: first.get("id")?.as_u64()?.to_string(),
        thread: Some(thread.get("id")?.as_u64()?.to_string()),
        version: None,
        text: first.get("content")?.as_str()?.to_owned(),
    })
}

impl Host for Azure {
    fn api(&self, host: &str) -> String {
        if is_cloud(host) { "https://dev.azure.com/".to_owned() } else { format!("https://{host}/") }
    }

    fn covers(&self, host: &str, repository: &RepositoryAddress) -> bool {
        same_host(host, repository)
            || (is_cloud(host) && is_cloud(&repository.name) && repository.port.is_none())
    }

    fn headers(&self, account: &Account) -> Vec<(&'static str, String)> {
        // A personal access token is the password of nobody in particular.
        vec![("authorization", basic("", account)), ("accept", "application/json".to_owned())]
    }

    fn rights(&self) -> &'static str {
        "the scopes `Code (status)` for statuses and `Code (read & write)` for comments"
    }

    fn status(&self, at: &RepositoryAddress, commit: &str, status: &Status) -> Result<Request, ForgeError> {
        let (context, description) = short(status, LONGEST);
        let (genre, name) = context.split_once('/').unwrap_or(("shipway", &context));
        let mut body = json!({
            "state": match status.state {
                State::Pending => "pending",
                State::Success => "succeeded",
                State::Failure => "failed",
                // `notApplicable` lets a policy pass.
                State::Aborted | State::Skipped => "error",
            },
            "description": description,
            "context": { "genre": genre, "name": name },
        });
        if let Some(target) = &status.target {
            body["targetUrl"] = json!(target);
        }
        Ok(request(STATUS, Method::POST, at, &["commits", commit, "statuses"])?.saying(body))
    }

    fn comments(
        &self,
        at: &RepositoryAddress,
        pull: Pull,
        _page: Option<u64>,
    ) -> Result<Request, ForgeError> {
        request(LOOK, Method::GET, at, &["pullRequests", &pull.0.to_string(), "threads"])
    }

    fn read_comments(&self, answer: &Answer, _page: Option<u64>) -> Page {
        let body = answer.json();
        let threads = body["value"].as_array().cloned().unwrap_or_default();
        Page { comments: threads.iter().filter_map(read).collect(), next: None }
    }

    fn add(&self, at: &RepositoryAddress, pull: Pull, text: &str) -> Result<Request, ForgeError> {
        let asked = request(ADD, Method::POST, at, &["pullRequests", &pull.0.to_string(), "threads"])?;
        let comment = json!({ "parentCommentId": 0, "content": text, "commentType": "text" });
        // An open thread can hold a pull request back.
        Ok(asked.saying(json!({ "comments": [comment], "status": "closed" })))
    }

    fn change(
        &self,
        at: &RepositoryAddress,
        pull: Pull,
        old: &Comment,
        text: &str,
    ) -> Result<Request, ForgeError> {
        let thread = old.thread.as_deref().unwrap_or_default();
        let rest = ["pullRequests", &pull.0.to_string(), "threads", thread, "comments", &old.id];
        Ok(request(CHANGE, Method::PATCH, at, &rest)?.saying(json!({ "content": text })))
    }

    fn longest(&self) -> usize {
        150_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_repository_leads_to_its_project() {
        for address in [
            "https://dev.azure.com/acme/Shop%20front/_git/api",
            "https://acme@dev.azure.com/acme/Shop%20front/_git/api",
            "https://acme.visualstudio.com/Shop%20front/_git/api",
            "https://acme.visualstudio.com/DefaultCollection/Shop%20front/_git/api",
            "git@ssh.dev.azure.com:v3/acme/Shop%20front/api",
        ] {
            let at = RepositoryAddress::parse(address).unwrap();
            assert_eq!(place(&at).unwrap(), ["acme", "Shop front", "api"], "{address}");
            assert!(Azure.covers("dev.azure.com", &at), "{address}");
        }
        let short = RepositoryAddress::parse("https://dev.azure.com/acme/_git/api").unwrap();
        assert_eq!(place(&short).unwrap(), ["acme", "api", "api"]);
        assert!(place(&RepositoryAddress::parse("https://dev.azure.com/acme/api").unwrap()).is_err());
        let other = RepositoryAddress::parse("https://tfs.acme.org/acme/shop/_git/api").unwrap();
        assert!(!Azure.covers("dev.azure.com", &other));
    }
}
