//! Time as a trigger: `{kind: cron, spec: {cron, timezone, missed}}`.

use std::fmt;

use super::{Trigger, TriggerSource};
use crate::{
    Code, Fields, Problem, Problems, is_expression,
    schedule::{Schedule, ScheduleError, UTC},
};

/// A schedule of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronTrigger {
    /// The five fields.
    pub cron: String,
    /// The time zone's name in the IANA database.
    pub timezone: String,
    /// What becomes of ticks that nobody was there for.
    pub missed: Missed,
}

/// What becomes of ticks that nobody was there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// They start nothing.
    #[default]
    Skip,
    /// All of them together start one run, the newest one's.
    One,
    /// Each starts its run.
    All,
}

impl Missed {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Skip, Self::One, Self::All];

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::One => "one",
            Self::All => "all",
        }
    }

    /// The policy of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|missed| missed.as_str() == word)
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl CronTrigger {
    pub(super) const MEMBERS: &[&str] = &["cron", "timezone", "missed"];

    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let cron = fields.required_text("cron", "give the five fields of a schedule: `0 2 * * *`");
        let timezone = fields.text("timezone").unwrap_or(UTC);
        let words = Missed::ALL.map(Missed::as_str);
        let missed = fields.one_of("missed", &words).and_then(Missed::parse).unwrap_or_default();
        let cron = cron?;
        for (key, text) in [("cron", cron), ("timezone", timezone)] {
            if is_expression(&text.into()) {
                let problem = Problem::error(fields.at(key), format!("`{key}` cannot be an expression"));
                let problem = problem.code(Code::FieldValue);
                fields.note(problem.help("nothing is resolved before a trigger fires"));
                return None;
            }
        }
        if let Err(wrong) = Schedule::parse(cron, timezone) {
            let key = if matches!(wrong, ScheduleError::Zone { .. }) { "timezone" } else { "cron" };
            let problem = Problem::error(fields.at(key), wrong.to_string()).code(Code::FieldValue);
            fields.note(problem.help(wrong.help()));
        }
        Some(Self { cron: cron.to_owned(), timezone: timezone.to_owned(), missed })
    }
}

/// A document has one schedule at most: its runs are told apart by their times.
pub(super) fn only_one(triggers: &[Trigger], problems: &mut Problems) {
    let schedule = |trigger: &&Trigger| match &trigger.source {
        TriggerSource::Typed(typed) => typed.schedule.is_some(),
        _ => false,
    };
    let mut schedules = triggers.iter().filter(schedule);
    let first = schedules.next();
    for other in schedules {
        let name = first.map_or("", |first| first.reference.as_str());
        let message = format!("a document has one trigger of kind `cron`, and `{name}` is it");
        let problem = Problem::error(other.pointer.clone(), message);
        problems.push(problem.help("list the times in one schedule: `0 2,14 * * *`"));
    }
}
