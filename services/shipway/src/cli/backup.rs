//! `shipway backup` and `shipway restore`: everything in one file, and back.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;
use shipway_contracts::v1::BackupRequest;
use tokio_stream::StreamExt;

use super::{
    Client, Exit, Failure, Outcome,
    flags::{Output, Place},
    hint, out,
    output::out_json,
};
use crate::up;

/// Arguments of `shipway backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist yet.
    #[arg(short = 'o', short_alias = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Puts the key that opens the secrets into the file too: keep it as safe as the secrets.
    #[arg(long)]
    with_keys: bool,
    #[command(flatten)]
    place: Place,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Arguments of `shipway restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The file that `shipway backup` wrote.
    file: PathBuf,
    /// The new data folder; it must be empty or missing.
    #[arg(long, env = "SHIPWAY_DATA", value_name = "FOLDER")]
    data: PathBuf,
}

pub(crate) async fn backup(args: BackupArgs) -> Outcome {
    if args.file.exists() {
        return Err(
            Failure::usage(format!("{} exists already", args.file.display())).help("name another file")
        );
    }
    let client = Client::connect(&args.place).await?;
    let part = args.file.with_extension("part");
    let written = write(&client, args.with_keys, &part).await;
    let (bytes, position) = written.inspect_err(|_| {
        let _ = fs::remove_file(&part);
    })?;
    fs::rename(&part, &args.file)
        .and_then(|()| sync_folder(&args.file))
        .map_err(|error| told(&args.file, &error))?;
    if args.output == Output::Json {
        out_json(
            &json!({"file": args.file, "bytes": bytes, "position": position, "withKeys": args.with_keys}),
        );
    } else {
        out(&format!("{}: {bytes} bytes, the log up to position {position}", args.file.display()));
    }
    if !args.with_keys {
        hint("keep the data folder's keys/kek somewhere safe too: without it the secrets stay closed");
    }
    Ok(Exit::Ok)
}

pub(crate) fn restore(args: &RestoreArgs) -> Outcome {
    up::restore(&args.file, &args.data).map_err(|error| Failure::new(format!("{error:#}")))?;
    hint(&format!("shipway up --data {}", args.data.display()));
    Ok(Exit::Ok)
}

async fn write(client: &Client, with_keys: bool, part: &Path) -> Result<(u64, u64), Failure> {
    let mut chunks = client.events().backup(BackupRequest { with_keys }).await?.into_inner();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)
        .map_err(|error| told(part, &error))?;
    let (mut bytes, mut position) = (0, 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        file.write_all(&chunk.data).map_err(|error| told(part, &error))?;
        bytes += chunk.data.len() as u64;
        position = position.max(chunk.position);
    }
    file.sync_all().map_err(|error| told(part, &error))?;
    if bytes == 0 {
        return Err(Failure::new("Shipway sent an empty backup; nothing was written"));
    }
    Ok((bytes, position))
}

fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn told(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("writing {}: {error}", file.display()))
}
