//! `shipway resolve` and `shipway retry`: what people do about a node that does not go on by itself, or not soon.

use shipway_contracts::v1::{ResolveNodeRequest, RetryNodeRequest, Run};
use uuid::Uuid;

use super::{
    Client, Exit, Outcome, flags::Common, hint, json as shown, out, output::out_json, resume, short_id,
    surely::surely,
};

/// Arguments of `shipway resolve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResolveArgs {
    /// The run: an id, the beginning of one, or `@latest`.
    run: String,
    /// The node; may be left out where one is `unknown`.
    node: Option<String>,
    #[command(flatten)]
    outcome: Found,
    /// How that is known.
    #[arg(short, long, visible_alias = "message", value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// What was found out.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Found {
    /// It has happened: the node succeeds, without outputs.
    #[arg(long)]
    happened: bool,
    /// It has not happened and is not tried again: the node fails.
    #[arg(long)]
    failed: bool,
    /// It has not happened: it is tried again.
    #[arg(long)]
    again: bool,
}

/// Arguments of `shipway retry`.
#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    /// The run: an id, the beginning of one, or `@latest`.
    run: String,
    /// The node; may be left out where one waits.
    node: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn resolve(args: ResolveArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let outcome = match &args.outcome {
        Found { happened: true, .. } => "happened",
        Found { failed: true, .. } => "failed",
        Found { .. } => "again",
    };
    let request = ResolveNodeRequest {
        command: Uuid::now_v7().to_string(),
        run: client.run(&args.run).await?.id,
        node: args.node.unwrap_or_default(),
        outcome: outcome.to_owned(),
        reason: args.reason.unwrap_or_default(),
    };
    let run = surely(async || client.runs().resolve_node(request.clone()).await).await?;
    say(&args.common, &run, "resolved")
}

pub(crate) async fn retry(args: RetryArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?;
    if run.concluded {
        // There is nothing left to wait for: it goes on from there in a run of its own.
        return resume::go_on(&client, &args.common, resume::wanted(&run, args.node.into_iter().collect()))
            .await;
    }
    let request = RetryNodeRequest {
        command: Uuid::now_v7().to_string(),
        run: run.id,
        node: args.node.unwrap_or_default(),
    };
    let run = surely(async || client.runs().retry_node(request.clone()).await).await?;
    say(&args.common, &run, "tried again")
}

fn say(common: &Common, run: &Run, what: &str) -> Outcome {
    if common.json() {
        out_json(&shown::run(run));
    } else {
        out(&format!("{what}: {} {} {}", run.path, short_id(&run.id), run.status));
    }
    if !run.concluded {
        hint(&format!("shipway watch {}", short_id(&run.id)));
    }
    Ok(Exit::Ok)
}
