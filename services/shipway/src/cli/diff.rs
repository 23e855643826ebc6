//! `shipway diff`: what is different in a document, by its nodes.

mod tree;

use std::path::{Path, PathBuf};

use serde_json::Value;
use shipway_contracts::v1::{DiffFlowRequest, SourceFile};
use shipway_documents::{diff, parse};

use super::{Client, Exit, Failure, Outcome, Paint, flags::Common, fmt::read, out, output::out_json, talk};

/// Arguments of `shipway diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Two YAML or JSON files, the older first; with `--flow` none, or one that may become its next version.
    #[arg(value_name = "FILE", num_args = 0..=2)]
    files: Vec<PathBuf>,
    /// Compares versions of this flow, which the server knows.
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// The older version; the one before the newer when absent.
    #[arg(long, value_name = "VERSION", requires = "flow")]
    from: Option<u32>,
    /// The newer version; the newest when absent.
    #[arg(long, value_name = "VERSION", requires = "flow")]
    to: Option<u32>,
    /// Exits with 1 if there is a difference.
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    common: Common,
}

/// Compares two files, or versions of a flow.
pub(crate) async fn diff(args: Args) -> Outcome {
    let difference = match (&args.flow, args.files.as_slice()) {
        (Some(flow), []) => ask(&args, flow, None).await?,
        (Some(flow), [file]) => ask(&args, flow, Some(file)).await?,
        (None, [before, after]) => diff::diff(&value(before)?, &value(after)?),
        (Some(_), _) => return Err(Failure::usage("`--flow` takes one file at most")),
        (None, _) => {
            let failure = Failure::usage("a difference is of two things: name two files");
            return Err(
                failure.help("`shipway diff --flow shop/staging` compares a flow's last two versions")
            );
        }
    };
    if args.common.json() {
        out_json(&serde_json::to_value(&difference).map_err(|error| Failure::new(error.to_string()))?);
    } else if difference.is_empty() {
        talk("no difference");
    } else {
        out(&tree::lines(&difference, Paint::stdout()).join("\n"));
    }
    Ok(if args.exit_code && !difference.is_empty() { Exit::Failed } else { Exit::Ok })
}

async fn ask(args: &Args, flow: &str, file: Option<&PathBuf>) -> Result<diff::Difference, Failure> {
    let to_file = match file {
        Some(path) => Some(SourceFile { name: path.display().to_string(), text: read(path)? }),
        None => None,
    };
    let request = DiffFlowRequest {
        flow: flow.to_owned(),
        from_version: args.from.unwrap_or(0),
        to_version: args.to.unwrap_or(0),
        to_file,
        ..DiffFlowRequest::default()
    };
    let client = Client::connect(&args.common.place).await?;
    let reply = client.pipelines().diff_flow(request).await?.into_inner();
    let shown = |version| if version == 0 { "nothing".to_owned() } else { format!("version {version}") };
    if file.is_none() {
        talk(&format!("{flow}: {} and {}", shown(reply.from_version), shown(reply.to_version)));
    }
    serde_json::from_str(&reply.difference_json)
        .map_err(|error| Failure::new(format!("the server's difference cannot be read: {error}")))
}

fn value(path: &Path) -> Result<Value, Failure> {
    let text = read(path)?;
    match parse(&path.display().to_string(), &text) {
        Ok(document) => Ok(document.value),
        Err(report) => Err(Failure::usage(report.to_string())),
    }
}
