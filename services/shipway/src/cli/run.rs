//! `shipway run`, `rerun`, `describe` and `abort`.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use shipway_contracts::v1::{AbortRunRequest, DescribeRunRequest, StartRunReply, StartRunRequest};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, ask,
    flags::{Common, pair},
    hint, json as shown,
    otherwise::Otherwise,
    out,
    output::out_json,
    problems::{self, Sources},
    short_id,
    surely::surely,
    talk, watch,
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
    /// Releases what is held, too, and says why. What is marked bad it does not.
    #[arg(long, value_name = "REASON")]
    despite_hold: Option<String>,
    /// The flow's project, where two have a pipeline of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Your own name for this start, as a CI job has one: given again for the flow, it is the same run, however often.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    otherwise: Otherwise,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway rerun`.
#[derive(Debug, clap::Args)]
pub(crate) struct RerunArgs {
    /// The run: an id, the beginning of one, `@latest` or `@failed`.
    run: String,
    /// Follows the new run until it ends; the exit code says how.
    #[arg(short, long)]
    watch: bool,
    /// Another value for an argument; may be given several times.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// The new run's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Why it is run again.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Releases what is held, too, and says why. What is marked bad it does not.
    #[arg(long, value_name = "REASON")]
    despite_hold: Option<String>,
    #[command(flatten)]
    otherwise: Otherwise,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway describe`.
#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    /// The run: an id, the beginning of one, `@latest` or `@failed`.
    run: String,
    /// What it is called from now on; empty for its id.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What is said about it from now on; empty for nothing.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
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
    let (fields_json, releases_json) = args.otherwise.json()?;
    let request = StartRunRequest {
        command: match &args.idempotency_key {
            Some(key) => derived(&project, &args.flow, key).to_string(),
            None => Uuid::now_v7().to_string(),
        },
        flow: args.flow.clone(),
        project,
        name: args.name.unwrap_or_default(),
        description: args.message.unwrap_or_default(),
        arguments_json: Value::Object(arguments).to_string(),
        fields_json,
        releases_json,
        plan: args.plan.clone().unwrap_or_default(),
        despite_hold: args.despite_hold.unwrap_or_default(),
        ..StartRunRequest::default()
    };
    started(&client, request, &args.flow, args.watch, &args.common).await
}

pub(crate) async fn rerun(args: RerunArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let again = client.run(&args.run).await?;
    let arguments: Map<String, Value> =
        args.parameters.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    let (fields_json, releases_json) = args.otherwise.json()?;
    let request = StartRunRequest {
        command: Uuid::now_v7().to_string(),
        again: again.id,
        name: args.name.unwrap_or_default(),
        description: args.message.unwrap_or_default(),
        arguments_json: Value::Object(arguments).to_string(),
        fields_json,
        releases_json,
        despite_hold: args.despite_hold.unwrap_or_default(),
        ..StartRunRequest::default()
    };
    started(&client, request, &again.path, args.watch, &args.common).await
}

pub(crate) async fn describe(args: DescribeArgs) -> Outcome {
    if args.name.is_none() && args.message.is_none() {
        return Err(Failure::usage("say what is another: --name, or -m"));
    }
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?.id;
    let command = Uuid::now_v7().to_string();
    let request = DescribeRunRequest { command, run, name: args.name, description: args.message };
    let run = surely(async || client.runs().describe_run(request.clone()).await).await?;
    if args.common.json() {
        out_json(&shown::run(&run));
    } else {
        out(&format!("{} {} {}", run.path, short_id(&run.id), run.name));
        if !run.description.is_empty() {
            out(&run.description);
        }
    }
    Ok(Exit::Ok)
}

/// The id of the run that a flow has for a key: always the same one.
fn derived(project: &str, flow: &str, key: &str) -> Uuid {
    let hash = Sha256::digest(format!("{project}\n{flow}\n{key}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    // What applications make as they like has this version.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

/// Starts a run, says so, and follows it if that is wanted.
async fn started(
    client: &Client,
    request: StartRunRequest,
    flow: &str,
    follows: bool,
    common: &Common,
) -> Outcome {
    let reply = surely(async || client.runs().start_run(request.clone()).await).await?;
    if !reply.plan.is_empty() {
        return Ok(moved(flow, common.json(), &reply));
    }
    for problem in &reply.problems {
        talk(&problems::render(problem, &Sources::new(), Paint::stderr()));
    }
    if reply.run.is_empty() {
        return Err(Failure::usage(format!("{flow} was not started")));
    }
    if follows {
        talk(&format!("started {} {} as {}", reply.path, reply.name, reply.run));
        return watch::follow(client, &reply.run, common.json()).await;
    }
    if common.json() {
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

pub(crate) async fn abort(args: AbortArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?;
    let request = AbortRunRequest {
        command: Uuid::now_v7().to_string(),
        run: run.id,
        reason: args.message.unwrap_or_default(),
    };
    let run = surely(async || client.runs().abort_run(request.clone()).await).await?;
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
