//! `shipway hold`, `unhold`, `holds`, `bad` and `good`: what is released no further.

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    BadMark, BadPlace, Hold, LetReleaseRequest, ListHoldsRequest, MarkBadRequest, PlaceHoldRequest,
    ReleaseHoldRequest, UnmarkBadRequest,
};
use uuid::Uuid;

use super::{
    Client, Exit, Outcome, Paint, Table, flags::Common, hint, json as shown, out, output::out_json,
    short_commit, short_digest, short_id, surely::surely, talk, time,
};

/// Arguments of `shipway hold`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct HoldArgs {
    /// Where: `<project>`, `<pipeline>/*` or `<pipeline>/<stage>`; the latter two also after `<project>/`.
    scope: String,
    /// This artifact, what else is built of its commit, and what was built before it.
    #[arg(long, value_name = "DIGEST", group = "what")]
    digest: Option<String>,
    /// The same for all that this run has released: an id, the beginning of one, or `@latest`.
    #[arg(long, value_name = "RUN", group = "what")]
    run: Option<String>,
    /// What contains this commit.
    #[arg(long, value_name = "COMMIT", group = "what")]
    commit: Option<String>,
    /// Versions below this one. What has no version that could be told is held, too.
    #[arg(long, value_name = "VERSION", group = "what")]
    below: Option<String>,
    /// Versions below this one, and that one.
    #[arg(long, value_name = "VERSION", group = "what")]
    up_to: Option<String>,
    /// When it ends: a time, or `in 2h`. When somebody ends it when absent.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// What it is called, to end it by.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Why: whoever is held by it reads that.
    #[arg(short, long, visible_alias = "message", visible_short_alias = 'm', value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway unhold`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnholdArgs {
    /// The hold to be ended: its name or id.
    #[arg(required_unless_present = "run", conflicts_with = "run")]
    hold: Option<String>,
    /// Lets this run alone release what is held: an id, the beginning of one, or `@latest`.
    #[arg(long, value_name = "RUN", requires = "reason")]
    run: Option<String>,
    /// The hold's project, where several have one of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Why.
    #[arg(short, long, visible_alias = "message", visible_short_alias = 'm', value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway holds`.
#[derive(Debug, clap::Args)]
pub(crate) struct HoldsArgs {
    /// Those of this project only.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway bad`.
#[derive(Debug, clap::Args)]
pub(crate) struct BadArgs {
    /// What is bad: a digest (`sha256:…`) or a run whose releases are: an id, the beginning of one, or `@latest`.
    what: String,
    /// The project in which it is, where there are several.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Why: whoever would release it reads that.
    #[arg(short, long, visible_alias = "message", visible_short_alias = 'm', value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway good`.
#[derive(Debug, clap::Args)]
pub(crate) struct GoodArgs {
    /// What is not bad any more: the digest or the run, or the mark's id.
    what: String,
    /// Its project, where it is marked in several.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Why.
    #[arg(short, long, visible_alias = "message", visible_short_alias = 'm', value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn hold(args: HoldArgs) -> Outcome {
    let until = match args.until {
        None => String::new(),
        Some(text) => time::parse_ahead(&text, Timestamp::now())?.to_string(),
    };
    let client = Client::connect(&args.common.place).await?;
    let request = PlaceHoldRequest {
        command: Uuid::now_v7().to_string(),
        scope: args.scope,
        name: args.name.unwrap_or_default(),
        reason: args.reason,
        until,
        digest: args.digest.unwrap_or_default(),
        run: match args.run {
            Some(run) => client.run(&run).await?.id,
            None => String::new(),
        },
        commit: args.commit.unwrap_or_default(),
        below: args.below.unwrap_or_default(),
        up_to: args.up_to.unwrap_or_default(),
    };
    let reply = surely(async || client.holds().place_hold(request.clone()).await).await?;
    let hold = reply.hold.unwrap_or_default();
    if args.common.json() {
        out_json(&json!({"hold": told(&hold), "position": reply.position}));
    } else {
        out(&format!("{} gets no more {} {}", hold.scope, hold.what, end(&hold)));
        talk(&hold.note);
    }
    hint(&format!("shipway unhold {}", hold.name));
    Ok(Exit::Ok)
}

fn end(hold: &Hold) -> String {
    match hold.until.as_str() {
        "" => format!("until `{}` is ended", hold.name),
        until => format!("until {until}"),
    }
}

pub(crate) async fn unhold(args: UnholdArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let reason = args.reason.unwrap_or_default();
    if let Some(run) = args.run {
        let (command, run) = (Uuid::now_v7().to_string(), client.run(&run).await?.id);
        let request = LetReleaseRequest { run, reason, command };
        let run = surely(async || client.holds().let_release(request.clone()).await).await?;
        if args.common.json() {
            out_json(&shown::run(&run));
        } else {
            out(&format!("{} {} goes on: it is {}", run.path, short_id(&run.id), run.status));
        }
        hint(&format!("shipway watch {}", short_id(&run.id)));
        return Ok(Exit::Ok);
    }
    let request = ReleaseHoldRequest {
        command: Uuid::now_v7().to_string(),
        hold: args.hold.unwrap_or_default(),
        project: args.project.unwrap_or_default(),
        reason,
    };
    let reply = surely(async || client.holds().release_hold(request.clone()).await).await?;
    let hold = reply.hold.unwrap_or_default();
    if args.common.json() {
        out_json(&json!({"hold": told(&hold), "position": reply.position}));
    } else {
        out(&format!("`{}` does not hold {} back from {} any more", hold.name, hold.what, hold.scope));
        talk("runs that wait for it go on; those that were skipped have to be started again");
    }
    hint("shipway runs");
    Ok(Exit::Ok)
}

pub(crate) async fn holds(args: HoldsArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = ListHoldsRequest { project: args.project.unwrap_or_default() };
    let reply = client.holds().list_holds(request).await?.into_inner();
    if args.common.json() {
        out_json(&json!({
            "holds": reply.holds.iter().map(told).collect::<Vec<_>>(),
            "bad": reply.bad.iter().map(marked).collect::<Vec<_>>(),
        }));
        return Ok(Exit::Ok);
    }
    if reply.holds.is_empty() && reply.bad.is_empty() {
        talk(
            "nothing is held, and nothing is marked bad: `shipway hold <pipeline>/<stage> --digest … -m \"…\"`",
        );
        return Ok(Exit::Ok);
    }
    if let Some(first) = reply.holds.first() {
        let mut table = Table::new(&["NAME", "SCOPE", "HOLDS", "UNTIL", "BY", "WHY"]);
        for hold in &reply.holds {
            let until = if hold.until.is_empty() { "it is ended" } else { hold.until.as_str() };
            table.row([&hold.name, &hold.scope, &hold.what, until, &hold.created_by, &hold.reason]);
        }
        out(&table.text(Paint::stdout()));
        hint(&format!("shipway unhold {}", first.name));
    }
    if !reply.bad.is_empty() {
        let mut table = Table::new(&["BAD", "SERVICE", "COMMIT", "RUN", "BY", "SINCE", "WHY"]);
        let now = Timestamp::now();
        for mark in &reply.bad {
            let age = time::age(&mark.marked_at, now);
            for artifact in &mark.artifacts {
                table.row([
                    short_digest(&artifact.digest),
                    artifact.service.as_str(),
                    short_commit(&artifact.commit),
                    short_id(&mark.run),
                    &mark.marked_by,
                    &age,
                    &mark.reason,
                ]);
            }
        }
        out(&table.text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

pub(crate) async fn bad(args: BadArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let what = match args.what.starts_with("sha256:") {
        true => args.what,
        false => client.run(&args.what).await?.id,
    };
    let request = MarkBadRequest {
        command: Uuid::now_v7().to_string(),
        what: what.clone(),
        project: args.project.unwrap_or_default(),
        reason: args.reason,
    };
    let reply = surely(async || client.holds().mark_bad(request.clone()).await).await?;
    let mark = reply.mark.unwrap_or_default();
    if args.common.json() {
        let running: Vec<Value> = reply.running.iter().map(place).collect();
        out_json(&json!({"mark": marked(&mark), "running": running, "position": reply.position}));
    } else {
        for artifact in &mark.artifacts {
            let commit = short_commit(&artifact.commit);
            out(&format!(
                "{} of {} at {commit} goes no further",
                short_digest(&artifact.digest),
                artifact.service
            ));
        }
        runs_now(&reply.running);
    }
    hint(&format!("shipway good {what}"));
    Ok(Exit::Ok)
}

/// What has it, with what takes it away.
fn runs_now(running: &[BadPlace]) {
    if running.is_empty() {
        return talk("nothing has it at this moment");
    }
    talk("this has it now:");
    let now = Timestamp::now();
    let mut table = Table::new(&["RESOURCE", "FLOW", "RUN", "FOR"]);
    for place in running {
        let age = time::age(&place.since, now);
        table.row([&place.resource, &place.path, short_id(&place.run), &age]);
    }
    out(&table.text(Paint::stdout()));
    // The one-node flow of a resource has two slashes.
    let mut paths: Vec<&str> = running.iter().map(|place| place.path.as_str()).collect();
    paths.retain(|path| path.matches('/').count() == 1);
    paths.dedup();
    for path in paths {
        hint(&format!("shipway rollback {path}"));
    }
}

pub(crate) async fn good(args: GoodArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = UnmarkBadRequest {
        command: Uuid::now_v7().to_string(),
        what: args.what,
        project: args.project.unwrap_or_default(),
        reason: args.reason.unwrap_or_default(),
    };
    let reply = surely(async || client.holds().unmark_bad(request.clone()).await).await?;
    if args.common.json() {
        let marks: Vec<Value> = reply.marks.iter().map(marked).collect();
        out_json(&json!({"marks": marks, "position": reply.position}));
    } else {
        for artifact in reply.marks.iter().flat_map(|mark| &mark.artifacts) {
            let commit = short_commit(&artifact.commit);
            out(&format!(
                "{} of {} at {commit} is not marked bad any more",
                short_digest(&artifact.digest),
                artifact.service
            ));
        }
    }
    hint("shipway holds");
    Ok(Exit::Ok)
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn told(hold: &Hold) -> Value {
    json!({
        "id": hold.id, "name": hold.name, "project": hold.project, "scope": hold.scope, "kind": hold.kind,
        "digests": hold.digests, "value": some(&hold.value), "what": hold.what, "note": hold.note,
        "reason": hold.reason, "createdAt": hold.created_at, "createdBy": hold.created_by,
        "until": some(&hold.until),
    })
}

fn marked(mark: &BadMark) -> Value {
    let artifact = |artifact: &shipway_contracts::v1::BadArtifact| json!({"digest": artifact.digest, "service": artifact.service, "commit": artifact.commit});
    json!({
        "id": mark.id, "project": mark.project, "run": some(&mark.run),
        "artifacts": mark.artifacts.iter().map(artifact).collect::<Vec<_>>(), "reason": mark.reason,
        "markedAt": mark.marked_at, "markedBy": mark.marked_by,
    })
}

fn place(place: &BadPlace) -> Value {
    let digest = place.artifact.as_ref().map(|artifact| artifact.digest.as_str());
    json!({
        "resource": place.resource, "run": place.run, "path": place.path, "since": place.since, "digest": digest,
    })
}
