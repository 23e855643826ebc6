//! `shipway schedules`: which flows start by themselves, when they did last and when they will.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use shipway_contracts::v1::{ListSchedulesRequest, Schedule};

use super::{Client, Exit, Outcome, Paint, Table, age, flags::Common, out, output::out_json, short_id, talk};

/// Arguments of `shipway schedules`.
#[derive(Debug, clap::Args)]
pub(crate) struct SchedulesArgs {
    /// So many coming times of each.
    #[arg(short = 'n', long, default_value_t = 1, value_name = "COUNT")]
    next: u32,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn schedules(args: SchedulesArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = ListSchedulesRequest { coming: args.next };
    let schedules = client.triggers().list_schedules(request).await?.into_inner().schedules;
    if args.common.json() {
        out_json(&json!({ "schedules": schedules.iter().map(shown).collect::<Vec<_>>() }));
    } else if schedules.is_empty() {
        talk("no flow has a schedule; give one a trigger: `kind: cron` with `spec: {cron: \"0 2 * * *\"}`");
    } else {
        out(&table(&schedules, Timestamp::now()).text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

fn table(schedules: &[Schedule], now: Timestamp) -> Table {
    let mut table = Table::new(&["FLOW", "SCHEDULE", "LAST", "RUN", "NEXT", "SKIPPED"]);
    for schedule in schedules {
        let what = format!("{} {}", schedule.cron, schedule.timezone);
        let last = age(&schedule.last, now);
        let skipped = match schedule.skipped {
            0 => String::new(),
            count => {
                format!(
                    "{count}, the last {} ago: {}",
                    age(&schedule.last_skipped, now),
                    schedule.skip_reason
                )
            }
        };
        let first = match schedule.next.first() {
            _ if schedule.paused => "paused".to_owned(),
            first => first.map(|at| in_zone(at, &schedule.timezone)).unwrap_or_default(),
        };
        table.row([&schedule.path, &what, &last, short_id(&schedule.last_run), &first, &skipped]);
        for later in schedule.next.iter().skip(1) {
            table.row(["", "", "", "", &in_zone(later, &schedule.timezone), ""]);
        }
    }
    table
}

/// A time on the clock that the schedule is about: `Sun 2026-03-29 03:00 CEST`.
fn in_zone(at: &str, zone: &str) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return at.to_owned() };
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

fn shown(schedule: &Schedule) -> Value {
    json!({
        "project": schedule.project,
        "flow": schedule.flow,
        "path": schedule.path,
        "trigger": schedule.trigger,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "missed": schedule.missed,
        "paused": schedule.paused,
        "next": schedule.next,
        "last": schedule.last,
        "lastRun": schedule.last_run,
        "skipped": schedule.skipped,
        "lastSkipped": schedule.last_skipped,
        "skipReason": schedule.skip_reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coming_times_are_those_of_the_zone() {
        let now: Timestamp = "2026-03-28T12:00:00Z".parse().unwrap();
        let schedule = Schedule {
            path: "shop/staging".to_owned(),
            cron: "30 2 * * *".to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            last: "2026-03-28T01:30:00Z".to_owned(),
            last_run: "0190aaaa-bbbb-8998-84e9-24006326e47f".to_owned(),
            next: vec!["2026-03-29T01:00:00Z".to_owned(), "2026-03-30T00:30:00Z".to_owned()],
            ..Schedule::default()
        };
        let paused = Schedule { paused: true, path: "shop/production".to_owned(), ..Schedule::default() };
        let lines = table(&[schedule, paused], now).lines(Paint::none());
        assert!(lines[1].contains("30 2 * * * Europe/Berlin  10h"), "{lines:#?}");
        assert!(lines[1].contains("Sun 2026-03-29 03:00 CEST"), "{lines:#?}");
        assert!(lines[2].trim().starts_with("Mon 2026-03-30 02:30 CEST"), "{lines:#?}");
        assert!(lines[3].contains("paused"), "{lines:#?}");
    }
}
