//! How fast a consumer that is far behind gets on, and so how long it will take: for whoever waits for it.

use std::time::{Duration, Instant};

use shipway_events::Position;

/// A consumer that is less behind than so many events is only moments away, whatever its pace: it is not estimated.
pub const FAR: u64 = 5_000;

/// A pace is of the last one or two of these.
const STRETCH: Duration = Duration::from_secs(10);

/// What was seen for a shorter time says nothing yet.
const LEAST: Duration = Duration::from_millis(500);

/// How fast a consumer goes through the log, as long as it is far behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace(Option<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    from: (Instant, Position),
    /// Where the next stretch begins.
    middle: (Instant, Position),
    last: (Instant, Position),
}

/// What is left of a long way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// The events of which the last one is at the end of the way.
    pub events: u64,
    /// Events per second, lately.
    pub rate: f64,
    /// How long it takes at that pace.
    pub time: Duration,
}

impl Pace {
    /// A consumer was seen at a position of a log that ends there.
    pub(crate) fn seen(&mut self, position: Position, end: Position, now: Instant) {
        let here = (now, position);
        let far = end.saturating_sub(position) > FAR;
        self.0 = match self.0 {
            _ if !far => None,
            Some(seen) if position >= seen.last.1 && now >= seen.last.0 => {
                let turns = now - seen.middle.0 >= STRETCH;
                let (from, middle) = if turns { (seen.middle, here) } else { (seen.from, seen.middle) };
                Some(Seen { from, middle, last: here })
            }
            // It begins, or begins anew.
            _ => Some(Seen { from: here, middle: here, last: here }),
        };
    }

    /// How long it takes to get from where it was seen last to a position; none where that is not far or not known yet.
    pub(crate) fn left(&self, wanted: Position) -> Option<Left> {
        let Seen { from, last, .. } = self.0?;
        let (took, done) = (last.0 - from.0, last.1 - from.1);
        let events = wanted.saturating_sub(last.1);
        if took < LEAST || done == 0 || events <= FAR {
            return None;
        }
        let rate = done as f64 / took.as_secs_f64();
        let time = Duration::try_from_secs_f64(events as f64 / rate).unwrap_or(Duration::MAX);
        Some(Left { events, rate, time })
    }
}

/// Where on the way to `end` something is, for people: `120000 of 400000 (30 %)`.
#[must_use]
pub fn part(position: Position, end: Position) -> String {
    let percent = u128::from(position.min(end)) * 100 / u128::from(end.max(1));
    format!("{position} of {end} ({percent} %)")
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} events/s, about {} left", self.rate, rough(self.time))
    }
}

/// A duration as people say it.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{} s", seconds + 1),
        seconds @ 120..7_200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_of_the_last_stretches_and_of_long_ways_only() {
        let (begin, mut pace) = (Instant::now(), Pace::default());
        let at = |seconds| begin + Duration::from_secs(seconds);
        pace.seen(0, 1_000_000, at(0));
        assert_eq!(pace.left(1_000_000), None, "nothing is known yet");
        for second in 1..=30 {
            pace.seen(second * 1_000, 1_000_000, at(second));
        }
        let left = pace.left(1_000_000).unwrap();
        assert_eq!((left.events, left.rate, left.time.as_secs()), (970_000, 1_000.0, 970));
        assert_eq!(left.to_string(), "1000 events/s, about 17 min left");
        assert_eq!(pace.left(30_000 + FAR), None, "moments");
        // It gets faster: half a minute later nothing is left of the old pace.
        for second in 31..=60 {
            pace.seen(30_000 + (second - 30) * 10_000, 1_000_000, at(second));
        }
        assert_eq!(pace.left(1_000_000).unwrap().rate, 10_000.0);
        pace.seen(5, 1_000_000, at(61));
        assert_eq!(pace.left(1_000_000), None, "it began anew");
        pace.seen(50_005, 1_000_000, at(62));
        assert!(pace.left(1_000_000).is_some());
        pace.seen(999_999, 1_000_000, at(63));
        assert_eq!(pace.left(2_000_000), None, "at the end of a log events come when they come");
    }

    #[test]
    fn people_are_told_in_round_words() {
        assert_eq!(part(120_000, 400_000), "120000 of 400000 (30 %)");
        assert_eq!(part(0, 0), "0 of 0 (0 %)");
        assert_eq!(
            [0, 119, 120, 7_199, 7_200].map(|s| rough(Duration::from_secs(s))),
            ["1 s", "120 s", "2 min", "120 min", "2 h"]
        );
    }
}
