//! The newest events, kept for consumers that are a little behind, however many there are. Where there is a relay, what
//! it reads is kept for consumers too, and the other way round: a commit is read once.

use std::{collections::VecDeque, sync::Arc};

use shipway_events::{Position, RawEvent};
use tokio::sync::Mutex;

use crate::log::{self, Log, ReadError, Stored};

/// How many events are kept.
const KEPT: usize = 4_096;

/// How many bytes they may have.
const KEPT_BYTES: usize = 32 << 20;

/// What an event costs besides its data.
const ENVELOPE: usize = 512;

/// The newest events, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
    /// Whether a relay may ask for rows.
    relayed: bool,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    event: Arc<RawEvent>,
    /// What the row has besides, if the event was read as a row that holds its data.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    hash: Vec<u8>,
    meta: String,
}

impl Recent {
    /// Events that a relay may ask for as rows.
    pub(super) fn relayed() -> Self {
        Self { kept: Mutex::default(), relayed: true }
    }

    /// Keeps events that came some other way than by reading, oldest first and without a gap among them.
    pub(crate) async fn offer(&self, events: Vec<Arc<RawEvent>>) {
        self.kept.lock().await.offer(events.into_iter().map(|event| Entry { event, rest: None }));
    }

    /// The events after a position, from here or from the log.
    pub(super) async fn read(
        &self,
        log: &dyn Log,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Arc<RawEvent>>, ReadError> {
        // Whoever comes first reads what is new; the others wait for it and find it here.
        let mut kept = self.kept.lock().await;
        if let Some(skip) = kept.has_after(after) {
            return Ok(kept
                .events
                .iter()
                .skip(skip)
                .take(limit)
                .map(|entry| Arc::clone(&entry.event))
                .collect());
        }
        let last = kept.last();
        let end = *log.tail().borrow();
        // What was put off for a moment while the log went on far is not worth keeping up with from behind.
        let close = last.is_none_or(|last| after > last && end.saturating_sub(after) <= KEPT as u64);
        if close || last == Some(after) {
            let new = self.fetch(log, after, limit.clamp(1, KEPT)).await?;
            if last != Some(after) {
                kept.clear();
            }
            let events = new.iter().map(|entry| Arc::clone(&entry.event)).collect();
            kept.offer(new);
            return Ok(events);
        }
        drop(kept);
        let events = log.read(after, limit).await?;
        Ok(events.into_iter().map(Arc::new).collect())
    }

    /// The rows after a position, from here or from the log, unchecked.
    pub(super) async fn rows(
        &self,
        log: &dyn Log,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        let mut kept = self.kept.lock().await;
        if let Some(skip) = kept.has_after(after) {
            let entries = kept.events.iter().skip(skip).take(limit);
            let rows: Vec<_> = entries.map_while(Entry::row).collect();
            if !rows.is_empty() {
                return Ok(rows);
            }
            drop(kept);
            return log.stored(after, limit).await;
        }
        let rows = log.stored(after, limit).await?;
        // Those that cannot be read as events (their data is erased) are rows all the same.
        if kept.last().is_none_or(|last| last <= after)
            && let Ok(entries) = entries(log, rows.clone(), after).await
        {
            kept.offer(entries);
        }
        Ok(rows)
    }

    async fn fetch(&self, log: &dyn Log, after: Position, limit: usize) -> Result<Vec<Entry>, ReadError> {
        if self.relayed {
            return entries(log, log.stored(after, limit).await?, after).await;
        }
        let events = log.read(after, limit).await?;
        Ok(events.into_iter().map(|event| Entry { event: Arc::new(event), rest: None }).collect())
    }
}

async fn entries(log: &dyn Log, rows: Vec<Stored>, after: Position) -> Result<Vec<Entry>, ReadError> {
    let rest = |row: &Stored| {
        let holds_data = row.form == log::Form::Inline.number();
        holds_data.then(|| Rest { hash: row.hash.clone(), meta: row.meta.clone() })
    };
    let rests: Vec<_> = rows.iter().map(rest).collect();
    let events = log::events(log, rows, after, |row| row.position).await?;
    Ok(events.into_iter().zip(rests).map(|(event, rest)| Entry { event: Arc::new(event), rest }).collect())
}

impl Entry {
    fn row(&self) -> Option<Stored> {
        let (event, rest) = (&self.event, self.rest.as_ref()?);
        Some(Stored {
            position: event.position,
            stream: 0,
            name: event.stream.as_str().to_owned(),
            version: event.version,
            kind: event.kind.clone(),
            schema: i64::from(event.schema),
            form: log::Form::Inline.number(),
            data: event.data.clone(),
            command: event.command.uuid().as_bytes().to_vec(),
            items: None,
            meta: rest.meta.clone(),
            at: event.at.micros(),
            hash: rest.hash.clone(),
        })
    }

    fn size(&self) -> usize {
        self.event.data.len() + ENVELOPE
    }
}

impl Kept {
    fn last(&self) -> Option<Position> {
        self.events.back().map(|entry| entry.event.position)
    }

    /// If the event after a position is here: how many are before it.
    fn has_after(&self, after: Position) -> Option<usize> {
        let first = self.events.front()?.event.position;
        let last = self.last()?;
        if after < last && after + 1 >= first { usize::try_from(after + 1 - first).ok() } else { None }
    }

    fn offer(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            let position = entry.event.position;
            match self.last().map(|last| last + 1) {
                // Somebody has read it already.
                Some(next) if position < next => continue,
                // What lies between is nobody's here yet; the newer ones are worth more.
                Some(next) if position > next => self.clear(),
                _ => {}
            }
            self.bytes += entry.size();
            self.events.push_back(entry);
        }
        // The newest one stays, so that what goes on is known.
        while self.events.len() > 1
            && (self.events.len() > KEPT || self.bytes > KEPT_BYTES)
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= oldest.size();
        }
    }

    fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}
