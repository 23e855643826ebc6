//! Where services and addons are: on which executor's host, since when, and whether it is away.

use shipway_contracts::Error;
use shipway_eventing::log::{Log, ReadError};
use shipway_events::{
    DecodeError, ExecutorId, ResourceId, StreamEvent, StreamName, Timestamp, Version, place,
};

/// Events of a target's place that are read at once; a place has few.
const PAGE: usize = 1000;

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
    /// The version of its stream.
    pub(crate) version: Version,
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
            Some(Place { executor: chosen.executor, since: at, lost: None, labels, version })
        }
        place::Event::Moved(moved) => {
            let labels = place.map(|place| place.labels).unwrap_or_default();
            Some(Place { executor: moved.to, since: at, lost: None, labels, version })
        }
        place::Event::Lost(_) => place.map(|place| Place { lost: Some(at), version, ..place }),
    }
}

#[cfg(test)]
mod tests {
    use shipway_events::RunId;
    use uuid::Uuid;

    use super::*;

    fn executor(n: u128) -> ExecutorId {
        ExecutorId::new(Uuid::from_u128(n))
    }

    #[test]
    fn a_place_is_chosen_lost_and_given_anew() {
        let (run, at) = (RunId::new(Uuid::from_u128(9)), |n| Timestamp::from_micros(n));
        let chosen = place::Chosen { executor: executor(1), run, labels: vec!["eu".to_owned()] }.into();
        let place = evolve(None, &chosen, at(1), 1);
        assert_eq!(place.as_ref().map(|place| (place.executor, place.lost)), Some((executor(1), None)));
        let lost = place::Lost { executor: executor(1), away_seconds: 60 }.into();
        let place = evolve(place, &lost, at(2), 2);
        assert_eq!(place.as_ref().and_then(|place| place.lost), Some(at(2)));
        let moved = place::Moved { from: executor(1), to: executor(2), run }.into();
        let place = evolve(place, &moved, at(3), 3).unwrap();
        assert_eq!((place.executor, place.since, place.lost, place.version), (executor(2), at(3), None, 3));
        assert_eq!(place.labels, ["eu"], "another host must have them too");
    }
}
