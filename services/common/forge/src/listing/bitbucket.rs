//! Bitbucket Cloud: `GET /user`, whose answer has the scopes in a header, and `GET /repositories/{workspace}`: it lists
//! no repositories over workspaces.

use reqwest::Method;
use serde_json::Value;

use super::{LIST, Listed, Lists, WHO, Who, header_scopes, text};
use crate::{Answer, Request};

pub(super) struct Bitbucket;

impl Lists for Bitbucket {
    fn who(&self) -> Option<Request> {
        Some(Request::new(WHO, Method::GET, &["user"]))
    }

    fn read_who(&self, answer: &Answer) -> Who {
        let body = answer.json();
        let login = ["/username", "/nickname", "/display_name"].map(|member| text(&body, member));
        let login = login.into_iter().find(|login| !login.is_empty()).unwrap_or_default();
        Who { login, scopes: header_scopes(answer, "x-oauth-scopes") }
    }

    fn needs_owner(&self) -> Option<&'static str> {
        Some("Bitbucket lists the repositories of one workspace; name it: `--owner <workspace>`")
    }

    fn repositories(&self, owner: &str, from: u64, size: usize) -> Request {
        let request = Request::new(LIST, Method::GET, &["repositories", owner]).with("role", "member");
        request.with("pagelen", size).with("page", from.max(1))
    }

    fn items<'a>(&self, answer: &'a Value) -> &'a Value {
        &answer["values"]
    }

    fn listed(&self, item: &Value) -> Option<Listed> {
        let name = text(item, "/full_name");
        let clones =
            item.pointer("/links/clone").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let by_https = clones.iter().find(|link| link["name"] == "https");
        // The address has the login of who asked in it.
        let url = by_https.map(|link| text(link, "/href")).unwrap_or_default();
        let url = url.split_once('@').map_or(url.clone(), |(_, rest)| format!("https://{rest}"));
        let (default_branch, private) = (text(item, "/mainbranch/name"), item["is_private"] == true);
        (!name.is_empty()).then_some(Listed { name, url, default_branch, private })
    }

    fn next(&self, _answer: &Answer, body: &Value, from: u64) -> Option<u64> {
        body["next"].as_str().map(|_| from.max(1) + 1)
    }
}
