//! Gitea and Forgejo: `userGetCurrent` and `userCurrentListRepos` of their OpenAPI description. Neither says what a
//! token may do.

use reqwest::Method;
use serde_json::Value;

use super::{LIST, Listed, Lists, WHO, Who, linked, read, text};
use crate::{Answer, Request};

pub(super) struct Gitea;

/// The largest page that they give unless their operator allows more.
const LARGEST: usize = 50;

impl Lists for Gitea {
    fn who(&self) -> Option<Request> {
        Some(Request::new(WHO, Method::GET, &["user"]))
    }

    fn read_who(&self, answer: &Answer) -> Who {
        Who { login: text(&answer.json(), "/login"), ..Who::default() }
    }

    fn repositories(&self, _owner: &str, from: u64, size: usize) -> Request {
        let request = Request::new(LIST, Method::GET, &["user", "repos"]);
        request.with("limit", size.min(LARGEST)).with("page", from.max(1))
    }

    fn listed(&self, item: &Value) -> Option<Listed> {
        read(item, ["/full_name", "/clone_url", "/default_branch"], item["private"] == true)
    }

    fn next(&self, answer: &Answer, _body: &Value, from: u64) -> Option<u64> {
        linked(answer, from)
    }
}
