//! `shipway run`, `runs`, `show`, `abort`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shipway_contracts::v1::{AbortRunRequest, ListRunsRequest, Page, Run, StartRunReply, StartRunRequest};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, age, ask, commit_status,
    flags::{Common, pair},
    hint, json as shown, out,
    output::{out_json, size},
    problems::{self, Sources},
    short_id, talk,
    time::lasted,
    tree, watch,
};

/// Arguments of `shipway run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The flow: `shop/production`.
    flow: String,
    /// Follows the run until it ends; the exit code says how.
    #[arg(short, long)]
    watch: bool,
    /// An argument of the flow, for this run only; may be given several times.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// The run's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Why it is run.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The hash of the plan that was looked at (`shipway plan`): if it is another one by now, nothing is started.
    #[arg(long, value_name = "HASH")]
    plan: Option<String>,
    /// The flow's project, where two have a pipeline of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway runs`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunsArgs {
    /// Only this flow: `shop/production`.
    flow: Option<String>,
    /// Only runs in this status: running, failure, …
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only this project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway show`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The run: an id, the beginning of one, `@latest` or `@failed`.
    #[arg(default_value = "@latest")]
    run: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway abort`.
#[derive(Debug, clap::Args)]
pub(crate) struct AbortArgs {
    /// The run: an id, the beginning of one, or `@latest`.
    run: String,
    /// Why.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: RunArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let mut arguments: Map<String, Value> =
        args.parameters.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    let project = args.project.unwrap_or_default();
    // A program is told what is missing; a person is asked.
    if ask::can_ask() && !args.common.json() {
        ask::complete(&client, &project, &args.flow, &mut arguments).await?;
    }
    let request = StartRunRequest {
        command: Uuid::now_v7().to_string(),
        flow: args.flow.clone(),
        project,
        name: args.name.unwrap_or_default(),
        description: args.message.unwrap_or_default(),
        arguments_json: Value::Object(arguments).to_string(),
        document_json: String::new(),
        plan: args.plan.clone().unwrap_or_default(),
    };
    let reply = client.runs().start_run(request).await?.into_inner();
    if !reply.plan.is_empty() {
        return Ok(moved(&args.flow, args.common.json(), &reply));
    }
    for problem in &reply.problems {
        talk(&problems::render(problem, &Sources::new(), Paint::stderr()));
    }
    if reply.run.is_empty() {
        return Err(Failure::usage(format!("{} was not started", args.flow)));
    }
    if args.watch {
        talk(&format!("started {} {} as {}", reply.path, reply.name, reply.run));
        return watch::follow(&client, &reply.run, args.common.json()).await;
    }
    if args.common.json() {
        out_json(&json!({
            "run": reply.run,
            "status": reply.status,
            "path": reply.path,
            "name": reply.name,
            "problems": reply.problems.iter().map(shown::problem).collect::<Vec<_>>(),
            "position": reply.position,
        }));
    } else {
        out(&reply.run);
    }
    hint(&format!("shipway watch {}", short_id(&reply.run)));
    Ok(Exit::Ok)
}

/// The plan is another one by now: what has moved, and the plan as it is.
fn moved(flow: &str, as_json: bool, reply: &StartRunReply) -> Exit {
    if as_json {
        out_json(&json!({"run": null, "plan": reply.plan, "moved": reply.moved}));
    } else {
        talk(&format!("{flow} was not started: what was planned is not what would be done now"));
        match reply.moved.as_slice() {
            [] => talk("what has moved is not remembered"),
            moved => moved.iter().for_each(|line| out(line)),
        }
    }
    hint(&format!("shipway plan {flow} shows it as it is now: {}", reply.plan));
    Exit::Moved
}

pub(crate) async fn runs(args: RunsArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = ListRunsRequest {
        page: Some(Page { after: String::new(), limit: args.limit }),
        flow: args.flow.unwrap_or_default(),
        status: args.status.unwrap_or_default(),
        project: args.project.unwrap_or_default(),
    };
    let reply = client.runs().list_runs(request).await?.into_inner();
    if args.common.json() {
        out_json(&json!({
            "runs": reply.runs.iter().map(shown::run).collect::<Vec<_>>(),
            "next": reply.next,
        }));
    } else if reply.runs.is_empty() {
        talk("no runs; `shipway run <pipeline>/<stage>` starts one");
    } else {
        out(&table(&reply.runs, Timestamp::now()).text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

pub(crate) async fn show(args: ShowArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
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

pub(crate) async fn abort(args: AbortArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?;
    let request = AbortRunRequest {
        command: Uuid::now_v7().to_string(),
        run: run.id,
        reason: args.message.unwrap_or_default(),
    };
    let run = client.runs().abort_run(request).await?.into_inner();
    if args.common.json() {
        out_json(&shown::run(&run));
    } else {
        out(&format!("{} {} {}", run.path, short_id(&run.id), run.status));
    }
    if !run.concluded {
        hint(&format!("shipway watch {} shows it stop", short_id(&run.id)));
    }
    Ok(Exit::Ok)
}

fn table(runs: &[Run], now: Timestamp) -> Table {
    let mut table = Table::new(&["RUN", "FLOW", "NAME", "STATUS", "TOOK", "AGE", "BY", "REASON"]);
    for run in runs {
        let quiet = |text: &str| (text.to_owned(), Style::Quiet);
        table.styled([
            (short_id(&run.id).to_owned(), Style::Plain),
            (run.path.clone(), Style::Plain),
            (run.name.clone(), Style::Plain),
            (run.status.clone(), Style::of_status(&run.status)),
            quiet(&lasted(&run.created_at, &run.ended_at, now)),
            quiet(&age(&run.created_at, now)),
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
            ..Run::default()
        };
        let expected = "\
RUN            FLOW          NAME        STATUS   TOOK  AGE  BY       REASON
01934f2e-8c1a  shop/staging  calm-otter  failure  65s   10m  webhook  migrate failed";
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        assert_eq!(table(&[run], now).text(Paint::none()), expected);
    }
}
