//! A nats-server of a test's own: JetStream in a temporary folder, on a free port of 127.0.0.1, gone with the value.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// The variable that names the server's program, if it is not to be the installed one.
pub const SERVER: &str = "SHIPWAY_NATS_SERVER";

/// The variable that names a newer server's program, on which everything must be the same.
pub const NEW_SERVER: &str = "SHIPWAY_NATS_SERVER_NEW";

/// A server, running or not.
#[derive(Debug)]
pub struct NatsServer {
    server: Option<Child>,
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    /// The part of its settings that says who may do what, if not everybody everything.
    accounts: Option<String>,
}

/// The password of [`NatsServer::start_with_accounts`]' users.
const PASSWORD: &str = "a-password";

impl NatsServer {
    /// Starts the installed server, or the one that `SHIPWAY_NATS_SERVER` names.
    ///
    /// # Errors
    /// If there is none, or it does not start.
    pub fn start() -> Result<Self> {
        Self::start_as(None)
    }

    /// The same, with the accounts of a file of settings; the URL is that of the services' user.
    ///
    /// # Errors
    /// If the file has none, and as [`NatsServer::start`].
    pub fn start_with_accounts(settings: &Path) -> Result<Self> {
        let text = fs::read_to_string(settings).with_context(|| format!("reading {}", settings.display()))?;
        let accounts = text.split_once("\naccounts {").context("there are no accounts in the settings")?.1;
        Self::start_as(Some(format!("accounts {{{accounts}")))
    }

    fn start_as(accounts: Option<String>) -> Result<Self> {
        let program = program()?;
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("shipway-nats-{}-{port}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut server = Self { server: None, program, folder, port, accounts };
        server.run()?;
        Ok(server)
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> String {
        let user = self.accounts.as_ref().map(|_| format!("shipway:{PASSWORD}@"));
        format!("nats://{}127.0.0.1:{}", user.unwrap_or_default(), self.port)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Starts it on what is on disk, on the same port.
    ///
    /// # Errors
    /// If it does not start.
    pub fn run(&mut self) -> Result<()> {
        let settings = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\", max_file_store: 8GB, max_memory_store: 1GB }}\n{}",
            self.port,
            self.store().display(),
            self.accounts.as_deref().unwrap_or_default()
        );
        let file = self.folder.join("nats.conf");
        fs::write(&file, settings).context("writing the server's settings")?;
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"));
        let log = log.context("making the server's log")?;
        // It ends with the test, even if that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program).arg("-c").arg(&file);
        command.envs([("NATS_PASSWORD", PASSWORD), ("NATS_READER_PASSWORD", PASSWORD)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = command.spawn().context("starting nats-server")?;
        self.server = Some(server);
        let started = self.wait();
        if started.is_err() {
            drop(self.kill());
        }
        started
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// If it is not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut server = self.server.take().context("nats-server is not running")?;
        server.kill().context("killing nats-server")?;
        server.wait().context("waiting for nats-server's end")?;
        Ok(())
    }

    /// Stops it where it is, connections and all.
    ///
    /// # Errors
    /// If it is not running.
    pub fn pause(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::STOP).context("pausing nats-server")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::CONT).context("resuming nats-server")
    }

    /// Kills it, deletes all that it stored, and starts it again.
    ///
    /// # Errors
    /// If that fails.
    pub fn wipe(&mut self) -> Result<()> {
        self.kill()?;
        self.forget_and_run()
    }

    /// Deletes all that a server that is not running stored, and starts it.
    ///
    /// # Errors
    /// If that fails.
    pub fn forget_and_run(&mut self) -> Result<()> {
        fs::remove_dir_all(self.store()).context("deleting the store")?;
        self.run()
    }

    /// Copies its store, as it is on disk, for [`NatsServer::restore`].
    ///
    /// # Errors
    /// If that fails.
    pub fn copy(&self) -> Result<()> {
        let copy = self.folder.join("copy");
        if copy.exists() {
            fs::remove_dir_all(&copy).context("deleting the copy before")?;
        }
        copy_folder(&self.store(), &copy)
    }

    /// Kills it, puts the copy in the place of the store, and starts it again: what a lost page cache looks like.
    /// `part`: only what lies in folders of this name (`msgs`), the rest stays.
    ///
    /// # Errors
    /// If that fails.
    pub fn restore(&mut self, part: Option<&str>) -> Result<()> {
        self.kill()?;
        let (store, copy) = (self.store(), self.folder.join("copy"));
        match part {
            None => {
                fs::remove_dir_all(&store).context("deleting the store")?;
                copy_folder(&copy, &store)?;
            }
            Some(part) => {
                for from in folders(&copy)?.into_iter().filter(|folder| folder.ends_with(part)) {
                    let to = store.join(from.strip_prefix(&copy).context("a folder of the copy")?);
                    fs::remove_dir_all(&to).with_context(|| format!("deleting {}", to.display()))?;
                    copy_folder(&from, &to)?;
                }
            }
        }
        self.run()
    }

    /// What it has said of its users' doing what they may not.
    ///
    /// # Errors
    /// If its log cannot be read.
    pub fn violations(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.folder.join("log")).context("reading the server's log")?;
        Ok(log.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect())
    }

    /// The files that hold messages.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn block_files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for folder in folders(&self.store())? {
            for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "blk") {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// What a failed test wants to know of it.
    fn tell(&mut self) {
        let state = self.server.as_mut().map(Child::try_wait);
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        eprintln!("nats-server: {state:?} (none: it runs); its last words:\n{tail}");
    }

    fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    fn pid(&self) -> Result<Pid> {
        self.server.as_ref().map(Pid::from_child).context("nats-server is not running")
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.server.as_mut().is_none_or(|server| !matches!(server.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("nats-server did not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        if let Some(mut server) = self.server.take() {
            // It may have ended by itself.
            drop(server.kill());
            drop(server.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The installed server, or the one that is named.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(SERVER) {
        return Ok(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.exists())
        .context("nats-server is not installed: apt-get install nats-server")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        // What a running server deletes meanwhile was not there.
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if let Err(error) = fs::copy(entry.path(), &to)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("copying {}", entry.path().display()));
        }
    }
    Ok(())
}

/// The folder and all folders in it.
fn folders(of: &Path) -> Result<Vec<PathBuf>> {
    let mut all = vec![of.to_owned()];
    let mut next = 0;
    while let Some(folder) = all.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                all.push(entry.path());
            }
        }
    }
    Ok(all)
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}
