//! `shipway database`: the PostgreSQL database of a distributed Shipway.

use std::time::Duration;

use clap::Subcommand;
use shipway_eventing::{Archiving, Blobs, Log, PostgresLog, PostgresOptions};

use super::{Exit, Failure, Outcome, backup::StoreArgs, hint, out};

/// Verbs of `shipway database`.
#[derive(Debug, Subcommand)]
pub(crate) enum Database {
    /// Makes the tables of the log that are missing, as their owner; services whose role may make none need it once,
    /// and before each upgrade.
    Migrate(MigrateArgs),
    /// Moves the oldest events out of the database into the blobs, as the tables' owner. They can be read as before; it
    /// takes longer. A log of `shipway up` is one file and has no archives.
    Archive(ArchiveArgs),
}

/// Arguments of `shipway database migrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    /// The database, with the role that is to own the tables.
    #[arg(long, env = "SHIPWAY_DATABASE__URL", hide_env_values = true, value_name = "URL")]
    url: String,
}

/// Arguments of `shipway database archive`.
#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    /// The database, with the role that owns the tables.
    #[arg(long, env = "SHIPWAY_DATABASE__URL", hide_env_values = true, value_name = "URL")]
    url: String,
    /// The blobs of the services.
    #[arg(long, env = "SHIPWAY_BLOBS__URL", value_name = "URL")]
    blobs: String,
    /// Only events that are all older than so many days. A repeated command is known for thirty.
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    older_than: u32,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) async fn database(verb: Database) -> Outcome {
    match verb {
        Database::Migrate(args) => migrated(&args).await,
        Database::Archive(args) => {
            archive(&args).await.map_err(|error| Failure::new(format!("{error:#}")))?;
            Ok(Exit::Ok)
        }
    }
}

/// Archives one partition after the other until one has to stay.
async fn archive(args: &ArchiveArgs) -> anyhow::Result<()> {
    let blobs = Blobs::connect(&args.blobs, &args.store.options()).await?;
    let options = PostgresOptions { blobs: Some(blobs), ..PostgresOptions::default() };
    let log = PostgresLog::connect(&args.url, options).await?;
    let older_than = Duration::from_secs(u64::from(args.older_than) * 24 * 3600);
    let stays = loop {
        match log.archive_oldest(older_than).await? {
            Archiving::Done(archived) => out(&format!(
                "positions {} to {} are archived: {}",
                archived.first,
                archived.last,
                archived.manifest.as_str()
            )),
            Archiving::InUse => break "the next partition is not full yet".to_owned(),
            Archiving::Young { last } => {
                break format!("the next partition has an event of {last}, which is not old enough");
            }
            Archiving::Open { runs, stream } => {
                break format!("{runs} runs in the next partition have not ended, among them {stream}");
            }
        }
    };
    log.close().await;
    out(&stays);
    hint("shipway verify");
    Ok(())
}

async fn migrated(args: &MigrateArgs) -> Outcome {
    let position = migrate(&args.url).await.map_err(|error| Failure::new(format!("{error:#}")))?;
    out(&format!("the tables are there; the log is at position {position}"));
    hint("psql -f infra/postgres/roles.sql, if services have a role of their own");
    Ok(Exit::Ok)
}

/// Makes everything that services make beside the log when they start; the log's position.
async fn migrate(url: &str) -> anyhow::Result<u64> {
    let log = PostgresLog::connect(url, PostgresOptions::default()).await?;
    let durable = log.durable().await?;
    durable.create_own().await?;
    for tables in [shipway_pipelines::TABLES, shipway_pipelines::STATUS_TABLES, shipway_triggers::TABLES] {
        durable.create(tables).await?;
    }
    let position = log.head().await?.position;
    durable.close().await;
    log.close().await;
    Ok(position)
}
