//! Slots that other schedulers' attempts use. Heard of through the feed, corrected by what executors say that they
//! hold: a moment's error makes an executor's work wait for a slot there instead of here.

use std::{collections::HashMap, time::Duration};

use shipway_events::{ExecutorId, Fence, RegistrationId};
use tokio::time::Instant;

/// How long an attempt that its executor does not hold yet may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// An attempt's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) executor: ExecutorId,
    pub(crate) registration: RegistrationId,
    pub(crate) heavy: bool,
}

#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    holds: HashMap<Fence, (Hold, Instant)>,
    /// By executor's start: light, then heavy.
    used: HashMap<(ExecutorId, RegistrationId), (u32, u32)>,
}

impl Elsewhere {
    pub(super) fn used(&self, executor: ExecutorId, registration: RegistrationId) -> (u32, u32) {
        self.used.get(&(executor, registration)).copied().unwrap_or_default()
    }

    pub(super) fn take(&mut self, fence: Fence, hold: Hold) {
        if self.holds.insert(fence, (hold, Instant::now())).is_none() {
            *self.count(hold) += 1;
        }
    }

    /// Tells whether the attempt was counted here.
    pub(super) fn free(&mut self, fence: Fence) -> bool {
        let Some((hold, _)) = self.holds.remove(&fence) else { return false };
        let count = self.count(hold);
        *count = count.saturating_sub(1);
        if self.used(hold.executor, hold.registration) == (0, 0) {
            self.used.remove(&(hold.executor, hold.registration));
        }
        true
    }

    pub(super) fn forget(&mut self, executor: ExecutorId) {
        let of =
            |(fence, (hold, _)): (&Fence, &(Hold, Instant))| (hold.executor == executor).then_some(*fence);
        for fence in self.holds.iter().filter_map(of).collect::<Vec<_>>() {
            self.free(fence);
        }
    }

    /// These it holds; of others, those that cannot be on their way any more are over.
    pub(super) fn correct(&mut self, executor: ExecutorId, holds: Vec<(Fence, Hold)>) {
        let now = Instant::now();
        let over = |(fence, (hold, since)): (&Fence, &(Hold, Instant))| {
            let old = now.duration_since(*since) > ON_ITS_WAY;
            let held = || holds.iter().any(|(held, _)| held == fence);
            (hold.executor == executor && old && !held()).then_some(*fence)
        };
        for fence in self.holds.iter().filter_map(over).collect::<Vec<_>>() {
            self.free(fence);
        }
        for (fence, hold) in holds {
            self.take(fence, hold);
        }
    }

    fn count(&mut self, hold: Hold) -> &mut u32 {
        let (light, heavy) = self.used.entry((hold.executor, hold.registration)).or_default();
        if hold.heavy { heavy } else { light }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn hold(executor: u128, heavy: bool) -> Hold {
        Hold {
            executor: ExecutorId::new(Uuid::from_u128(executor)),
            registration: RegistrationId::new(Uuid::from_u128(1)),
            heavy,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_counts_once_until_it_ends() {
        let mut elsewhere = Elsewhere::default();
        let (one, light) = (hold(1, true), hold(1, false));
        elsewhere.take(Fence::new(0, 5), one);
        elsewhere.take(Fence::new(0, 5), one);
        elsewhere.take(Fence::new(0, 6), light);
        assert_eq!(elsewhere.used(one.executor, one.registration), (1, 1));
        assert!(elsewhere.free(Fence::new(0, 5)));
        assert!(!elsewhere.free(Fence::new(0, 5)));
        assert_eq!(elsewhere.used(one.executor, one.registration), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_executor_corrects_what_was_heard_of_it() {
        let mut elsewhere = Elsewhere::default();
        let one = hold(1, false);
        elsewhere.take(Fence::new(0, 5), one);
        elsewhere.correct(one.executor, vec![]);
        assert_eq!(elsewhere.used(one.executor, one.registration), (1, 0), "it may be on its way");
        tokio::time::advance(ON_ITS_WAY * 2).await;
        elsewhere.correct(one.executor, vec![(Fence::new(0, 7), one)]);
        assert_eq!(elsewhere.used(one.executor, one.registration), (1, 0), "the new one instead of the old");
        elsewhere.forget(one.executor);
        assert_eq!(elsewhere.used(one.executor, one.registration), (0, 0));
    }
}
