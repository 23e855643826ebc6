//! `shipway replay`: deliveries are judged once more.

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{DeliveryFilter, Page, ReplayDeliveriesRequest, Replayed};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, deliveries::Choice, flags::Common, hint,
    json as shown, out, output::out_json, short_id, talk,
};

/// How many are asked for together.
const TOGETHER: u32 = 100;

/// Arguments of `shipway replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The deliveries: ids, or beginnings of ids (8 characters or more).
    #[arg(value_name = "DELIVERY")]
    deliveries: Vec<String>,
    #[command(flatten)]
    choice: Choice,
    /// Tells what would follow, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn replay(args: Args) -> Outcome {
    let filter = args.choice.filter(Timestamp::now())?;
    let by_filter = filter != DeliveryFilter::default();
    if args.deliveries.is_empty() != by_filter {
        return Err(Failure::usage("which deliveries?").help(
            "name some, or choose a range: `shipway replay --since '2h ago' --unmatched`; one of both",
        ));
    }
    let client = Client::connect(&args.common.place).await?;
    let mut request = ReplayDeliveriesRequest {
        command: Uuid::now_v7().to_string(),
        deliveries: args.deliveries,
        filter: Some(filter),
        page: Some(Page { after: String::new(), limit: TOGETHER }),
        dry_run: args.dry_run,
    };
    let mut all = Vec::new();
    loop {
        let reply = client.triggers().replay_deliveries(request.clone()).await?.into_inner();
        all.extend(reply.replayed);
        if reply.next.is_empty() {
            break;
        }
        request.page = Some(Page { after: reply.next, limit: TOGETHER });
    }
    let problems = all.iter().filter(|one| !one.problem.is_empty()).count();
    if args.common.json() {
        out_json(&json!({ "dryRun": args.dry_run, "replayed": all.iter().map(as_json).collect::<Vec<_>>() }));
    } else if all.is_empty() {
        talk("no such delivery");
    } else {
        out(&table(&all).text(Paint::stdout()));
    }
    if problems > 0 {
        let of = all.len();
        return Err(Failure::new(format!("{problems} of {of} deliveries could not be judged once more")));
    }
    if args.dry_run {
        hint("the same command without --dry-run");
    } else if let Some(run) = all.iter().find_map(first_run) {
        hint(&format!("shipway watch {}", short_id(run)));
    }
    Ok(Exit::Ok)
}

fn first_run(replayed: &Replayed) -> Option<&str> {
    let verdicts = replayed.delivery.iter().flat_map(|delivery| &delivery.verdicts);
    verdicts.map(|verdict| verdict.run.as_str()).find(|run| !run.is_empty())
}

fn table(all: &[Replayed]) -> Table {
    let mut table = Table::new(&["DELIVERY", "REPLAY", "WHAT", "FLOW", "VERDICT"]);
    for replayed in all {
        let Some(delivery) = &replayed.delivery else {
            table.styled([
                (short_id(&replayed.original).to_owned(), Style::Plain),
                (String::new(), Style::Plain),
                (replayed.problem.clone(), Style::Bad),
                (String::new(), Style::Plain),
                (String::new(), Style::Plain),
            ]);
            continue;
        };
        let mut first = [short_id(&replayed.original), short_id(&delivery.id), &delivery.summary];
        if delivery.verdicts.is_empty() {
            table.row([first[0], first[1], first[2], "", "no trigger listens to it"]);
        }
        for verdict in &delivery.verdicts {
            let said = match (verdict.matched, verdict.run.as_str()) {
                (true, "") => format!("would start a run: {}", verdict.reason),
                (true, run) => format!("run {}", short_id(run)),
                (false, _) => verdict.reason.clone(),
            };
            table.row([first[0], first[1], first[2], &verdict.path, &said]);
            first = [""; 3];
        }
    }
    table
}

fn as_json(replayed: &Replayed) -> Value {
    json!({
        "original": replayed.original,
        "delivery": replayed.delivery.as_ref().map(shown::delivery),
        "problem": replayed.problem,
    })
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::{Delivery, Verdict};

    use super::*;

    #[test]
    fn what_follows_and_what_would_is_a_table() {
        let verdict = Verdict {
            path: "shop/staging".to_owned(),
            matched: true,
            reason: "branch main matches the rule main".to_owned(),
            ..Verdict::default()
        };
        let delivery = Delivery {
            summary: "push of 3f2a91c to main".to_owned(),
            verdicts: vec![verdict],
            ..Delivery::default()
        };
        let original = "01934f2e-8c1a-7000-8000-000000000001".to_owned();
        let dry = Replayed { original: original.clone(), delivery: Some(delivery), problem: String::new() };
        let gone = Replayed { original, delivery: None, problem: "its hook is no longer".to_owned() };
        let expected = "\
DELIVERY       REPLAY  WHAT                     FLOW          VERDICT
01934f2e-8c1a          push of 3f2a91c to main  shop/staging  would start a run: branch main matches the rule main
01934f2e-8c1a          its hook is no longer";
        assert_eq!(table(&[dry, gone]).text(Paint::none()), expected);
    }
}
