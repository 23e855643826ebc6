//! Who an account is, and which repositories it sees: one file per host.

mod azure;
mod bitbucket;
mod bitbucket_dc;
mod gitea;
mod github;
mod gitlab;

use serde_json::Value;

use crate::{Account, Answer, Client, ForgeError, HostKind, Request, client::refused};

/// What is attempted when a host is asked whom it takes an account for.
const WHO: &str = "asking who the account is";
/// When repositories are listed.
const LIST: &str = "listing the repositories of the account";
/// When a token's scopes are asked for.
const SCOPES: &str = "asking what the token may do";

/// Whom a host takes an account for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The login; empty where the host does not say.
    pub login: String,
    /// What the credential may do, where the host says.
    pub scopes: Vec<String>,
}

/// A repository that an account sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path at the host: `acme/api`.
    pub name: String,
    /// Its address for Git.
    pub url: String,
    /// The branch that it is at; empty where the host does not say.
    pub default_branch: String,
    /// Whether not everybody sees it.
    pub private: bool,
}

/// A page of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repositories {
    /// The repositories.
    pub repositories: Vec<Listed>,
    /// Where the next page begins; empty for the last one.
    pub next: String,
}

/// A kind of host, as one that lists.
trait Lists: Sync {
    /// Asks who the account is; none where a token for code alone may not ask.
    fn who(&self) -> Option<Request>;

    /// Reads the login, and the scopes where they are in the same answer.
    fn read_who(&self, answer: &Answer) -> Who;

    /// Asks for the scopes where that is a question of its own.
    fn scopes(&self) -> Option<Request> {
        None
    }

    /// Why `owner` has to be named; none if it need not.
    fn needs_owner(&self) -> Option<&'static str> {
        None
    }

    /// Asks for a page of `size` repositories.
    fn repositories(&self, owner: &str, from: u64, size: usize) -> Request;

    /// One repository of such an answer.
    fn listed(&self, item: &Value) -> Option<Listed>;

    /// Where the items are in an answer.
    fn items<'a>(&self, answer: &'a Value) -> &'a Value {
        answer
    }

    /// Where the next page begins.
    fn next(&self, answer: &Answer, body: &Value, from: u64) -> Option<u64>;
}

fn of(kind: HostKind) -> &'static dyn Lists {
    match kind {
        HostKind::GitHub => &github::GitHub,
        HostKind::GitLab => &gitlab::GitLab,
        HostKind::Gitea | HostKind::Forgejo => &gitea::Gitea,
        HostKind::Bitbucket => &bitbucket::Bitbucket,
        HostKind::BitbucketDataCenter => &bitbucket_dc::BitbucketDataCenter,
        HostKind::Azure => &azure::Azure,
    }
}

impl Client {
    /// Whom the host takes the account for, and what its credential may do where the host says; none where a host of
    /// this kind cannot be asked.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn who(&self, account: &Account) -> Result<Option<Who>, ForgeError> {
        let host = of(account.kind());
        let Some(request) = host.who() else { return Ok(None) };
        let answer = self.good(account, &request).await?;
        let mut who = host.read_who(&answer);
        // Not every token may be asked about: then nobody knows.
        if let Some(request) = host.scopes()
            && let Ok(answer) = self.good(account, &request).await
        {
            who.scopes = texts(&answer.json()["scopes"]);
        }
        Ok(Some(who))
    }

    /// A page of at most `size` of the repositories that the account sees, of this owner alone if one is named. `after`
    /// is the `next` of the page before, empty for the first.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn repositories(
        &self,
        account: &Account,
        owner: &str,
        after: &str,
        size: usize,
    ) -> Result<Repositories, ForgeError> {
        let host = of(account.kind());
        if let Some(why) = host.needs_owner().filter(|_| owner.is_empty()) {
            return Err(ForgeError::refused(why));
        }
        let from = match after {
            "" => 0,
            text => text.parse().map_err(|_| {
                ForgeError::refused(format!("`{text}` is not where a page of {} begins", account.host()))
            })?,
        };
        let answer = self.good(account, &host.repositories(owner, from, size.clamp(1, 100))).await?;
        let body = answer.json();
        let of_owner = |listed: &Listed| {
            owner.is_empty()
                || listed.name.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(owner))
        };
        let items = host.items(&body).as_array().map(Vec::as_slice).unwrap_or_default();
        let repositories = items.iter().filter_map(|item| host.listed(item)).filter(of_owner).collect();
        // A next page that is not further would be asked for ever.
        let next = host.next(&answer, &body, from).filter(|next| *next > from);
        Ok(Repositories { repositories, next: next.map(|next| next.to_string()).unwrap_or_default() })
    }

    async fn good(&self, account: &Account, request: &Request) -> Result<Answer, ForgeError> {
        let answer = self.send(account, request).await?;
        if answer.is_good() { Ok(answer) } else { Err(refused(account, request, &answer)) }
    }
}

/// A member's text; empty where it has none.
fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Scopes as a header lists them.
fn header_scopes(answer: &Answer, name: &str) -> Vec<String> {
    let scopes = answer.header(name).unwrap_or_default().split(',');
    scopes.map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// A repository with its name, its address and its branch in these members.
fn read(item: &Value, members: [&str; 3], private: bool) -> Option<Listed> {
    let [name, url, branch] = members.map(|member| text(item, member));
    (!name.is_empty()).then_some(Listed { name, url, default_branch: branch, private })
}

/// The next page of hosts that count pages and give a `Link` header.
fn linked(answer: &Answer, from: u64) -> Option<u64> {
    let more = answer.header("link").is_some_and(|link| link.contains("rel=\"next\""));
    more.then_some(from.max(1) + 1)
}
