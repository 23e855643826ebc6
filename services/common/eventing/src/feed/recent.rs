//! The newest events, kept for consumers that are a little behind, however many there are.

use std::{collections::VecDeque, sync::Arc};

use shipway_events::{Position, RawEvent};
use tokio::sync::Mutex;

use crate::log::{Log, ReadError};

/// How many events are kept.
const KEPT: usize = 4_096;

/// How many bytes they may have.
const KEPT_BYTES: usize = 32 << 20;

/// What an event costs besides its data.
const ENVELOPE: usize = 512;

/// The newest events, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<RawEvent>>,
    bytes: usize,
}

impl Recent {
    /// Keeps events that came some other way than by reading, oldest first and without a gap among them.
    pub(crate) async fn offer(&self, events: Vec<Arc<RawEvent>>) {
        let mut kept = self.0.lock().await;
        for event in events {
            let next = kept.span().map(|(_, last)| last + 1);
            match next {
                // Somebody has read it already.
                Some(next) if event.position < next => continue,
                // What lies between is nobody's here yet; the newer ones are worth more.
                Some(next) if event.position > next => kept.clear(),
                _ => {}
            }
            kept.push(event);
        }
        kept.trim();
    }

    /// The events after a position, from here or from the log.
    pub(super) async fn read(
        &self,
        log: &dyn Log,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Arc<RawEvent>>, ReadError> {
        // Whoever comes first reads what is new; the others wait for it and find it here.
        let mut kept = self.0.lock().await;
        let (first, last) = kept.span().unwrap_or((Position::MAX, 0));
        let end = *log.tail().borrow();
        if after < last && after + 1 >= first {
            return Ok(kept.some(after - (first - 1), limit));
        }
        // What was put off for a moment while the log went on far is not worth keeping up with from behind.
        if after == last
            || (after > last && end.saturating_sub(after) <= KEPT as u64)
            || kept.events.is_empty()
        {
            let new = log.read(after, limit.clamp(1, KEPT)).await?;
            if after != last {
                kept.clear();
            }
            let new: Vec<_> = new.into_iter().map(Arc::new).collect();
            for event in &new {
                kept.push(Arc::clone(event));
            }
            kept.trim();
            return Ok(new);
        }
        drop(kept);
        let events = log.read(after, limit).await?;
        Ok(events.into_iter().map(Arc::new).collect())
    }
}

impl Kept {
    fn span(&self) -> Option<(Position, Position)> {
        Some((self.events.front()?.position, self.events.back()?.position))
    }

    fn some(&self, skip: u64, limit: usize) -> Vec<Arc<RawEvent>> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        self.events.iter().skip(skip).take(limit).cloned().collect()
    }

    fn push(&mut self, event: Arc<RawEvent>) {
        self.bytes += size(&event);
        self.events.push_back(event);
    }

    /// Lets the oldest go until the rest is not too much. The newest one stays, so that what goes on is known.
    fn trim(&mut self) {
        while self.events.len() > 1
            && (self.events.len() > KEPT || self.bytes > KEPT_BYTES)
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= size(&oldest);
        }
    }

    fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}

fn size(event: &RawEvent) -> usize {
    event.data.len() + ENVELOPE
}
