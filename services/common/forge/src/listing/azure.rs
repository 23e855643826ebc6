//! Azure DevOps: `GET /{organization}/_apis/git/repositories` lists all repositories of an organisation at once. Who a
//! token belongs to is said under an address that a token for code alone may not ask.

use reqwest::Method;
use serde_json::Value;

use super::{LIST, Listed, Lists, Who, text};
use crate::{Answer, Request};

pub(super) struct Azure;

const VERSION: &str = "7.1";

impl Lists for Azure {
    fn who(&self) -> Option<Request> {
        None
    }

    fn read_who(&self, _answer: &Answer) -> Who {
        Who::default()
    }

    fn needs_owner(&self) -> Option<&'static str> {
        Some("Azure DevOps lists the repositories of one organisation; name it: `--owner <organisation>`")
    }

    fn repositories(&self, owner: &str, _from: u64, _size: usize) -> Request {
        Request::new(LIST, Method::GET, &[owner, "_apis", "git", "repositories"]).with("api-version", VERSION)
    }

    fn items<'a>(&self, answer: &'a Value) -> &'a Value {
        &answer["value"]
    }

    fn listed(&self, item: &Value) -> Option<Listed> {
        let remote = text(item, "/remoteUrl");
        // `https://<organisation>@dev.azure.com/<organisation>/<project>/_git/<name>`
        let url = remote.split_once('@').map_or(remote.clone(), |(_, rest)| format!("https://{rest}"));
        let organisation = url.split('/').nth(3).unwrap_or_default();
        let name = format!("{organisation}/{}/{}", text(item, "/project/name"), text(item, "/name"));
        let branch = text(item, "/defaultBranch");
        let default_branch = branch.strip_prefix("refs/heads/").unwrap_or(&branch).to_owned();
        let private = item.pointer("/project/visibility").is_none_or(|visibility| visibility != "public");
        (!url.is_empty()).then_some(Listed { name, url, default_branch, private })
    }

    fn next(&self, _answer: &Answer, _body: &Value, _from: u64) -> Option<u64> {
        None
    }
}
