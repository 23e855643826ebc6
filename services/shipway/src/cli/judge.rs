//! `shipway approve` and `shipway reject`: what people say to a node that waits for it.

use shipway_contracts::v1::{JudgeNodeRequest, Run};
use uuid::Uuid;

use super::{
    Client, Exit, Outcome, flags::Common, hint, json as shown, out, output::out_json, short_id,
    surely::surely,
};

/// Arguments of `shipway approve` and `shipway reject`.
#[derive(Debug, clap::Args)]
pub(crate) struct JudgeArgs {
    /// The run: an id, the beginning of one, or `@latest`.
    run: String,
    /// The node; may be left out where one waits.
    node: Option<String>,
    /// Why.
    #[arg(short, long, visible_alias = "message", value_name = "TEXT")]
    reason: Option<String>,
    /// The hash of the plan that was looked at (`shipway show -o json`): another plan is refused. The run's plan as it is
    /// now when absent.
    #[arg(long, value_name = "HASH")]
    plan: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn approve(args: JudgeArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = request(&client, &args).await?;
    let run = surely(async || client.runs().approve_node(request.clone()).await).await?;
    say(&args, &run, "approved")
}

pub(crate) async fn reject(args: JudgeArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = request(&client, &args).await?;
    let run = surely(async || client.runs().reject_node(request.clone()).await).await?;
    say(&args, &run, "rejected")
}

async fn request(client: &Client, args: &JudgeArgs) -> Result<JudgeNodeRequest, super::Failure> {
    let run = client.run(&args.run).await?;
    Ok(JudgeNodeRequest {
        command: Uuid::now_v7().to_string(),
        run: run.id,
        node: args.node.clone().unwrap_or_default(),
        reason: args.reason.clone().unwrap_or_default(),
        // What is approved is what was there when this was asked.
        plan: args.plan.clone().unwrap_or(run.plan),
    })
}

fn say(args: &JudgeArgs, run: &Run, what: &str) -> Outcome {
    if args.common.json() {
        out_json(&shown::run(run));
    } else {
        out(&format!("{what}: {} {} {}", run.path, short_id(&run.id), run.status));
        for node in run.nodes.iter().filter(|node| node.status == "approval_wait") {
            out(&node.waiting_for);
        }
    }
    if !run.concluded {
        hint(&format!("shipway watch {}", short_id(&run.id)));
    }
    Ok(Exit::Ok)
}
