//! Linked accounts: which there are, and which of them a repository is asked with. Pure.

use std::collections::BTreeMap;

use shipway_documents::nearest;
use shipway_events::{
    AccountId, SecretRef,
    org::{self, Credential, HostKind},
    plan::RepositoryLogin,
};
use shipway_repository::{Address, Allow};

/// All linked accounts.
pub(crate) type Accounts = BTreeMap<AccountId, Account>;

/// The longest name of an account.
const LONGEST: usize = 63;

/// A linked account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its id.
    pub(crate) id: AccountId,
    /// Its name in documents.
    pub(crate) name: String,
    /// What kind of host it is at.
    pub(crate) kind: HostKind,
    /// The only host that its credential is sent to.
    pub(crate) host: String,
    /// Where the host's API is, if not where hosts of that kind have it.
    pub(crate) api: Option<String>,
    /// Who Shipway is there.
    pub(crate) login: String,
    /// What proves it.
    pub(crate) credential: Credential,
}

impl Account {
    /// The account as a run's work has it.
    pub(crate) fn pinned(&self) -> RepositoryLogin {
        RepositoryLogin {
            account: self.name.clone(),
            host: self.host.clone(),
            login: self.login.clone(),
            secret: shipway_documents::secret::mark(&self.credential.secret),
            known_hosts: self.credential.known_hosts.clone(),
        }
    }

    /// Whether a private key of ssh proves it.
    pub(crate) const fn has_key(&self) -> bool {
        self.credential.known_hosts.is_some()
    }

    fn fits(&self, address: &Address) -> bool {
        address.host().as_deref() == Some(self.host.as_str()) && address.is_ssh() == self.has_key()
    }
}

/// What somebody wants of the accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AccountCommand {
    /// Links one, or gives the one of that name another credential.
    Link(Account),
    /// Gives one another name.
    Rename {
        /// Its name or id.
        account: String,
        /// The new name.
        name: String,
    },
    /// Unlinks one.
    Remove {
        /// Its name or id.
        account: String,
    },
}

/// Why an account is not changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountRefusal {
    #[error("`{0}` cannot be an account's name; use letters, digits, `-`, `_` and `.`, at most 63")]
    Name(String),
    #[error("there is an account `{name}` already: {now}; choose another name, or remove it first")]
    Taken { name: String, now: String },
    #[error("`{0}` is no host; write it as in an address: `git.example.org` or `git.example.org:8443`")]
    Host(String),
    #[error("`{0}` is no address of an API that a credential may be sent to; write https://host/path")]
    Api(String),
    #[error("there is no account `{name}`.{suggestion}")]
    Missing { name: String, suggestion: String },
}

/// The account that a name or an id means.
pub(crate) fn named<'a>(accounts: &'a Accounts, name: &str) -> Result<&'a Account, AccountRefusal> {
    let by_id = || name.parse().ok().and_then(|id: AccountId| accounts.get(&id));
    accounts.values().find(|account| account.name == name).or_else(by_id).ok_or_else(|| {
        let names = accounts.values().map(|account| account.name.as_str());
        AccountRefusal::Missing { name: name.to_owned(), suggestion: super::did_you_mean(name, names) }
    })
}

/// The name of an account's secret: the host is in it, so that the value opens for no other.
pub(crate) fn secret_name(id: AccountId, host: &str) -> String {
    format!("{SECRETS}{id}/{host}")
}

/// What the names of accounts' secrets begin with.
pub(crate) const SECRETS: &str = "account/";

/// Whether it is the secret of an account.
pub(crate) fn is_account_secret(secret: &SecretRef) -> bool {
    secret.name.starts_with(SECRETS)
}

/// The events that carry a command out. No event: it is so already.
pub(crate) fn decide_account(
    accounts: &Accounts,
    command: &AccountCommand,
) -> Result<Vec<org::Event>, AccountRefusal> {
    match command {
        AccountCommand::Link(wish) => link(accounts, wish),
        AccountCommand::Rename { account, name } => {
            let known = named(accounts, account)?;
            if known.name == *name {
                return Ok(Vec::new());
            }
            check_name(name)?;
            free(accounts, name)?;
            Ok(vec![org::AccountRenamed { account: known.id, name: name.clone() }.into()])
        }
        AccountCommand::Remove { account } => {
            let known = named(accounts, account)?;
            Ok(vec![org::AccountRemoved { account: known.id, name: known.name.clone() }.into()])
        }
    }
}

fn link(accounts: &Accounts, wish: &Account) -> Result<Vec<org::Event>, AccountRefusal> {
    check_name(&wish.name)?;
    let scheme = if wish.has_key() { "ssh" } else { "https" };
    let address = Address::parse(&format!("{scheme}://{}/x", wish.host), Allow::NETWORK);
    if address.ok().and_then(|address| address.host()).as_deref() != Some(wish.host.as_str()) {
        return Err(AccountRefusal::Host(wish.host.clone()));
    }
    if let Some(api) = wish.api.as_ref().filter(|api| !is_api(api)) {
        return Err(AccountRefusal::Api(api.clone()));
    }
    let same = |known: &&Account| known.name == wish.name;
    let Some(known) = accounts.values().find(same) else {
        let linked = org::AccountLinked {
            account: wish.id,
            name: wish.name.clone(),
            kind: wish.kind,
            host: wish.host.clone(),
            api: wish.api.clone(),
            login: wish.login.clone(),
            credential: wish.credential.clone(),
        };
        return Ok(vec![linked.into()]);
    };
    let of = |account: &Account| {
        (account.kind, account.host.clone(), account.api.clone(), account.login.clone(), account.has_key())
    };
    if of(known) != of(wish) {
        return Err(taken(known));
    }
    if known.credential == wish.credential {
        return Ok(Vec::new());
    }
    let credential = wish.credential.clone();
    Ok(vec![org::AccountCredentialReplaced { account: known.id, credential }.into()])
}

/// An address of https, or of http on this machine, without a login.
fn is_api(api: &str) -> bool {
    let address = Address::parse(&format!("{}/x", api.trim_end_matches('/')), Allow::HERE);
    !api.contains('@') && address.is_ok_and(|address| !address.is_ssh() && address.folder().is_none())
}

fn check_name(name: &str) -> Result<(), AccountRefusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain);
    if fits { Ok(()) } else { Err(AccountRefusal::Name(name.chars().take(80).collect())) }
}

fn free(accounts: &Accounts, name: &str) -> Result<(), AccountRefusal> {
    accounts.values().find(|account| account.name == name).map_or(Ok(()), |known| Err(taken(known)))
}

fn taken(account: &Account) -> AccountRefusal {
    let now = format!("{} at {} ({})", account.login, account.host, account.kind);
    AccountRefusal::Taken { name: account.name.clone(), now }
}

/// The accounts after an event.
pub(crate) fn evolve_accounts(accounts: &mut Accounts, event: &org::Event) {
    match event {
        org::Event::ProjectCreated(_) | org::Event::TokenCreated(_) | org::Event::TokenRevoked(_) => {}
        org::Event::AccountLinked(e) => {
            let account = Account {
                id: e.account,
                name: e.name.clone(),
                kind: e.kind,
                host: e.host.clone(),
                api: e.api.clone(),
                login: e.login.clone(),
                credential: e.credential.clone(),
            };
            accounts.insert(e.account, account);
        }
        org::Event::AccountCredentialReplaced(e) => {
            if let Some(known) = accounts.get_mut(&e.account) {
                known.credential = e.credential.clone();
            }
        }
        org::Event::AccountRenamed(e) => {
            if let Some(known) = accounts.get_mut(&e.account) {
                known.name.clone_from(&e.name);
            }
        }
        org::Event::AccountRemoved(e) => drop(accounts.remove(&e.account)),
    }
}

/// How a document names the account for a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mention {
    /// The repository.
    pub(crate) repository: String,
    /// The member that names the account, and what it says; none if none does.
    pub(crate) named: Option<(&'static str, String)>,
}

impl Mention {
    /// Of several members the one that says it most exactly.
    pub(crate) fn new<'a>(repository: &str, member: impl Fn(&str) -> Option<&'a str>) -> Self {
        let members = ["vcsLinkId", "selfHostedVcsId", "accountLogin"];
        let named = members.into_iter().find_map(|name| {
            let said = member(name).filter(|said| !said.is_empty())?;
            Some((name, said.to_owned()))
        });
        Self { repository: repository.to_owned(), named }
    }
}

/// Why a document's name for an account means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// The member that names it.
    pub(crate) member: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: String,
}

/// The account that a repository is asked with: the one that the document names, else the only one that fits its
/// host, if there is just one.
pub(crate) fn resolve<'a>(
    accounts: &'a Accounts,
    mention: &Mention,
) -> Result<Option<&'a Account>, Unresolved> {
    let Ok(address) = Address::parse(&mention.repository, Allow::HERE) else { return Ok(None) };
    let Some(host) = address.host() else { return Ok(None) };
    let fitting = || accounts.values().filter(|account| account.fits(&address));
    let Some((member, said)) = &mention.named else {
        let mut all = fitting();
        return Ok(all.next().filter(|_| all.next().is_none()));
    };
    let unresolved = |message: String, help: String| Unresolved { member, message, help };
    let is_exact = |account: &&Account| account.name == *said || account.id.to_string() == *said;
    if let Some(exact) = fitting().find(is_exact) {
        return Ok(Some(exact));
    }
    let mut by_login = fitting().filter(|account| account.login.eq_ignore_ascii_case(said));
    if let Some(first) = by_login.next() {
        if by_login.next().is_none() {
            return Ok(Some(first));
        }
        let names = shipway_documents::list(
            fitting().filter(|account| account.login.eq_ignore_ascii_case(said)).map(|a| a.name.as_str()),
        );
        let message = format!("several linked accounts at {host} have the login `{said}`");
        return Err(unresolved(message, format!("name one of them: {names}")));
    }
    let means = |account: &&Account| is_exact(account) || account.login.eq_ignore_ascii_case(said);
    if let Some(other) = accounts.values().find(means) {
        let way = if other.has_key() { "ssh" } else { "https" };
        let message = format!(
            "the account `{}` is for {} by {way}, and the repository is {}",
            other.name,
            other.host,
            address.url()
        );
        let help = "a credential is sent to its own host only; name an account of that host, or link one: \
                    `shipway account add`";
        return Err(unresolved(message, help.to_owned()));
    }
    let names: Vec<&str> =
        fitting().flat_map(|account| [account.name.as_str(), account.login.as_str()]).collect();
    let help = match (nearest(said, names.iter().copied()), names.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => format!("link one for {host}: `shipway account add {said} --host {host}`"),
        (None, _) => {
            let known = shipway_documents::list(fitting().map(|account| account.name.as_str()));
            format!("linked for {host} is {known}; `shipway account add` links another")
        }
    };
    Err(unresolved(format!("no linked account is called `{said}`"), help))
}

/// The accounts that fit the host of a repository whose document names none, where there are several: none of them is
/// taken.
pub(crate) fn undecided(accounts: &Accounts, mention: &Mention) -> Vec<String> {
    let address = Address::parse(&mention.repository, Allow::HERE).ok();
    let Some(address) = address.filter(|_| mention.named.is_none()) else { return Vec::new() };
    let fitting = accounts.values().filter(|account| account.fits(&address));
    let names: Vec<String> = fitting.map(|account| account.name.clone()).collect();
    if names.len() > 1 { names } else { Vec::new() }
}

#[cfg(test)]
mod tests;
