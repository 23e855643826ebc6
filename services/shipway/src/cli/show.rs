//! `shipway show`: a run with its nodes, as it is or as it was.

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{Node, OpenRunReply, OpenRunRequest, Page, Run};

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, commit_status,
    flags::Common,
    hint, json as shown, out,
    output::{out_json, size},
    short_id,
    time::{lasted, parse},
    tree,
};

/// The most nodes that Shipway puts on a page.
const PAGE: u32 = 500;

/// Arguments of `shipway show`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The run: an id, the beginning of one, `@latest` or `@failed`.
    #[arg(default_value = "@latest")]
    run: String,
    /// As it was: after one of its events (12), or at a time (2026-01-31T17:00:00Z, `2h ago`).
    #[arg(long, value_name = "EVENT|TIME")]
    at: Option<String>,
    /// Only nodes in this status: running, failure, …
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// At most so many nodes, as a list.
    #[arg(short = 'n', long, value_name = "COUNT")]
    limit: Option<u32>,
    /// Goes on where a list of nodes has ended: it says what to give here.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn show(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    if args.at.is_some() || args.status.is_some() || args.limit.is_some() || args.after.is_some() {
        return open(&client, &args).await;
    }
    let run = client.run(&args.run).await?;
    let told = commit_status::told(&client, &run).await;
    if args.common.json() {
        let mut shown = shown::run(&run);
        shown["commitStatus"] = told.as_ref().map_or(Value::Null, commit_status::shown);
        out_json(&shown);
    } else {
        let paint = Paint::stdout();
        out(&tree(&run, Timestamp::now(), size().0, paint).join("\n"));
        if let Some((words, style)) = told.as_ref().map(commit_status::line) {
            out(&paint.on(&format!("  {words}"), style));
        }
    }
    Ok(Exit::Ok)
}

/// A run as it was, or a part of its nodes.
async fn open(client: &Client, args: &Args) -> Outcome {
    let request = request(args, Timestamp::now())?;
    let reply = all(client, request, args.limit).await?;
    let run = reply.run.clone().unwrap_or_default();
    if args.common.json() {
        out_json(&json(&reply, &run));
    } else {
        let paint = Paint::stdout();
        // What still went on had lasted until that moment.
        let then = if reply.last { Timestamp::now() } else { moment(args, &reply) };
        if args.limit.is_none() && args.status.is_none() && args.after.is_none() {
            out(&tree(&run, then, size().0, paint).join("\n"));
        } else {
            let head = Run { nodes: Vec::new(), ..run.clone() };
            out(&tree(&head, then, size().0, paint).join("\n"));
            out(&table(&run.nodes, then).text(paint));
        }
        out(&paint.on(&as_of(&reply), Style::Quiet));
    }
    if !reply.next.is_empty() {
        let limit = args.limit.unwrap_or(PAGE);
        let status = args.status.as_ref().map(|it| format!(" --status {it}")).unwrap_or_default();
        hint(&format!("shipway show {}{status} -n {limit} --after {}", short_id(&run.id), reply.next));
    }
    Ok(Exit::Ok)
}

fn request(args: &Args, now: Timestamp) -> Result<OpenRunRequest, Failure> {
    let mut request = OpenRunRequest {
        run: args.run.clone(),
        status: args.status.clone().unwrap_or_default(),
        page: Some(Page { after: args.after.clone().unwrap_or_default(), limit: 0 }),
        ..OpenRunRequest::default()
    };
    if let Some(at) = &args.at {
        match at.parse() {
            Ok(0) => return Err(Failure::usage("a run has no event 0: the first one is 1")),
            Ok(event) => request.event = event,
            Err(_) => request.at = parse(at, now)?.to_string(),
        }
    }
    Ok(request)
}

/// All nodes, or as many as are wanted: all of the same moment.
async fn all(client: &Client, request: OpenRunRequest, limit: Option<u32>) -> Result<OpenRunReply, Failure> {
    let mut found: Option<OpenRunReply> = None;
    let mut after = request.page.clone().unwrap_or_default().after;
    loop {
        let had = found.as_ref().and_then(|it| it.run.as_ref()).map_or(0, |run| run.nodes.len());
        let missing = limit.map_or(PAGE, |limit| limit.saturating_sub(u32::try_from(had).unwrap_or(limit)));
        let page = Some(Page { after, limit: missing.clamp(1, PAGE) });
        let reply = client.history().open_run(OpenRunRequest { page, ..request.clone() }).await?.into_inner();
        let next = reply.next.clone();
        let all = match &mut found {
            None => found.insert(reply),
            Some(all) => {
                let nodes = reply.run.map(|run| run.nodes).unwrap_or_default();
                if let Some(run) = &mut all.run {
                    run.nodes.extend(nodes);
                }
                all.next.clone_from(&next);
                all
            }
        };
        let has = all.run.as_ref().map_or(0, |run| run.nodes.len());
        if next.is_empty() || limit.is_some_and(|limit| has >= limit as usize) {
            return Ok(all.clone());
        }
        after = next;
    }
}

/// The moment that is shown: the time that was asked for, else that of the last event.
fn moment(args: &Args, reply: &OpenRunReply) -> Timestamp {
    let asked = args.at.as_deref().filter(|at| at.parse::<u64>().is_err());
    let asked = asked.and_then(|at| parse(at, Timestamp::now()).ok());
    asked.or_else(|| reply.at.parse().ok()).unwrap_or_else(Timestamp::now)
}

/// What is shown of how much, in a line.
fn as_of(reply: &OpenRunReply) -> String {
    let counts: Vec<_> =
        reply.counts.iter().map(|count| format!("{} {}", count.nodes, count.status)).collect();
    let counts = counts.join(", ");
    let later = if reply.last { "its last" } else { "more came later" };
    format!("  as of event {} ({later}), {}: {counts}", reply.event, reply.at)
}

fn table(nodes: &[Node], now: Timestamp) -> Table {
    let mut table = Table::new(&["NODE", "KIND", "STATUS", "TOOK", "WHAT"]);
    for node in nodes {
        let quiet = |text: &str| (text.to_owned(), Style::Quiet);
        let what = match node.error_message.lines().next() {
            Some(error) => error,
            None => &node.summary,
        };
        table.styled([
            (node.r#ref.clone(), Style::Plain),
            quiet(&node.kind),
            (node.status.clone(), Style::of_status(&node.status)),
            quiet(&lasted(&node.started_at, &node.ended_at, now)),
            (what.to_owned(), Style::Plain),
        ]);
    }
    table
}

fn json(reply: &OpenRunReply, run: &Run) -> Value {
    let mut shown = shown::run(run);
    let counts = reply.counts.iter().map(|count| (count.status.clone(), json!(count.nodes)));
    shown["counts"] = Value::Object(counts.collect());
    shown["event"] = json!(reply.event);
    shown["at"] = json!(reply.at);
    shown["last"] = json!(reply.last);
    shown["next"] = json!(reply.next);
    shown
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::StatusCount;

    use super::*;

    #[test]
    fn a_moment_is_an_event_or_a_time() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let at = |at: &str| request(&Args { at: Some(at.to_owned()), ..Args::default() }, now);
        assert_eq!(at("12").unwrap().event, 12);
        assert_eq!(at("2h ago").unwrap().at, "2026-01-01T22:00:00Z");
        assert_eq!(at("0").unwrap_err().exit, Exit::Usage);
        assert_eq!(at("then").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn it_says_what_it_is_as_of() {
        let count = |status: &str, nodes| StatusCount { status: status.to_owned(), nodes };
        let reply = OpenRunReply {
            counts: vec![count("pending", 3), count("running", 1)],
            event: 2,
            at: "2026-01-01T00:00:00Z".to_owned(),
            ..OpenRunReply::default()
        };
        assert_eq!(
            as_of(&reply),
            "  as of event 2 (more came later), 2026-01-01T00:00:00Z: 3 pending, 1 running"
        );
    }
}
