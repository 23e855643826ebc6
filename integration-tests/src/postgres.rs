//! A PostgreSQL server of a test's own: made in a temporary folder, gone with the value.
//!
//! As root it runs as the user `postgres` (or `nobody`), because PostgreSQL refuses to run as root.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use disk::Disk;

// Beside this file also where other crates have it as a module of theirs.
#[path = "disk.rs"]
pub mod disk;

/// How long the children of a killed server may take to notice.
const AGAIN: Duration = Duration::from_secs(120);

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// Whether a server syncs what it commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// As in production.
    On,
    /// Much faster; for tests that judge something else.
    Off,
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    folder: PathBuf,
    bin: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    sync: Sync,
    /// An address besides 127.0.0.1, for clients on other machines.
    open: Option<Ipv4Addr>,
    /// What all its data are on, if not the machine's disk.
    disk: Option<Disk>,
}

impl Postgres {
    /// Makes and starts a server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub fn start(sync: Sync) -> Result<Self> {
        Self::start_open(sync, None, None)
    }

    /// Makes and starts a server that listens at one more address; whoever reaches that is let in. All that it has is on a
    /// disk of so many bytes, if a size is named; that needs root.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub fn start_open(sync: Sync, open: Option<Ipv4Addr>, disk: Option<usize>) -> Result<Self> {
        let bin = bin()?;
        let user = other_user()?;
        let folder = std::env::temp_dir().join(format!("shipway-pg-{}-{}", std::process::id(), free_port()?));
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid)).context("giving the folder to PostgreSQL's user")?;
        }
        let data = folder.join("data");
        let mount = |bytes| {
            fs::create_dir(&data).context("making the disk's folder")?;
            Disk::mount(&data, bytes, user)
        };
        let disk = disk.map(mount).transpose()?;
        let made = run_as(user, &bin.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .output()
            .context("running initdb")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        if let Some(address) = open {
            let file = folder.join("data/pg_hba.conf");
            let mut rules =
                fs::File::options().append(true).open(file).context("opening the server's rules")?;
            writeln!(rules, "host all all {address}/24 trust").context("letting other machines in")?;
        }
        let port = free_port()?;
        let server = serve(&bin, user, &folder, port, sync, open)?;
        let postgres = Self { server, folder, bin, user, port, sync, open, disk };
        postgres.wait()?;
        Ok(postgres)
    }

    /// The URL of a database, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn database(&self, name: &str) -> Result<String> {
        let made = Command::new(self.bin.join("createdb"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", name])
            .output()
            .context("running createdb")?;
        let said = String::from_utf8_lossy(&made.stderr);
        if !made.status.success() && !said.contains("already exists") {
            bail!("createdb failed: {said}");
        }
        Ok(self.url(name))
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = self.open.unwrap_or(Ipv4Addr::LOCALHOST);
        format!("postgres://postgres@{host}:{}/{database}", self.port)
    }

    /// Runs a statement in a database.
    ///
    /// # Errors
    /// If it is refused.
    pub fn execute(&self, database: &str, statement: &str) -> Result<()> {
        let done = Command::new(self.bin.join("psql"))
            .args(["-X", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", statement])
            .output()
            .context("running psql")?;
        if !done.status.success() {
            bail!("psql failed: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(())
    }

    /// Kills the server's processes at once and starts it again on what is on disk.
    ///
    /// # Errors
    /// If it does not start again.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        self.kill()?;
        self.start_again()
    }

    /// Kills the server at once. Its children notice by themselves.
    ///
    /// # Errors
    /// If there is nothing to kill.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill().context("killing PostgreSQL")?;
        self.server.wait().context("waiting for PostgreSQL's end")?;
        Ok(())
    }

    /// Ends the server as `pg_ctl stop -m immediate` does: its children too, without a checkpoint.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn stop(&mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).context("stopping PostgreSQL")?;
        self.server.wait().context("waiting for PostgreSQL's end")?;
        Ok(())
    }

    /// Starts it on what is on disk, after it was killed or stopped.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        let deadline = Instant::now() + AGAIN;
        // The children of a killed server notice by themselves; before that a new one refuses to start.
        loop {
            self.server = serve(&self.bin, self.user, &self.folder, self.port, self.sync, self.open)?;
            match self.wait() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => drop(self.server.wait()),
            }
        }
    }

    /// Whether the server has ended by itself.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.server.try_wait().context("looking after PostgreSQL")?.is_some())
    }

    /// The disk that all its data are on, if it has one of its own.
    #[must_use]
    pub const fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        let pid = self.server.id();
        loop {
            let ready = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .context("running pg_isready")?;
            if ready.success() {
                return Ok(());
            }
            if Instant::now() > deadline || !Path::new(&format!("/proc/{pid}/fd")).exists() {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("PostgreSQL did not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: ends its children too, without a checkpoint.
        let pid = rustix::process::Pid::from_child(&self.server);
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        drop(self.server.wait());
        self.disk = None;
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn serve(
    bin: &Path,
    user: Option<(u32, u32)>,
    folder: &Path,
    port: u16,
    sync: Sync,
    open: Option<Ipv4Addr>,
) -> Result<Child> {
    let log = fs::File::create(folder.join("log")).context("making the server's log")?;
    let mut command = run_as(user, &bin.join("postgres"));
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    let hosts = open.map_or_else(|| "127.0.0.1".to_owned(), |address| format!("127.0.0.1,{address}"));
    command.args(["-h", &hosts, "-p", &port.to_string(), "-c", "max_connections=200"]);
    if sync == Sync::Off {
        command.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("starting PostgreSQL")
}

fn run_as(user: Option<(u32, u32)>, program: &Path) -> Command {
    let Some((uid, gid)) = user else {
        let mut command = Command::new(program);
        command.current_dir("/");
        return command;
    };
    // It ends with the test, even if that is killed.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program).current_dir("/");
    command
}

/// The folder of PostgreSQL's programs.
fn bin() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("initdb")).find(|file| file.exists());
    if let Some(initdb) = on_path {
        let real = fs::canonicalize(initdb).context("following the link of initdb")?;
        return Ok(real.parent().context("initdb is in a folder")?.to_owned());
    }
    let installed = fs::read_dir("/usr/lib/postgresql").map(Vec::from_iter).unwrap_or_default();
    let mut found: Vec<_> = installed
        .into_iter()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.exists())
        .collect();
    found.sort();
    found.pop().context("PostgreSQL is not installed: apt-get install postgresql")
}

/// As root: the user and group that PostgreSQL runs as.
fn other_user() -> Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self").context("reading /proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("reading the users")?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Ok(Some(find("postgres").or_else(|| find("nobody")).context("there is no user postgres or nobody")?))
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}
