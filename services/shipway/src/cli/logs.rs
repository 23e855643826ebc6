//! `shipway logs`: what the nodes of a run printed, each line with its node's name.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use shipway_contracts::{
    is_away,
    v1::{Node, NodeLogKind, NodeLogLine, ReadNodeLogRequest, Run, WatchRunRequest, read_node_log_request},
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
    /// Begins with the line of this number of the node's log. Numbers begin at 0, count over all attempts at the node and
    /// stay for ever; `-o json` shows them.
    #[arg(long, value_name = "NUMBER", requires = "node", default_value_t = 0)]
    from: u64,
    /// Goes on until the run ends.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    common: Common,
}

/// A line of a node's log.
#[derive(Debug, PartialEq)]
struct Line {
    node: String,
    /// Its number in the node's log. A long line comes in pieces with a number each: this is the first one's.
    number: u64,
    kind: NodeLogKind,
    text: Vec<u8>,
}

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
            let reading = read(&client, &run.id, node, args.from, false, lines);
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
        exit = follow(&client, &run.id, &wanted, args.from, &printer) => exit,
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

/// Follows every wanted node from that line on, until the run has ended and all is printed.
async fn follow(client: &Client, run: &str, wanted: &BTreeSet<u32>, from: u64, printer: &Printer) -> Outcome {
    let (lines, mut printed) = mpsc::channel::<Line>(256);
    let states = tokio::spawn(watch_nodes(client.clone(), run.to_owned(), wanted.clone(), from, lines));
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
    from: u64,
    lines: mpsc::Sender<Line>,
) -> Result<Run, Failure> {
    let mut readers = JoinSet::new();
    let mut begun = BTreeSet::new();
    let ended = loop {
        let request = WatchRunRequest { run: run.clone() };
        let mut states = match client.runs().watch_run(request).await {
            Ok(states) => states.into_inner(),
            Err(status) if is_away(&status) => {
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
                    readers.spawn(async move { read(&client, &run, &node, from, true, lines).await });
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
    from: u64,
    follow: bool,
    lines: mpsc::Sender<Line>,
) -> Result<(), Failure> {
    let mut whole = Whole { node: node.r#ref.clone(), next: from, begun: None };
    loop {
        let from = Some(read_node_log_request::From::Number(whole.next));
        let request = ReadNodeLogRequest { run: run.to_owned(), node: node.index, from, follow, limit: 0 };
        let result = async {
            let mut batches = client.logs().read_node_log(request).await?.into_inner();
            while let Some(batch) = batches.next().await {
                for line in batch?.lines.into_iter().flat_map(|line| whole.take(line)) {
                    let _ = lines.send(line).await;
                }
            }
            Ok::<_, tonic::Status>(())
        };
        match result.await {
            Ok(()) => break,
            Err(status) if follow && is_away(&status) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
    if let Some(line) = whole.begun {
        let _ = lines.send(line).await;
    }
    Ok(())
}

/// Puts the pieces of long lines together.
struct Whole {
    node: String,
    /// What comes before this number has been read.
    next: u64,
    /// A line of which more is to come.
    begun: Option<Line>,
}

impl Whole {
    /// The lines that are whole now.
    fn take(&mut self, line: NodeLogLine) -> Vec<Line> {
        let (number, kind) = (line.number, line.kind());
        if kind != NodeLogKind::Gap {
            self.next = number + 1;
        }
        let own = |text| Line { node: self.node.clone(), number, kind, text };
        match (kind, self.begun.take()) {
            (NodeLogKind::Piece, begun) => {
                let mut begun = begun.unwrap_or_else(|| Line { kind: NodeLogKind::Line, ..own(Vec::new()) });
                begun.text.extend(line.text);
                self.begun = Some(begun);
                Vec::new()
            }
            (NodeLogKind::Line, Some(mut begun)) => {
                begun.text.extend(line.text);
                vec![begun]
            }
            // What says that something is missing is no part of the line before it.
            (_, begun) => begun.into_iter().chain([own(line.text)]).collect(),
        }
    }
}

struct Printer {
    json: bool,
    width: usize,
    paint: Paint,
}

impl Printer {
    fn print(&self, line: &Line) {
        if self.json {
            out_json_line(&shown(line));
        } else {
            let text = String::from_utf8_lossy(&line.text);
            let name = format!("{:<width$} |", line.node, width = self.width);
            out(&format!("{} {}", self.paint.on(&name, Style::Accent), text.trim_end_matches('\r')));
        }
    }
}

/// A line as JSON.
fn shown(line: &Line) -> Value {
    let kind = match line.kind {
        NodeLogKind::Line | NodeLogKind::Piece => "line",
        NodeLogKind::Full => "full",
        NodeLogKind::Gap => "gap",
    };
    let text = String::from_utf8_lossy(&line.text);
    json!({"node": line.node, "number": line.number, "kind": kind, "line": text})
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

    #[test]
    fn lines_have_their_numbers_and_say_what_they_are() {
        let mut whole = Whole { node: "build".to_owned(), next: 0, begun: None };
        let mut take = |number, kind: NodeLogKind, text: &str| -> Vec<Value> {
            let (kind, text) = (kind.into(), text.as_bytes().to_vec());
            whole.take(NodeLogLine { number, offset: 0, kind, text }).iter().map(shown).collect()
        };
        let line =
            |number, kind, line| json!({"node": "build", "number": number, "kind": kind, "line": line});
        assert_eq!(take(0, NodeLogKind::Line, "first"), [line(0, "line", "first")]);
        assert_eq!(take(1, NodeLogKind::Piece, "long"), [""; 0]);
        assert_eq!(take(2, NodeLogKind::Piece, " and"), [""; 0]);
        assert_eq!(take(3, NodeLogKind::Line, " longer"), [line(1, "line", "long and longer")]);
        // What is missing is told in a line of its own, whatever it cuts off.
        assert_eq!(take(4, NodeLogKind::Piece, "cut"), [""; 0]);
        let told = [line(4, "line", "cut"), line(5, "gap", "5 to 8 are missing")];
        assert_eq!(take(5, NodeLogKind::Gap, "5 to 8 are missing"), told);
        assert_eq!(take(9, NodeLogKind::Full, "it is full"), [line(9, "full", "it is full")]);
        assert_eq!(whole.next, 10);
    }
}
