//! `shipway deliveries` and `shipway hooks`: what came in by webhook, and where it comes in.

mod approve;
mod show;

use jiff::Timestamp;
use serde_json::json;
use shipway_contracts::v1::{Delivery, DeliveryFilter, ListDeliveriesRequest, ListHooksRequest, Page};

use super::{
    Client, Exit, Failure, Outcome, Paint, Table, age,
    explain::{ExplainArgs, explain},
    flags::Common,
    hint, json as shown, out,
    output::out_json,
    short_id, talk, time,
};

/// Arguments of `shipway deliveries`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

/// Verbs of `shipway deliveries`.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List deliveries, newest first: what the verb does by itself.
    List(ListArgs),
    /// Show one with all that is known of it: headers, signature, every trigger's verdict, runs.
    Show(show::Args),
    /// Tells what a payload says and what a flow's triggers would make of it, without a server.
    Explain(ExplainArgs),
    /// Let a fork's pull request run, at exactly the commit of this delivery.
    Approve(approve::Args),
}

/// Arguments of `shipway deliveries list`.
#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    choice: Choice,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    /// Goes on after this one: the `next` of the answer before.
    #[arg(long, value_name = "DELIVERY")]
    after: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Which deliveries.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Choice {
    /// Only those to this hook, by its id.
    #[arg(long, value_name = "HOOK")]
    hook: Option<String>,
    /// Only those that a trigger of this flow was asked about: `shop/staging`.
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// Only those in this state: stored, waiting, held, approved, matched, unmatched; or repeated.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only those that no trigger matched.
    #[arg(long, conflicts_with = "state")]
    unmatched: bool,
    /// Only those from this time on: 2026-01-31T17:00:00Z, or `2h ago`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those whose summary, verdicts or values hold this: words, a whole commit, a branch.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl Choice {
    /// As the contract has it.
    pub(super) fn filter(&self, now: Timestamp) -> Result<DeliveryFilter, Failure> {
        let time = |text: &Option<String>| match text {
            None => Ok(String::new()),
            Some(text) => time::parse(text, now).map(|at| at.to_string()),
        };
        let state = if self.unmatched { Some("unmatched".to_owned()) } else { self.state.clone() };
        Ok(DeliveryFilter {
            hook: self.hook.clone().unwrap_or_default(),
            flow: self.flow.clone().unwrap_or_default(),
            state: state.unwrap_or_default(),
            since: time(&self.since)?,
            until: time(&self.until)?,
            text: self.text.clone().unwrap_or_default(),
        })
    }
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
    match args.verb {
        None => list(args.list).await,
        Some(Verb::List(args)) => list(args).await,
        Some(Verb::Show(args)) => show::show(args).await,
        Some(Verb::Explain(args)) => explain(&args),
        Some(Verb::Approve(args)) => approve::approve(args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let now = Timestamp::now();
    let filter = args.choice.filter(now)?;
    let chosen = filter != DeliveryFilter::default();
    let client = Client::connect(&args.common.place).await?;
    let page = Some(Page { after: args.after.unwrap_or_default(), limit: args.limit });
    let request = ListDeliveriesRequest { page, filter: Some(filter) };
    let reply = client.triggers().list_deliveries(request).await?.into_inner();
    if args.common.json() {
        out_json(&json!({
            "deliveries": reply.deliveries.iter().map(shown::delivery).collect::<Vec<_>>(),
            "next": reply.next,
        }));
    } else if reply.deliveries.is_empty() && chosen {
        talk("no such delivery");
    } else if reply.deliveries.is_empty() {
        talk("nothing has been delivered; `shipway hooks` lists the addresses for a Git host's settings");
    } else {
        out(&table(&reply.deliveries, now).text(Paint::stdout()));
        if reply.next.is_empty() {
            hint(&format!("shipway deliveries show {}", short_id(&reply.deliveries[0].id)));
        } else {
            hint(&format!("the same with --after {} lists older ones", reply.next));
        }
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
