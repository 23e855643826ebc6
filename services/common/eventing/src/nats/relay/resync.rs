//! Where to go on, learnt from the stream itself.

use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use shipway_events::Position;

use super::{Epoch, Place, Stop, Work, streams};
use crate::failpoint;

/// How many events before the last published one are published again on a stream that lost all: readers outside that
/// were a little behind need not fill a gap.
const OVERLAP: u64 = 1_000;

impl Work {
    /// Looks at the stream, makes it if it is missing, and decides where to go on; also whether the stream's last message
    /// is what the log holds. `last`: where this leader was.
    pub(super) async fn resync(&self, epoch: Epoch, last: Option<&Place>) -> Result<(Place, bool), Stop> {
        failpoint!("nats.resync", return Err(Stop::LookAgain("the stream did not answer".to_owned())));
        let Some(row) = self.rows.take(epoch).await? else { return Err(Stop::Superseded) };
        let mut known = last.cloned().or(row.clone());
        // No generation is used twice, whoever used it.
        if let (Some(known), Some(row)) = (&mut known, &row) {
            known.generation = known.generation.max(row.generation);
        }
        let (stream, _) =
            streams::ensure(&self.nats, streams::events(&self.origin.names, self.settings)).await?;
        self.delete_consumers_ahead(&stream).await?;
        let info = stream.cached_info();
        let head = self.feed.log().head().await?.position;
        let proven = match info.state.messages {
            0 => None,
            _ => self.prove(&stream, info.state.last_sequence, head).await?,
        };
        let place = go_on(
            known.as_ref(),
            &Found { created: info.created.to_string(), sequence: info.state.last_sequence, proven, head },
        );
        if known.as_ref().is_none_or(|known| known.generation != place.generation) {
            tracing::info!(
                generation = place.generation,
                position = place.position,
                sequence = place.sequence,
                "the stream of events is not what it was; publishing goes on as a new generation"
            );
        }
        // No message bears a generation that could be used a second time.
        if row.as_ref() != Some(&place) && !self.rows.save(epoch, &place, false).await? {
            return Err(Stop::Superseded);
        }
        self.status.send_modify(|status| {
            status.resyncs += 1;
            status.position = place.position;
            status.generation = place.generation;
        });
        Ok((place, proven.is_some()))
    }

    /// A consumer that was told of more than the stream has would pass over as many new messages: the store was rolled
    /// back without it. Its owner makes it anew, and goes on by position.
    async fn delete_consumers_ahead(&self, stream: &Stream) -> Result<(), Stop> {
        let look_again = |error: &dyn std::error::Error| Stop::LookAgain(super::chain(error));
        let mut consumers = stream.consumers();
        let mut told = Vec::new();
        while let Some(consumer) = consumers.next().await {
            let consumer = consumer.map_err(|error| look_again(&error))?;
            told.push((consumer.name, consumer.delivered.stream_sequence));
        }
        // Asked after them, so that none is ahead because it was quick.
        let last = stream.get_info().await.map_err(|error| look_again(&error))?.state.last_sequence;
        for (name, _) in told.into_iter().filter(|(_, sequence)| *sequence > last) {
            tracing::warn!(
                consumer = name,
                "a consumer is ahead of the stream of events, which was rolled back; deleting it"
            );
            stream.delete_consumer(&name).await.map_err(|error| look_again(&error))?;
        }
        Ok(())
    }

    /// The position of the stream's last message, if the log holds at that position what the message says.
    async fn prove(&self, stream: &Stream, sequence: u64, head: Position) -> Result<Option<Position>, Stop> {
        use async_nats::jetstream::{ErrorCode, stream::LastRawMessageErrorKind};
        let message = match stream.get_raw_message(sequence).await {
            Ok(message) => message,
            Err(error) => {
                return match error.kind() {
                    LastRawMessageErrorKind::NoMessageFound => Ok(None),
                    // What a damaged store answers for a message that it cannot read.
                    LastRawMessageErrorKind::JetStream(error)
                        if error.error_code() != ErrorCode::CLUSTER_NOT_AVAILABLE =>
                    {
                        Ok(None)
                    }
                    _ => Err(Stop::LookAgain(super::chain(&error))),
                };
            }
        };
        let Some(incoming) = self.origin.read(Some(&message.headers), &message.payload) else {
            return Ok(None);
        };
        let position = incoming.row.position;
        if incoming.generation != self.origin.generation || position == 0 || position > head {
            return Ok(None);
        }
        let rows = self.feed.log().stored(position - 1, 1).await?;
        let held = rows.first().is_some_and(|row| row.position == position && row.hash == incoming.row.hash);
        Ok(held.then_some(position))
    }
}

/// What the stream was found to be.
struct Found {
    created: String,
    sequence: u64,
    /// The position of its last message, if that proved itself.
    proven: Option<Position>,
    head: Position,
}

fn go_on(known: Option<&Place>, found: &Found) -> Place {
    let same = known.is_some_and(|known| known.created == found.created && known.sequence <= found.sequence);
    let generation = known.map_or(0, |known| known.generation);
    let before = known.map_or(found.head, |known| known.position).min(found.head);
    let (generation, position) = match found.proven {
        Some(position) if same => (generation, position),
        Some(position) => (generation.saturating_add(1), position),
        // All of it is lost, or this is the first time.
        None if found.sequence == 0 => (generation.saturating_add(1), before.saturating_sub(OVERLAP)),
        // Its last message is gone or says nothing true.
        None => (generation.saturating_add(1), before),
    };
    Place { created: found.created.clone(), generation, sequence: found.sequence, position }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Place {
        Place { created: "monday".into(), generation: 4, sequence: 50, position: 3_000 }
    }

    fn found(created: &str, sequence: u64, proven: Option<Position>) -> Found {
        Found { created: created.into(), sequence, proven, head: 3_100 }
    }

    fn goes_on(known: Option<&Place>, found: &Found) -> (u32, Position, u64) {
        let place = go_on(known, found);
        (place.generation, place.position, place.sequence)
    }

    #[test]
    fn the_same_stream_goes_on_after_its_last_message() {
        assert_eq!(goes_on(Some(&known()), &found("monday", 50, Some(3_000))), (4, 3_000, 50));
        assert_eq!(
            goes_on(Some(&known()), &found("monday", 70, Some(3_020))),
            (4, 3_020, 70),
            "the row was old"
        );
    }

    #[test]
    fn a_stream_that_was_rolled_back_or_made_anew_is_a_new_generation() {
        assert_eq!(goes_on(Some(&known()), &found("monday", 40, Some(2_990))), (5, 2_990, 40));
        assert_eq!(goes_on(Some(&known()), &found("tuesday", 60, Some(3_010))), (5, 3_010, 60));
        assert_eq!(goes_on(Some(&known()), &found("tuesday", 0, None)), (5, 2_000, 0), "with an overlap");
        assert_eq!(goes_on(None, &found("monday", 0, None)), (1, 2_100, 0));
    }

    #[test]
    fn without_a_last_message_that_proves_itself_the_row_tells() {
        assert_eq!(goes_on(Some(&known()), &found("monday", 50, None)), (5, 3_000, 50));
        let ahead = Place { position: 9_000, ..known() };
        assert_eq!(goes_on(Some(&ahead), &found("monday", 50, None)), (5, 3_100, 50), "never after the head");
    }
}
