//! Where services and addons are: on which executor's host, since when, and whether it is away. And what follows when
//! it is: a service is moved, again and again until it runs; an addon's data are on that host, so a person decides.

use std::time::Duration;

use shipway_contracts::Error;
use shipway_eventing::log::{Log, ReadError};
use shipway_events::{
    DecodeError, ExecutorId, ResourceId, RunId, StreamEvent, StreamName, Timestamp, Version, place,
};

/// Events of a target's place that are read at once; a place has few.
const PAGE: usize = 1000;

/// How long after the end of its executor's lease a host is given up.
pub(crate) const GIVEN_UP: Duration = Duration::from_secs(60);
/// How long after the first move that failed the next one is made; it doubles with each.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest time between two moves.
const AGAIN_AT_MOST: Duration = Duration::from_secs(600);

/// A target's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The executor of the host that it is on.
    pub(crate) executor: ExecutorId,
    /// Since when.
    pub(crate) since: Timestamp,
    /// Since when its host has been given up, if it has.
    pub(crate) lost: Option<Timestamp>,
    /// Labels that its host must have.
    pub(crate) labels: Vec<String>,
    /// Its move to this host, until it is settled there.
    pub(crate) moving: Option<Moving>,
    /// The version of its stream.
    pub(crate) version: Version,
}

/// A move that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moving {
    /// The run that starts the target there.
    pub(crate) run: RunId,
    /// The backup that an addon's content comes from.
    pub(crate) backup: Option<String>,
    /// Which move in a row it is, from 1.
    pub(crate) tries: u32,
    /// That it failed, and when the next one is made; none: a person decides.
    pub(crate) failed: Option<Option<Timestamp>>,
}

/// How a move's run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has not ended, or not begun.
    GoesOn,
    /// It ended well.
    Done,
    /// It did not.
    Failed {
        /// Why, in words.
        reason: String,
        /// A person stopped it: they decide what is next.
        by_person: bool,
    },
}

/// How the host of a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Its executor is there.
    There,
    /// Its executor's lease has been over for so long.
    Away(Duration),
}

/// What the next step of a target depends on besides its place.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    /// Its host.
    pub(crate) host: Host,
    /// The run of its move, if it has one that has not failed.
    pub(crate) progress: Progress,
    /// Somebody has released it since it was given this host.
    pub(crate) released: bool,
    /// It can be made anew from its artifact.
    pub(crate) is_service: bool,
    /// The executor that would take it.
    pub(crate) roomiest: Option<ExecutorId>,
    /// The run of the next move.
    pub(crate) run: RunId,
    /// The log's time.
    pub(crate) now: Timestamp,
}

/// What becomes of a target; mostly nothing.
pub(crate) fn decide(place: &Place, around: &Around) -> Vec<place::Event> {
    let mut events = Vec::new();
    let mut failed = place.moving.as_ref().and_then(|moving| Some((moving, moving.failed?)));
    if let Some(moving) = place.moving.as_ref().filter(|moving| moving.failed.is_none()) {
        match &around.progress {
            Progress::GoesOn => {}
            Progress::Done => events.push(place::Settled { run: moving.run }.into()),
            Progress::Failed { reason, by_person } => {
                let again_at = (!by_person).then(|| around.now.plus(pause(moving.tries)));
                let reason = reason.clone();
                events.push(place::MoveFailed { run: moving.run, reason, again_at }.into());
                failed = Some((moving, again_at));
            }
        }
    }
    let moved = |to, backup| place::Moved { from: place.executor, to, run: around.run, backup };
    match around.host {
        Host::Away(away) if away >= GIVEN_UP => {
            if place.lost.is_none() {
                let lost = place::Lost { executor: place.executor, away_seconds: away.as_secs() };
                events.push(lost.into());
            }
            let to = around.roomiest.filter(|to| around.is_service && *to != place.executor);
            events.extend(to.map(|to| place::Event::from(moved(to, None))));
        }
        Host::Away(_) => {}
        Host::There => {
            if place.lost.is_some() {
                events.push(place::Returned { executor: place.executor }.into());
            }
            match failed {
                Some((moving, _)) if around.released => {
                    events.push(place::Settled { run: moving.run }.into());
                }
                Some((moving, Some(at))) if at <= around.now => {
                    let to = around.roomiest.unwrap_or(place.executor);
                    events.push(moved(to, moving.backup.clone()).into());
                }
                _ => {}
            }
        }
    }
    events
}

/// A move whose run was refused has failed; nothing if that is known, or another move has begun.
pub(crate) fn refused(place: &Place, run: RunId, reason: String, now: Timestamp) -> Option<place::Event> {
    let moving = place.moving.as_ref().filter(|moving| moving.run == run && moving.failed.is_none())?;
    let again_at = Some(now.plus(pause(moving.tries)));
    Some(place::MoveFailed { run, reason, again_at }.into())
}

fn pause(tries: u32) -> Duration {
    AGAIN.saturating_mul(1 << tries.saturating_sub(1).min(7)).min(AGAIN_AT_MOST)
}

/// Why a target's place could not be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("reading the place of a target")]
    Read(#[from] ReadError),
    #[error("reading the place of a target")]
    Decode(#[from] DecodeError),
}

impl From<PlaceError> for Error {
    fn from(error: PlaceError) -> Self {
        match &error {
            PlaceError::Read(_) => Self::unavailable(format!("{error}; try again")),
            PlaceError::Decode(_) => Self::internal(&error),
        }
    }
}

/// A target's place by its own stream; none if it never had one.
pub(crate) async fn read(log: &dyn Log, target: ResourceId) -> Result<Option<Place>, PlaceError> {
    let mut place = None;
    for raw in log.read_stream(&StreamName::place(target), 0, PAGE).await? {
        place = match place::Event::read(&raw)? {
            Some(recorded) => evolve(place, &recorded.event, raw.at, raw.version),
            None => place.map(|place| Place { version: raw.version, ..place }),
        };
    }
    Ok(place)
}

/// The place after one more event.
pub(crate) fn evolve(
    place: Option<Place>,
    event: &place::Event,
    at: Timestamp,
    version: Version,
) -> Option<Place> {
    match event {
        place::Event::Chosen(chosen) => {
            let labels = chosen.labels.clone();
            Some(Place { executor: chosen.executor, since: at, lost: None, labels, moving: None, version })
        }
        place::Event::Moved(moved) => {
            let before = place.as_ref().and_then(|place| place.moving.as_ref());
            let moving = Some(Moving {
                run: moved.run,
                backup: moved.backup.clone(),
                tries: before.map_or(0, |before| before.tries) + 1,
                failed: None,
            });
            let labels = place.map(|place| place.labels).unwrap_or_default();
            Some(Place { executor: moved.to, since: at, lost: None, labels, moving, version })
        }
        place::Event::Lost(_) => place.map(|place| Place { lost: Some(at), version, ..place }),
        place::Event::Returned(_) => place.map(|place| Place { lost: None, version, ..place }),
        place::Event::MoveFailed(failed) => place.map(|mut place| {
            place.version = version;
            if let Some(moving) = place.moving.as_mut().filter(|moving| moving.run == failed.run) {
                moving.failed = Some(failed.again_at);
            }
            place
        }),
        place::Event::Settled(settled) => place.map(|place| {
            let moving = place.moving.filter(|moving| moving.run != settled.run);
            Place { moving, version, ..place }
        }),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn executor(n: u128) -> ExecutorId {
        ExecutorId::new(Uuid::from_u128(n))
    }

    fn run(n: u128) -> RunId {
        RunId::new(Uuid::from_u128(n))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    /// What becomes of a target after these events, which came one second after the other.
    fn told(events: &[place::Event]) -> Option<Place> {
        (1..).zip(events).fold(None, |place, (n, event)| evolve(place, event, at(n), n as Version))
    }

    fn chosen() -> place::Event {
        place::Chosen { executor: executor(1), run: run(1), labels: vec!["eu".to_owned()] }.into()
    }

    fn lost() -> place::Event {
        place::Lost { executor: executor(1), away_seconds: 60 }.into()
    }

    fn moved(n: u128) -> place::Event {
        place::Moved { from: executor(1), to: executor(2), run: run(n), backup: None }.into()
    }

    fn failed(n: u128, again_at: Option<Timestamp>) -> place::Event {
        place::MoveFailed { run: run(n), reason: "it did not start".to_owned(), again_at }.into()
    }

    const GONE: Host = Host::Away(GIVEN_UP);

    fn around(host: Host) -> Around {
        Around {
            host,
            progress: Progress::GoesOn,
            released: false,
            is_service: true,
            roomiest: Some(executor(2)),
            run: run(9),
            now: at(100),
        }
    }

    fn kinds(events: &[place::Event], around: &Around) -> Vec<&'static str> {
        decide(&told(events).unwrap(), around).iter().map(StreamEvent::kind).collect()
    }

    #[test]
    fn a_place_is_chosen_lost_and_given_anew() {
        let place = told(&[chosen()]).unwrap();
        assert_eq!((place.executor, place.lost), (executor(1), None));
        assert_eq!(told(&[chosen(), lost()]).unwrap().lost, Some(at(2)));
        let place = told(&[chosen(), lost(), moved(2)]).unwrap();
        assert_eq!((place.executor, place.since, place.lost, place.version), (executor(2), at(3), None, 3));
        assert_eq!(place.labels, ["eu"], "another host must have them too");
        let settled = place::Settled { run: run(2) }.into();
        assert_eq!(told(&[chosen(), lost(), moved(2), settled]).unwrap().moving, None);
        let other = place::Settled { run: run(3) }.into();
        assert!(told(&[chosen(), lost(), moved(2), other]).unwrap().moving.is_some(), "another move's end");
    }

    #[test]
    fn a_host_is_given_up_in_its_time_and_a_service_moved_where_there_is_room() {
        let soon = Host::Away(GIVEN_UP - Duration::from_millis(1));
        assert_eq!(kinds(&[chosen()], &around(soon)), [""; 0]);
        assert_eq!(kinds(&[chosen()], &around(GONE)), ["place.lost", "place.moved"]);
        let nobody = Around { roomiest: None, ..around(GONE) };
        assert_eq!(kinds(&[chosen()], &nobody), ["place.lost"]);
        assert_eq!(kinds(&[chosen(), lost()], &nobody), [""; 0], "it is said once");
        assert_eq!(kinds(&[chosen(), lost()], &around(GONE)), ["place.moved"], "somebody came");
        let itself = Around { roomiest: Some(executor(1)), ..around(GONE) };
        assert_eq!(kinds(&[chosen(), lost()], &itself), [""; 0]);
    }

    #[test]
    fn an_addon_stays_lost_until_a_person_or_its_host_comes() {
        let addon = Around { is_service: false, ..around(GONE) };
        assert_eq!(kinds(&[chosen()], &addon), ["place.lost"]);
        assert_eq!(kinds(&[chosen(), lost()], &addon), [""; 0]);
        let back = Around { is_service: false, ..around(Host::There) };
        assert_eq!(kinds(&[chosen(), lost()], &back), ["place.returned"]);
        let returned = place::Returned { executor: executor(1) }.into();
        assert_eq!(kinds(&[chosen(), lost(), returned], &back), [""; 0]);
    }

    #[test]
    fn a_move_that_failed_is_made_again_in_its_time_until_it_is_done() {
        let there = around(Host::There);
        assert_eq!(kinds(&[chosen(), lost(), moved(2)], &there), [""; 0], "its run goes on");
        let done = Around { progress: Progress::Done, ..there.clone() };
        assert_eq!(kinds(&[chosen(), lost(), moved(2)], &done), ["place.settled"]);
        let progress = Progress::Failed { reason: "no".to_owned(), by_person: false };
        let broken = Around { progress, ..there.clone() };
        let events = decide(&told(&[chosen(), lost(), moved(2)]).unwrap(), &broken);
        let expected = place::MoveFailed { run: run(2), reason: "no".to_owned(), again_at: Some(at(105)) };
        assert_eq!(events, [expected.into()]);
        let history = [chosen(), lost(), moved(2), failed(2, Some(at(110)))];
        assert_eq!(kinds(&history, &there), [""; 0]);
        let later = Around { now: at(110), ..there };
        assert_eq!(kinds(&history, &later), ["place.moved"]);
        assert_eq!(
            kinds(&history, &Around { released: true, ..later }),
            ["place.settled"],
            "a person did it"
        );
        let again = told(&[chosen(), lost(), moved(2), failed(2, Some(at(110))), moved(3)]).unwrap();
        assert_eq!(again.moving.unwrap().tries, 2);
        assert_eq!([1, 2, 3, 7, 50].map(|tries| pause(tries).as_secs()), [5, 10, 20, 320, 600]);
    }

    #[test]
    fn a_move_whose_run_is_refused_has_failed_once() {
        let place = told(&[chosen(), lost(), moved(2)]).unwrap();
        let refusal = |n| refused(&place, run(n), "no artifact".to_owned(), at(50));
        assert!(
            matches!(refusal(2), Some(place::Event::MoveFailed(failed)) if failed.again_at == Some(at(55)))
        );
        assert_eq!(refusal(3), None, "another move's");
        let known = told(&[chosen(), lost(), moved(2), failed(2, None)]).unwrap();
        assert_eq!(refused(&known, run(2), String::new(), at(50)), None);
    }

    #[test]
    fn a_move_that_a_person_stopped_is_theirs() {
        let progress = Progress::Failed { reason: "aborted".to_owned(), by_person: true };
        let stopped = Around { progress, ..around(Host::There) };
        let events = decide(&told(&[chosen(), lost(), moved(2)]).unwrap(), &stopped);
        assert!(matches!(&events[..], [place::Event::MoveFailed(failed)] if failed.again_at.is_none()));
        let later = Around { now: at(100_000), ..around(Host::There) };
        assert_eq!(kinds(&[chosen(), lost(), moved(2), failed(2, None)], &later), [""; 0]);
    }

    #[test]
    fn an_addon_is_restored_from_the_same_backup_again_and_never_moved_without_one() {
        let backup = Some("bk-1".to_owned());
        let asked = place::Moved { from: executor(1), to: executor(2), run: run(2), backup: backup.clone() };
        let history = [chosen(), lost(), asked.into(), failed(2, Some(at(50)))];
        let later = Around { is_service: false, ..around(Host::There) };
        let events = decide(&told(&history).unwrap(), &later);
        assert!(matches!(&events[..], [place::Event::Moved(moved)] if moved.backup == backup), "{events:?}");
        let gone = Around { is_service: false, ..around(GONE) };
        assert_eq!(kinds(&history, &gone), ["place.lost"]);
    }
}
