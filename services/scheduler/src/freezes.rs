//! The freezes of a project, and which are in force.

use std::{sync::Arc, time::Duration};

use shipway_documents::schedule::Schedule;
use shipway_events::{
    Actor, FreezeId, Recorded, Timestamp,
    policy::{self, Froze, Scope, Window},
    run::Frozen,
};

/// So many windows of a calendar that overlap are taken for one.
const MOST_WINDOWS: usize = 100;
/// A minute, as calendars count.
const MINUTE: Duration = Duration::from_secs(60);

/// A freeze that is not lifted.
#[derive(Clone, Debug)]
pub(crate) struct Freeze {
    pub(crate) froze: Froze,
    pub(crate) by: Actor,
    pub(crate) at: Timestamp,
}

/// A project's freezes, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freezes(Vec<Freeze>);

impl Freezes {
    pub(crate) fn evolve(&mut self, recorded: &Recorded<policy::Event>) {
        match &recorded.event {
            policy::Event::Froze(froze) => {
                let (by, at) = (recorded.meta.actor.clone(), recorded.at);
                self.0.push(Freeze { froze: froze.clone(), by, at });
            }
            policy::Event::Lifted(lifted) => self.0.retain(|freeze| freeze.froze.freeze != lifted.freeze),
            policy::Event::Held(_)
            | policy::Event::Released(_)
            | policy::Event::MarkedBad(_)
            | policy::Event::Unmarked(_) => {}
        }
    }

    /// Those that are not over.
    pub(crate) fn ahead(&self, now: Timestamp) -> impl Iterator<Item = &Freeze> {
        self.0.iter().filter(move |freeze| !freeze.is_over(now))
    }

    /// The one of that id, over or not.
    pub(crate) fn get(&self, id: FreezeId) -> Option<&Freeze> {
        self.0.iter().find(|freeze| freeze.froze.freeze == id)
    }

    /// The one of that id or name.
    pub(crate) fn named(&self, text: &str, now: Timestamp) -> Option<&Freeze> {
        let id = text.parse::<FreezeId>().ok();
        self.ahead(now).find(|freeze| Some(freeze.froze.freeze) == id || freeze.froze.name == text)
    }

    /// Those that are in force and about runs of that path.
    pub(crate) fn holding(&self, path: &str, now: Timestamp) -> Arc<[Frozen]> {
        let about = self.0.iter().filter(|freeze| freeze.is_about(path));
        about
            .filter_map(|freeze| {
                let until = freeze.in_force(now)?;
                let Froze { freeze: id, name, stops_all, reason, .. } = &freeze.froze;
                Some(Frozen {
                    freeze: *id,
                    name: name.clone(),
                    by: freeze.by.clone(),
                    reason: reason.clone(),
                    until,
                    stops_all: *stops_all,
                })
            })
            .collect()
    }
}

impl Freeze {
    /// Whether it is about runs of that path: `shop/production`, or `job/shop/import` for the one-node flow of a resource.
    /// A build changes nothing that runs: only what stops all stops it.
    pub(crate) fn is_about(&self, path: &str) -> bool {
        let Froze { scope: Scope { pipeline, stage, .. }, stops_all, .. } = &self.froze;
        let parts: Vec<&str> = path.split('/').collect();
        match (pipeline, stage, parts.as_slice()) {
            (None, _, ["build", _, _]) => *stops_all,
            (None, ..) => true,
            (Some(pipeline), stage, [of, at]) => {
                pipeline == of && stage.as_ref().is_none_or(|stage| stage == at)
            }
            (Some(_), ..) => false,
        }
    }

    /// Whether it is in force, and until when if it ends by itself.
    pub(crate) fn in_force(&self, now: Timestamp) -> Option<Option<Timestamp>> {
        match &self.froze.window {
            Window::Once { from, until } => {
                let holds = *from <= now && until.is_none_or(|until| now < until);
                holds.then_some(*until)
            }
            Window::Calendar { cron, timezone, minutes } => {
                let schedule = Schedule::parse(cron, timezone).ok()?;
                let lasts = MINUTE * *minutes;
                let mut until = schedule.after(now.minus(lasts)).filter(|from| *from <= now)?.plus(lasts);
                for _ in 0..MOST_WINDOWS {
                    match schedule.after(until.minus(lasts)).filter(|from| *from <= until) {
                        Some(from) => until = from.plus(lasts),
                        None => break,
                    }
                }
                Some(Some(until))
            }
        }
    }

    /// When it is in force next, if it is not now.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.froze.window {
            _ if self.in_force(now).is_some() => None,
            Window::Once { from, .. } => (*from > now).then_some(*from),
            Window::Calendar { cron, timezone, .. } => Schedule::parse(cron, timezone).ok()?.after(now),
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        matches!(&self.froze.window, Window::Once { until: Some(until), .. } if *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn freeze(scope: &[&str], window: Window, stops_all: bool) -> Freeze {
        let part = |n: usize| scope.get(n).map(|part| (*part).to_owned());
        Freeze {
            froze: Froze {
                freeze: FreezeId::new(Uuid::nil()),
                name: "weekend".to_owned(),
                scope: Scope { project: "shop".to_owned(), pipeline: part(0), stage: part(1) },
                window,
                stops_all,
                reason: String::new(),
            },
            by: Actor::nobody(),
            at: at("2026-01-01T00:00:00Z"),
        }
    }

    fn once(from: &str, until: Option<&str>) -> Window {
        Window::Once { from: at(from), until: until.map(at) }
    }

    #[test]
    fn a_freeze_is_about_its_project_pipeline_or_stage() {
        let now = || once("2026-01-01T00:00:00Z", None);
        for (scope, stops_all, path, expected) in [
            (&[][..], false, "shop/production", true),
            (&[], false, "job/shop/import", true),
            (&[], false, "build/shop/web", false),
            (&[], true, "build/shop/web", true),
            (&["shop"], false, "shop/production", true),
            (&["shop"], false, "other/production", false),
            (&["shop"], true, "job/shop/import", false),
            (&["shop", "production"], false, "shop/production", true),
            (&["shop", "production"], false, "shop/staging", false),
        ] {
            assert_eq!(freeze(scope, now(), stops_all).is_about(path), expected, "{scope:?} {path}");
        }
    }

    #[test]
    fn once_it_is_in_force_from_its_beginning_to_before_its_end() {
        let (from, until) = ("2026-05-01T10:00:00Z", "2026-05-01T12:00:00Z");
        let freeze = freeze(&[], once(from, Some(until)), false);
        assert_eq!(freeze.in_force(at("2026-05-01T09:59:59Z")), None);
        assert_eq!(freeze.next(at("2026-05-01T09:59:59Z")), Some(at(from)));
        assert_eq!(freeze.in_force(at(from)), Some(Some(at(until))));
        assert_eq!(freeze.in_force(at(until)), None);
        assert!(freeze.is_over(at(until)) && !freeze.is_over(at("2026-05-01T11:59:59Z")));
    }

    #[test]
    fn a_calendar_knows_clock_changes_and_overlaps() {
        let window = |cron: &str, minutes| Window::Calendar {
            cron: cron.to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            minutes,
        };
        // From Friday 17:00 to Monday 9:00, over the night in which the clocks go forward: an hour of the clock is missing.
        let weekend = freeze(&[], window("0 17 * * FRI", 64 * 60), false);
        let friday = at("2026-03-27T16:00:00Z");
        assert_eq!(weekend.in_force(friday), Some(Some(at("2026-03-30T08:00:00Z"))));
        assert_eq!(weekend.in_force(friday.minus(Duration::from_secs(1))), None);
        assert_eq!(weekend.in_force(at("2026-03-30T08:00:00Z")), None);
        assert_eq!(weekend.next(at("2026-03-30T08:00:00Z")), Some(at("2026-04-03T15:00:00Z")));
        // Each window begins before the one before it has ended.
        let hours = freeze(&[], window("0 9-16 * * *", 90), false);
        assert_eq!(hours.in_force(at("2026-06-01T07:00:00Z")), Some(Some(at("2026-06-01T15:30:00Z"))));
    }
}
