//! `shipway logs`: what the nodes of a run printed, each line with its node's name.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use shipway_contracts::v1::{
    Node, NodeLogKind, ReadNodeLogRequest, Run, WatchRunRequest, read_node_log_request,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::StreamExt;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, flags::Common, out, output::out_json_line, short_id,
    watch::exit_of,
};

/// Arguments of `shipway logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run: an id, the beginning of one, `@latest` or `@failed`.
    #[arg(default_value = "@latest")]
    run: String,
    /// Only this node: its ref or its number.
    node: Option<String>,
    /// Goes on until the run ends.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    common: Common,
}

/// A line of a node's log.
type Line = (String, Vec<u8>);

pub(crate) async fn logs(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?;
    let wanted = chosen(&run, args.node.as_deref())?;
    let width =
        run.nodes.iter().filter(|n| wanted.contains(&n.index)).map(|n| n.r#ref.len()).max().unwrap_or(0);
    let printer = Printer { json: args.common.json(), width, paint: Paint::stdout() };
    if !args.follow {
        for node in run.nodes.iter().filter(|node| wanted.contains(&node.index)) {
            let (lines, mut printed) = mpsc::channel(64);
            let reading = read(&client, &run.id, node, false, lines);
            let printing = async {
                while let Some(line) = printed.recv().await {
                    printer.print(&line);
                }
            };
            tokio::join!(reading, printing).0?;
        }
        return Ok(Exit::Ok);
    }
    tokio::select! {
        exit = follow(&client, &run.id, &wanted, &printer) => exit,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Ok),
    }
}

fn chosen(run: &Run, name: Option<&str>) -> Result<BTreeSet<u32>, Failure> {
    let leaves = || run.nodes.iter().filter(|node| node.kind != "Workflow");
    let Some(name) = name else { return Ok(leaves().map(|node| node.index).collect()) };
    let number = name.parse::<u32>().ok();
    let found = leaves().find(|node| node.r#ref == name || Some(node.index) == number);
    found.map(|node| BTreeSet::from([node.index])).ok_or_else(|| {
        let refs: Vec<_> = leaves().map(|node| node.r#ref.as_str()).collect();
        Failure::usage(format!("run {} has no node `{name}`", short_id(&run.id)))
            .help(format!("it has: {}", refs.join(", ")))
    })
}

/// Follows every wanted node from its start on, until the run has ended and all is printed.
async fn follow(client: &Client, run: &str, wanted: &BTreeSet<u32>, printer: &Printer) -> Outcome {
    let (lines, mut printed) = mpsc::channel::<Line>(256);
    let states = tokio::spawn(watch_nodes(client.clone(), run.to_owned(), wanted.clone(), lines));
    while let Some(line) = printed.recv().await {
        printer.print(&line);
    }
    let ended = states.await.map_err(|error| Failure::new(format!("following the run: {error}")))??;
    Ok(exit_of(&ended))
}

async fn watch_nodes(
    client: Client,
    run: String,
    wanted: BTreeSet<u32>,
    lines: mpsc::Sender<Line>,
) -> Result<Run, Failure> {
    let mut readers = JoinSet::new();
    let mut begun = BTreeSet::new();
    let ended = loop {
        let request = WatchRunRequest { run: run.clone() };
        let mut states = match client.runs().watch_run(request).await {
            Ok(states) => states.into_inner(),
            Err(status) if status.code() == tonic::Code::Unavailable => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            Err(status) => return Err(status.into()),
        };
        let mut last = None;
        while let Some(Ok(state)) = states.next().await {
            for node in &state.nodes {
                if wanted.contains(&node.index) && !node.started_at.is_empty() && begun.insert(node.index) {
                    let (client, run, node, lines) =
                        (client.clone(), run.clone(), node.clone(), lines.clone());
                    readers.spawn(async move { read(&client, &run, &node, true, lines).await });
                }
            }
            last = Some(state);
        }
        match last {
            Some(state) if state.concluded => break state,
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    while let Some(reader) = readers.join_next().await {
        reader.map_err(|error| Failure::new(format!("reading a log: {error}")))??;
    }
    Ok(ended)
}

/// Reads a node's log line by line, over lost connections while it is followed.
async fn read(
    client: &Client,
    run: &str,
    node: &Node,
    follow: bool,
    lines: mpsc::Sender<Line>,
) -> Result<(), Failure> {
    let mut next = 0;
    let mut rest = Vec::new();
    loop {
        let from = Some(read_node_log_request::From::Number(next));
        let request = ReadNodeLogRequest { run: run.to_owned(), node: node.index, from, follow, limit: 0 };
        let result = async {
            let mut batches = client.logs().read_node_log(request).await?.into_inner();
            while let Some(batch) = batches.next().await {
                for line in batch?.lines {
                    let kind = line.kind();
                    rest.extend_from_slice(&line.text);
                    if kind != NodeLogKind::Gap {
                        next = line.number + 1;
                    }
                    if kind != NodeLogKind::Piece {
                        let _ = lines.send((node.r#ref.clone(), std::mem::take(&mut rest))).await;
                    }
                }
            }
            Ok::<_, tonic::Status>(())
        };
        match result.await {
            Ok(()) => break,
            Err(status) if follow && status.code() == tonic::Code::Unavailable => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
    if !rest.is_empty() {
        let _ = lines.send((node.r#ref.clone(), rest)).await;
    }
    Ok(())
}

struct Printer {
    json: bool,
    width: usize,
    paint: Paint,
}

impl Printer {
    fn print(&self, (node, line): &Line) {
        let text = String::from_utf8_lossy(line);
        if self.json {
            out_json_line(&json!({"node": node, "line": text}));
        } else {
            let name = format!("{node:<width$} |", width = self.width);
            out(&format!("{} {}", self.paint.on(&name, Style::Accent), text.trim_end_matches('\r')));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let node = |index, reference: &str, kind: &str| Node {
            index,
            r#ref: reference.to_owned(),
            kind: kind.to_owned(),
            ..Node::default()
        };
        let nodes = vec![node(0, "root", "Workflow"), node(1, "build", "Build"), node(2, "smoke", "JobRun")];
        Run { nodes, ..Run::default() }
    }

    #[test]
    fn a_node_is_chosen_by_ref_or_number() {
        assert_eq!(chosen(&run(), None).unwrap(), BTreeSet::from([1, 2]));
        assert_eq!(chosen(&run(), Some("smoke")).unwrap(), BTreeSet::from([2]));
        assert_eq!(chosen(&run(), Some("1")).unwrap(), BTreeSet::from([1]));
        assert_eq!(chosen(&run(), Some("root")).unwrap_err().exit, Exit::Usage);
    }
}
