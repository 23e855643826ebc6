//! `shipway resume` and `shipway skip`: a run of its own that goes on where another one stopped.

use std::collections::HashMap;

use serde_json::{Value, json};
use shipway_contracts::v1::{ResumeRunReply, ResumeRunRequest, Run, SetField, StaleNode};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table,
    flags::{Common, pair},
    hint, json as shown, out,
    output::out_json,
    short_id,
    surely::surely,
    talk, watch,
};

/// Arguments of `shipway resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The run that has ended: an id, the beginning of one, `@latest` or `@failed`.
    run: String,
    /// The node from which it goes on; may be given several times. Those that did not end well when absent.
    #[arg(long, value_name = "NODE")]
    from: Vec<String>,
    /// Another value in a node's `spec`: `deploy.data.replicas=2`. It is another plan then, and approvals are asked for
    /// again.
    #[arg(long, value_name = "NODE.FIELD=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Says what would be run again, and starts nothing.
    #[arg(long)]
    dry_run: bool,
    /// Follows the new run until it ends; the exit code says how.
    #[arg(short, long)]
    watch: bool,
    /// Why.
    #[arg(short, long, visible_alias = "message", value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway skip`.
#[derive(Debug, clap::Args)]
pub(crate) struct SkipArgs {
    /// The run that has ended.
    run: String,
    /// The node that is passed over.
    node: String,
    /// Why it need not be run.
    #[arg(short, long, visible_alias = "message", value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn resume(args: ResumeArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?;
    let set = args.set.iter().map(|(place, value)| field(&run, place, value)).collect::<Result<_, _>>()?;
    let request = ResumeRunRequest {
        set,
        reason: args.reason.unwrap_or_default(),
        dry_run: args.dry_run,
        ..wanted(&run, args.from)
    };
    if !args.watch || args.dry_run {
        return go_on(&client, &args.common, request).await;
    }
    let reply = surely(async || client.runs().resume_run(request.clone()).await).await?;
    let new = reply.run.map(|run| run.id).unwrap_or_default();
    watch::follow(&client, &new, args.common.json()).await
}

pub(crate) async fn skip(args: SkipArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?;
    let skip = HashMap::from([(args.node, args.reason.clone())]);
    let request = ResumeRunRequest { skip, reason: args.reason, ..wanted(&run, Vec::new()) };
    go_on(&client, &args.common, request).await
}

/// What is asked for a run that goes on from these nodes.
pub(crate) fn wanted(run: &Run, from: Vec<String>) -> ResumeRunRequest {
    let command = Uuid::now_v7().to_string();
    ResumeRunRequest { command, run: run.id.clone(), from, ..ResumeRunRequest::default() }
}

pub(crate) async fn go_on(client: &Client, common: &Common, request: ResumeRunRequest) -> Outcome {
    let of = request.run.clone();
    let reply = surely(async || client.runs().resume_run(request.clone()).await).await?;
    if common.json() {
        out_json(&json(&reply));
        return Ok(Exit::Ok);
    }
    if reply.other_plan {
        talk("it is another plan than before: approvals are asked for again");
    }
    match &reply.run {
        None => {
            out(&table(&reply.stale).text(Paint::stdout()));
            out(&format!("{} kept, {} run again", reply.kept, reply.stale.len()));
        }
        Some(run) => {
            out(&format!(
                "{} {} {}: resumes {}, {} kept",
                run.path,
                short_id(&run.id),
                run.status,
                short_id(&of),
                reply.kept
            ));
            hint(&format!("shipway watch {}", short_id(&run.id)));
        }
    }
    Ok(Exit::Ok)
}

fn table(stale: &[StaleNode]) -> Table {
    let mut table = Table::new(&["NODE", "KIND", "WAS", "AGAIN"]);
    for node in stale {
        let again = match node.effect.as_str() {
            "" => "",
            "keyed" | "fenced" => "safe",
            "checked" => "asked about first",
            _ => "happens once more",
        };
        table.styled([
            (node.r#ref.clone(), Style::Plain),
            (node.kind.clone(), Style::Quiet),
            (node.was.clone(), Style::of_status(&node.was)),
            (again.to_owned(), if node.effect == "once" { Style::Bad } else { Style::Quiet }),
        ]);
    }
    table
}

/// A field as the contract has it. Names of nodes in loops have dots, so the longest that is one counts.
fn field(run: &Run, place: &str, value: &str) -> Result<SetField, Failure> {
    let fits = |name: &str| place.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).is_some();
    let names = run.nodes.iter().map(|node| node.r#ref.as_str()).filter(|name| fits(name));
    let name = names.max_by_key(|name| name.len()).ok_or_else(|| {
        Failure::usage(format!("`{place}` begins with the name of no node of the run"))
            .help("as in --set deploy.data.replicas=2; `shipway show` lists the nodes")
    })?;
    // What is JSON is meant so; all else is text.
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok(SetField {
        node: name.to_owned(),
        field: place[name.len() + 1..].replace('.', "/"),
        value_json: value.to_string(),
    })
}

fn json(reply: &ResumeRunReply) -> Value {
    let stale = |node: &StaleNode| json!({"ref": node.r#ref, "kind": node.kind, "was": node.was, "effect": node.effect});
    json!({
        "run": reply.run.as_ref().map(shown::run),
        "stale": reply.stale.iter().map(stale).collect::<Vec<_>>(),
        "kept": reply.kept,
        "plan": reply.plan,
        "otherPlan": reply.other_plan,
    })
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::Node;

    use super::*;

    #[test]
    fn a_field_belongs_to_the_node_with_the_longest_name_that_fits() {
        let node = |name: &str| Node { r#ref: name.to_owned(), ..Node::default() };
        let run =
            Run { nodes: vec![node("each[0]"), node("each[0].warm"), node("deploy")], ..Run::default() };
        let set = field(&run, "each[0].warm.data.replicas", "2").unwrap();
        assert_eq!(
            (set.node.as_str(), set.field.as_str(), set.value_json.as_str()),
            ("each[0].warm", "data/replicas", "2")
        );
        assert_eq!(field(&run, "deploy.type", "soon").unwrap().value_json, "\"soon\"");
        assert!(field(&run, "deployment.type", "x").is_err());
    }
}
