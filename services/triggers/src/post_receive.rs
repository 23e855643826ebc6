//! Makes a plain Git repository a sender: its `post-receive` hook hands each push over as GitHub would.
//!
//! 1. Each pushed ref becomes a payload (`payload`), written and synced into `<repository>/shipway-outbox/`
//!    before anything is sent (`outbox`).
//! 2. The outbox is delivered from its oldest on, each with its own id on every attempt, so that Shipway knows what
//!    it has. What is answered with 202 is taken out; when Shipway is away the rest stays.
//! 3. What stayed is delivered with the next push, or by [`flush`], which can go on trying for a while.
//!
//! A push never fails because of this: the refs are already moved when the hook runs.

mod outbox;
mod payload;

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use zeroize::Zeroizing;

use crate::signature::hub_signature;
use outbox::{Outbox, Parcel};

pub use outbox::OUTBOX;

/// How long the first and the longest pause between attempts of [`flush`] are.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What a repository tells whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hook's whole address: `http://127.0.0.1:7400/hooks/github/<id>`.
    pub url: String,
    /// The file with the hook's secret; a line end after it does not count.
    pub secret_file: PathBuf,
    /// The repository's Git directory (`$GIT_DIR`, in a hook `.`).
    pub repository: PathBuf,
    /// How triggers name the repository; none: its absolute path.
    pub address: Option<String>,
    /// Who pushed; nothing is decided by it.
    pub pusher: Option<String>,
    /// How long one delivery may take.
    pub timeout: Duration,
}

/// What became of the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Deliveries that Shipway has.
    pub delivered: usize,
    /// Deliveries that are kept for later.
    pub kept: usize,
    /// What to tell whoever pushed, line by line.
    pub lines: Vec<String>,
}

/// Why not even the outbox could be written. The push itself stands.
#[derive(Debug, thiserror::Error)]
pub enum PostReceiveError {
    /// The pushed refs could not be read from standard input.
    #[error("could not read the pushed refs from standard input")]
    Input(#[source] io::Error),
    /// The repository could not be asked about the push.
    #[error("could not read the push from the repository {}: {said}", repository.display())]
    Repository {
        /// The Git directory.
        repository: PathBuf,
        /// What Git said.
        said: String,
    },
    /// The outbox could not be read or written.
    #[error("could not use the outbox {}", path.display())]
    Outbox {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Takes the pushed refs (`old new ref` lines, as Git gives them to `post-receive`), keeps them and delivers what
/// is in the outbox. Shipway being away is no error: it is in the report.
///
/// # Errors
/// See [`PostReceiveError`]. The caller prints it and still ends with 0.
pub async fn post_receive(
    options: &Options,
    stdin: impl AsyncRead + Unpin,
) -> Result<Report, PostReceiveError> {
    let outbox = Outbox::open(&options.repository)?;
    let mut lines = BufReader::new(stdin).lines();
    while let Some(line) = lines.next_line().await.map_err(PostReceiveError::Input)? {
        let [old, new, reference] = *line.split_whitespace().collect::<Vec<_>>() else { continue };
        let body = payload::of_push(options, old, new, reference).await?;
        outbox.put(&Parcel::new("push", body))?;
    }
    deliver(options, &outbox).await
}

/// Delivers what is in the outbox; while something stays, tries again until `patience` is over.
///
/// # Errors
/// See [`PostReceiveError`].
pub async fn flush(options: &Options, patience: Duration) -> Result<Report, PostReceiveError> {
    let outbox = Outbox::open(&options.repository)?;
    let end = tokio::time::Instant::now() + patience;
    let mut pause = PAUSES.0;
    let mut whole = Report::default();
    loop {
        let report = deliver(options, &outbox).await?;
        whole.delivered += report.delivered;
        whole.kept = report.kept;
        whole.lines = report.lines;
        if whole.kept == 0 || tokio::time::Instant::now() + pause > end {
            return Ok(whole);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Starts a command that outlives the push, with nothing of it open: Git waits for whoever holds its pipes.
///
/// # Errors
/// If it cannot be started.
pub fn in_background(program: &Path, arguments: &[String]) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0).spawn().map(drop)
}

/// The text of `hooks/post-receive` that runs a command (the program and its arguments) and never fails the push.
#[must_use]
pub fn post_receive_script(command: &[String]) -> String {
    let quoted: Vec<String> =
        command.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    format!(
        "#!/bin/sh\n\
         # Tells Shipway about each push. What cannot be delivered is kept in {OUTBOX}/ and retried.\n\
         {} || true\n",
        quoted.join(" ")
    )
}

async fn deliver(options: &Options, outbox: &Outbox) -> Result<Report, PostReceiveError> {
    let mut report = Report::default();
    let Some(_turn) = outbox.lock(options.timeout).await? else {
        report.kept = outbox.list()?.len();
        report.lines.push("another delivery to Shipway is under way; it takes this push along".to_owned());
        return Ok(report);
    };
    let sender = match Sender::new(options) {
        Ok(sender) => sender,
        Err(problem) => {
            report.kept = outbox.list()?.len();
            report.lines.push(problem);
            return Ok(report);
        }
    };
    // What comes while this one delivers is taken along: whoever put it found the lock taken.
    loop {
        let Some(path) = outbox.list()?.into_iter().next() else { return Ok(report) };
        let Some(parcel) = outbox.read(&path)? else {
            outbox.refuse(&path)?;
            report.lines.push(format!("{} is damaged and was put aside", path.display()));
            continue;
        };
        match sender.send(&parcel).await {
            Sent::Taken(lines) => {
                outbox.remove(&path)?;
                report.delivered += 1;
                report.lines.extend(lines);
            }
            Sent::Never(problem) => {
                outbox.refuse(&path)?;
                report.lines.push(format!("{problem}; the delivery was put aside in {OUTBOX}/refused"));
            }
            Sent::Later(problem) => {
                report.kept = outbox.list()?.len();
                report.lines.push(problem);
                report.lines.push(format!("{} kept in {OUTBOX} and retried", counted(report.kept)));
                return Ok(report);
            }
        }
    }
}

fn counted(kept: usize) -> String {
    if kept == 1 { "the delivery is".to_owned() } else { format!("{kept} deliveries are") }
}

enum Sent {
    Taken(Vec<String>),
    Never(String),
    Later(String),
}

struct Sender<'o> {
    client: reqwest::Client,
    options: &'o Options,
    secret: Zeroizing<String>,
}

impl<'o> Sender<'o> {
    fn new(options: &'o Options) -> Result<Self, String> {
        let path = options.secret_file.display();
        let text = std::fs::read_to_string(&options.secret_file);
        let text =
            Zeroizing::new(text.map_err(|e| format!("could not read the hook's secret from {path}: {e}"))?);
        let secret = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        if secret.is_empty() {
            return Err(format!("the hook's secret file {path} is empty"));
        }
        // A second call says that there is one already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut client = reqwest::Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("Shipway-Post-Receive");
        if options.url.starts_with("http://") {
            client = client.tls_certs_only([]).no_proxy();
        }
        let client = client.build().map_err(|e| format!("could not set up HTTP: {e}"))?;
        Ok(Self { client, options, secret })
    }

    async fn send(&self, parcel: &Parcel) -> Sent {
        let url = &self.options.url;
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("x-github-event", &parcel.event)
            .header("x-github-delivery", &parcel.delivery)
            .header("x-hub-signature-256", hub_signature(self.secret.as_bytes(), parcel.body.as_bytes()))
            .body(parcel.body.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let why = if error.is_timeout() { "did not answer in time" } else { "is away" };
                return Sent::Later(format!("Shipway at {url} {why}"));
            }
        };
        let status = response.status().as_u16();
        match status {
            200..=299 => Sent::Taken(said(response.json().await.ok())),
            400 | 413 | 415 => Sent::Never(format!("Shipway at {url} refused the delivery ({status})")),
            401 => Sent::Later(format!(
                "Shipway at {url} does not know the hook or its secret (401); check the address and {}",
                self.options.secret_file.display()
            )),
            _ => Sent::Later(format!("Shipway at {url} answered {status}")),
        }
    }
}

/// The part of the answer that a person reads.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    message: String,
    runs: Vec<AnswerRun>,
}

#[derive(Deserialize)]
struct AnswerRun {
    flow: String,
    name: String,
}

fn said(answer: Option<Answer>) -> Vec<String> {
    let Answer { message, runs } = answer.unwrap_or_default();
    let runs = runs.into_iter().map(|run| format!("{}: run {}", run.flow, run.name));
    std::iter::once(message).filter(|message| !message.is_empty()).chain(runs).collect()
}
