//! Which rollbacks were made, and what addons keep from before a restore.

use std::collections::BTreeMap;

use shipway_contracts::{
    Error,
    v1::{Deployed, MadeRollback, Rollback, Run},
};
use shipway_events::{RunId, Timestamp};
use sqlx::{Row, any::AnyRow};

use crate::{queries::away, service::Shared};

const MADE: &str = "SELECT run, at, of, position FROM rollbacks_1 WHERE of = $1
    UNION SELECT run, at, of, position FROM rollbacks_1 WHERE back_to = $1 ORDER BY 4 LIMIT 100";
const AMONG: &str = "SELECT run, of, back_to, moment, flow_version FROM rollbacks_1
    WHERE position >= $1 AND position <= $2";
const KEPT: &str = "SELECT resource, name, at, run FROM kept_1 WHERE resource = $1 ORDER BY at";

/// All of these, to look at how databases answer them.
#[cfg(test)]
pub(crate) const ALL: [&str; 3] = [MADE, AMONG, KEPT];

impl Shared {
    /// Rollbacks that undid a release or went back to it, oldest first.
    pub(crate) async fn rollbacks_of(&self, run: RunId) -> Result<Vec<MadeRollback>, Error> {
        let id = run.to_string();
        let rows = sqlx::query(MADE).bind(id.as_str()).fetch_all(self.tables()).await.map_err(away)?;
        let made = |row: &AnyRow| {
            Ok(MadeRollback {
                run: row.try_get("run")?,
                at: Timestamp::from_micros(row.try_get("at")?).to_string(),
                undid: row.try_get::<String, _>("of")? == id,
            })
        };
        rows.iter().map(made).collect::<Result<_, _>>().map_err(away)
    }

    /// Says of each run of a list whether it is a release or a rollback. The list is in the order of positions.
    pub(crate) async fn say_kinds(&self, runs: &mut [Run]) -> Result<(), Error> {
        let positions = || runs.iter().map(|run| run.position);
        let (Some(first), Some(last)) = (positions().min(), positions().max()) else { return Ok(()) };
        let query = sqlx::query(AMONG).bind(first.cast_signed()).bind(last.cast_signed());
        let rows = query.fetch_all(self.tables()).await.map_err(away)?;
        let read = |row: &AnyRow| {
            let rollback = Rollback {
                of: row.try_get("of")?,
                to: row.try_get("back_to")?,
                at: Timestamp::from_micros(row.try_get("moment")?).to_string(),
                flow_version: u32::try_from(row.try_get::<i64, _>("flow_version")?).unwrap_or(0),
            };
            Ok((row.try_get("run")?, rollback))
        };
        let mut rollbacks: BTreeMap<String, Rollback> =
            rows.iter().map(read).collect::<Result<_, _>>().map_err(away)?;
        for run in runs {
            run.rollback = rollbacks.remove(&run.id);
            // A resource's own flow has three parts: `addon/shop/shop-db`.
            let is_stage = run.path.matches('/').count() == 1;
            run.kind = kind(is_stage, run.rollback.is_some()).to_owned();
        }
        Ok(())
    }

    /// Says of addons what they keep from before a restore, since when, and what can be done about it.
    pub(crate) async fn say_kept(&self, rows: &mut [Deployed]) -> Result<(), Error> {
        for row in rows.iter_mut().filter(|row| row.kind == "Addon") {
            let kept = sqlx::query(KEPT).bind(row.id.as_str()).fetch_all(self.tables()).await;
            let kept = kept.map_err(away)?;
            let Some(last) = kept.last() else { continue };
            let (name, run): (String, String) =
                (last.try_get("name").map_err(away)?, last.try_get("run").map_err(away)?);
            let since = super::minute(Timestamp::from_micros(last.try_get("at").map_err(away)?));
            let more = match kept.len() {
                1 => String::new(),
                all => format!(" (and {} older)", all - 1),
            };
            let words = format!(
                "what it was before run {run} restored it is kept since {since} as {name}{more}: shipway addon confirm {} \
                 --project {} lets go of it, addon revert puts it back",
                row.resource, row.project
            );
            row.help = if row.help.is_empty() { words } else { format!("{}; {words}", row.help) };
        }
        Ok(())
    }
}

/// What a run of a stage's flow is.
pub(crate) const fn kind(is_stage: bool, is_rollback: bool) -> &'static str {
    match (is_stage, is_rollback) {
        (_, true) => "rollback",
        (true, false) => "release",
        (false, false) => "",
    }
}
