//! Why a push has started a run, or none; and what starts a flow by itself, and what keeps it from that.

use shipway_contracts::{
    Error,
    blockers::{Facts, Kind, sort},
    v1::{Blocker, Delivery, Schedule, Verdict, WhyReply},
};

/// At most so many deliveries are told about at once.
pub(crate) const MOST: u32 = 20;

/// What deliveries that somebody asked about have come to, newest first.
pub(crate) fn pushed(what: &str, deliveries: &[Delivery]) -> Result<WhyReply, Error> {
    let Some(newest) = deliveries.first() else {
        return Err(Error::not_found(format!(
            "nothing that was delivered says `{what}`: was it pushed, and does the Git host know the address? `shipway hooks` \
             lists the addresses, `shipway deliveries` what came"
        )));
    };
    let mut blockers: Vec<Blocker> = deliveries.iter().flat_map(held_up).collect();
    let mut runs: Vec<String> = Vec::new();
    for verdict in deliveries.iter().flat_map(started) {
        if !runs.contains(&verdict.run) {
            runs.push(verdict.run.clone());
        }
    }
    sort(&mut blockers);
    let came = match started(newest).count() {
        0 => match held_up(newest).first() {
            Some(blocker) => format!("has started no run: {}", blocker.words),
            None => "has started no run: no trigger is of its repository".to_owned(),
        },
        1 => "has started 1 run".to_owned(),
        many => format!("has started {many} runs"),
    };
    Ok(WhyReply {
        subject: "push".to_owned(),
        sentence: format!("{} {came}", newest.summary),
        status: newest.state.clone(),
        blockers,
        runs,
        ..WhyReply::default()
    })
}

/// When a flow starts by itself, and which deliveries might start it and have not.
pub(crate) fn flow(path: &str, schedules: &[Schedule], open: &[Delivery]) -> WhyReply {
    let mut blockers = Vec::new();
    for schedule in schedules.iter().filter(|schedule| schedule.path == path) {
        // While the flow is paused nothing is due.
        let Some(next) = schedule.next.first() else { continue };
        let words = format!("{path} is due at {next} by `{}` ({})", schedule.cron, schedule.timezone);
        let due = Kind::Schedule.blocker(&facts(path, ""), words);
        let holder = format!("schedule {}", schedule.trigger);
        blockers.push(Blocker { holder, since: schedule.last.clone(), until: next.clone(), ..due });
    }
    for delivery in open {
        blockers.extend(held_up(delivery).into_iter().filter(|blocker| blocker.path == path));
    }
    sort(&mut blockers);
    let sentence = match blockers.first() {
        Some(first) => first.words.clone(),
        None => format!("nothing that would start {path} waits"),
    };
    WhyReply { subject: "stage".to_owned(), sentence, blockers, ..WhyReply::default() }
}

/// What keeps a delivery from starting runs: of each trigger that has not started one.
fn held_up(delivery: &Delivery) -> Vec<Blocker> {
    if !delivery.original.is_empty() {
        let words = format!("{} came before", delivery.summary);
        let facts = Facts { delivery: delivery.original.clone(), ..Facts::default() };
        return vec![since(delivery, Kind::Repeated.blocker(&facts, words))];
    }
    if delivery.state == "stored" {
        let words = format!("{} has not been judged yet", delivery.summary);
        return vec![since(delivery, Kind::Stored.blocker(&facts("", &delivery.id), words))];
    }
    let waiting = delivery.verdicts.iter().filter(|verdict| !is_started(verdict));
    waiting.map(|verdict| since(delivery, of_verdict(delivery, verdict))).collect()
}

fn of_verdict(delivery: &Delivery, verdict: &Verdict) -> Blocker {
    let facts = facts(&verdict.path, &delivery.id);
    let about = format!("{} and the trigger `{}` of {}", delivery.summary, verdict.trigger, verdict.path);
    if let (Some(waiting), true) = (&delivery.waiting, is_open(verdict)) {
        let error = match waiting.last_error.as_str() {
            "" => String::new(),
            error => format!(" (asked {} times, last: {error})", waiting.tries),
        };
        let words = format!("{about}: {}{error}", verdict.reason);
        let until = waiting.next_try.clone();
        return Blocker {
            holder: delivery.of.clone(),
            since: waiting.since.clone(),
            until,
            ..Kind::Repository.blocker(&facts, words)
        };
    }
    if let Some(held) = verdict.held.as_ref().filter(|held| held.approved_by.is_empty()) {
        let words = format!(
            "{about}: commit {} of pull request {} is a fork's, and nobody has approved it",
            held.head.get(..12).unwrap_or(&held.head),
            held.pull_request
        );
        return Kind::Fork.blocker(&facts, words);
    }
    let words = format!("{about}: {}", verdict.reason);
    let is_paused = verdict.rules.iter().any(|rule| rule.rule == "paused" && rule.outcome == "failed");
    let kind = if is_paused { Kind::Paused } else { Kind::Unmatched };
    kind.blocker(&facts, words)
}

/// Its repository may still say that it fits.
fn is_open(verdict: &Verdict) -> bool {
    !verdict.matched && !verdict.rules.iter().any(|rule| rule.outcome == "failed")
}

/// What has started runs. Those of a delivery that is only stored are promised: the log does not know them yet.
fn started(delivery: &Delivery) -> impl Iterator<Item = &Verdict> {
    let verdicts = delivery.verdicts.iter().filter(|_| delivery.state != "stored");
    verdicts.filter(|verdict| is_started(verdict))
}

fn is_started(verdict: &Verdict) -> bool {
    verdict.matched && !verdict.run.is_empty()
}

fn since(delivery: &Delivery, blocker: Blocker) -> Blocker {
    match blocker.since.is_empty() {
        true => Blocker { since: delivery.received_at.clone(), ..blocker },
        false => blocker,
    }
}

fn facts(path: &str, delivery: &str) -> Facts {
    Facts { path: path.to_owned(), delivery: delivery.to_owned(), ..Facts::default() }
}
