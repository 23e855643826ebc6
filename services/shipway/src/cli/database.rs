//! `shipway database`: the PostgreSQL database of a distributed Shipway.

use clap::Subcommand;
use shipway_eventing::{Log, PostgresLog, PostgresOptions};

use super::{Exit, Failure, Outcome, hint, out};

/// Verbs of `shipway database`.
#[derive(Debug, Subcommand)]
pub(crate) enum Database {
    /// Makes the tables of the log that are missing, as their owner; services whose role may make none need it once,
    /// and before each upgrade.
    Migrate(MigrateArgs),
}

/// Arguments of `shipway database migrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    /// The database, with the role that is to own the tables.
    #[arg(long, env = "SHIPWAY_DATABASE__URL", hide_env_values = true, value_name = "URL")]
    url: String,
}

pub(crate) async fn database(verb: Database) -> Outcome {
    let Database::Migrate(args) = verb;
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
    for tables in [shipway_pipelines::TABLES, shipway_triggers::TABLES] {
        durable.create(tables).await?;
    }
    let position = log.head().await?.position;
    durable.close().await;
    log.close().await;
    Ok(position)
}
