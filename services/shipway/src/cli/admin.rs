//! `shipway override`, `member`, `pipeline`, `projects`.

use std::io::{self, BufRead, IsTerminal, Read};

use clap::Subcommand;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use shipway_contracts::v1::{Change, DeletePipelineRequest, RemoveMemberRequest, SetOverrideRequest};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, Table, apply, flags::Common, hint, json as shown, out,
    output::out_json, talk,
};

/// Verbs of `shipway override`.
#[derive(Debug, Subcommand)]
pub(crate) enum Override {
    /// Sets a flow's argument; the value comes from standard input or a prompt, never from the command line.
    Set(SetArgs),
}

/// Arguments of `shipway override set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// The flow: `shop/staging`.
    flow: String,
    /// The argument's name.
    argument: String,
    /// The value is no secret and may be shown.
    #[arg(long)]
    plain: bool,
    /// The flow's project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Verbs of `shipway member`.
#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// Takes a resource out of its stage, with every flow node that refers to it. The resource goes on running.
    Remove(RemoveArgs),
}

/// Verbs of `shipway pipeline`.
#[derive(Debug, Subcommand)]
pub(crate) enum Pipeline {
    /// Deletes a pipeline with its flows. Its resources go on running.
    Delete(RemoveArgs),
}

/// What is taken away.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Its id.
    name: String,
    /// Lists what would go, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Its project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway projects`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProjectsArgs {
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn set_override(verb: Override) -> Outcome {
    let Override::Set(args) = verb;
    let client = Client::connect(&args.common.place).await?;
    let project = client.the_project(args.project.as_deref()).await?;
    let value = value(&args.argument, args.plain)?;
    let request = SetOverrideRequest {
        command: Uuid::now_v7().to_string(),
        project,
        flow: args.flow.clone(),
        argument: args.argument.clone(),
        value,
        plain: args.plain,
    };
    let reply = client.projects().set_override(request).await?.into_inner();
    if args.common.json() {
        out_json(&json!({"position": reply.position}));
    } else {
        out(&format!("{} of {} is set, from the next run on", args.argument, args.flow));
    }
    hint(&format!("shipway run {} -w", args.flow));
    Ok(Exit::Ok)
}

pub(crate) async fn member(verb: Member) -> Outcome {
    let Member::Remove(args) = verb;
    let client = Client::connect(&args.common.place).await?;
    let request = RemoveMemberRequest {
        command: Uuid::now_v7().to_string(),
        project: client.the_project(args.project.as_deref()).await?,
        resource: args.name.clone(),
        dry_run: args.dry_run,
    };
    let reply = client.pipelines().remove_member(request).await?.into_inner();
    removed(&args, &reply.changes, reply.position);
    Ok(Exit::Ok)
}

pub(crate) async fn pipeline(verb: Pipeline) -> Outcome {
    let Pipeline::Delete(args) = verb;
    let client = Client::connect(&args.common.place).await?;
    let request = DeletePipelineRequest {
        command: Uuid::now_v7().to_string(),
        project: client.the_project(args.project.as_deref()).await?,
        pipeline: args.name.clone(),
        dry_run: args.dry_run,
    };
    let reply = client.pipelines().delete_pipeline(request).await?.into_inner();
    removed(&args, &reply.changes, reply.position);
    Ok(Exit::Ok)
}

pub(crate) async fn projects(args: ProjectsArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let projects = client.all_projects().await?;
    if args.common.json() {
        out_json(&json!({"projects": projects.iter().map(shown::project).collect::<Vec<_>>()}));
    } else if projects.is_empty() {
        talk("no project yet: `shipway apply -f <file>` makes one");
    } else {
        let mut table = Table::new(&["PROJECT", "NAME", "DESCRIPTION"]);
        for project in &projects {
            table.row([&project.slug, &project.name, &project.description]);
        }
        out(&table.text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

fn removed(args: &RemoveArgs, changes: &[Change], position: u64) {
    if args.common.json() {
        out_json(&json!({
            "changes": changes.iter().map(shown::change).collect::<Vec<_>>(),
            "position": position,
        }));
    } else {
        out(&apply::changes(changes).text(Paint::stdout()));
    }
    if args.dry_run {
        hint("the same command without --dry-run");
    } else {
        hint("what was deployed goes on running; `shipway status` shows the rest");
    }
}

/// The value: all of standard input (without its last line end), or what is typed, unseen unless plain.
pub(crate) fn value(argument: &str, plain: bool) -> Result<String, Failure> {
    let stdin = io::stdin();
    let mut text = String::new();
    if !stdin.is_terminal() {
        stdin
            .lock()
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("reading the value from standard input: {error}")))?;
    } else if plain {
        eprint!("{argument}: ");
        stdin.lock().read_line(&mut text)?;
    } else {
        eprint!("{argument} (not shown): ");
        unseen(&mut text)?;
        eprintln!();
    }
    Ok(text
        .strip_suffix('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .unwrap_or(&text)
        .to_owned())
}

fn unseen(text: &mut String) -> io::Result<()> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &quiet)?;
    let read = stdin.lock().read_line(text);
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    read.map(drop)
}
