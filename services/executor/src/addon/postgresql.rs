//! PostgreSQL: the machine's own server binaries.

mod server;
mod sql;

use std::{fs, io::Read, path::Path, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use shipway_events::run::{Effect, NodeError};
use shipway_nodes::{
    addons::postgresql::database,
    workload::{Addon, Backup, Restore},
};

use super::Engine;
use crate::{
    build,
    work::{Attempt, Failure, disk_full, error, io_failure},
};
use server::Server;
use sql::{identifier, literal};

/// The engine.
#[derive(Debug)]
pub(super) struct Postgresql;

#[async_trait]
impl Engine for Postgresql {
    async fn start(&self, attempt: &Attempt<'_>, addon: &Addon) -> Result<(), Failure> {
        let server = Server::of(attempt, addon).await?;
        server.initialize().await?;
        server.serve().await?;
        let database = database(&addon.addon.slug);
        let exists = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(&database));
        if server.query(&exists).await?.is_empty() {
            server.query(&format!("CREATE DATABASE {}", identifier(&database))).await?;
        }
        Ok(())
    }

    async fn backup(&self, attempt: &Attempt<'_>, work: &Backup, dump: &Path) -> Result<Effect, Failure> {
        let server = Server::of(attempt, &work.addon).await?;
        let slug = &work.addon.addon.slug;
        if work.backup_type != "dump" {
            attempt.note(&format!("a {} was asked for; this runtime makes a dump of it", work.backup_type));
        }
        // pg_dump's own zstd needs version 16, so that one is made here.
        let level = if work.compression == "gz" { "6" } else { "0" };
        let mut task = server.task("backup", "pg_dump");
        let options = ["--format=custom", "--compress", level, "--no-password", "--dbname", &database(slug)];
        task.words.extend(options.map(str::to_owned));
        task.stdout = Some(dump.to_owned());
        attempt.note(&format!("dumping {slug} ({})", work.compression));
        let end = attempt.execute(&task).await?;
        if !end.is_success() {
            return Err(if end.tail.iter().any(|line| line.contains("No space left on device")) {
                disk_full(&format!("dumping {slug}"), dump)
            } else {
                let message = format!("dumping {slug} failed: pg_dump {}", end.describe());
                // Declared a moment ago, it may be on its way up: that is worth another attempt.
                let starting = ["Connection refused", "starting up", "does not exist"];
                let transient = end.tail.iter().any(|line| starting.iter().any(|words| line.contains(words)));
                Failure::Error(NodeError { code: "backup_failed".to_owned(), message, transient })
            });
        }
        let (digest, bytes) = self.store(attempt, dump, work.compression == "zstd").await?;
        attempt.note(&format!("stored {digest}, {bytes} bytes"));
        Ok(Effect::BackedUp { addon: slug.clone(), backup: work.backup.clone(), digest, bytes })
    }

    async fn restore(&self, attempt: &Attempt<'_>, work: &Restore, dump: &Path) -> Result<(), Failure> {
        let server = Server::of(attempt, &work.addon).await?;
        let name = database(&work.addon.addon.slug);
        let (new, old) = (format!("{name}__new"), format!("{name}__old"));
        let (current, new_id, old_id) = (identifier(&name), identifier(&new), identifier(&old));
        // The database says which restore made it: one that was swapped in before a crash is not made again.
        let made_by = format!(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}",
            literal(&name)
        );
        let mark = format!("shipway restore {}", attempt.given.effect_key);
        let databases: Vec<String> = server.query("SELECT datname FROM pg_database").await?;
        let has = |database: &str| databases.iter().any(|known| known == database);
        if server.query(&made_by).await?.first() == Some(&mark) {
            attempt.note("this restore was made already");
        } else if !has(&name) && has(&new) && has(&old) {
            server.query(&format!("ALTER DATABASE {new_id} RENAME TO {current}")).await?;
        } else {
            if !has(&name) && has(&old) {
                server.query(&format!("ALTER DATABASE {old_id} RENAME TO {current}")).await?;
            }
            self.load(attempt, &server, &new, dump).await?;
            server.query(&format!("COMMENT ON DATABASE {new_id} IS {}", literal(&mark))).await?;
            server.swap(&name, &new, &old).await?;
        }
        server.query(&format!("DROP DATABASE IF EXISTS {old_id} WITH (FORCE)")).await?;
        server.query(&format!("ALTER DATABASE {current} WITH ALLOW_CONNECTIONS true")).await?;
        Ok(())
    }
}

impl Postgresql {
    async fn store(
        &self,
        attempt: &Attempt<'_>,
        dump: &Path,
        compress: bool,
    ) -> Result<(String, u64), Failure> {
        let data = &attempt.host.config.data;
        let failed = |failure| build::blob_failure("storing the backup", &failure, data);
        if !compress {
            let id = attempt.host.blobs.put_file(dump).await.map_err(failed)?;
            let bytes = attempt.host.blobs.size(&id).await.map_err(failed)?;
            return Ok((id.to_string(), bytes));
        }
        let mut writer = attempt.host.blobs.writer().await.map_err(failed)?;
        let (chunks, mut received) = tokio::sync::mpsc::channel::<Bytes>(4);
        let dump = dump.to_owned();
        let compressing = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
            let mut encoder = zstd::stream::read::Encoder::new(fs::File::open(dump)?, 3)?;
            loop {
                let mut chunk = vec![0; 1 << 20];
                let count = encoder.read(&mut chunk)?;
                chunk.truncate(count);
                if count == 0 || chunks.blocking_send(chunk.into()).is_err() {
                    return Ok(());
                }
            }
        });
        while let Some(chunk) = received.recv().await {
            writer.write(chunk).await.map_err(failed)?;
        }
        let compressed = compressing.await.unwrap_or_else(|failure| Err(std::io::Error::other(failure)));
        compressed.map_err(|source| io_failure("compressing the backup", &source, data))?;
        let bytes = writer.size();
        let id = writer.finish().await.map_err(failed)?;
        Ok((id.to_string(), bytes))
    }

    /// Loads the dump into a new database.
    async fn load(
        &self,
        attempt: &Attempt<'_>,
        server: &Server<'_>,
        new: &str,
        dump: &Path,
    ) -> Result<(), Failure> {
        server.query(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(new))).await?;
        server.query(&format!("CREATE DATABASE {} TEMPLATE template0", identifier(new))).await?;
        let mut task = server.task("restore", "pg_restore");
        let options =
            ["--no-password", "--no-owner", "--exit-on-error", "--single-transaction", "--dbname", new];
        task.words.extend(options.map(str::to_owned));
        task.stdin = Some(dump.to_owned());
        // The database was made anew: an earlier load of this attempt is in none that still exists.
        task.id.step = format!("restore-{}", uuid::Uuid::now_v7().simple());
        let end = attempt.execute(&task).await?;
        if end.is_success() {
            return Ok(());
        }
        let _ = server.query(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(new))).await;
        Err(error(
            "restore_failed",
            format!("loading the backup failed, and the content is as it was: pg_restore {}", end.describe()),
        ))
    }
}

/// How long connections are given to go when a database takes another's place.
const SWAP: Duration = Duration::from_secs(20);
