//! What the relay knows across its processes: one row beside the log. It may be a little old: where to go on, the last
//! message on the stream tells.

use shipway_events::Position;
use sqlx::Row;

use crate::{
    durable::{Durable, DurableError, failed},
    failing,
    lease::Epoch,
};

pub(crate) const TABLES: &[&str] = &["CREATE TABLE IF NOT EXISTS relay (
    stream TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    created TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    position BIGINT NOT NULL
)"];

const TAKE: &str = "
INSERT INTO relay (stream, epoch, generation, created, sequence, position) VALUES ($1, $2, 0, '', 0, -1)
ON CONFLICT (stream) DO UPDATE SET epoch = excluded.epoch WHERE relay.epoch <= excluded.epoch
RETURNING generation, created, sequence, position";

const SAVE: &str = "
UPDATE relay SET generation = $3, created = $4, sequence = $5, position = $6 WHERE stream = $1 AND epoch = $2";

/// How far the stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// When the stream was made: another time, another stream.
    pub created: String,
    /// Raised whenever messages may have to be published again; part of their ids, so that none is taken for a
    /// repetition.
    pub generation: u32,
    /// The sequence of the last message.
    pub sequence: u64,
    /// The position of the last event that was published.
    pub position: Position,
}

/// The row of one stream, as one leader writes it.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub durable: Durable,
    pub stream: String,
}

impl Rows {
    /// The last known place, if there is one, for a leader with this epoch; the outer none: another leads.
    pub(super) async fn take(&self, epoch: Epoch) -> Result<Option<Option<Place>>, DurableError> {
        let take = sqlx::query(TAKE).bind(&self.stream).bind(epoch).fetch_optional(self.durable.writers());
        let row = failing!("db.relay.take", take.await).map_err(failed("taking the relay's row"))?;
        let place = |row: sqlx::any::AnyRow| {
            let position: i64 = row.try_get("position")?;
            let generation: i64 = row.try_get("generation")?;
            let place = Place {
                created: row.try_get("created")?,
                generation: u32::try_from(generation).unwrap_or(u32::MAX),
                sequence: row.try_get::<i64, _>("sequence")?.cast_unsigned(),
                position: position.cast_unsigned(),
            };
            Ok((position >= 0).then_some(place))
        };
        row.map(place).transpose().map_err(failed("reading the relay's row"))
    }

    /// Keeps a place; false: another leads. `lazily`: it may be lost in a power cut.
    pub(super) async fn save(&self, epoch: Epoch, place: &Place, lazily: bool) -> Result<bool, DurableError> {
        let pool = if lazily { self.durable.lazy_pool() } else { self.durable.writers() };
        let save = sqlx::query(SAVE)
            .bind(&self.stream)
            .bind(epoch)
            .bind(i64::from(place.generation))
            .bind(&place.created)
            .bind(place.sequence.cast_signed())
            .bind(place.position.cast_signed())
            .execute(pool);
        let done = failing!("db.relay.save", save.await).map_err(failed("keeping the relay's row"))?;
        Ok(done.rows_affected() == 1)
    }
}
