//! `shipway flow`: a flow's triggers start nothing for a while.

use serde_json::json;
use shipway_contracts::v1::PauseFlowRequest;
use uuid::Uuid;

use super::{Client, Exit, Outcome, flags::Common, hint, out, output::out_json};

/// Verbs of `shipway flow`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Flow {
    /// Lets its triggers start nothing: what comes is stored, and can be replayed later. Runs by hand work.
    Pause(PauseArgs),
    /// Lets its triggers start runs again.
    Resume(ResumeArgs),
}

/// Arguments of `shipway flow pause`.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    /// The flow: `shop/production`.
    flow: String,
    /// Why.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// Arguments of `shipway flow resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The flow: `shop/production`.
    flow: String,
    #[command(flatten)]
    which: Which,
}

/// Where the flow is.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The flow's project, where two have a pipeline of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn flow(verb: Flow) -> Outcome {
    let (flow, which, paused, reason) = match verb {
        Flow::Pause(args) => (args.flow, args.which, true, args.message.unwrap_or_default()),
        Flow::Resume(args) => (args.flow, args.which, false, String::new()),
    };
    let client = Client::connect(&which.common.place).await?;
    let request = PauseFlowRequest {
        command: Uuid::now_v7().to_string(),
        project: which.project.unwrap_or_default(),
        flow,
        paused,
        reason,
    };
    let reply = client.pipelines().pause_flow(request).await?.into_inner();
    let path = &reply.path;
    if which.common.json() {
        out_json(&json!({ "path": path, "paused": paused, "position": reply.position }));
    } else if paused {
        out(&format!("{path} is paused: its triggers start nothing"));
    } else {
        out(&format!("{path} goes on: its triggers start runs"));
    }
    if paused {
        hint(&format!("shipway flow resume {path}"));
    } else {
        hint(&format!("shipway replay --flow {path} --unmatched --since '2h ago' --dry-run"));
    }
    Ok(Exit::Ok)
}
