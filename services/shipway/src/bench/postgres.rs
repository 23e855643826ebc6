//! The measured cluster's PostgreSQL: a server of its own, and what it counts.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

use super::process::{Process, make};

/// After so long without work a session has told what it counted (`PGSTAT_IDLE_INTERVAL` is 10 s).
const SETTLED: Duration = Duration::from_secs(11);

/// The recommended settings of a server: what is measured is what is advised.
const SETTINGS: &str = include_str!("../../../../infra/postgres/postgresql.conf");

/// A running server with an empty database `shipway`.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Process,
    port: u16,
    /// To the database `postgres`: what the bench asks is not counted in the measured one.
    watcher: PgConnection,
    /// Whether it can tell whose bytes were written ahead: a package that not every machine has.
    tells_wal: bool,
    /// Transactions a second of a cluster that has nothing to do.
    at_rest: f64,
}

/// What a server had counted.
#[derive(Debug)]
pub(crate) struct Mark {
    at: Instant,
    transactions: i64,
    place: String,
    sizes: HashMap<String, i64>,
}

/// What a server has counted between two moments.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) transactions: f64,
    /// Of them, what a cluster would have had that has nothing to do.
    pub(crate) at_rest: f64,
    pub(crate) wal: u64,
    /// By whose tables: `log`, `views`, `beside`.
    pub(crate) wal_of: HashMap<String, i64>,
    pub(crate) stored: HashMap<String, i64>,
}

impl Postgres {
    /// Makes a server in a folder of its own and waits until it is ready.
    pub(crate) async fn start(folder: &Path, port: u16) -> anyhow::Result<Self> {
        let (programs, user) = (programs()?, other_user()?);
        make(folder)?;
        if let Some((uid, gid)) = user {
            chown(folder, Some(uid), Some(gid)).context("giving the folder to PostgreSQL's user")?;
        }
        let data = folder.join("data");
        let made = run_as(user, &programs.join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--data-checksums",
                "-D",
            ])
            .arg(&data)
            .stdin(Stdio::null())
            .output()
            .context("running initdb")?;
        if !made.status.success() {
            bail!("initdb failed in {}: {}", folder.display(), String::from_utf8_lossy(&made.stderr).trim());
        }
        let file = data.join("postgresql.conf");
        let given = fs::read_to_string(&file).context("reading the server's settings")?;
        fs::write(&file, given + SETTINGS).context("writing the server's settings")?;
        let mut command = run_as(user, &programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(folder);
        // What was written ahead is read again when it is counted.
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "wal_keep_size=4GB"]);
        // SIGINT: sessions are ended, everything is written.
        let mut process = Process::start("postgres", &command, Signal::INT, Some(folder.join("log")))?;
        let url = url(port, "postgres");
        process.ready(|| async { PgConnection::connect(&url).await.is_ok() }).await?;
        let mut watcher = PgConnection::connect(&url).await.context("connecting to PostgreSQL")?;
        sqlx::query("CREATE DATABASE shipway").execute(&mut watcher).await.context("making the database")?;
        let tells_wal = sqlx::query("CREATE EXTENSION pg_walinspect").execute(&mut watcher).await.is_ok();
        Ok(Self { process, port, watcher, tells_wal, at_rest: 0.0 })
    }

    /// Its process.
    pub(crate) const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// CPU time of the server and all its sessions.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.process.cpu_of_family()
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Remembers what has been counted. Takes a while: first everybody has to have told what they counted, then it is
    /// seen what a cluster at rest counts.
    pub(crate) async fn mark(&mut self) -> anyhow::Result<Mark> {
        let before = self.settled().await?;
        let begin = Instant::now();
        let transactions = self.settled().await?;
        self.at_rest = (transactions - before) as f64 / begin.elapsed().as_secs_f64();
        Ok(Mark { at: Instant::now(), transactions, place: self.place().await?, sizes: self.sizes().await? })
    }

    /// What has been counted since.
    pub(crate) async fn counted_since(&mut self, mark: Mark) -> anyhow::Result<Counted> {
        let (place, sizes) = (self.place().await?, self.sizes().await?);
        let ended = Instant::now();
        let transactions = self.settled().await?;
        // The cluster did not stop while this waited.
        let waited = self.at_rest * ended.elapsed().as_secs_f64();
        let (wal, wal_of) = self.written(&mark.place, &place).await?;
        let before = |part: &String| mark.sizes.get(part).copied().unwrap_or(0);
        let stored = sizes.iter().map(|(part, size)| (part.clone(), size - before(part))).collect();
        Ok(Counted {
            transactions: ((transactions - mark.transactions) as f64 - waited).max(0.0),
            at_rest: self.at_rest * (ended - mark.at).as_secs_f64(),
            wal,
            wal_of,
            stored,
        })
    }

    async fn settled(&mut self) -> anyhow::Result<i64> {
        tokio::time::sleep(SETTLED).await;
        sqlx::query_scalar("SELECT xact_commit FROM pg_stat_database WHERE datname = 'shipway'")
            .fetch_one(&mut self.watcher)
            .await
            .context("reading how many transactions there were")
    }

    /// The end of what was written ahead.
    async fn place(&mut self) -> anyhow::Result<String> {
        sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text")
            .fetch_one(&mut self.watcher)
            .await
            .context("reading the end of the WAL")
    }

    async fn sizes(&self) -> anyhow::Result<HashMap<String, i64>> {
        let mut shipway = PgConnection::connect(&self.url("shipway")).await?;
        let sizes: Vec<(String, i64)> =
            sqlx::query_as(SIZES).fetch_all(&mut shipway).await.context("reading the sizes of the tables")?;
        shipway.close().await?;
        Ok(sizes.into_iter().collect())
    }

    /// Bytes written ahead between two places: all, and by whose tables.
    async fn written(&mut self, from: &str, to: &str) -> anyhow::Result<(u64, HashMap<String, i64>)> {
        let mut shipway = PgConnection::connect(&self.url("shipway")).await?;
        let files: Vec<(i64, String)> =
            sqlx::query_as(FILES).fetch_all(&mut shipway).await.context("reading the files of the tables")?;
        shipway.close().await?;
        let files: HashMap<_, _> = files.into_iter().collect();
        let all: i64 =
            sqlx::query_scalar("SELECT pg_wal_lsn_diff($1::text::pg_lsn, $2::text::pg_lsn)::bigint")
                .bind(to)
                .bind(from)
                .fetch_one(&mut self.watcher)
                .await
                .context("reading how much was written ahead")?;
        if !self.tells_wal {
            return Ok((all.try_into().unwrap_or(0), HashMap::new()));
        }
        let records: Vec<(Option<i64>, i64)> = sqlx::query_as(RECORDS)
            .bind(from)
            .bind(to)
            .fetch_all(&mut self.watcher)
            .await
            .context("reading the WAL")?;
        let mut of = HashMap::new();
        for (file, bytes) in records {
            if let Some(part) = file.and_then(|file| files.get(&file)) {
                *of.entry(part.clone()).or_default() += bytes;
            }
        }
        Ok((all.try_into().unwrap_or(0), of))
    }
}

/// Shipway's tables by part: the log, read tables, and what is durable beside the log.
macro_rules! tables {
    () => {
        "WITH tables AS (
            SELECT c.oid, c.reltoastrelid AS toast, CASE
                WHEN n.nspname <> 'shipway_log' THEN 'views'
                WHEN c.relname IN ('log', 'head', 'streams', 'snapshots') OR c.relname LIKE 'events%' THEN 'log'
                ELSE 'beside' END AS part
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname LIKE 'shipway%' AND c.relkind = 'r') "
    };
}

const SIZES: &str =
    concat!(tables!(), "SELECT part, sum(pg_total_relation_size(oid))::bigint FROM tables GROUP BY part");

const FILES: &str = concat!(
    tables!(),
    ", heaps AS (SELECT oid, part FROM tables UNION ALL SELECT toast, part FROM tables WHERE toast <> 0),
     files AS (SELECT oid, part FROM heaps
        UNION ALL SELECT indexrelid, part FROM heaps JOIN pg_index ON indrelid = oid)
     SELECT pg_relation_filenode(oid)::bigint, part FROM files"
);

/// A record belongs to the first file that it names. What names none (ends of transactions) belongs to nobody.
const RECORDS: &str = "SELECT (regexp_match(block_ref, 'rel [0-9]+/[0-9]+/([0-9]+)'))[1]::bigint AS file,
    sum(record_length)::bigint FROM pg_get_wal_records_info($1::text::pg_lsn, $2::text::pg_lsn) GROUP BY file";

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

fn run_as(user: Option<(u32, u32)>, program: &Path) -> Command {
    let mut command = match user {
        None => Command::new(program),
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
            // The tie to the bench goes with the user, and is made again.
            command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
            command
        }
    };
    command.current_dir("/");
    command
}

/// The folder of the machine's PostgreSQL programs, found as `scripts/lib/setup.sh` does: the newest that is installed.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    installed.sort();
    if let Some((_, folder)) = installed.pop() {
        return Ok(folder);
    }
    let initdb =
        super::cluster::program("initdb").context("scripts/bench --distributed installs PostgreSQL")?;
    let real = fs::canonicalize(initdb).context("following the link of initdb")?;
    Ok(real.parent().context("initdb is in a folder")?.to_owned())
}

/// As root: the user and group that PostgreSQL runs as, which refuses to run as root.
fn other_user() -> anyhow::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self").context("reading /proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("reading the users")?;
    let user = user(&users, "postgres").or_else(|| user(&users, "nobody"));
    ensure!(user.is_some(), "there is no user postgres or nobody for PostgreSQL to run as");
    Ok(user)
}

fn user(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name() {
        let users = "root:x:0:0::/root:/bin/sh\npostgresq:x:1:1::/:\npostgres:x:113:117::/:/bin/sh\n";
        assert_eq!(user(users, "postgres"), Some((113, 117)));
        assert_eq!(user(users, "nobody"), None);
    }
}
