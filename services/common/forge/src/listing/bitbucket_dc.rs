//! Bitbucket Data Center: every answer to somebody who is logged in says who that is, and `GET /repos` lists what they
//! may read.

use reqwest::Method;
use serde_json::Value;

use super::{LIST, Listed, Lists, WHO, Who, text};
use crate::{Answer, Request};

pub(super) struct BitbucketDataCenter;

impl Lists for BitbucketDataCenter {
    fn who(&self) -> Option<Request> {
        Some(Request::new(WHO, Method::GET, &["repos"]).with("limit", 1).with("permission", "REPO_READ"))
    }

    fn read_who(&self, answer: &Answer) -> Who {
        Who { login: answer.header("x-ausername").unwrap_or_default().to_owned(), ..Who::default() }
    }

    fn repositories(&self, _owner: &str, from: u64, size: usize) -> Request {
        let request = Request::new(LIST, Method::GET, &["repos"]).with("permission", "REPO_READ");
        request.with("limit", size).with("start", from)
    }

    fn items<'a>(&self, answer: &'a Value) -> &'a Value {
        &answer["values"]
    }

    fn listed(&self, item: &Value) -> Option<Listed> {
        let name = format!("{}/{}", text(item, "/project/key"), text(item, "/slug"));
        let clones =
            item.pointer("/links/clone").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let url = clones.iter().find(|link| link["name"] == "http").map(|link| text(link, "/href"));
        let private = item["public"] != true;
        (name.len() > 1).then_some(Listed { name, url: url?, default_branch: String::new(), private })
    }

    fn next(&self, _answer: &Answer, body: &Value, _from: u64) -> Option<u64> {
        (body["isLastPage"] == false).then(|| body["nextPageStart"].as_u64()).flatten()
    }
}
