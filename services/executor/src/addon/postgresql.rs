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

    async fn load(&self, attempt: &Attempt<'_>, work: &Restore, dump: &Path) -> Result<(), Failure> {
        let server = Server::of(attempt, &work.addon).await?;
        let new = beside(&database(&work.addon.addon.slug));
        self.fill(attempt, &server, &new, dump).await?;
        server
            .query(&format!("COMMENT ON DATABASE {} IS {}", identifier(&new), literal(&loaded(work))))
            .await?;
        Ok(())
    }

    async fn has_loaded(&self, attempt: &Attempt<'_>, work: &Restore) -> Result<bool, Failure> {
        let server = Server::of(attempt, &work.addon).await?;
        let new = beside(&database(&work.addon.addon.slug));
        Ok(server.mark_of(&new).await?.is_some_and(|mark| mark == loaded(work)))
    }

    async fn restore(
        &self,
        attempt: &Attempt<'_>,
        work: &Restore,
        dump: Option<&Path>,
    ) -> Result<Option<String>, Failure> {
        let server = Server::of(attempt, &work.addon).await?;
        let name = database(&work.addon.addon.slug);
        let old = match work.keep {
            true => kept_as(&name, &attempt.given.effect_key),
            false => format!("{name}__old"),
        };
        let new = beside(&name);
        self.put_in(attempt, &server, Names { name: &name, new: &new, old: &old }, dump).await?;
        if work.keep {
            return Ok(server.databases().await?.contains(&old).then_some(old));
        }
        server.query(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(&old))).await?;
        Ok(None)
    }

    async fn let_go(&self, attempt: &Attempt<'_>, addon: &Addon) -> Result<Vec<String>, Failure> {
        let server = Server::of(attempt, addon).await?;
        let name = database(&addon.addon.slug);
        let kept = kept_of(&server, &name).await?;
        // What was loaded and never put in place goes, too.
        for name in kept.iter().chain([&beside(&name)]) {
            server.query(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name))).await?;
        }
        Ok(kept)
    }

    async fn put_back(
        &self,
        attempt: &Attempt<'_>,
        addon: &Addon,
    ) -> Result<(String, Option<String>), Failure> {
        let server = Server::of(attempt, addon).await?;
        let name = database(&addon.addon.slug);
        let old = kept_as(&name, &attempt.given.effect_key);
        // What this attempt has put aside already is not what it puts back.
        let kept = kept_of(&server, &name).await?.into_iter().rev().find(|kept| *kept != old);
        let Some(back) = kept else {
            if server.databases().await?.contains(&old) {
                server.open(&name).await?;
                return Ok((name, Some(old)));
            }
            let message = format!(
                "{} keeps nothing of before a restore: it was confirmed, or none was made that keeps it",
                addon.addon.slug
            );
            return Err(error("nothing_kept", message));
        };
        self.put_in(attempt, &server, Names { name: &name, new: &back, old: &old }, None).await?;
        Ok((back, server.databases().await?.contains(&old).then_some(old)))
    }
}

/// The database that programs use, the one that takes its place, and the name that it has from then on.
#[derive(Clone, Copy)]
struct Names<'a> {
    name: &'a str,
    new: &'a str,
    old: &'a str,
}

/// What the database is called that a backup is loaded into.
fn beside(name: &str) -> String {
    format!("{name}__new")
}

/// What says that a database holds a backup, whole.
fn loaded(work: &Restore) -> String {
    format!("shipway loaded {} {}", work.backup, work.pin.digest)
}

/// What a database is called that an effect puts aside: the same on every attempt, in the order of their runs, and within
/// the 63 bytes of a name.
fn kept_as(name: &str, effect_key: &str) -> String {
    let key: String = effect_key.chars().filter(char::is_ascii_alphanumeric).collect();
    let (first, last) = (&key[..key.len().min(8)], &key[key.len().saturating_sub(8)..]);
    format!("{name}{KEPT}{}{}", first.to_lowercase(), last.to_lowercase())
}

/// The databases that restores have kept, oldest first.
async fn kept_of(server: &Server<'_>, name: &str) -> Result<Vec<String>, Failure> {
    let begins = format!("{name}{KEPT}");
    let mut kept = server.databases().await?;
    kept.retain(|database| database.starts_with(&begins));
    kept.sort();
    Ok(kept)
}

/// Between a database's name and what tells apart those that were kept of it.
const KEPT: &str = "__kept_";

impl Postgresql {
    /// Puts a database into the place of the one that programs use, which goes on under its old name. A dump is loaded into
    /// the new one first; without one it is there already.
    async fn put_in(
        &self,
        attempt: &Attempt<'_>,
        server: &Server<'_>,
        Names { name, new, old }: Names<'_>,
        dump: Option<&Path>,
    ) -> Result<(), Failure> {
        let (current, new_id, old_id) = (identifier(name), identifier(new), identifier(old));
        // The database says what made it: one that was swapped in before a crash is not made again.
        let mark = format!("shipway restore {}", attempt.given.effect_key);
        let databases = server.databases().await?;
        let has = |database: &str| databases.iter().any(|known| known == database);
        if server.mark_of(name).await?.as_ref() == Some(&mark) {
            attempt.note("this restore was made already");
        } else if !has(name) && has(new) && has(old) {
            server.query(&format!("ALTER DATABASE {new_id} RENAME TO {current}")).await?;
        } else {
            if !has(name) && has(old) {
                server.query(&format!("ALTER DATABASE {old_id} RENAME TO {current}")).await?;
            }
            if let Some(dump) = dump {
                self.fill(attempt, server, new, dump).await?;
            }
            server.query(&format!("COMMENT ON DATABASE {new_id} IS {}", literal(&mark))).await?;
            server.swap(name, new, old).await?;
        }
        server.open(name).await
    }

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
    async fn fill(
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
