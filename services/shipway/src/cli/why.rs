//! `shipway why`: what holds something up, since when, until when, who can do something about it, and the command.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shipway_contracts::v1::{Blocker, DigestPlace, ExpectedEnd, WhyReply, WhyRequest};
use tonic::Code;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, age, flags::Common, hint, json as shown, out,
    output::out_json, short_id, time::length,
};

/// Arguments of `shipway why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A run (an id, the beginning of one, `@latest`), a stage (`shop/production`), a digest (`sha256:…`), or `push`.
    what: String,
    /// Of a run: only this node. Of a push: the commit or branch, or the delivery.
    which: Option<String>,
    /// The project, where two have a pipeline of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// At most so many runs of a push are asked about.
const RUNS: usize = 5;

pub(crate) async fn why(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    // Quoted as one word it means the same.
    let (what, which) = match (args.what.split_once(' '), args.which) {
        (Some((what, which)), None) => (what.to_owned(), Some(which.trim().to_owned())),
        (_, which) => (args.what, which),
    };
    let ask = |what: &str, node: &str| WhyRequest {
        what: what.to_owned(),
        node: node.to_owned(),
        project: args.project.clone().unwrap_or_default(),
    };
    let mut replies = Vec::new();
    if what == "push" {
        let pushed = which.ok_or_else(|| {
            Failure::usage("which push?")
                .help("name its commit, branch or delivery: `shipway why push abc1234`")
        })?;
        let reply = client.triggers().why(ask(&pushed, "")).await?.into_inner();
        let runs = reply.runs.clone();
        replies.push(reply);
        for run in runs.iter().take(RUNS) {
            match client.runs().why(ask(run, "")).await {
                Ok(reply) => replies.push(reply.into_inner()),
                // A delivery's runs have their ids before they exist.
                Err(status) if status.code() == Code::NotFound => {}
                Err(status) => return Err(status.into()),
            }
        }
    } else {
        let mut reply = client.runs().why(ask(&what, &which.unwrap_or_default())).await?.into_inner();
        if reply.subject == "stage" {
            add(&mut reply, client.triggers().why(ask(&what, "")).await?.into_inner());
        }
        replies.push(reply);
    }
    if args.common.json() {
        let all: Vec<Value> = replies.iter().map(json).collect();
        let (first, runs) = all.split_first().ok_or_else(|| Failure::new("there was no answer"))?;
        let mut answer = first.clone();
        if first["subject"] == "push" {
            answer["whyRuns"] = json!(runs);
        }
        out_json(&answer);
        return Ok(Exit::Ok);
    }
    let now = Timestamp::now();
    for reply in &replies {
        out(&text(reply, now, Paint::stdout()).join("\n"));
    }
    let first = replies.iter().flat_map(|reply| &reply.blockers).find(|blocker| !blocker.action.is_empty());
    if let Some(first) = first {
        hint(&short(&first.action, first));
    }
    Ok(Exit::Ok)
}

/// What starts a flow by itself belongs to its stage's answer.
fn add(reply: &mut WhyReply, more: WhyReply) {
    // That its triggers are off is said once.
    let known =
        |blocker: &Blocker| reply.blockers.iter().any(|one| one.kind == "paused" && blocker.kind == one.kind);
    let new: Vec<Blocker> = more.blockers.into_iter().filter(|blocker| !known(blocker)).collect();
    if reply.blockers.is_empty() && !new.is_empty() {
        reply.sentence = reply.sentence.replace("nothing holds it up", &more.sentence);
    }
    reply.blockers.extend(new);
    shipway_contracts::blockers::sort(&mut reply.blockers);
}

/// One sentence, then a short list.
fn text(reply: &WhyReply, now: Timestamp, paint: Paint) -> Vec<String> {
    let ids: Vec<&str> =
        reply.blockers.iter().flat_map(|b| [b.run.as_str(), b.holder_run.as_str()]).collect();
    let mut lines = vec![paint.on(&shortened(&reply.sentence, &ids), Style::Strong)];
    if !reply.blockers.is_empty() {
        lines.extend(table(&reply.blockers, now).lines(paint));
    }
    let mut said = vec![reply.sentence.as_str()];
    for blocker in &reply.blockers {
        let quiet = |text: &str| paint.on(&format!("  {}: {text}", label(blocker)), Style::Quiet);
        if !said.iter().any(|said| said.contains(&blocker.words)) {
            lines.push(quiet(&short(&blocker.words, blocker)));
            said.push(&blocker.words);
        }
        if !blocker.because.is_empty() {
            let holder = short_id(&blocker.holder_run);
            lines.push(quiet(&format!("run {holder}, in turn: {}", short(&blocker.because, blocker))));
        }
        if !blocker.advice.is_empty() && blocker.kind != "steps" {
            lines.push(quiet(&short(&blocker.advice, blocker)));
        }
    }
    lines
}

fn table(blockers: &[Blocker], now: Timestamp) -> Table {
    let mut table = Table::new(&["BLOCKER", "NODE", "SINCE", "EXPECTED", "WHO CAN", "COMMAND"]);
    for blocker in blockers {
        let style = match blocker.kind.as_str() {
            "stuck" | "unknown" | "process" | "failed" | "host_lost" => Style::Bad,
            "work" | "steps" | "schedule" => Style::Quiet,
            _ => Style::Busy,
        };
        table.styled([
            (blocker.kind.clone(), style),
            (blocker.node.clone(), Style::Plain),
            (age(&blocker.since, now), Style::Quiet),
            (expected(blocker, now), Style::Plain),
            (blocker.who.join(", "), Style::Plain),
            (short(&blocker.action, blocker), Style::Accent),
        ]);
    }
    table
}

/// When it is over: as it was said, or as it was before.
fn expected(blocker: &Blocker, now: Timestamp) -> String {
    let until = blocker.until.parse::<Timestamp>().ok().map(|until| match until.duration_since(now) {
        left if left.is_positive() => format!("in {} at the latest", length(left)),
        _ => "now".to_owned(),
    });
    // A time that is certain needs no guess.
    if matches!(blocker.kind.as_str(), "retry" | "schedule" | "repository") {
        return until.unwrap_or_default().replace(" at the latest", "");
    }
    let guess = blocker.expected.as_ref().map(|expected| guessed(expected, now));
    [guess, until].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn guessed(expected: &ExpectedEnd, now: Timestamp) -> String {
    let of = match expected.successes {
        0 => return "unknown: it has never succeeded yet".to_owned(),
        1 => "1 success".to_owned(),
        many => format!("{many} successes"),
    };
    let Ok(at) = expected.median_at.parse::<Timestamp>() else {
        return format!("unknown: only {of} so far");
    };
    let took = |ms: i64| length(SignedDuration::from_millis(ms));
    let usual = format!("usually {}, p90 {}, {of}", took(expected.median_ms), took(expected.p90_ms));
    match at.duration_since(now) {
        left if left.is_positive() => format!("in {} ({usual})", length(left)),
        over => format!("late by {} ({usual})", length(-over)),
    }
}

/// A blocker by its kind and node.
fn label(blocker: &Blocker) -> String {
    match blocker.node.as_str() {
        "" => blocker.kind.clone(),
        node => format!("{} {node}", blocker.kind),
    }
}

fn short(text: &str, blocker: &Blocker) -> String {
    shortened(text, &[&blocker.run, &blocker.holder_run])
}

/// Ids by their beginnings, as other verbs show them.
fn shortened(text: &str, ids: &[&str]) -> String {
    let known = ids.iter().filter(|id| id.len() > 13);
    known.fold(text.to_owned(), |text, id| text.replace(id, short_id(id)))
}

fn json(reply: &WhyReply) -> Value {
    json!({
        "subject": reply.subject,
        "sentence": reply.sentence,
        "status": reply.status,
        "blockers": reply.blockers.iter().map(blocker).collect::<Vec<_>>(),
        "places": reply.places.iter().map(place).collect::<Vec<_>>(),
        "runs": reply.runs,
        "asOf": reply.as_of,
        "position": reply.position,
    })
}

fn blocker(blocker: &Blocker) -> Value {
    let expected = blocker.expected.as_ref().map(|expected| {
        json!({
            "medianAt": expected.median_at,
            "p90At": expected.p90_at,
            "medianMs": expected.median_ms,
            "p90Ms": expected.p90_ms,
            "successes": expected.successes,
        })
    });
    json!({
        "kind": blocker.kind,
        "run": blocker.run,
        "path": blocker.path,
        "node": blocker.node,
        "words": blocker.words,
        "holder": blocker.holder,
        "holderRun": blocker.holder_run,
        "because": blocker.because,
        "since": blocker.since,
        "until": blocker.until,
        "expected": expected,
        "action": blocker.action,
        "advice": blocker.advice,
        "who": blocker.who,
    })
}

fn place(place: &DigestPlace) -> Value {
    json!({
        "project": place.project,
        "pipeline": place.pipeline,
        "stage": place.stage,
        "resource": place.resource,
        "run": place.run,
        "releasedAt": place.released_at,
        "artifact": shown::artifact(place.artifact.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01934f2e-8c1a-7000-8000-000000000001";
    const HOLDER: &str = "01934f2e-8c1b-7000-8000-000000000002";

    fn waits() -> Blocker {
        let expected = ExpectedEnd {
            median_at: "2026-01-01T00:14:00Z".to_owned(),
            median_ms: 240_000,
            p90_ms: 540_000,
            successes: 12,
            ..ExpectedEnd::default()
        };
        Blocker {
            kind: "approval".to_owned(),
            run: RUN.to_owned(),
            node: "gate".to_owned(),
            words: "`gate` waits for 1 approval".to_owned(),
            since: "2026-01-01T00:10:00Z".to_owned(),
            expected: Some(expected),
            action: format!("shipway approve {RUN} gate"),
            who: vec!["lead".to_owned()],
            ..Blocker::default()
        }
    }

    #[test]
    fn the_answer_is_one_sentence_and_a_short_list() {
        let locked = Blocker {
            kind: "lock".to_owned(),
            run: RUN.to_owned(),
            node: "two".to_owned(),
            words: format!("`two` waits for the lock `db`: run {HOLDER} has it"),
            holder_run: HOLDER.to_owned(),
            because: "`gate` waits for 2 approvals".to_owned(),
            since: "2026-01-01T00:11:00Z".to_owned(),
            action: format!("shipway abort {HOLDER}"),
            advice: "or wait for it".to_owned(),
            who: vec!["everybody".to_owned()],
            expected: Some(ExpectedEnd { successes: 2, ..ExpectedEnd::default() }),
            ..Blocker::default()
        };
        let reply = WhyReply {
            sentence: format!("shop/production is approval_wait: {} (and one thing more)", waits().words),
            blockers: vec![waits(), locked],
            ..WhyReply::default()
        };
        let now = "2026-01-01T00:12:00Z".parse().unwrap();
        let expected = "\
shop/production is approval_wait: `gate` waits for 1 approval (and one thing more)
BLOCKER   NODE  SINCE  EXPECTED                                  WHO CAN    COMMAND
approval  gate  2m     in 2m (usually 4m, p90 9m, 12 successes)  lead       shipway approve 01934f2e-8c1a gate
lock      two   60s    unknown: only 2 successes so far          everybody  shipway abort 01934f2e-8c1b
  lock two: `two` waits for the lock `db`: run 01934f2e-8c1b has it
  lock two: run 01934f2e-8c1b, in turn: `gate` waits for 2 approvals
  lock two: or wait for it";
        assert_eq!(text(&reply, now, Paint::none()).join("\n"), expected);
    }

    #[test]
    fn what_takes_longer_than_before_is_late_and_a_time_that_is_set_is_no_guess() {
        let now = "2026-01-01T00:20:00Z".parse().unwrap();
        assert_eq!(expected(&waits(), now), "late by 6m (usually 4m, p90 9m, 12 successes)");
        let retry = Blocker { kind: "retry".to_owned(), until: "2026-01-01T00:20:30Z".to_owned(), ..waits() };
        assert_eq!(expected(&retry, now), "in 30s");
        let limited = Blocker { kind: "condition".to_owned(), expected: None, ..retry };
        assert_eq!(expected(&limited, now), "in 30s at the latest");
    }

    #[test]
    fn what_starts_a_flow_by_itself_is_part_of_its_stage() {
        let mut reply = WhyReply {
            sentence: "shop/staging has no run that goes on, and nothing holds it up".to_owned(),
            ..WhyReply::default()
        };
        let due = Blocker { kind: "schedule".to_owned(), ..Blocker::default() };
        let more =
            WhyReply { sentence: "it is due at 2".to_owned(), blockers: vec![due], ..WhyReply::default() };
        add(&mut reply, more);
        assert_eq!(reply.sentence, "shop/staging has no run that goes on, and it is due at 2");
        assert_eq!(reply.blockers.len(), 1);
    }
}
