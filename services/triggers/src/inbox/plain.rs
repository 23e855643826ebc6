//! Deliveries that tell of no branch: requests to flows. Only its key says whether one of them came before, so that one
//! statement stores all that came together: how many it stored says whether it has to be asked which were there already.
//! None needs another one, so that there is no transaction around it.

use shipway_eventing::failing;
use sqlx::AnyConnection;

use super::{
    decide::{Done, Group, Insert, LARGE, Row},
    known::is_postgres,
    rows::write_at_once,
    sql,
};

impl Row {
    /// Whether it is one of them, and small enough to be written with its row.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Delivery(incoming) if incoming.to.is_empty() && incoming.sealed.len() <= LARGE)
    }
}

impl Group {
    /// Stores deliveries of this kind, on the supposition that all are new.
    pub(super) async fn write_plain(
        mut self,
        connection: &mut AnyConnection,
        rows: &[Row],
    ) -> Result<Vec<Done>, sqlx::Error> {
        let deliveries = || {
            rows.iter().filter_map(|row| match row {
                Row::Delivery(incoming) => Some(incoming),
                _ => None,
            })
        };
        let mut outcomes: Vec<Done> = deliveries()
            .map(|incoming| match self.by_key.get(&incoming.key) {
                Some(kept) => Done::Known(kept.clone()),
                None => Done::New(self.insert(incoming, None)),
            })
            .collect();
        let inserts = std::mem::take(&mut self.inserts);
        let count = inserts.len();
        if failing!("db.inbox.insert_new", write_new(connection, inserts).await)? == count {
            return Ok(outcomes);
        }
        self.by_key.clear();
        self.read_same_keys(connection, deliveries().map(|incoming| &*incoming.key)).await?;
        for (incoming, outcome) in deliveries().zip(&mut outcomes) {
            // Forgotten in between: it is tried again, and is new.
            let kept = self.by_key.get(&incoming.key).ok_or(sqlx::Error::RowNotFound)?;
            if !matches!(&*outcome, Done::New(own) | Done::Known(own) if own.delivery == kept.delivery) {
                *outcome = Done::Known(kept.clone());
            }
        }
        Ok(outcomes)
    }
}

/// Writes those whose keys are new; how many there were.
async fn write_new(connection: &mut AnyConnection, inserts: Vec<Insert>) -> Result<usize, sqlx::Error> {
    let written = if is_postgres(connection) {
        let rows = serde_json::to_string(&inserts).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(sql::INSERT_NEW).bind(rows).execute(connection).await?.rows_affected()
    } else {
        write_at_once(connection, inserts, sql::NEW).await?
    };
    Ok(usize::try_from(written).unwrap_or(usize::MAX))
}
