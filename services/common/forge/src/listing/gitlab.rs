//! GitLab: `GET /user`, `GET /personal_access_tokens/self` for the scopes, and `GET /projects?membership=true`.

use reqwest::Method;
use serde_json::Value;

use super::{LIST, Listed, Lists, SCOPES, WHO, Who, read, text};
use crate::{Answer, Request};

pub(super) struct GitLab;

impl Lists for GitLab {
    fn who(&self) -> Option<Request> {
        Some(Request::new(WHO, Method::GET, &["user"]))
    }

    fn read_who(&self, answer: &Answer) -> Who {
        Who { login: text(&answer.json(), "/username"), ..Who::default() }
    }

    fn scopes(&self) -> Option<Request> {
        Some(Request::new(SCOPES, Method::GET, &["personal_access_tokens", "self"]))
    }

    fn repositories(&self, _owner: &str, from: u64, size: usize) -> Request {
        let request = Request::new(LIST, Method::GET, &["projects"]).with("membership", "true");
        let request = request.with("order_by", "id").with("sort", "asc");
        request.with("per_page", size).with("page", from.max(1))
    }

    fn listed(&self, item: &Value) -> Option<Listed> {
        let private = item["visibility"] != "public";
        read(item, ["/path_with_namespace", "/http_url_to_repo", "/default_branch"], private)
    }

    fn next(&self, answer: &Answer, _body: &Value, _from: u64) -> Option<u64> {
        // Empty on the last page.
        answer.header("x-next-page").and_then(|page| page.parse().ok())
    }
}
