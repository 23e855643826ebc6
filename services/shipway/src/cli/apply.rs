//! `shipway apply`: what files declare becomes what is.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::json;
use shipway_contracts::v1::{ApplyReply, ApplyRequest, Change, SourceFile, change};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table,
    flags::{Common, pair},
    hint, json as shown, out,
    output::out_json,
    problems::{self, Sources},
    talk,
};

/// Arguments of `shipway apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A YAML or JSON file, or `-` for standard input; may be given several times.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Shows what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// An argument for `${args.…}` in the files; may be given several times.
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// The project of what names none.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn apply(args: Args) -> Outcome {
    let files = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let sources: Sources = files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
    let client = Client::connect(&args.common.place).await?;
    let request = ApplyRequest {
        command: Uuid::now_v7().to_string(),
        files,
        project: args.project.clone().unwrap_or_default(),
        dry_run: args.dry_run,
        arguments: args.parameters.into_iter().collect(),
    };
    let reply = client.projects().apply(request).await?.into_inner();
    let refused = reply.problems.iter().any(|problem| shown::severity(problem) == "error");
    for problem in &reply.problems {
        talk(&problems::render(problem, &sources, Paint::stderr()));
    }
    if args.common.json() {
        out_json(&as_json(&reply, &client.url));
    } else {
        print(&reply, &client.url);
    }
    if refused {
        let count = reply.problems.iter().filter(|problem| shown::severity(problem) == "error").count();
        let problems = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
        return Err(Failure::usage(format!("{problems}; nothing was changed")));
    }
    next(&reply, args.dry_run);
    Ok(Exit::Ok)
}

/// The rows of a list of changes.
pub(crate) fn changes(changes: &[Change]) -> Table {
    let mut table = Table::new(&["", "KIND", "ID", "NOTE"]);
    for change in changes {
        let style = match change.verb() {
            change::Verb::Create => Style::Good,
            change::Verb::Update => Style::Busy,
            change::Verb::Remove => Style::Bad,
            change::Verb::Unchanged | change::Verb::Unspecified => Style::Quiet,
        };
        table.styled([
            (shown::verb(change).to_owned(), style),
            (change.kind.clone(), Style::Plain),
            (change.id.clone(), Style::Plain),
            (change.note.clone(), Style::Quiet),
        ]);
    }
    table
}

fn print(reply: &ApplyReply, server: &str) {
    let paint = Paint::stdout();
    let table = changes(&reply.changes);
    if !table.is_empty() {
        out(&table.text(paint));
    }
    for hook in &reply.hooks {
        out(&format!("\nwebhook of {}: {server}{}", hook.of, hook.path));
        if hook.addresses.len() > 1 {
            let others: Vec<_> = hook.addresses.iter().map(|address| address.sender.as_str()).collect();
            out(&format!("         or by its sender: {server}/hooks/<{}>/{}", others.join("|"), hook.id));
        }
        if !hook.secret.is_empty() {
            out(&format!("         secret: {} (shown this once)", hook.secret));
        }
    }
}

fn next(reply: &ApplyReply, dry_run: bool) {
    let changed = reply
        .changes
        .iter()
        .any(|change| !matches!(change.verb(), change::Verb::Unchanged | change::Verb::Unspecified));
    match (dry_run, changed) {
        (true, _) => hint("the same command without --dry-run"),
        (false, false) => talk("nothing to change"),
        (false, true) => {
            hint("`shipway status` shows what runs where, `shipway run <pipeline>/<stage> -w` starts a flow")
        }
    }
}

fn as_json(reply: &ApplyReply, server: &str) -> serde_json::Value {
    json!({
        "changes": reply.changes.iter().map(shown::change).collect::<Vec<_>>(),
        "problems": reply.problems.iter().map(shown::problem).collect::<Vec<_>>(),
        "position": reply.position,
        "hooks": reply.hooks.iter().map(|hook| shown::hook(hook, server)).collect::<Vec<_>>(),
        "projects": reply.projects,
    })
}

fn read(path: &Path) -> Result<SourceFile, Failure> {
    let name = path.display().to_string();
    let mut text = String::new();
    if name == "-" {
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("reading standard input: {error}")))?;
    } else {
        text =
            fs::read_to_string(path).map_err(|error| Failure::usage(format!("reading {name}: {error}")))?;
    }
    Ok(SourceFile { name, text })
}
