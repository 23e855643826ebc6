//! `shipway hook rotate` and `shipway hook retire`: a webhook's secret takes another's place without a refusal.

use std::io::{self, Read};

use serde_json::json;
use shipway_contracts::v1::{RetireHookRequest, RotateHookRequest};
use uuid::Uuid;

use super::{Exit, Outcome};
use crate::cli::{Client, flags::Common, hint, json as shown, out, output::out_json, talk};

/// Arguments of `shipway hook rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    /// The hook's id, or 8 characters of its beginning: `shipway hooks` lists them.
    hook: String,
    /// Takes the new secret from standard input, where the sender chooses it.
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway hook retire`.
#[derive(Debug, clap::Args)]
pub(crate) struct RetireArgs {
    /// The hook's id, or 8 characters of its beginning: `shipway hooks` lists them.
    hook: String,
    /// The newest ends too: requests to the flow need not be signed any more.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn rotate(args: RotateArgs) -> Outcome {
    let mut secret = String::new();
    if args.stdin {
        io::stdin().read_to_string(&mut secret)?;
    }
    let client = Client::connect(&args.common.place).await?;
    let command = Uuid::now_v7().to_string();
    let request = RotateHookRequest { command, hook: args.hook, secret: secret.trim().to_owned() };
    let reply = client.projects().rotate_hook(request).await?.into_inner();
    let hook = reply.hook.unwrap_or_default();
    if args.common.json() {
        out_json(&json!({ "hook": shown::hook(&hook, &client.url), "position": reply.position }));
        return Ok(Exit::Ok);
    }
    if !hook.secret.is_empty() {
        out(&hook.secret);
    }
    talk(&format!(
        "{} secrets of the hook of {} count now; the new one is shown this once",
        hook.secrets, hook.of
    ));
    hint(&format!("give it to the sender, then `shipway hook retire {}`", hook.id));
    Ok(Exit::Ok)
}

pub(super) async fn retire(args: RetireArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let command = Uuid::now_v7().to_string();
    let request = RetireHookRequest { command, hook: args.hook, all: args.all };
    let reply = client.projects().retire_hook(request).await?.into_inner();
    let hook = reply.hook.unwrap_or_default();
    if args.common.json() {
        out_json(&json!({
            "hook": shown::hook(&hook, &client.url),
            "retired": reply.retired,
            "position": reply.position,
        }));
    } else {
        talk(&match (reply.retired, hook.secrets) {
            (0, _) => format!("the hook of {} has no old secret", hook.of),
            (ended, 0) => format!("{ended} ended; requests to {} need not be signed", hook.of),
            (ended, _) => format!("{ended} ended; deliveries of {} must be signed with the newest", hook.of),
        });
    }
    Ok(Exit::Ok)
}
