//! Deliveries that tell of no branch: requests to flows. Only its key says whether one of them came before, so that one
//! statement stores all that came together, and says which of them were there already.

use std::collections::BTreeSet;

use shipway_eventing::failing;
use sqlx::AnyConnection;

use super::{
    decide::{Done, Group, LARGE, Row},
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
        let wanted = serde_json::to_string(&self.inserts).map_err(|e| sqlx::Error::Encode(e.into()))?;
        let written: Vec<String> = failing!(
            "db.inbox.insert_new",
            sqlx::query_scalar(sql::INSERT_NEW).bind(wanted).fetch_all(&mut *connection).await
        )?;
        if written.len() == self.inserts.len() {
            return Ok(outcomes);
        }
        let written: BTreeSet<String> = written.into_iter().collect();
        let before = std::mem::take(&mut self.inserts);
        let before = before.iter().filter(|insert| !written.contains(&insert.key));
        self.by_key.retain(|key, _| written.contains(key));
        self.read_same_keys(connection, before.map(|insert| &*insert.key)).await?;
        for (incoming, outcome) in deliveries().zip(&mut outcomes) {
            if !written.contains(&incoming.key) {
                // Forgotten in between: it is tried again, and is new.
                let kept = self.by_key.get(&incoming.key).ok_or(sqlx::Error::RowNotFound)?;
                *outcome = Done::Known(kept.clone());
            }
        }
        Ok(outcomes)
    }
}
