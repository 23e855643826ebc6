//! When a stream cannot be gone on with.
//!
//! A server whose store was damaged may have found that out only after it had read how long its stream was: it then says
//! that the stream ends at one sequence, refuses a publish that goes on there, and never comes to another mind (seen with
//! 2.9.10 after bits had flipped). The log has every event, so such a stream is made anew; a stream whose last message
//! proves itself never is, nor one that another relay publishes to.

use super::{Place, Stop};

/// How often in a row a stream may refuse to be gone on with. Looks are a tenth of a second apart at least.
const REFUSALS: u32 = 50;

/// The refusals in a row at one end of one stream.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    end: Option<(String, u64)>,
    times: u32,
}

impl Refusals {
    /// Counts how it ended to publish. `before`: where the stream ended when it was looked at, and `proven`: whether its
    /// last message was what the log holds; `after`: where it ended at last. Whether to make it anew.
    pub(super) fn count(&mut self, before: &Place, proven: bool, after: &Place, stopped: &Stop) -> bool {
        let end = (before.created.clone(), before.sequence);
        let refused = matches!(stopped, Stop::Refused(_)) && before.sequence == after.sequence;
        if !refused || proven || before.sequence == 0 {
            *self = Self::default();
            return false;
        }
        let again = self.end.as_ref() == Some(&end);
        self.times = if again { self.times + 1 } else { 1 };
        self.end = Some(end);
        self.times >= REFUSALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(created: &str, sequence: u64) -> Place {
        Place { created: created.into(), generation: 1, sequence, position: 70 }
    }

    fn refused() -> Stop {
        Stop::Refused("wrong last sequence: 60".into())
    }

    /// How often it is counted until the stream is made anew; none: never.
    fn until_anew(mut each: impl FnMut(u32, &mut Refusals) -> bool) -> Option<u32> {
        let mut refusals = Refusals::default();
        (1..=10 * REFUSALS).find(|time| each(*time, &mut refusals))
    }

    #[test]
    fn a_stream_that_says_where_it_ends_and_refuses_to_go_on_there_is_made_anew() {
        let at = place("monday", 50);
        assert_eq!(until_anew(|_, refusals| refusals.count(&at, false, &at, &refused())), Some(REFUSALS));
    }

    #[test]
    fn a_stream_that_is_well_or_moves_is_not() {
        let at = place("monday", 50);
        let proven = until_anew(|_, refusals| refusals.count(&at, true, &at, &refused()));
        assert_eq!(proven, None, "its last message is what the log holds: another relay publishes");
        let silent = Stop::LookAgain("no answer".into());
        assert_eq!(
            until_anew(|_, refusals| refusals.count(&at, false, &at, &silent)),
            None,
            "it was not refused"
        );
        let grows = until_anew(|time, refusals| {
            let at = place("monday", u64::from(time));
            refusals.count(&at, false, &at, &refused())
        });
        assert_eq!(grows, None, "somebody publishes");
        let moved = until_anew(|_, refusals| refusals.count(&at, false, &place("monday", 51), &refused()));
        assert_eq!(moved, None, "this one published before it was refused");
        let empty = place("monday", 0);
        assert_eq!(until_anew(|_, refusals| refusals.count(&empty, false, &empty, &refused())), None);
        let other = until_anew(|time, refusals| {
            let at = place(if time % 2 == 0 { "monday" } else { "tuesday" }, 50);
            refusals.count(&at, false, &at, &refused())
        });
        assert_eq!(other, None, "it is another stream each time");
    }
}
