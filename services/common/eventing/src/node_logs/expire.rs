//! Old logs go, a whole run's at a time.

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use shipway_events::Timestamp;

use super::{NodeLogError, NodeLogs, failed};

const DAY: i64 = 86_400 * 1_000_000;

/// What one call of [`NodeLogs::expire`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Runs whose logs are gone now.
    pub runs: usize,
    /// There may be more of them: the limit was reached.
    pub more: bool,
}

impl NodeLogs {
    /// Removes the logs of runs that were made before that time and whose logs have not grown since, at most `limit`
    /// runs at once.
    ///
    /// # Errors
    /// If the store cannot be read, or does not remove them. What is removed by then stays so.
    pub async fn expire(&self, before: Timestamp, limit: usize) -> Result<Expired, NodeLogError> {
        let mut done = Expired::default();
        let mut days = self.below(&Key::from("logs")).await?;
        days.retain(|day| number(day).is_some_and(|day| day.saturating_mul(DAY) < before.micros()));
        days.sort_by_key(number);
        for day in days {
            for run in self.below(&day).await? {
                if done.runs == limit {
                    return Ok(Expired { more: true, ..done });
                }
                done.runs += usize::from(self.expire_run(&run, before).await?);
            }
        }
        Ok(done)
    }

    async fn expire_run(&self, run: &Key, before: Timestamp) -> Result<bool, NodeLogError> {
        let listed: Vec<_> =
            self.store.list(Some(run)).try_collect().await.map_err(failed("listing a run's logs"))?;
        let old =
            |object: &object_store::ObjectMeta| object.last_modified.timestamp_micros() < before.micros();
        if listed.is_empty() || !listed.iter().all(old) {
            return Ok(false);
        }
        let names = futures::stream::iter(listed.into_iter().map(|object| Ok(object.location))).boxed();
        let mut removed = self.store.delete_stream(names);
        loop {
            match removed.try_next().await {
                Ok(Some(_)) | Err(object_store::Error::NotFound { .. }) => {}
                Ok(None) => return Ok(true),
                Err(error) => return Err(failed("removing old logs")(error)),
            }
        }
    }

    async fn below(&self, folder: &Key) -> Result<Vec<Key>, NodeLogError> {
        let listed = self.store.list_with_delimiter(Some(folder)).await;
        Ok(listed.map_err(failed("listing old logs"))?.common_prefixes)
    }
}

/// The number that a folder's name is.
fn number(folder: &Key) -> Option<i64> {
    folder.filename()?.parse().ok()
}
