//! Linked accounts: from a request to the log, and what documents say of them.

use std::collections::HashMap;

use serde_json::Value;
use shipway_contracts::{
    Code, Error,
    v1::{self, AddAccountReply, AddAccountRequest, RepositoryLogin},
};
use shipway_documents::flow::{Flow as Document, GitTrigger, TriggerSource};
use shipway_events::{
    AccountId, CommandId, Meta, Position, SecretRef,
    org::{Credential, HostKind},
    project::ResourceKind,
};
use shipway_repository::Secret;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    change::{Done, Shared, busy, secret_error, world_error},
    domain::{
        Account, AccountCommand, AccountRefusal, Accounts, Mention, account_secret_name, decide_account,
        named_account, resolve_account,
    },
    secrets::installation,
    senders::plain,
    world::{Project, Projects},
};

/// How often a command is decided again after somebody else changed the list of projects or accounts.
const TRIES: usize = 20;

/// The largest credential.
const LONGEST: usize = 32 * 1024;

/// The shortest token that can be kept out of logs.
const SHORTEST: usize = 6;

/// For each repository by its plain address, where the first trigger of the project, or else the first build service,
/// names an account for it.
pub(crate) fn named(project: &Project) -> HashMap<String, Mention> {
    let flows =
        project.state.flows.values().filter_map(|flow| Document::parse(&flow.newest()?.document).ok());
    let resources = project.state.resources.values();
    let built = resources.filter_map(|resource| mentioned(resource.kind, &resource.spec));
    let mut named = HashMap::new();
    for mention in flows.flat_map(|flow| mentions(&flow)).map(|(_, mention)| mention).chain(built) {
        if mention.named.is_some() {
            named.entry(plain(&mention.repository)).or_insert(mention);
        }
    }
    named
}

impl Shared {
    /// Links an account, or gives the one of that name another credential.
    pub(crate) async fn link_account(
        &self,
        request: &AddAccountRequest,
        credential: Zeroizing<String>,
        meta: Meta,
    ) -> Result<AddAccountReply, Error> {
        let command: CommandId = shipway_contracts::id("command", &request.command)?;
        let wish = Wish::read(request, &credential)?;
        let _turn = self.turn.lock().await;
        if let Some(done) = self.replay(command).await? {
            return self.linked(&request.name, &done);
        }
        let new = AccountId::new(Uuid::now_v7());
        for _ in 0..TRIES {
            let projects = self.world.refresh().await.map_err(world_error)?;
            let id = projects
                .accounts
                .values()
                .find(|known| known.name == wish.name)
                .map_or(new, |known| known.id);
            let name = account_secret_name(id, &wish.host);
            let planned = self.secrets.plan(installation(), &name, credential.clone()).await;
            let planned = planned.map_err(secret_error)?;
            let link = AccountCommand::Link(Account {
                id,
                name: wish.name.clone(),
                kind: wish.kind,
                host: wish.host.clone(),
                api: wish.api.clone(),
                login: wish.login.clone(),
                credential: Credential {
                    secret: planned.secret.clone(),
                    known_hosts: wish.known_hosts.clone(),
                },
            });
            let mut done = decided(&projects, &link)?;
            if !done.accounts.is_empty() {
                self.secrets.keep(installation(), &[planned]).await.map_err(secret_error)?;
            }
            if self.append(command, &meta, &mut done).await? {
                return self.linked(&wish.name, &done);
            }
        }
        Err(busy())
    }

    fn linked(&self, name: &str, done: &Done) -> Result<AddAccountReply, Error> {
        let projects = self.world.now();
        let account = named_account(&projects.accounts, name).map_err(refused)?;
        let replaced = account.credential.secret.version > 1;
        Ok(AddAccountReply { account: Some(shown(account)), replaced, position: done.position })
    }

    /// Carries out a command to the accounts that keeps no secret. `allowed` may be against it.
    pub(crate) async fn change_account(
        &self,
        command: &str,
        meta: Meta,
        wish: &AccountCommand,
        allowed: impl Fn(&Projects) -> Result<(), Error>,
    ) -> Result<Position, Error> {
        let command: CommandId = shipway_contracts::id("command", command)?;
        let _turn = self.turn.lock().await;
        if let Some(done) = self.replay(command).await? {
            return Ok(done.position);
        }
        for _ in 0..TRIES {
            let projects = self.world.refresh().await.map_err(world_error)?;
            let mut done = decided(&projects, wish)?;
            allowed(&projects)?;
            if self.append(command, &meta, &mut done).await? {
                return Ok(done.position);
            }
        }
        Err(busy())
    }

    /// What proves an account's login.
    pub(crate) async fn credential(
        &self,
        account: &Account,
    ) -> Result<shipway_repository::Credential, Error> {
        let value =
            self.secrets.get(installation(), &account.credential.secret).await.map_err(secret_error)?;
        let secret = match &account.credential.known_hosts {
            None => Secret::Token(value),
            Some(known_hosts) => Secret::Key { key: value, known_hosts: known_hosts.clone() },
        };
        Ok(shipway_repository::Credential::new(&account.host, &account.login, secret))
    }

    /// The credential that an account has now, for work that was given its login when its run started: a run may have
    /// waited since. An account that is linked no more has none; what kind of credential it is never changes.
    pub(crate) async fn credential_now(&self, pinned: &SecretRef) -> Result<SecretRef, Error> {
        let projects = self.world.refresh_some(&[]).await.map_err(world_error)?;
        let mut known = projects.accounts.values().map(|account| &account.credential.secret);
        known.find(|secret| secret.name == pinned.name).cloned().ok_or_else(|| {
            Error::new(
                Code::PermissionDenied,
                "the account that the run was to log in with is linked no more; link it (`shipway account add`) and start \
                 the run again",
            )
        })
    }

    /// The login that a repository's hook is asked with: of the account that is named for it, or of the only one that
    /// fits.
    pub(crate) async fn hook_login(
        &self,
        accounts: &Accounts,
        named: &HashMap<String, Mention>,
        repository: &str,
    ) -> Result<Option<RepositoryLogin>, Error> {
        if accounts.is_empty() {
            return Ok(None);
        }
        let named = named.get(&plain(repository)).cloned();
        let mention = named.unwrap_or_else(|| Mention { repository: repository.to_owned(), named: None });
        // One that is linked no more: the repository is asked without a login, and says so itself.
        let Ok(Some(account)) = resolve_account(accounts, &mention) else { return Ok(None) };
        let value =
            self.secrets.get(installation(), &account.credential.secret).await.map_err(secret_error)?;
        Ok(Some(RepositoryLogin {
            host: account.host.clone(),
            login: account.login.clone(),
            secret: value.to_string(),
            known_hosts: account.credential.known_hosts.clone().unwrap_or_default(),
        }))
    }
}

fn decided(projects: &Projects, wish: &AccountCommand) -> Result<Done, Error> {
    let accounts = decide_account(&projects.accounts, wish).map_err(refused)?;
    Ok(Done { org_version: projects.version, accounts, ..Done::default() })
}

/// A refusal with its code.
pub(crate) fn refused(refusal: AccountRefusal) -> Error {
    let code = match &refusal {
        AccountRefusal::Missing { .. } => Code::NotFound,
        AccountRefusal::Taken { .. } => Code::AlreadyExists,
        AccountRefusal::Name(_) | AccountRefusal::Host(_) | AccountRefusal::Api(_) => Code::BadRequest,
    };
    Error::new(code, refusal.to_string())
}

/// A request, read.
struct Wish {
    name: String,
    kind: HostKind,
    host: String,
    api: Option<String>,
    login: String,
    known_hosts: Option<String>,
}

impl Wish {
    fn read(request: &AddAccountRequest, credential: &str) -> Result<Self, Error> {
        let bad = |field: &str, why: &str| Error::bad_request(format!("field `{field}`: {why}"));
        let kind = HostKind::of(&request.kind).ok_or_else(|| {
            let known = shipway_documents::list(HostKind::ALL.iter().map(|kind| kind.word()));
            bad("kind", &format!("there is no kind of host `{}`; it is one of {known}", request.kind))
        })?;
        let host = match (request.host.trim().to_ascii_lowercase(), usual_host(kind)) {
            (host, _) if !host.is_empty() => host,
            (_, Some(usual)) => usual.to_owned(),
            (_, None) => {
                return Err(bad("host", &format!("a host of kind {kind} may be anywhere; say where it is")));
            }
        };
        let is_key = credential.trim_start().starts_with("-----BEGIN ");
        let known_hosts = match (is_key, request.known_hosts.trim()) {
            (true, "") => {
                let why = format!(
                    "a key of ssh is used only where it is known who the host is: give the lines that \
                     `ssh-keyscan {host}` prints, once you have compared them with what the host publishes"
                );
                return Err(bad("known_hosts", &why));
            }
            (true, lines) => Some(format!("{lines}\n")),
            (false, "") => None,
            (false, _) => return Err(bad("known_hosts", "they belong to a key of ssh, and this is a token")),
        };
        if credential.len() > LONGEST {
            return Err(bad("credential", "it is longer than 32 KiB"));
        }
        if credential.contains("ENCRYPTED") && is_key {
            return Err(bad("credential", "the key has a passphrase, and nobody is there to type it"));
        }
        let token = !is_key;
        if token && credential.chars().count() < SHORTEST {
            return Err(bad(
                "credential",
                "a token has 6 characters or more, else logs cannot be kept free of it",
            ));
        }
        if token && !credential.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("credential", "a token has no spaces, line ends or letters beyond ASCII"));
        }
        let login = request.login.trim();
        if login.contains([':', '\n', '\r']) || login.len() > 200 {
            return Err(bad("login", "a login has no colon and no line end"));
        }
        let login = if login.is_empty() { usual_login(kind, is_key) } else { login }.to_owned();
        let api = Some(request.api.trim()).filter(|api| !api.is_empty()).map(str::to_owned);
        Ok(Self { name: request.name.clone(), kind, host, api, login, known_hosts })
    }
}

/// Where most repositories of a kind are.
const fn usual_host(kind: HostKind) -> Option<&'static str> {
    match kind {
        HostKind::GitHub => Some("github.com"),
        HostKind::GitLab => Some("gitlab.com"),
        HostKind::Bitbucket => Some("bitbucket.org"),
        HostKind::Azure => Some("dev.azure.com"),
        HostKind::BitbucketDc | HostKind::Gitea | HostKind::Forgejo | HostKind::SelfHosted => None,
    }
}

/// Who somebody with a token alone is: most hosts look at the token only.
const fn usual_login(kind: HostKind, is_key: bool) -> &'static str {
    match kind {
        HostKind::Bitbucket | HostKind::BitbucketDc if !is_key => "x-token-auth",
        _ => "git",
    }
}

/// An account for people, without its credential.
pub(crate) fn shown(account: &Account) -> v1::Account {
    v1::Account {
        id: account.id.to_string(),
        name: account.name.clone(),
        kind: account.kind.word().to_owned(),
        host: account.host.clone(),
        api: account.api.clone().unwrap_or_default(),
        login: account.login.clone(),
        credential: if account.has_key() { "ssh-key" } else { "token" }.to_owned(),
        credential_version: account.credential.secret.version,
    }
}

/// The account that a resource's spec names, if it is of a kind that builds.
pub(crate) fn mentioned(kind: ResourceKind, spec: &Value) -> Option<Mention> {
    let builds = matches!(kind, ResourceKind::BuildService | ResourceKind::CombinedService);
    let data = spec.get("vcsData").filter(|_| builds)?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    Some(Mention::new(text("projectUrl")?, text))
}

/// The accounts that a flow's triggers name, each with the place of what names it.
pub(crate) fn mentions(flow: &Document) -> Vec<(String, Mention)> {
    let mut all = Vec::new();
    for trigger in &flow.triggers {
        let git = match &trigger.source {
            TriggerSource::Git(git) => git,
            TriggerSource::Typed(typed) => &typed.git,
            TriggerSource::Webhook(_) => continue,
        };
        let typed = flow.value.pointer(&format!("{}/spec/vcs", trigger.pointer)).is_some();
        let at = if typed { "/spec/vcs" } else { "" };
        all.push((format!("{}{at}", trigger.pointer), mention(git)));
    }
    all
}

/// The account that a trigger names.
pub(crate) fn mention(git: &GitTrigger) -> Mention {
    Mention::new(&git.repo_url, |member| match member {
        "vcsLinkId" => git.vcs_link_id.as_deref(),
        "selfHostedVcsId" => git.self_hosted_vcs_id.as_deref(),
        _ => git.account_login.as_deref(),
    })
}

/// Every flow and build service that names the account: `shop: shop/staging`, `shop: shop-builder`.
pub(crate) fn named_by(projects: &Projects, account: &Account) -> Vec<String> {
    let is_it = |mention: &Mention| {
        mention.named.is_some()
            && resolve_account(&projects.accounts, mention).is_ok_and(|found| found == Some(account))
    };
    let mut all = Vec::new();
    for project in projects.by_slug.values() {
        let slug = &project.slug;
        for resource in project.state.resources.values() {
            if mentioned(resource.kind, &resource.spec).is_some_and(|mention| is_it(&mention)) {
                all.push(format!("{slug}: {}", resource.slug));
            }
        }
        for flow in project.state.flows.values() {
            let document = flow.newest().and_then(|newest| Document::parse(&newest.document).ok());
            if document.is_some_and(|document| mentions(&document).iter().any(|(_, mention)| is_it(mention)))
            {
                all.push(format!("{slug}: {}", flow.path()));
            }
        }
    }
    all
}
