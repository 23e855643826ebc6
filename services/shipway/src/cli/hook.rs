//! `shipway hook`: makes a plain Git repository a sender of pushes, as Git hosts are. What could not be
//! delivered is kept beside the repository and tried again, by the next push and by a process of its own.

mod payload;
mod secrets;
mod spool;

use std::{
    env, fs,
    io::{self, Read, Write},
    os::unix::{
        fs::{OpenOptionsExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use clap::Subcommand;
use serde::{Deserialize, Serialize};

pub(crate) use payload::Push;
pub(crate) use spool::Spool;

use super::{Exit, Failure, Outcome, hint, talk};

/// Verbs of `shipway hook`.
#[derive(Debug, Subcommand)]
pub(crate) enum Hook {
    /// Puts a post-receive hook into a bare repository; the hook's secret is read from standard input.
    Install(InstallArgs),
    /// Gives a webhook one more secret, and prints it this once. The old ones count until they are retired.
    Rotate(secrets::RotateArgs),
    /// Ends a webhook's old secrets: what is signed with one of them is refused from now on.
    Retire(secrets::RetireArgs),
    /// What Git calls after a push: tells Shipway what was pushed.
    #[command(name = "post-receive")]
    PostReceive(SenderArgs),
    /// Tries to deliver what is kept, until it is delivered.
    #[command(hide = true)]
    Deliver(SenderArgs),
}

/// Arguments of `shipway hook install`.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// The bare repository.
    repository: PathBuf,
    /// The webhook's address, as `shipway hooks` shows it.
    #[arg(long, value_name = "URL")]
    url: String,
    /// What Shipway calls the repository; its own path as a file URL when absent.
    #[arg(long, value_name = "URL")]
    known_as: Option<String>,
}

/// Arguments of the verbs that Git and the hook call.
#[derive(Debug, clap::Args)]
pub(crate) struct SenderArgs {
    /// The file that `shipway hook install` wrote.
    #[arg(long, default_value = "hooks/shipway.json", value_name = "FILE")]
    config: PathBuf,
}

/// Where a repository's pushes go. Only the repository's owner can read the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    /// The webhook's address.
    pub(crate) url: String,
    /// Signs the deliveries.
    pub(crate) secret: String,
    /// What Shipway calls the repository.
    pub(crate) repository: String,
}

/// How long the process of its own goes on trying.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

pub(crate) async fn hook(verb: Hook) -> Outcome {
    match verb {
        Hook::Install(args) => {
            let mut secret = String::new();
            io::stdin().read_to_string(&mut secret)?;
            let known_as = match args.known_as {
                Some(url) => url,
                None => format!("file://{}", fs::canonicalize(&args.repository)?.display()),
            };
            let config = Config { url: args.url, secret: secret.trim().to_owned(), repository: known_as };
            install(&args.repository, &config, &env::current_exe()?)?;
            talk(&format!("pushes to {} are told to {}", args.repository.display(), config.url));
            hint("git push");
            Ok(Exit::Ok)
        }
        Hook::Rotate(args) => secrets::rotate(args).await,
        Hook::Retire(args) => secrets::retire(args).await,
        Hook::PostReceive(args) => post_receive(&args.config).await,
        Hook::Deliver(args) => deliver(&args.config).await,
    }
}

/// Writes the hook and its configuration. A hook that is not Shipway's is left alone.
///
/// # Errors
/// What is in the way, or could not be written.
pub(crate) fn install(repository: &Path, config: &Config, shipway: &Path) -> Result<(), Failure> {
    const MARK: &str = "# Written by `shipway hook install`.";
    let hooks = repository.join("hooks");
    if !repository.join("objects").is_dir() {
        return Err(Failure::usage(format!("{} is no bare Git repository", repository.display()))
            .help("`git init --bare <folder>` makes one"));
    }
    if config.secret.is_empty() {
        return Err(Failure::usage("the hook's secret is missing")
            .help("pipe it in: `shipway hook install <repository> --url <address> < secret.txt`"));
    }
    fs::create_dir_all(&hooks)?;
    let script = hooks.join("post-receive");
    if fs::read_to_string(&script).is_ok_and(|text| !text.contains(MARK)) {
        return Err(Failure::new(format!("{} is somebody else's hook", script.display())).help(format!(
            "call `{} hook post-receive` in it yourself, with its standard input",
            shipway.display()
        )));
    }
    let text = serde_json::to_string_pretty(config).expect("a configuration has only string keys");
    write(&hooks.join("shipway.json"), text.as_bytes(), 0o600)?;
    let quoted = shipway.display().to_string().replace('\'', r"'\''");
    write(&script, format!("#!/bin/sh\n{MARK}\nexec '{quoted}' hook post-receive\n").as_bytes(), 0o755)?;
    Ok(())
}

/// Keeps what was pushed, tries to deliver it, and leaves the rest to a process of its own. Never fails: the
/// push itself has happened.
async fn post_receive(config_file: &Path) -> Outcome {
    let mut lines = String::new();
    io::stdin().read_to_string(&mut lines)?;
    let config = read(config_file)?;
    let spool = Spool::beside(config_file)?;
    for line in lines.lines() {
        let push = Push::parse(line)?;
        spool.keep(&push.payload(&config.repository)?)?;
    }
    match spool.flush(&config, Duration::from_secs(5)).await {
        Ok(sent) => talk(&format!("Shipway knows ({sent} delivered)")),
        Err(why) => {
            talk(&format!("Shipway could not be told now ({why}); kept, and tried again until it is"));
            detach(config_file)?;
        }
    }
    Ok(Exit::Ok)
}

async fn deliver(config_file: &Path) -> Outcome {
    let started = Instant::now();
    let mut pause = Duration::from_secs(1);
    let spool = Spool::beside(config_file)?;
    let Some(mut alone) = spool.only_one()? else { return Ok(Exit::Ok) };
    while started.elapsed() < PATIENCE && config_file.exists() {
        if spool.flush(&read(config_file)?, Duration::from_secs(10)).await.is_ok() {
            drop(alone);
            // Whoever came while this one held the lock has left its delivery here.
            if spool.is_empty()? {
                return Ok(Exit::Ok);
            }
            let Some(again) = spool.only_one()? else { return Ok(Exit::Ok) };
            alone = again;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
    Err(Failure::new("not delivered within a day; the next push tries again"))
}

fn detach(config_file: &Path) -> Result<(), Failure> {
    Command::new(env::current_exe()?)
        .args(["hook", "deliver", "--config"])
        .arg(config_file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
        .map_err(|error| Failure::new(format!("starting the process that tries again: {error}")))
}

fn read(config_file: &Path) -> Result<Config, Failure> {
    let text = fs::read_to_string(config_file)
        .map_err(|error| Failure::new(format!("reading {}: {error}", config_file.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{} is damaged: {error}", config_file.display())))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&part)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)
}
