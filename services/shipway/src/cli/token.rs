//! `shipway token`: what people prove their names with.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Token as Known, WhoAmIRequest,
};
use uuid::Uuid;

use super::{Client, Exit, Failure, Outcome, Paint, Table, flags::Common, hint, out, output::out_json, talk};

/// Verbs of `shipway token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Makes a token for a person and shows it, this once. Who has it is that person.
    Create(CreateArgs),
    /// Lists who has a token.
    List(ListArgs),
    /// Revokes a token: it proves nothing from now on.
    Revoke(RevokeArgs),
    /// Says who Shipway takes you for.
    Whoami(ListArgs),
}

/// Arguments of `shipway token create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Whose it is: the name that approvals and events have, best the one at the Git host.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What they are: `approver` and whatever else approvals name; `admin` makes and revokes tokens. May be given several
    /// times.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The file that the token is written to, for you alone, instead of being shown.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway token list` and `shipway token whoami`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway token revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// Whose it is, or the token's id.
    token: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn token(verb: Token) -> Outcome {
    match verb {
        Token::Create(args) => create(args).await,
        Token::List(args) => list(args).await,
        Token::Revoke(args) => revoke(args).await,
        Token::Whoami(args) => whoami(args).await,
    }
}

async fn create(args: CreateArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    // Before the token exists: it is shown only once, and must not be lost.
    let mut file = args.to.as_deref().map(private).transpose()?;
    let command = Uuid::now_v7().to_string();
    let request = CreateTokenRequest { command, name: args.name, roles: args.roles };
    let made = client.tokens().create_token(request).await;
    if made.is_err() {
        // It is empty, and says nothing to anybody.
        let _ = args.to.as_deref().map(fs::remove_file);
    }
    let reply = made?.into_inner();
    let token = reply.token.unwrap_or_default();
    if let Some(file) = &mut file {
        file.write_all(reply.value.as_bytes()).and_then(|()| file.sync_all())?;
    }
    let value = if file.is_some() { None } else { Some(&reply.value) };
    if args.common.json() {
        let open = reply.open;
        out_json(&json!({"token": shown(&token), "value": value, "open": open, "position": reply.position}));
    } else if let Some(value) = value {
        talk(&format!("the token of {}; it is not shown again:", token.name));
        out(value);
    } else if let Some(path) = &args.to {
        out(&format!("{} has a token, in {}", token.name, path.display()));
    }
    if reply.open {
        talk("anybody may make tokens, until one has the role `admin`");
    }
    match &args.to {
        Some(path) => hint(&format!("shipway token whoami --token-file {}", path.display())),
        None => hint("SHIPWAY_TOKEN=… shipway token whoami"),
    }
    Ok(Exit::Ok)
}

/// A new file that only its owner can read.
fn private(path: &Path) -> Result<fs::File, Failure> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        Failure::usage(format!("making {}: {error}", path.display()))
            .help("name a file that is not there yet, in a folder that is")
    })
}

async fn list(args: ListArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let reply = client.tokens().list_tokens(ListTokensRequest {}).await?.into_inner();
    if args.common.json() {
        out_json(&json!({"tokens": reply.tokens.iter().map(shown).collect::<Vec<_>>(), "open": reply.open}));
    } else if reply.tokens.is_empty() {
        talk("nobody has a token yet: `shipway token create --name <you> --role admin` makes one");
    } else {
        let mut table = Table::new(&["NAME", "ROLES", "CREATED", "BY"]);
        for token in &reply.tokens {
            table.row([&token.name, &token.roles.join(", "), &token.created_at, &token.created_by]);
        }
        out(&table.text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

async fn revoke(args: RevokeArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let command = Uuid::now_v7().to_string();
    let request = RevokeTokenRequest { command, token: args.token.clone() };
    let reply = client.tokens().revoke_token(request).await?.into_inner();
    if args.common.json() {
        out_json(&json!({"token": reply.token.as_ref().map(shown), "position": reply.position}));
    } else {
        out(&format!(
            "the token of {} proves nothing any more; what it has approved stays approved",
            args.token
        ));
    }
    hint("shipway token list");
    Ok(Exit::Ok)
}

async fn whoami(args: ListArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let who = client.tokens().who_am_i(WhoAmIRequest {}).await?.into_inner();
    if args.common.json() {
        out_json(&json!({"name": who.name, "roles": who.roles, "proven": who.proven}));
    } else if who.proven {
        let roles = if who.roles.is_empty() { "no role".to_owned() } else { who.roles.join(", ") };
        out(&format!("{} ({roles})", who.name));
    } else {
        out(&format!("{}: nobody in particular, without a token", who.name));
    }
    Ok(Exit::Ok)
}

fn shown(token: &Known) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "roles": token.roles,
        "createdAt": token.created_at,
        "createdBy": token.created_by,
    })
}
