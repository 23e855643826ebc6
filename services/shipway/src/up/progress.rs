//! Says now and then how far read tables are that are far behind the log, as when they are made anew from it.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use shipway_eventing::{
    Feed,
    feed::{FAR, Form, Standing, part},
};
use shipway_service_kit::Lifecycle;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// How often something is said.
const EVERY: Duration = Duration::from_secs(5);

/// Has each line said, until the process stops.
pub(crate) fn tell(feed: &Feed, lifecycle: &Lifecycle, say: impl Fn(&str) + Send + 'static) {
    let (feed, stopping) = (feed.clone(), lifecycle.stopping());
    lifecycle.spawn("progress of read tables", async move {
        let mut way = Way::default();
        loop {
            if let Some(line) = way.line(&feed.standing(), Instant::now()) {
                say(&line);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stopping.cancelled() => return Ok::<(), Infallible>(()),
            }
        }
    });
}

/// How far a read table is, and how long it still takes where that is known.
pub(super) fn place(standing: &Standing) -> String {
    let at = part(standing.position, standing.position + standing.behind);
    standing.left.map_or_else(|| at.clone(), |left| format!("{at}, {left}"))
}

/// A way that is long enough to be told of.
#[derive(Debug, Default)]
struct Way(Option<Begun>);

#[derive(Debug)]
struct Begun {
    at: Instant,
    said: Option<Instant>,
}

impl Way {
    /// What is to be said now.
    fn line(&mut self, standing: &[Standing], now: Instant) -> Option<String> {
        let behind = standing.iter().filter(|one| one.form == Form::Projection && one.behind > FAR);
        let (others, last) = (behind.clone().count().saturating_sub(1), behind.max_by_key(|one| one.behind));
        let Some(last) = last else {
            let begun = self.0.take().filter(|begun| begun.said.is_some())?;
            let took = (now - begun.at).as_secs();
            return Some(format!("Read tables are up to date, after {took} s."));
        };
        let begun = self.0.get_or_insert(Begun { at: now, said: None });
        // The first line when there is something to say of the pace.
        let due = match begun.said {
            Some(said) => now - said >= EVERY,
            None => last.left.is_some(),
        };
        if !due {
            return None;
        }
        begun.said = Some(now);
        let others = match others {
            0 => String::new(),
            1 => "; 1 other ahead".to_owned(),
            others => format!("; {others} others ahead"),
        };
        Some(format!("Read tables are being made from the log: {} at {}{others}.", last.name, place(last)))
    }
}

#[cfg(test)]
mod tests {
    use shipway_eventing::feed::Left;

    use super::*;

    #[test]
    fn the_last_one_is_told_of_now_and_then_until_all_are_there() {
        let (begin, mut way) = (Instant::now(), Way::default());
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let one = |name, position: u64, left| Standing {
            name,
            form: Form::Projection,
            position,
            behind: 400_000 - position,
            behind_for: Duration::ZERO,
            left,
        };
        let left = |events| Some(Left { events, rate: 8_000.0, time: Duration::from_secs(34) });
        let reaction = Standing { form: Form::Reaction, ..one("starts", 0, None) };
        let first = [one("runs", 10_000, None), one("deployed", 20_000, None), reaction];
        assert_eq!(way.line(&first, at(0)), None, "nothing is known of its pace");
        let both = [one("runs", 120_000, left(280_000)), one("deployed", 130_000, None)];
        let said = "Read tables are being made from the log: runs at 120000 of 400000 (30 %), 8000 events/s, \
                    about 35 s left; 1 other ahead.";
        assert_eq!(way.line(&both, at(500)).as_deref(), Some(said));
        assert_eq!(way.line(&both, at(5_400)), None, "a moment ago");
        assert_eq!(way.line(&both, at(5_500)).as_deref(), Some(said));
        let done = [one("runs", 400_000, None), one("deployed", 399_000, None)];
        assert_eq!(way.line(&done, at(41_000)).as_deref(), Some("Read tables are up to date, after 41 s."));
        assert_eq!(way.line(&done, at(60_000)), None);
        // What was over before a line was due says nothing at its end either.
        assert_eq!(way.line(&first, at(70_000)), None);
        assert_eq!(way.line(&done, at(70_500)), None);
    }
}
