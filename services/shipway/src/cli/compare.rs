//! `shipway compare`: what is different in two runs.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    CompareRunsReply, CompareRunsRequest, ComparedNode, ComparedSide, Difference, Run,
};

use super::{
    Client, Exit, Outcome, Paint, Style, Table, flags::Common, json as shown, out, output::out_json,
    short_id, time::lasted,
};

/// The longest value that is shown of a difference.
const LONGEST: usize = 40;

/// Arguments of `shipway compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One run: an id, the beginning of one, `@latest` or `@failed`.
    left: String,
    /// The other.
    right: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn compare(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = CompareRunsRequest { left: args.left, right: args.right };
    let reply = client.history().compare_runs(request).await?.into_inner();
    if args.common.json() {
        out_json(&json(&reply));
    } else {
        out(&lines(&reply, Timestamp::now(), Paint::stdout()).join("\n"));
    }
    Ok(Exit::Ok)
}

fn lines(reply: &CompareRunsReply, now: Timestamp, paint: Paint) -> Vec<String> {
    let mut runs = Table::new(&["", "RUN", "FLOW", "VERSION", "NAME", "STATUS", "TOOK"]);
    for (side, run) in [("left", &reply.left), ("right", &reply.right)] {
        let run = run.clone().unwrap_or_default();
        let quiet = |text: &str| (text.to_owned(), Style::Quiet);
        runs.styled([
            quiet(side),
            (short_id(&run.id).to_owned(), Style::Plain),
            (run.path.clone(), Style::Plain),
            quiet(&run.flow_version.to_string()),
            (run.name.clone(), Style::Plain),
            (run.status.clone(), Style::of_status(&run.status)),
            quiet(&lasted(&run.created_at, &run.ended_at, now)),
        ]);
    }
    let mut lines = runs.lines(paint);
    lines.push(String::new());
    if reply.given.is_empty() {
        lines.push("both were given the same".to_owned());
    }
    lines.extend(reply.given.iter().map(|it| difference(it, "", paint)));
    lines.push(String::new());
    let mut nodes = Table::new(&["NODE", "KIND", "LEFT", "RIGHT"]);
    for node in &reply.nodes {
        nodes.styled([
            (node.r#ref.clone(), Style::Plain),
            (node.kind.clone(), Style::Quiet),
            side(node.left.as_ref()),
            side(node.right.as_ref()),
        ]);
    }
    let mut rows = nodes.lines(paint).into_iter();
    lines.extend(rows.next());
    for (node, row) in reply.nodes.iter().zip(rows) {
        lines.push(row);
        lines.extend(node.differences.iter().map(|it| difference(it, "    ", paint)));
        lines.extend(errors(node, paint));
    }
    lines
}

/// How a node stands in one of them: `success 1.2s`.
fn side(side: Option<&ComparedSide>) -> (String, Style) {
    let Some(side) = side else { return ("–".to_owned(), Style::Quiet) };
    let took = Duration::from_micros(side.took);
    let took = match took.as_secs() {
        _ if took.is_zero() => String::new(),
        0..=9 => format!(" {:.1}s", took.as_secs_f64()),
        10..=99 => format!(" {}s", took.as_secs()),
        _ => format!(" {}m", took.as_secs() / 60),
    };
    (format!("{}{took}", side.status), Style::of_status(&side.status))
}

fn difference(it: &Difference, indent: &str, paint: Paint) -> String {
    let (left, right) = (value(&it.left_json), value(&it.right_json));
    format!("{indent}{}  {} → {}", it.what, paint.on(&left, Style::Quiet), paint.on(&right, Style::Accent))
}

/// A value, short enough for a line.
fn value(json: &str) -> String {
    let text = match serde_json::from_str(json) {
        Ok(Value::String(text)) => text,
        _ if json.is_empty() => "–".to_owned(),
        _ => json.to_owned(),
    };
    match text.chars().count() > LONGEST {
        true => text.chars().take(LONGEST - 1).chain(['…']).collect(),
        false => text,
    }
}

/// The errors of a node that did not end alike in both.
fn errors(node: &ComparedNode, paint: Paint) -> Vec<String> {
    let error = |side: &Option<ComparedSide>| {
        let message = side.as_ref().map(|side| side.error_message.as_str()).unwrap_or_default();
        message.lines().next().unwrap_or_default().to_owned()
    };
    let (left, right) = (error(&node.left), error(&node.right));
    if left == right {
        return Vec::new();
    }
    [("left", left), ("right", right)]
        .into_iter()
        .filter(|(_, error)| !error.is_empty())
        .map(|(side, error)| paint.on(&format!("    {side}: {error}"), Style::Bad))
        .collect()
}

fn json(reply: &CompareRunsReply) -> Value {
    let run = |run: &Option<Run>| run.as_ref().map(shown::run);
    let difference = |it: &Difference| {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        json!({"what": it.what, "left": value(&it.left_json), "right": value(&it.right_json)})
    };
    let side = |side: &Option<ComparedSide>| {
        side.as_ref().map(|side| {
            json!({
                "status": side.status,
                "took": side.took,
                "errorCode": side.error_code,
                "errorMessage": side.error_message,
                "attempt": side.attempt,
            })
        })
    };
    let node = |node: &ComparedNode| {
        json!({
            "ref": node.r#ref,
            "kind": node.kind,
            "left": side(&node.left),
            "right": side(&node.right),
            "differences": node.differences.iter().map(difference).collect::<Vec<_>>(),
        })
    };
    json!({
        "left": run(&reply.left),
        "right": run(&reply.right),
        "given": reply.given.iter().map(difference).collect::<Vec<_>>(),
        "nodes": reply.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_are_compared_node_by_node() {
        let run = |name: &str, status: &str, ended: &str| {
            Some(Run {
                id: "01934f2e-8c1a-7000-8000-000000000001".to_owned(),
                path: "shop/staging".to_owned(),
                flow_version: 3,
                name: name.to_owned(),
                status: status.to_owned(),
                created_at: "2026-01-01T00:00:00Z".to_owned(),
                ended_at: ended.to_owned(),
                ..Run::default()
            })
        };
        let side = |status: &str, took, error: &str| {
            let error_message = error.to_owned();
            Some(ComparedSide { status: status.to_owned(), took, error_message, ..ComparedSide::default() })
        };
        let difference = |what: &str, left: &str, right: &str| Difference {
            what: what.to_owned(),
            left_json: left.to_owned(),
            right_json: right.to_owned(),
        };
        let node = |name: &str, left, right, differences| ComparedNode {
            r#ref: name.to_owned(),
            kind: "Build".to_owned(),
            left,
            right,
            differences,
        };
        let reply = CompareRunsReply {
            left: run("calm-otter", "success", "2026-01-01T00:00:05Z"),
            right: run("brave-fox", "failure", "2026-01-01T00:00:30Z"),
            given: vec![difference("arguments/REGION", "\"eu\"", "\"us\"")],
            nodes: vec![
                node(
                    "build",
                    side("success", 1_200_000, ""),
                    side("failure", 30_000_000, "no room\nmore"),
                    vec![difference("commit", "\"3f2a91c\"", "")],
                ),
                node("new", None, side("skipped", 0, ""), vec![]),
            ],
        };
        let expected = "       RUN            FLOW          VERSION  NAME        STATUS   TOOK
left   01934f2e-8c1a  shop/staging  3        calm-otter  success  5.0s
right  01934f2e-8c1a  shop/staging  3        brave-fox   failure  30s

arguments/REGION  eu → us

NODE   KIND   LEFT          RIGHT
build  Build  success 1.2s  failure 30s
    commit  3f2a91c → –
    right: no room
new    Build  –             skipped";
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        assert_eq!(lines(&reply, now, Paint::none()).join("\n"), expected);
    }
}
