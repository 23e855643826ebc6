//! `shipway backup` and `shipway restore`: everything in one file, and back.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;
use shipway_contracts::v1::BackupRequest;
use shipway_eventing::BlobOptions;
use tokio_stream::StreamExt;

use super::{
    Client, Exit, Failure, Outcome,
    flags::{Output, Place},
    hint, out,
    output::out_json,
};
use crate::up::{self, Target};

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
    /// The new data folder, for `shipway up`; it must be empty or missing.
    #[arg(long, value_name = "FOLDER", required_unless_present = "database")]
    data: Option<PathBuf>,
    /// The PostgreSQL database, for `shipway serve`; it must be empty.
    #[arg(long, value_name = "URL", conflicts_with = "data", requires = "blobs")]
    database: Option<String>,
    /// Where the blobs go: s3://bucket/prefix, gs://…, az://… or file:///…; what is there already stays.
    #[arg(long, value_name = "URL", requires = "database")]
    blobs: Option<String>,
    /// Where the keys go, if the backup has them.
    #[arg(long, value_name = "FOLDER", requires = "database")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

/// How a store of blobs is reached. The rest comes from the environment: AWS_ACCESS_KEY_ID and the like.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// The address of the blobs' service, where it is not the cloud's own.
    #[arg(long, value_name = "URL", requires = "blobs")]
    blobs_endpoint: Option<String>,
    /// The region of the blobs' bucket.
    #[arg(long, value_name = "NAME", requires = "blobs")]
    blobs_region: Option<String>,
    /// Puts the bucket into the path: what most servers that are not the cloud's own want.
    #[arg(long, requires = "blobs")]
    blobs_path_style: bool,
    /// Accepts a blobs' service without TLS.
    #[arg(long, requires = "blobs")]
    blobs_allow_http: bool,
}

impl StoreArgs {
    pub(crate) fn options(&self) -> BlobOptions {
        BlobOptions {
            endpoint: self.blobs_endpoint.clone(),
            region: self.blobs_region.clone(),
            path_style: self.blobs_path_style,
            allow_http: self.blobs_allow_http,
            ..BlobOptions::default()
        }
    }
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
        hint(
            "keep the keys somewhere safe too (keys/kek of the data folder, or the folder of [keys] of the pipelines \
             service): without them the secrets stay closed",
        );
    }
    Ok(Exit::Ok)
}

pub(crate) fn restore(args: RestoreArgs) -> Outcome {
    let target = match (args.data, args.database, args.blobs) {
        (Some(data), None, None) => Target::Folder(data),
        (None, Some(database), Some(blobs)) => {
            Target::Servers { database, blobs, options: args.store.options(), keys: args.keys }
        }
        _ => return Err(Failure::usage("a restore needs --data, or --database and --blobs")),
    };
    up::restore(&args.file, &target).map_err(|error| Failure::new(format!("{error:#}")))?;
    match target {
        Target::Folder(data) => hint(&format!("shipway up --data {}", data.display())),
        Target::Servers { .. } => hint("start the services: shipway serve pipelines, triggers, scheduler, …"),
    }
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
