//! `shipway runs`: lists of runs, page by page.

use jiff::Timestamp;
use serde_json::json;
use shipway_contracts::v1::{ListRunsReply, ListRunsRequest, Page, Run};

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, age,
    flags::Common,
    hint, json as shown, out,
    output::out_json,
    short_commit, short_id, talk,
    time::{lasted, parse},
};

/// The most runs that Shipway puts on a page.
const PAGE: u32 = 500;

/// Arguments of `shipway runs`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only this flow: `shop/production`.
    flow: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    /// Goes on where a list has ended: it says what to give here.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Which runs: all that is given has to be so.
#[derive(Clone, Debug, Default, clap::Args)]
struct Filter {
    /// Only runs in this status: running, failure, …
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only runs that are not over.
    #[arg(long)]
    open: bool,
    /// Only runs that are over.
    #[arg(long, conflicts_with = "open")]
    concluded: bool,
    /// Only this project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only this pipeline.
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Only this stage: production.
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Only runs of this branch.
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Only runs of this commit; four digits or more.
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// Only what this person asked for.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only what came to be like this: manual, git, webhook, schedule, resource, run.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Not before: 2026-01-31T17:00:00Z, or `3d ago`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only runs with this in their name.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

pub(crate) async fn runs(args: Args) -> Outcome {
    let request = request(&args, Timestamp::now())?;
    let client = Client::connect(&args.common.place).await?;
    let reply = all(&client, request, args.limit).await?;
    if args.common.json() {
        out_json(&json!({
            "runs": reply.runs.iter().map(shown::run).collect::<Vec<_>>(),
            "next": reply.next,
        }));
    } else if reply.runs.is_empty() {
        talk(match words(&args).is_empty() {
            true => "no runs; `shipway run <pipeline>/<stage>` starts one",
            false => "no runs are like that",
        });
    } else {
        out(&table(&reply.runs, Timestamp::now()).text(Paint::stdout()));
    }
    if !reply.next.is_empty() {
        hint(&format!("shipway runs{} -n {} --after {}", words(&args), args.limit, reply.next));
    }
    Ok(Exit::Ok)
}

/// So many runs: what is rare comes on short pages, and one page holds no more than Shipway gives.
async fn all(client: &Client, request: ListRunsRequest, limit: u32) -> Result<ListRunsReply, Failure> {
    let mut found = ListRunsReply::default();
    let mut after = request.page.clone().unwrap_or_default().after;
    loop {
        let missing = limit.saturating_sub(u32::try_from(found.runs.len()).unwrap_or(u32::MAX));
        let page = Some(Page { after, limit: missing.clamp(1, PAGE) });
        let reply = client.runs().list_runs(ListRunsRequest { page, ..request.clone() }).await?.into_inner();
        found.runs.extend(reply.runs);
        found.next = reply.next;
        if found.next.is_empty() || found.runs.len() >= limit as usize {
            return Ok(found);
        }
        after = found.next.clone();
    }
}

fn request(args: &Args, now: Timestamp) -> Result<ListRunsRequest, Failure> {
    let Filter { status, project, pipeline, stage, branch, commit, by, origin, since, until, name, .. } =
        args.filter.clone();
    let time = |text: Option<String>| {
        let time = text.map(|text| parse(&text, now)).transpose();
        time.map(|time| time.map(|time| time.to_string()).unwrap_or_default())
    };
    let concluded = match (args.filter.open, args.filter.concluded) {
        (true, _) => Some(false),
        (_, true) => Some(true),
        _ => None,
    };
    Ok(ListRunsRequest {
        page: Some(Page { after: args.after.clone().unwrap_or_default(), limit: 0 }),
        flow: args.flow.clone().unwrap_or_default(),
        status: status.unwrap_or_default(),
        project: project.unwrap_or_default(),
        concluded,
        pipeline: pipeline.unwrap_or_default(),
        stage: stage.unwrap_or_default(),
        branch: branch.unwrap_or_default(),
        commit: commit.unwrap_or_default(),
        author: by.unwrap_or_default(),
        origin: origin.unwrap_or_default(),
        since: time(since)?,
        until: time(until)?,
        text: name.unwrap_or_default(),
    })
}

/// What was asked for, as it is typed.
fn words(args: &Args) -> String {
    let filter = &args.filter;
    let mut words = String::new();
    if let Some(flow) = &args.flow {
        words.push_str(&format!(" {}", quoted(flow)));
    }
    for (flag, value) in [
        ("status", &filter.status),
        ("project", &filter.project),
        ("pipeline", &filter.pipeline),
        ("stage", &filter.stage),
        ("branch", &filter.branch),
        ("commit", &filter.commit),
        ("by", &filter.by),
        ("origin", &filter.origin),
        ("since", &filter.since),
        ("until", &filter.until),
        ("name", &filter.name),
    ] {
        if let Some(value) = value {
            words.push_str(&format!(" --{flag} {}", quoted(value)));
        }
    }
    for (flag, given) in [("open", filter.open), ("concluded", filter.concluded)] {
        if given {
            words.push_str(&format!(" --{flag}"));
        }
    }
    words
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Its flow; a rollback is marked.
fn flow(run: &Run) -> String {
    if run.rollback.is_some() { format!("{} (rollback)", run.path) } else { run.path.clone() }
}

fn table(runs: &[Run], now: Timestamp) -> Table {
    let mut table = Table::new(&["RUN", "FLOW", "NAME", "STATUS", "TOOK", "AGE", "COMMIT", "BY", "REASON"]);
    for run in runs {
        let quiet = |text: &str| (text.to_owned(), Style::Quiet);
        table.styled([
            (short_id(&run.id).to_owned(), Style::Plain),
            (flow(run), Style::Plain),
            (run.name.clone(), Style::Plain),
            (run.status.clone(), Style::of_status(&run.status)),
            quiet(&lasted(&run.created_at, &run.ended_at, now)),
            quiet(&age(&run.created_at, now)),
            quiet(short_commit(&run.commit)),
            quiet(&run.origin),
            quiet(run.reason.lines().next().unwrap_or_default()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_a_table() {
        let run = Run {
            id: "01934f2e-8c1a-7000-8000-000000000001".to_owned(),
            path: "shop/staging".to_owned(),
            name: "calm-otter".to_owned(),
            status: "failure".to_owned(),
            origin: "webhook".to_owned(),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            ended_at: "2026-01-01T00:01:05Z".to_owned(),
            reason: "migrate failed\nmore".to_owned(),
            commit: "3f2a91c0ffee".to_owned(),
            ..Run::default()
        };
        let expected = "\
RUN            FLOW          NAME        STATUS   TOOK  AGE  COMMIT    BY       REASON
01934f2e-8c1a  shop/staging  calm-otter  failure  65s   10m  3f2a91c0  webhook  migrate failed";
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        assert_eq!(table(&[run], now).text(Paint::none()), expected);
    }

    #[test]
    fn the_next_page_is_asked_for_in_the_same_words() {
        let filter = Filter {
            by: Some("ada".to_owned()),
            since: Some("3d ago".to_owned()),
            name: Some("it's".to_owned()),
            open: true,
            ..Filter::default()
        };
        let args = Args { flow: Some("shop/staging".to_owned()), filter, ..Args::default() };
        assert_eq!(words(&args), r" shop/staging --by ada --since '3d ago' --name 'it'\''s' --open");
        let now: Timestamp = "2026-01-04T00:00:00Z".parse().unwrap();
        let request = request(&args, now).unwrap();
        assert_eq!((request.since.as_str(), request.concluded), ("2026-01-01T00:00:00Z", Some(false)));
        assert_eq!((request.author.as_str(), request.text.as_str()), ("ada", "it's"));
    }
}
