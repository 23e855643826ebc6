//! Who an account is and which repositories it sees, as the documentation of each host has it: `GET /user`,
//! `GET /user/repos` and the like. What is asked otherwise is refused as the host refuses it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Asked, Kind, LOGIN, Reply, TOKEN, page};

/// The repositories that a double's account sees.
pub const REPOSITORIES: usize = 130;
/// The scopes of its token, at hosts that say them.
pub const SCOPES: [&str; 2] = ["api", "read_user"];

/// The answer, if it is such a question.
pub(super) fn answer(kind: Kind, asked: &Asked) -> Option<Reply> {
    let (method, path) = asked.line();
    let reply = match (kind, path.as_slice()) {
        (Kind::GitHub | Kind::GitLab | Kind::Gitea | Kind::Bitbucket, ["user"]) => user,
        (Kind::GitLab, ["personal_access_tokens", "self"]) => scopes,
        (Kind::GitHub | Kind::Gitea, ["user", "repos"]) => by_link,
        (Kind::GitLab, ["projects"]) => gitlab,
        (Kind::Bitbucket, ["repositories", _]) => bitbucket,
        (Kind::BitbucketDataCenter, ["repos"]) => bitbucket_dc,
        (Kind::Azure, [_, "_apis", "git", "repositories"]) => azure,
        _ => return None,
    };
    if !logged_in(kind, asked) {
        return Some(Reply::new(401, json!({"message": "Bad credentials"})));
    }
    if method != "GET" {
        return Some(Reply::new(405, json!({"message": "Method Not Allowed"})));
    }
    Some(reply(kind, asked))
}

fn logged_in(kind: Kind, asked: &Asked) -> bool {
    let basic = |login: &str| format!("Basic {}", STANDARD.encode(format!("{login}:{TOKEN}")));
    let bearer = format!("Bearer {TOKEN}");
    let takes = match kind {
        Kind::Azure => vec![basic("")],
        Kind::Gitea => vec![bearer, format!("token {TOKEN}")],
        Kind::Bitbucket => vec![bearer, basic(LOGIN)],
        Kind::GitHub | Kind::GitLab | Kind::BitbucketDataCenter => vec![bearer],
    };
    takes.iter().any(|header| header == asked.header("authorization"))
}

/// A parameter of the documentation, and whether it takes a value.
type Parameter<'a> = (&'a str, &'a dyn Fn(&str) -> bool);

/// A parameter that the documentation does not have, or a value that it does not allow.
fn wrong(asked: &Asked, known: &[Parameter<'_>]) -> Option<Reply> {
    let bad = asked
        .query
        .iter()
        .find(|(name, value)| !known.iter().any(|(other, takes)| other == name && takes(value)));
    bad.map(|(name, value)| {
        Reply::new(400, json!({"message": format!("{name} does not have a valid value: {value}")}))
    })
}

fn up_to(most: usize) -> impl Fn(&str) -> bool {
    move |value| value.parse::<usize>().is_ok_and(|number| (1..=most).contains(&number))
}

fn any(value: &str) -> bool {
    value.parse::<usize>().is_ok()
}

fn is(word: &'static str) -> impl Fn(&str) -> bool {
    move |value| value == word
}

fn all() -> Vec<usize> {
    (0..REPOSITORIES).collect()
}

fn name(number: usize) -> String {
    format!("r{number:03}")
}

fn user(kind: Kind, _asked: &Asked) -> Reply {
    match kind {
        Kind::GitHub => Reply::new(200, json!({"login": LOGIN, "id": 1, "type": "User"}))
            .with("x-oauth-scopes", SCOPES.join(", ")),
        Kind::GitLab => Reply::new(200, json!({"id": 1, "username": LOGIN, "state": "active"})),
        Kind::Bitbucket => {
            let body = json!({"type": "user", "nickname": LOGIN, "display_name": "Shipway", "uuid": "{1}"});
            Reply::new(200, body).with("x-oauth-scopes", SCOPES.join(", "))
        }
        _ => Reply::new(200, json!({"id": 1, "login": LOGIN, "full_name": ""})),
    }
}

fn scopes(_kind: Kind, _asked: &Asked) -> Reply {
    Reply::new(200, json!({"id": 1, "name": "shipway", "revoked": false, "active": true, "scopes": SCOPES}))
}

/// GitHub and Gitea: pages are counted from 1, and the header `Link` says whether there are more.
fn by_link(kind: Kind, asked: &Asked) -> Reply {
    let (size, most) = if kind == Kind::GitHub { ("per_page", 100) } else { ("limit", 50) };
    let known: &[Parameter<'_>] =
        &[(size, &up_to(most)), ("page", &up_to(usize::MAX)), ("sort", &is("full_name"))];
    if let Some(reply) = wrong(asked, if kind == Kind::GitHub { known } else { &known[..2] }) {
        return reply;
    }
    let (count, number) = (asked.number(size, 30), asked.number("page", 1));
    let all = all();
    let (some, more) = page(&all, (number - 1) * count, count);
    let shown: Vec<Value> = some
        .iter()
        .map(|number| {
            let full = format!("acme/{}", name(*number));
            json!({
                "id": number, "full_name": full, "name": name(*number), "private": number % 2 == 0,
                "clone_url": format!("https://git.example.org/{full}.git"), "default_branch": "main",
            })
        })
        .collect();
    let reply = Reply::new(200, shown.into());
    if !more {
        return reply;
    }
    let next = number + 1;
    reply.with("link", format!("<https://git.example.org/user/repos?page={next}>; rel=\"next\""))
}

fn gitlab(_kind: Kind, asked: &Asked) -> Reply {
    let known: &[Parameter<'_>] = &[
        ("per_page", &up_to(100)),
        ("page", &up_to(usize::MAX)),
        ("membership", &is("true")),
        ("order_by", &is("id")),
        ("sort", &is("asc")),
    ];
    if let Some(reply) = wrong(asked, known) {
        return reply;
    }
    let (count, number) = (asked.number("per_page", 20), asked.number("page", 1));
    let all = all();
    let (some, more) = page(&all, (number - 1) * count, count);
    let shown: Vec<Value> = some
        .iter()
        .map(|number| {
            let full = format!("acme/tools/{}", name(*number));
            json!({
                "id": number, "path_with_namespace": full, "default_branch": "main",
                "http_url_to_repo": format!("https://git.example.org/{full}.git"),
                "visibility": if number % 2 == 0 { "private" } else { "public" },
            })
        })
        .collect();
    let next = if more { (number + 1).to_string() } else { String::new() };
    Reply::new(200, shown.into()).with("x-page", number).with("x-next-page", next)
}

fn bitbucket(_kind: Kind, asked: &Asked) -> Reply {
    let known: &[Parameter<'_>] =
        &[("pagelen", &up_to(100)), ("page", &up_to(usize::MAX)), ("role", &is("member"))];
    if let Some(reply) = wrong(asked, known) {
        return reply;
    }
    if asked.path[1] != "acme" {
        return Reply::new(
            404,
            json!({"type": "error", "error": {"message": "No workspace with that name"}}),
        );
    }
    let (count, number) = (asked.number("pagelen", 10), asked.number("page", 1));
    let all = all();
    let (some, more) = page(&all, (number - 1) * count, count);
    let shown: Vec<Value> = some
        .iter()
        .map(|number| {
            let full = format!("acme/{}", name(*number));
            json!({
                "type": "repository", "full_name": full, "is_private": number % 2 == 0,
                "mainbranch": {"type": "branch", "name": "main"},
                "links": {"clone": [
                    {"name": "https", "href": format!("https://{LOGIN}@bitbucket.org/{full}.git")},
                    {"name": "ssh", "href": format!("git@bitbucket.org:{full}.git")},
                ]},
            })
        })
        .collect();
    let mut body = json!({"pagelen": count, "page": number, "size": REPOSITORIES, "values": shown});
    if more {
        body["next"] = format!("https://api.bitbucket.org/2.0/repositories/acme?page={}", number + 1).into();
    }
    Reply::new(200, body)
}

fn bitbucket_dc(_kind: Kind, asked: &Asked) -> Reply {
    let known: &[Parameter<'_>] =
        &[("limit", &up_to(1000)), ("start", &any), ("permission", &is("REPO_READ"))];
    if let Some(reply) = wrong(asked, known) {
        return reply;
    }
    let (count, start) = (asked.number("limit", 25), asked.number("start", 0));
    let all = all();
    let (some, more) = page(&all, start, count);
    let shown: Vec<Value> = some
        .iter()
        .map(|number| {
            let slug = name(*number);
            json!({
                "id": number, "slug": slug, "project": {"key": "ACME"}, "public": number % 2 != 0,
                "links": {"clone": [
                    {"href": format!("ssh://git@git.example.org:7999/acme/{slug}.git"), "name": "ssh"},
                    {"href": format!("https://git.example.org/scm/acme/{slug}.git"), "name": "http"},
                ]},
            })
        })
        .collect();
    let next = if more { Value::from(start + count) } else { Value::Null };
    let body = json!({"size": shown.len(), "limit": count, "start": start, "isLastPage": !more, "nextPageStart": next, "values": shown});
    Reply::new(200, body).with("x-ausername", LOGIN)
}

fn azure(_kind: Kind, asked: &Asked) -> Reply {
    if asked.query.get("api-version").is_none_or(|version| version != "7.1") {
        return Reply::new(400, json!({"message": "No api-version was supplied for the request."}));
    }
    if asked.path[0] != "acme" {
        return Reply::new(404, json!({"message": "TF400813: The resource is not available."}));
    }
    let shown: Vec<Value> = all()
        .into_iter()
        .map(|number| {
            json!({
                "id": number, "name": name(number), "defaultBranch": "refs/heads/main",
                "project": {"name": "shop front", "visibility": if number % 2 == 0 { "private" } else { "public" }},
                "remoteUrl": format!("https://acme@dev.azure.com/acme/shop%20front/_git/{}", name(number)),
            })
        })
        .collect();
    Reply::new(200, json!({"count": shown.len(), "value": shown}))
}
