//! `shipway watch`: a run as it goes, until it ends.

use std::time::Duration;

use jiff::Timestamp;
use shipway_contracts::v1::{Run, WatchRunRequest};
use tokio_stream::StreamExt;

use super::{
    Client, Exit, Failure, Outcome, Paint,
    flags::Common,
    json as shown, out,
    output::{Screen, live, out_json_line, size},
    short_id, talk,
    tree::{changes, tree},
};

/// Arguments of `shipway watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run: an id, the beginning of one, `@latest` or `@failed`.
    #[arg(default_value = "@latest")]
    run: String,
    #[command(flatten)]
    common: Common,
}

/// Between two drawings while nothing changes: the seconds go on.
const TICK: Duration = Duration::from_millis(500);
/// The longest pause before another attempt to reach Shipway.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn watch(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let run = client.run(&args.run).await?;
    follow(&client, &run.id, args.common.json()).await
}

/// Shows a run until it ends or the person lets go; the exit code says how it ended.
pub(crate) async fn follow(client: &Client, run: &str, json: bool) -> Outcome {
    tokio::select! {
        ended = until_end(client, run, json) => ended.map(|run| exit_of(&run)),
        _ = tokio::signal::ctrl_c() => {
            talk(&format!(
                "\ndetached; the run goes on. `shipway watch {id}` looks again, `shipway abort {id}` stops it",
                id = short_id(run)
            ));
            Ok(Exit::Ok)
        }
    }
}

/// Shows a run to its end, over lost connections; the run as it ended, or as it waits for a person.
pub(crate) async fn until_end(client: &Client, run: &str, json: bool) -> Result<Run, Failure> {
    let mut view = View::new(json);
    let mut pause = Duration::from_millis(100);
    loop {
        match once(client, run, &mut view, &mut pause).await {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) => {}
            Err(status) if lost(&status) => {
                view.say(&format!("connection lost ({}); trying again", status.message()));
            }
            Err(status) => return Err(status.into()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PATIENCE);
    }
}

async fn once(
    client: &Client,
    run: &str,
    view: &mut View,
    pause: &mut Duration,
) -> Result<Option<Run>, tonic::Status> {
    let request = WatchRunRequest { run: run.to_owned() };
    let mut states = client.runs().watch_run(request).await?.into_inner();
    loop {
        match tokio::time::timeout(TICK, states.next()).await {
            Err(_) => view.tick(),
            Ok(None) => return Ok(None),
            Ok(Some(state)) => {
                let state = state?;
                *pause = Duration::from_millis(100);
                view.show(&state);
                // Only a person can move a run whose outcome nobody knows.
                if state.concluded || matches!(state.status.as_str(), "unknown" | "approval_wait") {
                    return Ok(Some(state));
                }
            }
        }
    }
}

fn lost(status: &tonic::Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled)
}

/// The exit code that says how a run ended.
pub(crate) fn exit_of(run: &Run) -> Exit {
    match run.status.as_str() {
        "success" | "skipped" => Exit::Ok,
        "aborted" => Exit::Aborted,
        "unknown" | "approval_wait" => Exit::Waiting,
        _ => Exit::Failed,
    }
}

/// How the run is shown: drawn in place for a person, as lines or JSON otherwise.
struct View {
    json: bool,
    screen: Option<Screen>,
    last: Option<Run>,
}

impl View {
    fn new(json: bool) -> Self {
        Self { json, screen: (!json && live()).then(Screen::default), last: None }
    }

    fn show(&mut self, run: &Run) {
        if self.json {
            out_json_line(&shown::run(run));
        } else if self.screen.is_none() {
            for line in changes(self.last.as_ref(), run, Paint::stdout()) {
                out(&line);
            }
        }
        self.last = Some(run.clone());
        self.tick();
    }

    fn tick(&mut self) {
        if let (Some(screen), Some(run)) = (&mut self.screen, &self.last) {
            screen.draw(&tree(run, Timestamp::now(), size().0, Paint::stdout()));
        }
    }

    fn say(&mut self, text: &str) {
        if let Some(screen) = &mut self.screen {
            screen.clear();
        }
        talk(text);
        self.tick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_how_a_run_ended() {
        let exit = |status: &str| exit_of(&Run { status: status.to_owned(), ..Run::default() });
        assert_eq!(exit("success"), Exit::Ok);
        assert_eq!(exit("failure"), Exit::Failed);
        assert_eq!(exit("aborted"), Exit::Aborted);
        assert_eq!(exit("unknown"), Exit::Waiting);
    }
}
