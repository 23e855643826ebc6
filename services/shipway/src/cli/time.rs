//! Times and ids, short enough to read.

use jiff::{SignedDuration, Timestamp, Zoned, civil::Time, tz::TimeZone};

use super::Failure;

/// How long ago: `12s`, `5m`, `3h`, `9d`. Empty for an empty time.
pub(crate) fn age(at: &str, now: Timestamp) -> String {
    at.parse::<Timestamp>().map(|at| length(now.duration_since(at))).unwrap_or_default()
}

/// How long from one time to another, or until now while it lasts.
pub(crate) fn lasted(from: &str, until: &str, now: Timestamp) -> String {
    let Ok(from) = from.parse::<Timestamp>() else { return String::new() };
    let until = until.parse::<Timestamp>().unwrap_or(now);
    let span = until.duration_since(from);
    let seconds = span.as_secs_f64();
    if (0.0..10.0).contains(&seconds) { format!("{seconds:.1}s") } else { length(span) }
}

/// How long: `12s`, `5m`, `3h`, `9d`.
pub(crate) fn length(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Reads a time as people say it: RFC 3339, or `2h ago`.
pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no time")).help(
            "give it as 2026-01-31T17:00:00Z, or as `90s ago`, `5m ago`, `2h ago`, `3d ago`, `yesterday 17:00`",
        )
    };
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Some(at) = of_day(text, &now.to_zoned(TimeZone::system())) {
        return Ok(at);
    }
    let back = text.strip_suffix("ago").and_then(parse_span).ok_or_else(wrong)?;
    now.checked_sub(back).map_err(|_| wrong())
}

/// A time of today or yesterday, as the clock here shows it: `today 9:00`, `yesterday 17:00`.
fn of_day(text: &str, now: &Zoned) -> Option<Timestamp> {
    let (day, clock) = text.split_once(' ')?;
    let date = match day {
        "today" => now.date(),
        "yesterday" => now.date().yesterday().ok()?,
        _ => return None,
    };
    let (hour, minute) = clock.trim().split_once(':')?;
    let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
    let at = date.to_datetime(Time::new(hour, minute, 0, 0).ok()?).to_zoned(now.time_zone().clone()).ok()?;
    Some(at.timestamp())
}

/// Reads a time that is to come: RFC 3339, or `in 2h`.
pub(crate) fn parse_ahead(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no time"))
            .help("give it as 2026-01-31T17:00:00Z, or as `in 90s`, `in 5m`, `in 2h`, `in 3d`")
    };
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ahead = text.strip_prefix("in ").and_then(parse_span).ok_or_else(wrong)?;
    now.checked_add(ahead).map_err(|_| wrong())
}

/// Reads how long something takes: `90s`, `5m`, `2h`, `3d`.
pub(crate) fn parse_span(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let unit = text.chars().last()?;
    let number: i64 = text[..text.len() - unit.len_utf8()].trim().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(SignedDuration::from_secs)
}

/// The time of day, for lines that come one after another.
pub(crate) fn clock(at: &str) -> String {
    at.parse::<Timestamp>()
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}

/// Enough of an id to name it again: ids begin with their time, so this is its millisecond.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}

/// Twelve digits of a digest.
pub(crate) fn short_digest(digest: &str) -> &str {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}

/// Eight digits of a commit.
pub(crate) fn short_commit(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ages_are_short() {
        let now = at("2026-01-03T00:00:00Z");
        assert_eq!(age("2026-01-02T23:59:48Z", now), "12s");
        assert_eq!(age("2026-01-02T23:55:00Z", now), "5m");
        assert_eq!(age("2026-01-02T20:00:00Z", now), "4h");
        assert_eq!(age("2026-01-01T00:00:00Z", now), "2d");
        assert_eq!(age("", now), "");
    }

    #[test]
    fn a_time_may_be_said_in_words() {
        let now = at("2026-01-03T00:00:00Z");
        assert_eq!(parse("2h ago", now).unwrap(), at("2026-01-02T22:00:00Z"));
        assert_eq!(parse("2026-01-01T00:00:00Z", now).unwrap(), at("2026-01-01T00:00:00Z"));
        assert_eq!(parse_ahead("in 90s", now).unwrap(), at("2026-01-03T00:01:30Z"));
        assert_eq!(parse_ahead("2026-02-01T00:00:00Z", now).unwrap(), at("2026-02-01T00:00:00Z"));
        for wrong in ["tomorrow", "in", "in x", "in 5y", "2h ago", "in 9223372036854775807d"] {
            assert_eq!(parse_ahead(wrong, now).unwrap_err().exit, super::super::Exit::Usage, "{wrong}");
        }
        let here = now.to_zoned(TimeZone::fixed(jiff::tz::offset(1)));
        assert_eq!(of_day("yesterday 17:00", &here), Some(at("2026-01-02T16:00:00Z")));
        assert_eq!(of_day("today 0:30", &here), Some(at("2026-01-02T23:30:00Z")));
        assert_eq!(of_day("today 25:00", &here), None);
        for wrong in ["yesterday", "ago", "x ago", "5y ago", "9223372036854775807d ago"] {
            assert_eq!(parse(wrong, now).unwrap_err().exit, super::super::Exit::Usage, "{wrong}");
        }
    }
}
