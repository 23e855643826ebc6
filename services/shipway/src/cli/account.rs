//! `shipway account`: linked accounts at Git hosts, and what repositories hold.

mod repositories;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    Account as Linked, AddAccountRequest, GetAccountRequest, ListAccountsRequest, Page, RemoveAccountRequest,
    RenameAccountRequest, TestAccountRequest,
};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, admin, flags::Common, hint, out, output::out_json,
    talk,
};
use repositories::{CommitsArgs, RepositoriesArgs, RepositoryArgs};

/// Verbs of `shipway account`.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Links an account, or gives the one of that name another credential. The credential comes from a file, from
    /// standard input or from a prompt, never from the command line.
    Add(AddArgs),
    /// Says what works with it: whether the host answers, and takes the login.
    Test(TestArgs),
    /// Lists the linked accounts.
    List(ListArgs),
    /// Shows an account, and what names it.
    Show(OneArgs),
    /// Gives it another name.
    Rename(RenameArgs),
    /// Unlinks it. Documents must not name it any more.
    Remove(OneArgs),
    /// Lists the repositories that it sees, where its host has an API.
    Repositories(RepositoriesArgs),
    /// Lists a repository's branches.
    Branches(RepositoryArgs),
    /// Lists a repository's tags.
    Tags(RepositoryArgs),
    /// Lists a repository's newest commits.
    Commits(CommitsArgs),
}

/// Arguments of `shipway account add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name: what documents say for it (`accountLogin`).
    name: String,
    /// github, gitlab, bitbucket, bitbucket-dc, azure, gitea, forgejo or self-hosted.
    #[arg(long, default_value = "self-hosted")]
    kind: String,
    /// The only host that the credential is sent to; github.com and the like where the kind says it.
    #[arg(long, default_value = "")]
    host: String,
    /// Where the host's API is, if not where hosts of that kind have it.
    #[arg(long, default_value = "", value_name = "URL")]
    api: String,
    /// Who Shipway is there; for most tokens any login does.
    #[arg(long, default_value = "")]
    login: String,
    /// The file that the credential is in: a token, or a private key of ssh.
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// For a key: the file that says who the host is, as `ssh-keyscan` writes it.
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway account list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    common: Common,
}

/// Which account.
#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// Its name or id.
    account: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway account test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Its name or id.
    account: String,
    /// A repository to ask with it.
    #[arg(default_value = "")]
    repository: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway account rename`.
#[derive(Debug, clap::Args)]
pub(crate) struct RenameArgs {
    /// Its name or id.
    account: String,
    /// The new name.
    name: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn account(verb: Account) -> Outcome {
    match verb {
        Account::Add(args) => add(args).await,
        Account::Test(args) => test(args).await,
        Account::List(args) => list(args).await,
        Account::Show(args) => show(args).await,
        Account::Rename(args) => rename(args).await,
        Account::Remove(args) => remove(args).await,
        Account::Repositories(args) => repositories::list(args).await,
        Account::Branches(args) => repositories::branches(args).await,
        Account::Tags(args) => repositories::tags(args).await,
        Account::Commits(args) => repositories::commits(args).await,
    }
}

async fn add(args: AddArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let credential = match &args.credential_file {
        Some(path) => read(path)?.trim_end_matches(['\n', '\r']).to_owned(),
        None => admin::value("the token, or a key from a file", false)?,
    };
    let known_hosts = args.known_hosts.as_deref().map(read).transpose()?.unwrap_or_default();
    let request = AddAccountRequest {
        command: Uuid::now_v7().to_string(),
        name: args.name.clone(),
        kind: args.kind,
        host: args.host,
        api: args.api,
        login: args.login,
        credential,
        known_hosts,
    };
    let reply = client.accounts().add_account(request).await?.into_inner();
    let account = reply.account.unwrap_or_default();
    if args.common.json() {
        let (replaced, position) = (reply.replaced, reply.position);
        out_json(&json!({"account": shown(&account), "replaced": replaced, "position": position}));
    } else if reply.replaced {
        out(&format!("{} has another credential, from the next run on", account.name));
    } else {
        out(&format!("{} is linked: {} at {}", account.name, account.login, account.host));
    }
    hint(&format!("shipway account test {}", args.name));
    Ok(Exit::Ok)
}

async fn test(args: TestArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = TestAccountRequest { account: args.account, repository: args.repository };
    let reply = client.accounts().test_account(request).await?.into_inner();
    let works = reply.checks.iter().all(|check| check.ok);
    if args.common.json() {
        let checks: Vec<Value> = reply
            .checks
            .iter()
            .map(|check| json!({"what": check.what, "ok": check.ok, "said": check.said}))
            .collect();
        out_json(&json!({"ok": works, "login": reply.login, "scopes": reply.scopes, "checks": checks}));
    } else {
        let paint = Paint::stdout();
        for check in &reply.checks {
            let (word, style) = if check.ok { ("ok", Style::Good) } else { ("failed", Style::Bad) };
            out(&format!("{}  {}: {}", paint.on(word, style), check.what, check.said));
        }
        if !reply.login.is_empty() {
            out(&format!("login  {}", reply.login));
        }
        if !reply.scopes.is_empty() {
            out(&format!("scopes  {}", reply.scopes.join(", ")));
        }
    }
    Ok(if works { Exit::Ok } else { Exit::Failed })
}

async fn list(args: ListArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = Some(Page { after, limit: 500 });
        let reply = client.accounts().list_accounts(ListAccountsRequest { page }).await?.into_inner();
        all.extend(reply.accounts);
        if reply.next.is_empty() {
            break;
        }
        after = reply.next;
    }
    if args.common.json() {
        out_json(&json!({"accounts": all.iter().map(shown).collect::<Vec<_>>()}));
    } else if all.is_empty() {
        talk("no account is linked yet: `shipway account add <name> --kind github` links one");
    } else {
        let mut table = Table::new(&["ACCOUNT", "KIND", "HOST", "LOGIN", "CREDENTIAL"]);
        for account in &all {
            table.row([&account.name, &account.kind, &account.host, &account.login, &credential(account)]);
        }
        out(&table.text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

async fn show(args: OneArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = GetAccountRequest { account: args.account };
    let reply = client.accounts().get_account(request).await?.into_inner();
    let account = reply.account.unwrap_or_default();
    if args.common.json() {
        out_json(&json!({"account": shown(&account), "namedBy": reply.named_by}));
        return Ok(Exit::Ok);
    }
    for (name, value) in [
        ("account", &account.name),
        ("id", &account.id),
        ("kind", &account.kind),
        ("host", &account.host),
        ("api", &account.api),
        ("login", &account.login),
        ("credential", &credential(&account)),
    ] {
        if !value.is_empty() {
            out(&format!("{name:<12}{value}"));
        }
    }
    for named in &reply.named_by {
        out(&format!("{:<12}{named}", "named by"));
    }
    Ok(Exit::Ok)
}

async fn rename(args: RenameArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let command = Uuid::now_v7().to_string();
    let request = RenameAccountRequest { command, account: args.account.clone(), name: args.name.clone() };
    let reply = client.accounts().rename_account(request).await?.into_inner();
    changed(
        &args.common,
        reply.account.as_ref(),
        reply.position,
        &format!("{} is {} now", args.account, args.name),
    );
    Ok(Exit::Ok)
}

async fn remove(args: OneArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = RemoveAccountRequest { command: Uuid::now_v7().to_string(), account: args.account.clone() };
    let reply = client.accounts().remove_account(request).await?.into_inner();
    let said = format!("{} is linked no more; runs that go on keep what they began with", args.account);
    changed(&args.common, reply.account.as_ref(), reply.position, &said);
    Ok(Exit::Ok)
}

fn changed(common: &Common, account: Option<&Linked>, position: u64, said: &str) {
    if common.json() {
        out_json(&json!({"account": account.map(shown), "position": position}));
    } else {
        out(said);
    }
    hint("shipway account list");
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::new(format!("reading {}: {error}", path.display())))
}

fn credential(account: &Linked) -> String {
    format!("{}@{}", account.credential, account.credential_version)
}

fn shown(account: &Linked) -> Value {
    json!({
        "id": account.id,
        "name": account.name,
        "kind": account.kind,
        "host": account.host,
        "api": account.api,
        "login": account.login,
        "credential": account.credential,
        "credentialVersion": account.credential_version,
    })
}
