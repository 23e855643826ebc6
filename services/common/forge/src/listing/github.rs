//! GitHub: `GET /user`, whose answer has the scopes of a classic token in a header, and `GET /user/repos`.

use reqwest::Method;
use serde_json::Value;

use super::{LIST, Listed, Lists, WHO, Who, header_scopes, linked, read, text};
use crate::{Answer, Request};

pub(super) struct GitHub;

impl Lists for GitHub {
    fn who(&self) -> Option<Request> {
        Some(Request::new(WHO, Method::GET, &["user"]))
    }

    fn read_who(&self, answer: &Answer) -> Who {
        Who { login: text(&answer.json(), "/login"), scopes: header_scopes(answer, "x-oauth-scopes") }
    }

    fn repositories(&self, _owner: &str, from: u64, size: usize) -> Request {
        let request = Request::new(LIST, Method::GET, &["user", "repos"]).with("sort", "full_name");
        request.with("per_page", size).with("page", from.max(1))
    }

    fn listed(&self, item: &Value) -> Option<Listed> {
        read(item, ["/full_name", "/clone_url", "/default_branch"], item["private"] == true)
    }

    fn next(&self, answer: &Answer, _body: &Value, from: u64) -> Option<u64> {
        linked(answer, from)
    }
}
