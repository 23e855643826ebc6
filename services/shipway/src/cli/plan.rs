//! `shipway plan`: what a run would do, before it is one.

use serde_json::{Map, Value, json};
use shipway_contracts::v1::{PlanRunReply, PlanRunRequest, PlannedNode};

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, ask,
    flags::{Common, pair},
    hint, json as shown,
    otherwise::Otherwise,
    out,
    output::out_json,
    problems::{self, Sources},
    talk,
};

/// Arguments of `shipway plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The flow: `shop/production`.
    flow: String,
    /// An argument of the flow, as the run would have it; may be given several times.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// The flow's project, where two have a pipeline of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    otherwise: Otherwise,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn plan(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let mut arguments: Map<String, Value> =
        args.parameters.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    let project = args.project.clone().unwrap_or_default();
    // A program is told what is missing; a person is asked.
    if ask::can_ask() && !args.common.json() {
        ask::complete(&client, &project, &args.flow, &mut arguments).await?;
    }
    let arguments_json = Value::Object(arguments.clone()).to_string();
    let (fields_json, releases_json) = args.otherwise.json()?;
    let flow = args.flow.clone();
    let request =
        PlanRunRequest { flow, project, arguments_json, fields_json, releases_json, again: String::new() };
    let reply = client.runs().plan_run(request).await?.into_inner();
    for problem in &reply.problems {
        talk(&problems::render(problem, &Sources::new(), Paint::stderr()));
    }
    if reply.plan.is_empty() {
        return Err(Failure::usage(format!("{} cannot be planned", args.flow)));
    }
    if args.common.json() {
        out_json(&json(&reply));
        return Ok(Exit::Ok);
    }
    let paint = Paint::stdout();
    out(&format!("{}, version {}", paint.on(&reply.path, Style::Strong), reply.flow_version));
    out(&table(&reply.nodes).text(paint));
    for (title, lines) in [("gates", &reply.gates), ("secrets", &reply.secrets)] {
        if !lines.is_empty() {
            out(&format!("{title}:"));
            lines.iter().for_each(|line| out(&format!("  {line}")));
        }
    }
    for warning in &reply.warnings {
        out(&paint.on(&format!("warning: {warning}"), Style::Busy));
    }
    out(&format!("plan {}", reply.plan));
    let given: String = args.parameters.iter().map(|(key, value)| format!(" -p '{key}={value}'")).collect();
    let otherwise = args.otherwise.words();
    hint(&format!("shipway run {}{given}{otherwise} --plan {}", args.flow, reply.plan));
    Ok(Exit::Ok)
}

pub(super) fn table(nodes: &[PlannedNode]) -> Table {
    let mut table = Table::new(&["WOULD", "NODE", "KIND", "WHAT"]);
    for node in nodes {
        let style = match node.would.as_str() {
            "change" => Style::Accent,
            "fail" => Style::Bad,
            "unknown" => Style::Busy,
            "nothing" => Style::Quiet,
            _ => Style::Plain,
        };
        table.styled([
            (node.would.clone(), style),
            (node.r#ref.clone(), Style::Plain),
            (node.kind.clone(), Style::Quiet),
            (node.words.clone(), Style::Plain),
        ]);
    }
    table
}

pub(super) fn json(reply: &PlanRunReply) -> Value {
    let node = |node: &PlannedNode| {
        json!({
            "index": node.index,
            "ref": node.r#ref,
            "kind": node.kind,
            "would": node.would,
            "words": node.words,
            "from": shown::artifact(node.from.as_ref()),
            "to": shown::artifact(node.to.as_ref()),
        })
    };
    json!({
        "plan": reply.plan,
        "path": reply.path,
        "flowVersion": reply.flow_version,
        "nodes": reply.nodes.iter().map(node).collect::<Vec<_>>(),
        "gates": reply.gates,
        "secrets": reply.secrets,
        "warnings": reply.warnings,
        "document": serde_json::from_str::<Value>(&reply.document_json).unwrap_or_default(),
        "problems": reply.problems.iter().map(shown::problem).collect::<Vec<_>>(),
    })
}
