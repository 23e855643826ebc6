//! `date`: an instant in UTC, in the tokens of Moment.

use std::fmt::Write as _;

use jiff::{civil::DateTime, tz::TimeZone};
use shipway_events::Timestamp;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The tokens, for people.
const TOKENS: &str = "YYYY YY MMMM MMM MM M DD D dddd HH H hh h mm m ss s SSS A a Z X x";

/// What `date()` gives without a format.
const ISO: &str = "YYYY-MM-DD[T]HH:mm:ss.SSS[Z]";

/// The instant in a format; what is wrong with the format, as the end of a sentence that starts with it.
pub(in crate::expr) fn date(at: Timestamp, format: Option<&str>) -> Result<String, String> {
    let instant = jiff::Timestamp::from_microsecond(at.micros())
        .map_err(|_| "needs a time between the years -9999 and 9999".to_owned())?;
    let civil = TimeZone::UTC.to_datetime(instant);
    let mut rest = format.unwrap_or(ISO);
    let mut out = String::new();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix('[') {
            let (literal, after) = after
                .split_once(']')
                .ok_or_else(|| "has a `[` that is never closed; write `[text]`".to_owned())?;
            out.push_str(literal);
            rest = after;
            continue;
        }
        let run = rest.len() - rest.trim_start_matches(c).len();
        let (token, after) = rest.split_at(run);
        rest = after;
        if c.is_alphabetic() {
            write_token(token, at, civil, &mut out).ok_or_else(|| {
                format!("has `{token}`, which is no token; there is {TOKENS}, and `[text]` for text")
            })?;
        } else {
            out.push_str(token);
        }
    }
    Ok(out)
}

fn write_token(token: &str, at: Timestamp, civil: DateTime, out: &mut String) -> Option<()> {
    let hour12 = if civil.hour() % 12 == 0 { 12 } else { civil.hour() % 12 };
    let month = MONTHS[usize::try_from(civil.month() - 1).unwrap_or_default() % 12];
    let day = DAYS[usize::try_from(civil.weekday().to_sunday_zero_offset()).unwrap_or_default() % 7];
    let half = if civil.hour() < 12 { ["AM", "am"] } else { ["PM", "pm"] };
    let written = match token {
        "YYYY" => write!(out, "{:04}", civil.year()),
        "YY" => write!(out, "{:02}", civil.year().rem_euclid(100)),
        "MMMM" => out.write_str(month),
        "MMM" => out.write_str(&month[..3]),
        "MM" => write!(out, "{:02}", civil.month()),
        "M" => write!(out, "{}", civil.month()),
        "DD" => write!(out, "{:02}", civil.day()),
        "D" => write!(out, "{}", civil.day()),
        "dddd" => out.write_str(day),
        "HH" => write!(out, "{:02}", civil.hour()),
        "H" => write!(out, "{}", civil.hour()),
        "hh" => write!(out, "{hour12:02}"),
        "h" => write!(out, "{hour12}"),
        "mm" => write!(out, "{:02}", civil.minute()),
        "m" => write!(out, "{}", civil.minute()),
        "ss" => write!(out, "{:02}", civil.second()),
        "s" => write!(out, "{}", civil.second()),
        "SSS" => write!(out, "{:03}", civil.millisecond()),
        "A" => out.write_str(half[0]),
        "a" => out.write_str(half[1]),
        "Z" => out.write_str("+00:00"),
        "X" => write!(out, "{}", at.millis().div_euclid(1000)),
        "x" => write!(out, "{}", at.millis()),
        _ => return None,
    };
    written.ok()
}
