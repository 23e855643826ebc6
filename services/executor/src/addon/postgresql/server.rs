//! One server: its binaries, its data folder, its keeper.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use shipway_nodes::{
    addons::postgresql::USER,
    workload::{Addon, Port},
};

use super::{SWAP, identifier, literal};
use crate::{
    build,
    os::beneath,
    runtime::{Deployment, Folder, Keeping, Place, Runtime, Task},
    work::{Attempt, Failure, error, io_failure, roll, text, transient},
};

/// The time that one statement has.
const STATEMENT: Duration = Duration::from_secs(60);

/// A PostgreSQL server of this machine.
pub(super) struct Server<'a> {
    attempt: &'a Attempt<'a>,
    addon: &'a Addon,
    binaries: PathBuf,
    folder: PathBuf,
    password: String,
}

impl<'a> Server<'a> {
    /// Finds the binaries and fetches the password.
    pub(super) async fn of(attempt: &'a Attempt<'a>, addon: &'a Addon) -> Result<Self, Failure> {
        let binaries =
            find(&attempt.host.runtime.search_path(), Path::new("/usr/lib/postgresql"), &addon.version)?;
        let given = addon.credentials.get("password").ok_or_else(|| {
            error(
                "no_password",
                format!("the addon {} has no password among its credentials", addon.addon.slug),
            )
        })?;
        let (password, _) = attempt.finish(addon.addon.project, given).await?;
        let folder = attempt.host.folder.join("addons").join(addon.addon.id.to_string());
        Ok(Self { attempt, addon, binaries, folder, password: text(&password) })
    }

    fn slug(&self) -> &str {
        &self.addon.addon.slug
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn program(&self, name: &str) -> String {
        self.binaries.join(name).to_string_lossy().into_owned()
    }

    fn place(&self) -> Place {
        Place {
            owner: self.addon.addon.id.to_string(),
            folders: vec![Folder { path: self.data(), name: "data".to_owned(), writable: true }],
            directory: self.data(),
            tools: false,
        }
    }

    /// A client program that is connected by its environment; the password is in its secret part.
    pub(super) fn task(&self, step: &str, program: &str) -> Task {
        let mut task = self.attempt.task(step, vec![self.program(program)]);
        task.place = self.place();
        task.environment = self.client_environment();
        task.secrets = BTreeMap::from([("PGPASSWORD".to_owned(), self.password.clone())]);
        task
    }

    fn client_environment(&self) -> BTreeMap<String, String> {
        [
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", &self.addon.port.to_string()),
            ("PGUSER", USER),
            ("PGCONNECT_TIMEOUT", "10"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Makes the data folder, once. The password goes through a file that only this step's processes can read and
    /// that is gone after it.
    pub(super) async fn initialize(&self) -> Result<(), Failure> {
        let (data, made) = (self.data(), self.data().join("cluster"));
        if made.join("PG_VERSION").exists() {
            return self.check_version(&made);
        }
        self.attempt.note(&format!(
            "making the data folder of {} with {}",
            self.slug(),
            self.program("initdb")
        ));
        let runtime = &self.attempt.host.runtime;
        let place = self.place();
        let seen = |path: &Path| runtime.seen(&place, path).to_string_lossy().into_owned();
        // A cluster has its name when it is whole: what a crash left of another try is removed first.
        let script = "set -e; umask 077; rm -rf \"$1\" \"$1.new\"; \
                      trap 'rm -f \"$1.password\"' EXIT; printf '%s' \"$SHIPWAY_PASSWORD\" > \"$1.password\"; \
                      unset SHIPWAY_PASSWORD; target=\"$1\"; shift; \
                      \"$@\" --pwfile=\"$target.password\" -D \"$target.new\"; rm -f \"$target.password\"; \
                      mv \"$target.new\" \"$target\"";
        let cluster = seen(&made);
        let initdb = self.program("initdb");
        let words =
            ["/bin/sh", "-c", script, "initdb", &cluster, &initdb, "--username", USER, "--encoding=UTF8"];
        let mut task = self.attempt.task("initdb", words.map(str::to_owned).into());
        let options = ["--locale=C.UTF-8", "--data-checksums", "--auth=scram-sha-256", "--no-instructions"];
        task.words.extend(options.map(str::to_owned));
        task.place = place;
        task.secrets = BTreeMap::from([("SHIPWAY_PASSWORD".to_owned(), self.password.clone())]);
        let end = self.attempt.execute(&task).await?;
        if !end.is_success() {
            return Err(if end.tail.iter().any(|line| line.contains("No space left on device")) {
                crate::work::disk_full(&format!("making the data folder of {}", self.slug()), &data)
            } else {
                error(
                    "addon_failed",
                    format!("making the data folder of {}: initdb {}", self.slug(), end.describe()),
                )
            });
        }
        Ok(())
    }

    fn check_version(&self, cluster: &Path) -> Result<(), Failure> {
        // The server's user owns the folder, so what is shown of the file is little and not through a link.
        let made = beneath::read_text(cluster, "PG_VERSION", 8).ok().flatten().unwrap_or_default();
        let (made, available) = (made.trim(), major(&self.binaries));
        if available.as_deref().is_none_or(|available| available == made) {
            return Ok(());
        }
        let message = format!(
            "the data of {} was made by PostgreSQL {made}, and version {} was asked for: back it up, make a new addon and restore",
            self.slug(),
            available.unwrap_or_default()
        );
        Err(error("wrong_version", message))
    }

    /// Starts the server under its keeper, or finds it running.
    pub(super) async fn serve(&self) -> Result<(), Failure> {
        let runtime = &self.attempt.host.runtime;
        let place = self.place();
        let cluster = runtime.seen(&place, &self.data().join("cluster")).to_string_lossy().into_owned();
        let port = self.addon.port.to_string();
        // In a new PID namespace the lock file of a server that died with the old one names a process that is
        // another now. Elsewhere it is the server's own protection.
        let script = "[ \"$PPID\" = 1 ] && rm -f \"$1/postmaster.pid\"; shift; exec \"$@\"";
        let postgres = self.program("postgres");
        let words = ["/bin/sh", "-c", script, "postgres", &cluster, &postgres, "-D", &cluster, "-p", &port];
        let mut words: Vec<String> = words.map(str::to_owned).into();
        for option in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "log_destination=stderr",
            "logging_collector=off",
        ] {
            words.extend(["-c".to_owned(), option.to_owned()]);
        }
        let ready =
            [self.program("pg_isready"), "-q".into(), "-h".into(), "127.0.0.1".into(), "-p".into(), port];
        let given = self.attempt.given;
        let deployment = Deployment {
            target: self.addon.addon.clone(),
            fence: given.fence,
            effect_key: given.effect_key.clone(),
            keeping: Keeping::Exclusive {
                stop_signal: rustix::process::Signal::INT.as_raw(),
                ready: ready.into(),
            },
            artifact: None,
            place,
            instances: 1,
            words,
            environment: BTreeMap::new(),
            secret_names: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ports: vec![Port { name: "postgresql".to_owned(), public: self.addon.port, http: false }],
            health: Vec::new(),
            grace_seconds: 30,
            timeout: Duration::from_secs(self.addon.timeout_seconds.into()),
        };
        self.attempt.note(&format!("starting {} on port {}", self.slug(), self.addon.port));
        self.attempt.started(serde_json::Map::new());
        roll(self.attempt, deployment).await
    }

    /// Runs one statement; gives the rows' first columns.
    pub(super) async fn query(&self, statement: &str) -> Result<Vec<String>, Failure> {
        let mut command = tokio::process::Command::new(self.program("psql"));
        command
            .args([
                "--no-psqlrc",
                "--no-password",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "-v",
                "ON_ERROR_STOP=1",
            ])
            .args(["--dbname", "postgres", "--command", statement])
            .env_clear()
            .envs(self.client_environment())
            .env("PGPASSWORD", &self.password)
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let what = || format!("asking the database of {}", self.slug());
        let output = tokio::time::timeout(STATEMENT, command.output()).await;
        let output = output
            .map_err(|_| transient("addon_failed", format!("{} failed: no answer within 60 s", what())))?
            .map_err(|source| io_failure(&what(), &source, &self.folder))?;
        if !output.status.success() {
            let said =
                String::from_utf8_lossy(&output.stderr).trim().replace(&self.password, crate::masking::MASK);
            return Err(transient("addon_failed", format!("{} failed: {said}", what())));
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .filter(|line| !line.is_empty())
            .collect())
    }

    /// The databases that there are.
    pub(super) async fn databases(&self) -> Result<Vec<String>, Failure> {
        self.query("SELECT datname FROM pg_database").await
    }

    /// What a database says of itself: what made it, or what it holds.
    pub(super) async fn mark_of(&self, name: &str) -> Result<Option<String>, Failure> {
        let statement = format!(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}",
            literal(name)
        );
        Ok(self.query(&statement).await?.into_iter().next())
    }

    /// Lets programs connect to a database.
    pub(super) async fn open(&self, name: &str) -> Result<(), Failure> {
        let statement = format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true", identifier(name));
        self.query(&statement).await.map(|_| ())
    }

    /// Puts the database `new` in the place of `name`, which stays as `old`. Programs that connect meanwhile are
    /// refused for an instant, and connect again.
    pub(super) async fn swap(&self, name: &str, new: &str, old: &str) -> Result<(), Failure> {
        let (name_id, new_id, old_id) = (identifier(name), identifier(new), identifier(old));
        self.query(&format!("DROP DATABASE IF EXISTS {old_id} WITH (FORCE)")).await?;
        if self
            .query(&format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(name)))
            .await?
            .is_empty()
        {
            self.query(&format!("ALTER DATABASE {new_id} RENAME TO {name_id}")).await?;
            return Ok(());
        }
        self.query(&format!("ALTER DATABASE {name_id} WITH ALLOW_CONNECTIONS false")).await?;
        let until = Instant::now() + SWAP;
        loop {
            let terminate = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}",
                literal(name)
            );
            self.query(&terminate).await?;
            match self.query(&format!("ALTER DATABASE {name_id} RENAME TO {old_id}")).await {
                Ok(_) => break,
                Err(failure) if Instant::now() >= until => {
                    let _ =
                        self.query(&format!("ALTER DATABASE {name_id} WITH ALLOW_CONNECTIONS true")).await;
                    return Err(failure);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        self.query(&format!("ALTER DATABASE {new_id} RENAME TO {name_id}")).await?;
        Ok(())
    }
}

/// The folder of server binaries for the version asked for: the highest that fits.
fn find(path: &str, installed: &Path, version: &str) -> Result<PathBuf, Failure> {
    let wanted = version
        .split(['.', '-'])
        .next()
        .filter(|major| major.bytes().all(|c| c.is_ascii_digit()) && !major.is_empty());
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(installed)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists() && folder.join("postgres").exists())
        .collect();
    let on_path = build::find_program(path, "initdb").and_then(|program| program.canonicalize().ok());
    if let Some(folder) = on_path.as_deref().and_then(Path::parent)
        && ["postgres", "pg_dump", "pg_restore", "psql", "pg_isready"]
            .iter()
            .all(|name| folder.join(name).exists())
        && let Some(major) = major(folder).and_then(|major| major.parse().ok())
        && !found.iter().any(|(_, known)| known == folder)
    {
        found.push((major, folder.to_owned()));
    }
    found.sort();
    let fits = |major: u32| wanted.is_none_or(|wanted| wanted == major.to_string());
    if let Some((_, folder)) = found.iter().rev().find(|(major, _)| fits(*major)) {
        return Ok(folder.clone());
    }
    let package = wanted.map_or_else(|| "postgresql".to_owned(), |major| format!("postgresql-{major}"));
    if found.is_empty() {
        return Err(build::missing_program("initdb", &package, "a PostgreSQL addon"));
    }
    let there: Vec<String> = found.iter().map(|(major, _)| major.to_string()).collect();
    let message = format!(
        "PostgreSQL {version} was asked for; this machine has {}. Install it: apt-get install {package}",
        there.join(", ")
    );
    Err(error("missing_binary", message))
}

/// The version that a folder of binaries is of, without starting one.
fn major(binaries: &Path) -> Option<String> {
    let output = std::process::Command::new(binaries.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(version.split('.').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_server_is_an_error_that_names_the_package() {
        let nowhere = Path::new("/nonexistent");
        let message = |version| match find("/nonexistent", nowhere, version) {
            Err(Failure::Error(error)) => (error.code, error.message),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            message("latest"),
            (
                "missing_binary".to_owned(),
                "a PostgreSQL addon needs `initdb`, which is not on this machine. Install it: apt-get install postgresql"
                    .to_owned()
            )
        );
        assert!(message("14-latest").1.ends_with("apt-get install postgresql-14"));
    }
}
