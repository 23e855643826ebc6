//! `shipway events` and `shipway verify`: the log itself.

use std::time::Duration;

use serde_json::json;
use shipway_contracts::v1::{Event, GetLogRequest, ReadEventsRequest, VerifyProgress, VerifyRequest};
use shipway_eventing::nats::Names;
use tokio_stream::StreamExt;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style,
    flags::Common,
    json as shown, out,
    output::{live, out_json, out_json_line},
    talk,
    time::clock,
};

/// Arguments of `shipway events`.
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Goes on with events as they happen.
    #[arg(short, long)]
    follow: bool,
    /// Only events after this position.
    #[arg(long, default_value_t = 0, value_name = "POSITION")]
    after: u64,
    /// Only this stream: `org`, `project-<id>`, `run-<id>`, …
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Tells what the log is instead, and where it ends: its id and the NATS stream, which programs that consume the
    /// events want.
    #[arg(long, conflicts_with_all = ["follow", "after", "stream", "limit"])]
    head: bool,
    /// At most so many; 0 for no limit.
    #[arg(short = 'n', long, default_value_t = 0, value_name = "COUNT")]
    limit: u64,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn events(args: EventsArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    if args.head {
        return head(&client, &args.common).await;
    }
    let mut after = args.after;
    loop {
        let result = tokio::select! {
            result = read(&client, &args, &mut after) => result,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
        };
        match result {
            Ok(()) if !args.follow => return Ok(Exit::Ok),
            Ok(()) => {}
            Err(status) if args.follow && status.code() != tonic::Code::InvalidArgument => {
                talk(&format!("connection lost ({}); going on after {after}", status.message()));
            }
            Err(status) => return Err(status.into()),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn head(client: &Client, common: &Common) -> Outcome {
    let log = client.events().get_log(GetLogRequest {}).await?.into_inner();
    let names = Names::of(&log.id);
    if common.json() {
        out_json(&json!({
            "id": log.id,
            "position": log.position,
            "hash": log.hash,
            "generation": log.generation,
            "stream": names.events_stream(),
            "subjects": names.all_events(),
        }));
        return Ok(Exit::Ok);
    }
    for (what, value) in [
        ("id", log.id),
        ("position", log.position.to_string()),
        ("hash", log.hash),
        ("generation", log.generation.to_string()),
        ("stream", names.events_stream()),
        ("subjects", names.all_events()),
    ] {
        out(&format!("{what:<10}  {value}"));
    }
    Ok(Exit::Ok)
}

async fn read(client: &Client, args: &EventsArgs, after: &mut u64) -> Result<(), tonic::Status> {
    let request = ReadEventsRequest {
        after: *after,
        stream: args.stream.clone().unwrap_or_default(),
        follow: args.follow,
        limit: args.limit,
    };
    let mut events = client.events().read_events(request).await?.into_inner();
    while let Some(event) = events.next().await {
        let event = event?;
        *after = event.position;
        if args.common.json() {
            out_json_line(&shown::event(&event));
        } else {
            out(&line(&event, Paint::stdout()));
        }
    }
    Ok(())
}

fn line(event: &Event, paint: Paint) -> String {
    format!(
        "{:>8} {} {} {} {}",
        event.position,
        paint.on(&clock(&event.at), Style::Quiet),
        paint.on(&event.r#type, Style::Accent),
        paint.on(&format!("{}@{}", event.stream, event.version), Style::Quiet),
        event.data_json
    )
}

pub(crate) async fn verify(args: VerifyArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let mut steps = client.events().verify(VerifyRequest {}).await?.into_inner();
    let mut last = VerifyProgress::default();
    while let Some(step) = steps.next().await {
        last = step?;
        if live() && !args.common.json() && !last.done {
            eprint!("\rchecked {} of {}", last.position, last.head);
        }
    }
    if live() && !args.common.json() {
        eprint!("\r\x1b[K");
    }
    if args.common.json() {
        out_json(&json!({
            "position": last.position,
            "head": last.head,
            "done": last.done,
            "fault": last.fault,
            "faultPosition": last.fault_position,
            "hash": last.hash,
        }));
    }
    if !last.fault.is_empty() {
        return Err(Failure::new(format!(
            "the log is damaged at position {}: {}",
            last.fault_position, last.fault
        ))
        .help("stop Shipway and restore the last backup: `shipway restore <file> --data <new folder>`"));
    }
    if !last.done {
        return Err(Failure::new(format!("the check ended early, at {} of {}", last.position, last.head)));
    }
    if !args.common.json() {
        out(&format!("{} events, all as they were written; hash {}", last.head, last.hash));
    }
    Ok(Exit::Ok)
}
