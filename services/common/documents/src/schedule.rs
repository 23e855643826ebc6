//! When a schedule ticks: five fields of cron in a time zone, right also where clocks are changed.
//!
//! The fields are matched on the clock on the wall; this file says which instant a time on that clock is. A time that is
//! left out when clocks go forward ticks once, right after the gap. A time that comes twice when they go back ticks the
//! first time. A schedule of all hours (`*/10 * * * *`) is about spans and not about a time of day: it goes on through
//! both changes as if nothing was. That is what cron has done since Vixie's.
//!
//! The rules of time zones are those that are built in, so that every process has the same ones.

use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use jiff::{
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase},
};
use shipway_events::Timestamp;

/// How far apart two ticks must be.
pub const LEAST_GAP: Duration = Duration::from_secs(600);

/// The zone of a schedule that names none.
pub const UTC: &str = "UTC";

/// The library looks four years ahead. 29 February may be eight years away.
const LOOKS: usize = 3;

/// Four years, in seconds.
const LOOK: i64 = 4 * 366 * 86_400;

/// A time without a change of clocks near it, from which properties of the fields are found: 2001-01-01.
const QUIET: i64 = 978_307_200;

/// As many days are compared with the one before to find two in a row: four years, since 28 February may be one.
const DAYS: usize = 1_500;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// When something ticks.
#[derive(Clone, Debug)]
pub struct Schedule {
    fields: Crontab,
    zone: TimeZone,
    /// Whether every hour is one of its hours.
    all_hours: bool,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// There are not five fields, or one of them cannot be read.
    #[error("{message}")]
    Fields {
        /// What is wrong.
        message: String,
        /// What to do.
        help: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone `{name}`")]
    Zone {
        /// What was given.
        name: String,
        /// The zone that was probably meant.
        near: Option<String>,
    },
    /// No day is such a day.
    #[error("`{cron}` never comes: no such day is in any year")]
    Never {
        /// What was given.
        cron: String,
    },
    /// Two ticks are nearer than [`LEAST_GAP`].
    #[error("`{cron}` ticks at {first} and again at {second}, {minutes} min later")]
    TooNear {
        /// What was given.
        cron: String,
        /// The first of the two that are nearest.
        first: String,
        /// The second.
        second: String,
        /// How many minutes are between them.
        minutes: i64,
    },
}

impl ScheduleError {
    /// What to do.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Fields { help, .. } => help.clone(),
            Self::Zone { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::Zone { near: None, .. } => {
                "give a name of the IANA database: `Europe/Berlin`, `America/New_York` or `UTC`".to_owned()
            }
            Self::Never { .. } => "give days that there are".to_owned(),
            Self::TooNear { .. } => "ticks must be at least 10 minutes apart: `*/10 * * * *`".to_owned(),
        }
    }
}

impl Schedule {
    /// Reads `minute hour day month weekday`, each a number, `*`, a range, steps or a list of those, months and weekdays
    /// also by their English names.
    ///
    /// # Errors
    /// See [`ScheduleError`].
    pub fn parse(cron: &str, timezone: &str) -> Result<Self, ScheduleError> {
        let zone = zone(timezone)?;
        let parts = parts(cron)?;
        let fields = crontab(&parts.join(" "))?;
        let minute = crontab(&format!("{} * * * *", parts[0]))?;
        let minutes: Vec<i64> = (0..60).filter(|n| is_tick(&minute, QUIET + n * 60)).collect();
        let hour = crontab(&format!("0 {} * * *", parts[1]))?;
        let hours: Vec<i64> = (0..24).filter(|n| is_tick(&hour, QUIET + n * 3600)).collect();
        let of_hour = |hour: &i64| minutes.iter().map(move |minute| minute + hour * 60).collect::<Vec<_>>();
        let of_day: Vec<i64> = hours.iter().flat_map(of_hour).collect();
        let all_hours = hours.len() == 24;
        let schedule = Self { fields, zone, all_hours };
        if schedule.next_on_the_wall(wall(QUIET)).is_none() {
            return Err(ScheduleError::Never { cron: cron.to_owned() });
        }
        match schedule.nearest(&of_day) {
            Some((first, second))
                if Duration::from_secs((second - first).unsigned_abs() * 60) < LEAST_GAP =>
            {
                Err(ScheduleError::TooNear {
                    cron: cron.to_owned(),
                    first: clock(first),
                    second: clock(second),
                    minutes: second - first,
                })
            }
            _ => Ok(schedule),
        }
    }

    /// The first tick after an instant; none at the end of time.
    #[must_use]
    pub fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let at = jiff::Timestamp::from_microsecond(at.micros()).ok()?;
        let next = if self.all_hours { self.through(at) } else { self.at_a_time(at) };
        next.map(|next| Timestamp::from_micros(next.as_microsecond()))
    }

    /// For schedules of times of day. Later times on the wall are never earlier instants here, so the first one whose
    /// instant is after `at` is the next.
    fn at_a_time(&self, at: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let mut wall = self.zone.to_datetime(at);
        loop {
            wall = self.next_on_the_wall(wall)?;
            let instant = self.instant(wall)?;
            if instant > at {
                return Some(instant);
            }
        }
    }

    /// The instant that a time on the wall stands for.
    fn instant(&self, wall: DateTime) -> Option<jiff::Timestamp> {
        let offset = match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
            AmbiguousOffset::Gap { before, .. } => {
                // Read with the offset before the change, it is an instant in the hour after the change; a second more,
                // because the change itself counts.
                let after = before.to_timestamp(wall).ok()?.checked_add(jiff::SignedDuration::from_secs(1));
                return self.zone.preceding(after.ok()?).next().map(|change| change.timestamp());
            }
        };
        offset.to_timestamp(wall).ok()
    }

    /// For schedules of all hours: between two changes of the clock a time on the wall is one instant.
    fn through(&self, mut at: jiff::Timestamp) -> Option<jiff::Timestamp> {
        loop {
            let offset = self.zone.to_offset(at);
            let next = offset.to_timestamp(self.next_on_the_wall(offset.to_datetime(at))?).ok()?;
            match self.zone.following(at).next().map(|change| change.timestamp()) {
                // The time on the wall at the change is one of the time after it.
                Some(change) if next >= change => {
                    let second = jiff::SignedDuration::from_secs(1);
                    let before = change.checked_sub(second).ok()?;
                    let first = self.zone.to_offset(change).to_datetime(before);
                    let first = self.next_on_the_wall(first)?;
                    if self.zone.to_offset(change).to_timestamp(first).ok()? == change {
                        return Some(change);
                    }
                    at = change;
                }
                _ => return Some(next),
            }
        }
    }

    /// The next time on the wall after one that matches the fields.
    fn next_on_the_wall(&self, after: DateTime) -> Option<DateTime> {
        let mut from = Offset::UTC.to_timestamp(after).ok()?;
        for _ in 0..LOOKS {
            if let Ok(found) = self.fields.find_next(from) {
                return Some(found.datetime());
            }
            from = from.checked_add(jiff::SignedDuration::from_secs(LOOK)).ok()?;
        }
        None
    }

    /// The two ticks that are nearest to each other where no clock is changed, in minutes of a day or of two in a row; none
    /// if there is one a day at most.
    fn nearest(&self, minutes: &[i64]) -> Option<(i64, i64)> {
        let within = minutes.windows(2).map(|pair| (pair[0], pair[1]));
        let over_midnight = match minutes {
            [first, .., last] if self.has_days_in_a_row() => Some((*last, first + 1440)),
            _ => None,
        };
        within.chain(over_midnight).min_by_key(|(first, second)| second - first)
    }

    fn has_days_in_a_row(&self) -> bool {
        let mut at = wall(QUIET);
        let mut last = None;
        for _ in 0..DAYS {
            let Some(found) = self.next_on_the_wall(at) else { return false };
            if last == Some(found.date()) {
                return true;
            }
            let Ok(tomorrow) = found.date().tomorrow() else { return false };
            last = Some(tomorrow);
            at = found.date().at(23, 59, 59, 0);
        }
        false
    }
}

fn zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let database = TimeZoneDatabase::bundled();
    database.get(name).map_err(|_| {
        let known: Vec<String> = database.available().map(|name| name.to_string()).collect();
        let near = crate::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        ScheduleError::Zone { name: name.to_owned(), near }
    })
}

/// The five fields, if each is made of what a field may have. The library knows more (`L`, `W`, `#`, `H`), which differs
/// from one cron to the next.
fn parts(cron: &str) -> Result<[&str; 5], ScheduleError> {
    let all: Vec<&str> = cron.split_whitespace().collect();
    let Ok(parts) = <[&str; 5]>::try_from(all) else {
        return Err(refused(format!("`{cron}` is no schedule")));
    };
    for (n, part) in parts.into_iter().enumerate() {
        let names: &[&str] = match n {
            3 => &MONTHS,
            4 => &WEEKDAYS,
            _ => &[],
        };
        let known = |word: &str| {
            word == "*"
                || (!word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()))
                || names.iter().any(|name| name.eq_ignore_ascii_case(word))
        };
        if let Some(word) = part.split([',', '-', '/']).find(|word| !known(word)) {
            let shown = if word.is_empty() { part } else { word };
            return Err(refused(format!("`{shown}` cannot be in a schedule's {}", FIELDS[n])));
        }
    }
    Ok(parts)
}

const FIELDS: [&str; 5] = ["minute", "hour", "day", "month", "day of the week"];

fn refused(message: String) -> ScheduleError {
    let help = "give minute, hour, day, month and day of the week: `0 2 * * *`".to_owned();
    ScheduleError::Fields { message, help }
}

fn crontab(text: &str) -> Result<Crontab, ScheduleError> {
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    cronexpr::parse_crontab_with(text, options).map_err(|error| {
        // Its message repeats the text and points below it; the last line says what is wrong, after the pointer.
        let said = error.to_string();
        let why = said.lines().next_back().unwrap_or_default().trim_start().trim_start_matches("^ ");
        refused(format!("`{text}` is no schedule: {why}"))
    })
}

fn is_tick(fields: &Crontab, second: i64) -> bool {
    jiff::Timestamp::from_second(second).is_ok_and(|at| fields.matches(at).unwrap_or(false))
}

fn wall(second: i64) -> DateTime {
    jiff::Timestamp::from_second(second).map_or(DateTime::MIN, |at| Offset::UTC.to_datetime(at))
}

/// A minute of a day as `23:55`.
fn clock(minute: i64) -> String {
    format!("{:02}:{:02}", minute / 60 % 24, minute % 60)
}
