//! `shipway deliveries` and `shipway hooks`: what came in by webhook, and where it comes in.

mod approve;

use jiff::Timestamp;
use serde_json::json;
use shipway_contracts::v1::{Delivery, ListDeliveriesRequest, ListHooksRequest, Page};

use super::{
    Client, Exit, Outcome, Paint, Table, age, flags::Common, hint, json as shown, out, output::out_json,
    short_id, talk,
};

/// Arguments of `shipway deliveries`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    #[command(flatten)]
    common: Common,
}

/// Verbs of `shipway deliveries`.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Let a fork's pull request run, at exactly the commit of this delivery.
    Approve(approve::Args),
}

/// Arguments of `shipway hooks`.
#[derive(Debug, clap::Args)]
pub(crate) struct HooksArgs {
    /// Only this project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn deliveries(args: DeliveriesArgs) -> Outcome {
    if let Some(Verb::Approve(args)) = args.verb {
        return approve::approve(args).await;
    }
    let client = Client::connect(&args.common.place).await?;
    let page = Some(Page { after: String::new(), limit: args.limit });
    let reply = client.triggers().list_deliveries(ListDeliveriesRequest { page }).await?.into_inner();
    if args.common.json() {
        out_json(&json!({
            "deliveries": reply.deliveries.iter().map(shown::delivery).collect::<Vec<_>>(),
            "next": reply.next,
        }));
    } else if reply.deliveries.is_empty() {
        talk("nothing has been delivered; `shipway hooks` lists the addresses for a Git host's settings");
    } else {
        out(&table(&reply.deliveries, Timestamp::now()).text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

fn table(deliveries: &[Delivery], now: Timestamp) -> Table {
    let mut table = Table::new(&["DELIVERY", "AGE", "STATE", "WHAT", "FLOW", "VERDICT"]);
    for delivery in deliveries {
        let old = age(&delivery.received_at, now);
        let mut first = [short_id(&delivery.id), &old, &delivery.state, &delivery.summary];
        if delivery.verdicts.is_empty() {
            table.row([first[0], first[1], first[2], first[3], "", ""]);
        }
        for verdict in &delivery.verdicts {
            if let Some(waiting) = &delivery.waiting {
                let error = if waiting.last_error.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", waiting.last_error)
                };
                let since = age(&waiting.since, now);
                let said = format!("{}, for {since}{error}", verdict.reason);
                table.row([first[0], first[1], first[2], first[3], &verdict.path, &said]);
                first = [""; 4];
                continue;
            }
            let said = match (verdict.matched, verdict.run.as_str()) {
                (true, "") => "matched".to_owned(),
                (true, run) => format!("run {}", short_id(run)),
                (false, _) => verdict.reason.clone(),
            };
            table.row([first[0], first[1], first[2], first[3], &verdict.path, &said]);
            first = [""; 4];
        }
    }
    table
}

pub(crate) async fn hooks(args: HooksArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let projects = match args.project {
        Some(project) => vec![project],
        None => client.all_projects().await?.into_iter().map(|project| project.slug).collect(),
    };
    let mut table = Table::new(&["PROJECT", "OF", "SECRETS", "SENDER", "ADDRESS"]);
    let mut all = Vec::new();
    for project in projects {
        let request = ListHooksRequest { project: project.clone() };
        for hook in client.projects().list_hooks(request).await?.into_inner().hooks {
            let secrets = hook.secrets.to_string();
            let mut first = [project.as_str(), &hook.of, &secrets];
            for address in &hook.addresses {
                let url = format!("{}{}", client.url, address.path);
                table.row([first[0], first[1], first[2], &address.sender, &url]);
                first = [""; 3];
            }
            all.push(shown::hook(&hook, &client.url));
        }
    }
    if args.common.json() {
        out_json(&json!({ "hooks": all }));
    } else if table.is_empty() {
        talk("no webhooks; a pipeline whose flow has a Git or webhook trigger makes one when it is applied");
    } else {
        out(&table.text(Paint::stdout()));
        hint(
            "paste your host's address into its webhook settings, with the secret that `apply` printed; `shipway hook \
             rotate` makes another",
        );
    }
    Ok(Exit::Ok)
}
