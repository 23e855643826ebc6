//! `shipway freeze`, `stop-the-line`, `unfreeze` and `freezes`: what holds runs, whatever their flows say.

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    Calendar, CreateFreezeReply, CreateFreezeRequest, Freeze, InFlight, LetPassRequest, LiftFreezeRequest,
    ListFreezesRequest,
};
use uuid::Uuid;

use super::{
    Client, Exit, Outcome, Paint, Table, flags::Common, hint, json as shown, out, output::out_json, short_id,
    surely::surely, talk, time,
};

/// Arguments of `shipway freeze`.
#[derive(Debug, clap::Args)]
pub(crate) struct FreezeArgs {
    /// What is frozen: `<project>`, `<pipeline>/*` or `<pipeline>/<stage>`; the latter two also after `<project>/`.
    scope: String,
    /// When it begins: a time, or `in 2h`. Now when absent.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// When it ends: a time, or `in 2h`. When it is lifted when absent.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Again and again, each time that this schedule is due: five fields, as in cron.
    #[arg(long, value_name = "CRON", requires = "lasts", conflicts_with_all = ["from", "until"])]
    every: Option<String>,
    /// How long each time lasts: `90m`, `64h`.
    #[arg(long = "for", value_name = "SPAN", requires = "every", value_parser = minutes)]
    lasts: Option<u32>,
    /// The time zone of the schedule, as the IANA database names it.
    #[arg(long, value_name = "ZONE", requires = "every", default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    given: Given,
}

/// Arguments of `shipway stop-the-line`.
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// What is stopped: `<project>`, `<pipeline>/*` or `<pipeline>/<stage>`; the latter two also after `<project>/`.
    scope: String,
    #[command(flatten)]
    given: Given,
}

/// What both are given.
#[derive(Debug, clap::Args)]
struct Given {
    /// What it is called, to lift it by.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Why: whoever is held by it reads that.
    #[arg(short, long, visible_alias = "message", value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway unfreeze`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnfreezeArgs {
    /// The freeze to be lifted: its name or id.
    #[arg(required_unless_present = "run", conflicts_with = "run")]
    freeze: Option<String>,
    /// Lets this run alone go on, whatever freezes there are: an id, the beginning of one, or `@latest`.
    #[arg(long, value_name = "RUN", requires = "reason")]
    run: Option<String>,
    /// The freeze's project, where several have one of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Why.
    #[arg(short, long, visible_alias = "message", value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway freezes`.
#[derive(Debug, clap::Args)]
pub(crate) struct FreezesArgs {
    /// Those of this project only.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn freeze(args: FreezeArgs) -> Outcome {
    let now = Timestamp::now();
    let at = |text: Option<String>| match text {
        None => Ok(String::new()),
        Some(text) => time::parse_ahead(&text, now).map(|at| at.to_string()),
    };
    let calendar = args.every.map(|cron| {
        let minutes = args.lasts.unwrap_or_default();
        Calendar { cron, timezone: args.zone, minutes }
    });
    let request = CreateFreezeRequest {
        scope: args.scope,
        from: at(args.from)?,
        until: at(args.until)?,
        calendar,
        ..CreateFreezeRequest::default()
    };
    create(args.given, request).await
}

pub(crate) async fn stop_the_line(args: StopArgs) -> Outcome {
    let request =
        CreateFreezeRequest { scope: args.scope, stops_all: true, ..CreateFreezeRequest::default() };
    create(args.given, request).await
}

async fn create(given: Given, request: CreateFreezeRequest) -> Outcome {
    let client = Client::connect(&given.common.place).await?;
    let request = CreateFreezeRequest {
        command: Uuid::now_v7().to_string(),
        name: given.name.unwrap_or_default(),
        reason: given.reason.unwrap_or_default(),
        ..request
    };
    let reply = surely(async || client.freezes().create_freeze(request.clone()).await).await?;
    let freeze = reply.freeze.clone().unwrap_or_default();
    if given.common.json() {
        let in_flight: Vec<Value> = reply.in_flight.iter().map(flying).collect();
        out_json(&json!({
            "freeze": told(&freeze), "inFlight": in_flight, "more": reply.more, "position": reply.position,
        }));
    } else {
        out(&created(&freeze));
        in_flight(&reply);
    }
    hint(&format!("shipway unfreeze {}", freeze.name));
    Ok(Exit::Ok)
}

fn created(freeze: &Freeze) -> String {
    let what = match freeze.stops_all {
        true => "nothing more begins in it",
        false => "runs that have not begun wait",
    };
    match (freeze.in_force, freeze.next.as_str()) {
        (false, "") => format!("{} is frozen: {what}", freeze.scope),
        (false, next) => format!("{} will be frozen from {next} on: {what}", freeze.scope),
        (true, _) => format!("{} is frozen {}: {what}", freeze.scope, end(freeze)),
    }
}

fn end(freeze: &Freeze) -> String {
    match freeze.in_force_until.as_str() {
        "" => format!("until `{}` is lifted", freeze.name),
        until => format!("until {until}"),
    }
}

/// What goes on although all is stopped.
fn in_flight(reply: &CreateFreezeReply) {
    if reply.freeze.as_ref().is_none_or(|freeze| !freeze.stops_all) {
        return;
    }
    if reply.in_flight.is_empty() {
        return talk("nothing goes on in it");
    }
    talk("this has begun and is let finish (`shipway abort <run>` ends it):");
    let now = Timestamp::now();
    let mut table = Table::new(&["RUN", "FLOW", "NODE", "KIND", "ON", "FOR"]);
    for work in &reply.in_flight {
        let age = time::age(&work.since, now);
        table.row([short_id(&work.run), &work.path, &work.node, &work.kind, &work.executor, &age]);
    }
    out(&table.text(Paint::stdout()));
    if reply.more {
        talk("and more; `shipway runs` lists all that goes on");
    }
}

pub(crate) async fn unfreeze(args: UnfreezeArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let reason = args.reason.unwrap_or_default();
    if let Some(run) = args.run {
        let (command, run) = (Uuid::now_v7().to_string(), client.run(&run).await?.id);
        let request = LetPassRequest { run, reason, command };
        let run = surely(async || client.freezes().let_pass(request.clone()).await).await?;
        if args.common.json() {
            out_json(&shown::run(&run));
        } else {
            out(&format!("{} {} passes: it is {}", run.path, short_id(&run.id), run.status));
        }
        hint(&format!("shipway watch {}", short_id(&run.id)));
        return Ok(Exit::Ok);
    }
    let request = LiftFreezeRequest {
        command: Uuid::now_v7().to_string(),
        freeze: args.freeze.unwrap_or_default(),
        project: args.project.unwrap_or_default(),
        reason,
    };
    let reply = surely(async || client.freezes().lift_freeze(request.clone()).await).await?;
    let freeze = reply.freeze.unwrap_or_default();
    if args.common.json() {
        out_json(&json!({"freeze": told(&freeze), "position": reply.position}));
    } else {
        out(&format!("{} is not frozen by `{}` any more: what it held goes on", freeze.scope, freeze.name));
    }
    hint("shipway runs");
    Ok(Exit::Ok)
}

pub(crate) async fn freezes(args: FreezesArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = ListFreezesRequest { project: args.project.unwrap_or_default() };
    let reply = client.freezes().list_freezes(request).await?.into_inner();
    if args.common.json() {
        out_json(&json!({"freezes": reply.freezes.iter().map(told).collect::<Vec<_>>()}));
        return Ok(Exit::Ok);
    }
    if reply.freezes.is_empty() {
        talk("nothing is frozen: `shipway freeze <pipeline>/<stage> --until 'in 2h' -r \"…\"` does that");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["NAME", "SCOPE", "HOLDS", "NOW", "BY", "WHY"]);
    for freeze in &reply.freezes {
        let holds = if freeze.stops_all { "all" } else { "what has not begun" };
        let when = match (freeze.in_force, freeze.next.as_str()) {
            (true, _) if freeze.in_force_until.is_empty() => "in force".to_owned(),
            (true, _) => format!("in force until {}", freeze.in_force_until),
            (false, "") => "never again".to_owned(),
            (false, next) => format!("next {next}"),
        };
        table.row([&freeze.name, &freeze.scope, holds, &when, &freeze.created_by, &freeze.reason]);
    }
    out(&table.text(Paint::stdout()));
    hint(&format!("shipway unfreeze {}", reply.freezes[0].name));
    Ok(Exit::Ok)
}

/// Minutes out of `90m`, `64h` or `3d`.
fn minutes(text: &str) -> Result<u32, String> {
    let span = time::parse_span(text).filter(|span| span.as_secs() >= 60 && span.as_secs() % 60 == 0);
    let minutes = span.and_then(|span| u32::try_from(span.as_secs() / 60).ok());
    minutes.ok_or_else(|| "give it in whole minutes: `90m`, `64h`, `3d`".to_owned())
}

fn told(freeze: &Freeze) -> Value {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    json!({
        "id": freeze.id, "name": freeze.name, "project": freeze.project, "scope": freeze.scope,
        "stopsAll": freeze.stops_all, "reason": freeze.reason, "createdAt": freeze.created_at,
        "createdBy": freeze.created_by, "from": some(&freeze.from), "until": some(&freeze.until),
        "calendar": freeze.calendar.as_ref().map(|calendar| json!({
            "cron": calendar.cron, "timezone": calendar.timezone, "minutes": calendar.minutes,
        })),
        "inForce": freeze.in_force, "inForceUntil": some(&freeze.in_force_until), "next": some(&freeze.next),
    })
}

fn flying(work: &InFlight) -> Value {
    json!({
        "run": work.run, "path": work.path, "node": work.node, "kind": work.kind, "executor": work.executor,
        "since": work.since,
    })
}
