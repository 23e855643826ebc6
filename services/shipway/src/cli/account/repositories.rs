//! What a linked account sees: repositories, and the branches, tags and commits of one.

use serde_json::{Value, json};
use shipway_contracts::v1::{
    GitCommit, GitReference, ListCommitsRequest, ListReferencesReply, ListReferencesRequest,
    ListRepositoriesRequest, Page, Repository,
};

use crate::cli::{
    Client, Exit, Outcome, Paint, Table, flags::Common, out, output::out_json, short_commit, talk,
};

/// Arguments of `shipway account repositories`.
#[derive(Debug, clap::Args)]
pub(crate) struct RepositoriesArgs {
    /// Its name or id.
    account: String,
    /// The organisation of Azure DevOps, the workspace of Bitbucket Cloud; elsewhere those of one owner alone.
    #[arg(long, default_value = "", value_name = "OWNER")]
    owner: String,
    /// How many, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

/// Which repository.
#[derive(Debug, clap::Args)]
pub(crate) struct RepositoryArgs {
    /// Its address.
    repository: String,
    /// The account that asks; the only one that fits the host when absent.
    #[arg(long, default_value = "", value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway account commits`.
#[derive(Debug, clap::Args)]
pub(crate) struct CommitsArgs {
    #[command(flatten)]
    of: RepositoryArgs,
    /// The branch, or `refs/tags/…`; the branch that the repository is at when absent.
    #[arg(long = "ref", default_value = "", value_name = "REF")]
    reference: String,
    /// How many, at most 50.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

pub(super) async fn list(args: RepositoriesArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let (mut all, mut after) = (Vec::new(), String::new());
    while all.len() < args.limit {
        let request = ListRepositoriesRequest {
            account: args.account.clone(),
            owner: args.owner.clone(),
            page: Some(Page { after, limit: 100 }),
        };
        let reply = client.accounts().list_repositories(request).await?.into_inner();
        all.extend(reply.repositories);
        after = reply.next;
        if after.is_empty() {
            break;
        }
    }
    let more = !after.is_empty() || all.len() > args.limit;
    all.truncate(args.limit);
    if args.common.json() {
        let shown = |one: &Repository| {
            json!({
                "name": one.name,
                "url": one.url,
                "defaultBranch": one.default_branch,
                "private": one.private,
            })
        };
        out_json(&json!({"repositories": all.iter().map(shown).collect::<Vec<_>>(), "more": more}));
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        talk(&format!("the account `{}` sees no repository", args.account));
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["REPOSITORY", "BRANCH", "", "URL"]);
    for one in &all {
        table.row([&one.name, &one.default_branch, if one.private { "private" } else { "" }, &one.url]);
    }
    out(&table.text(Paint::stdout()));
    if more {
        talk("there are more: `--limit` lists more of them");
    }
    Ok(Exit::Ok)
}

pub(super) async fn branches(args: RepositoryArgs) -> Outcome {
    references(args, "branches", |reply| &reply.branches).await
}

pub(super) async fn tags(args: RepositoryArgs) -> Outcome {
    references(args, "tags", |reply| &reply.tags).await
}

async fn references(
    args: RepositoryArgs,
    what: &str,
    of: impl Fn(&ListReferencesReply) -> &Vec<GitReference>,
) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = ListReferencesRequest { account: args.account, repository: args.repository };
    let reply = client.accounts().list_references(request).await?.into_inner();
    let all = of(&reply);
    if args.common.json() {
        let shown: Vec<Value> =
            all.iter().map(|one| json!({"name": one.name, "commit": one.commit})).collect();
        out_json(&json!({what: shown, "head": reply.head}));
    } else if all.is_empty() {
        talk(&format!("the repository has no {what}"));
    } else {
        let mut table = Table::new(&["NAME", "COMMIT"]);
        for one in all {
            table.row([&one.name, &one.commit]);
        }
        out(&table.text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

pub(super) async fn commits(args: CommitsArgs) -> Outcome {
    let CommitsArgs { of, reference, limit } = args;
    let client = Client::connect(&of.common.place).await?;
    let request = ListCommitsRequest { account: of.account, repository: of.repository, reference, limit };
    let reply = client.accounts().list_commits(request).await?.into_inner();
    if of.common.json() {
        let shown = |commit: &GitCommit| {
            json!({
                "id": commit.id,
                "author": commit.author,
                "writtenAt": commit.written_at,
                "message": commit.message,
            })
        };
        out_json(&json!({"commits": reply.commits.iter().map(shown).collect::<Vec<_>>()}));
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["COMMIT", "WRITTEN", "AUTHOR", "MESSAGE"]);
    for commit in &reply.commits {
        let subject = commit.message.lines().next().unwrap_or_default();
        table.row([short_commit(&commit.id), &commit.written_at, &commit.author, subject]);
    }
    out(&table.text(Paint::stdout()));
    Ok(Exit::Ok)
}
