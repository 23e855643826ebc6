//! `shipway deliveries approve`: what people say to a fork's pull request that is held.

use shipway_contracts::v1::ApproveDeliveryRequest;

use super::super::{
    Client, Exit, Outcome, flags::Common, hint, json as shown, out, output::out_json, short_id,
};

/// Arguments of `shipway deliveries approve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The delivery: an id, or the part of one that `shipway deliveries` shows.
    delivery: String,
    /// Lets the run use secrets. Whoever wrote the commit can read what its build is given: look at it first.
    #[arg(long)]
    with_secrets: bool,
    /// The commit that was looked at: if the delivery is of another one, nothing is approved.
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn approve(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = ApproveDeliveryRequest {
        delivery: args.delivery,
        with_secrets: args.with_secrets,
        head: args.commit.unwrap_or_default(),
    };
    let delivery = client.triggers().approve_delivery(request).await?.into_inner();
    if args.common.json() {
        out_json(&shown::delivery(&delivery));
        return Ok(Exit::Ok);
    }
    out(&delivery.summary);
    let mut run = None;
    for verdict in delivery.verdicts.iter().filter(|verdict| verdict.matched) {
        out(&format!("{}: {}, run {}", verdict.path, verdict.reason, short_id(&verdict.run)));
        run = run.or(Some(&verdict.run));
    }
    if let Some(run) = run {
        hint(&format!("shipway watch {}", short_id(run)));
    }
    Ok(Exit::Ok)
}
