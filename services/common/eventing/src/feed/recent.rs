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

    /// The events after a position, from here or from the log. The first whose data is elsewhere ends what is read
    /// together: it may be long in coming.
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
        if !close && last != Some(after) {
            drop(kept);
            let rows = log.stored(after, limit).await?;
            return Ok(events(&self.whole(log, rows, after).await?));
        }
        let mut rows = log.stored(after, limit.clamp(1, KEPT)).await?;
        let elsewhere = rows.split_off(inline(&rows));
        if !rows.is_empty() || elsewhere.is_empty() {
            let new = self.entries(log, rows, after).await?;
            let read = events(&new);
            kept.offer(new);
            return Ok(read);
        }
        // Nobody waits for the blobs but who needs them next: while their store is away, a try takes half a minute.
        drop(kept);
        let new = self.whole(log, elsewhere, after).await?;
        let read = events(&new);
        self.kept.lock().await.offer(new);
        Ok(read)
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
        // Those that cannot be read as events are rows all the same.
        if kept.last().is_none_or(|last| last <= after)
            && let Ok(entries) = self.entries(log, rows[..inline(&rows)].to_vec(), after).await
        {
            kept.offer(entries);
        }
        Ok(rows)
    }

    /// What rows say, wherever their data is: up to the first that cannot be read, if others come before it.
    async fn whole(
        &self,
        log: &dyn Log,
        rows: Vec<Stored>,
        after: Position,
    ) -> Result<Vec<Entry>, ReadError> {
        let mut whole = Vec::with_capacity(rows.len());
        for (row, before) in rows.into_iter().zip(after..) {
            match self.entries(log, vec![row], before).await {
                Ok(one) => whole.extend(one),
                Err(_) if !whole.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(whole)
    }

    async fn entries(
        &self,
        log: &dyn Log,
        rows: Vec<Stored>,
        after: Position,
    ) -> Result<Vec<Entry>, ReadError> {
        let rest = |row: &Stored| {
            let holds_data = self.relayed && row.form == log::Form::Inline.number();
            holds_data.then(|| Rest { hash: row.hash.clone(), meta: row.meta.clone() })
        };
        let rests: Vec<_> = rows.iter().map(rest).collect();
        let events = log::events(log, rows, after, |row| row.position).await?;
        let events = events.into_iter().map(Arc::new);
        Ok(events.zip(rests).map(|(event, rest)| Entry { event, rest }).collect())
    }
}

/// How many rows there are before the first whose data is elsewhere, or nowhere.
fn inline(rows: &[Stored]) -> usize {
    rows.iter().take_while(|row| row.form == log::Form::Inline.number()).count()
}

fn events(entries: &[Entry]) -> Vec<Arc<RawEvent>> {
    entries.iter().map(|entry| Arc::clone(&entry.event)).collect()
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

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::{Path, PathBuf},
        process::Command,
        time::Duration,
    };

    use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, StreamName};

    use super::*;
    use crate::{Blobs, Expected, Item, SqliteLog, SqliteOptions};

    async fn append(log: &SqliteLog, sizes: &[usize]) {
        let meta = Meta { actor: Actor::Person("ann".into()), cause: Cause::Request, trace: None };
        let event = |size: &usize| NewEvent {
            kind: "test.happened",
            schema: 1,
            data: format!("\"{}\"", "x".repeat(*size)),
        };
        let (command, stream) = (CommandId::new(uuid::Uuid::now_v7()), StreamName::parse("run-a").unwrap());
        let item = Item::one(command, meta, stream, Expected::Any, sizes.iter().map(event).collect());
        log.append(item).await.unwrap();
    }

    /// A blob whose reading does not end, until this is dropped.
    struct Hanging {
        blob: PathBuf,
        aside: PathBuf,
    }

    impl Hanging {
        fn only_blob_of(folder: &Path) -> Self {
            let first = |folder: PathBuf| fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
            let blob = first(first(folder.join("sha256")));
            let aside = folder.join("aside");
            fs::rename(&blob, &aside).unwrap();
            assert!(Command::new("mkfifo").arg(&blob).status().unwrap().success());
            Self { blob, aside }
        }
    }

    impl Drop for Hanging {
        fn drop(&mut self) {
            let pipe = self.blob.with_extension("pipe");
            fs::rename(&self.blob, &pipe).unwrap();
            fs::rename(&self.aside, &self.blob).unwrap();
            // Whoever waits for somebody who writes to it finds nothing in it.
            drop(File::options().read(true).write(true).open(pipe).unwrap());
        }
    }

    fn positions(events: &[Arc<RawEvent>]) -> Vec<Position> {
        events.iter().map(|event| event.position).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_blob_that_does_not_come_holds_up_only_who_needs_it_next() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs");
        let options = SqliteOptions { blobs: Some(Blobs::open(&blobs).await.unwrap()) };
        let log = SqliteLog::open(&folder.path().join("log.db"), options).await.unwrap();
        append(&log, &[1, 1, 1, 300 << 10, 1, 1, 1]).await;
        let recent = Recent::relayed();
        let hanging = Hanging::only_blob_of(&blobs);
        assert_eq!(positions(&recent.read(&log, 0, 100).await.unwrap()), [1, 2, 3], "what comes before it");
        let mut needs = std::pin::pin!(recent.read(&log, 3, 100));
        let others = async {
            let rows = recent.rows(&log, 3, 100).await.unwrap();
            let relayed: Vec<_> = rows.iter().map(|row| row.position).collect();
            let (behind, ahead) = (recent.read(&log, 0, 100).await, recent.read(&log, 4, 100).await);
            (relayed, positions(&behind.unwrap()), positions(&ahead.unwrap()))
        };
        let others = tokio::time::timeout(Duration::from_secs(20), others);
        let (relayed, behind, ahead) = tokio::select! {
            biased;
            read = &mut needs => panic!("it hangs: {read:?}"),
            others = others => others.expect("nobody else waits"),
        };
        assert_eq!((relayed, behind, ahead), (vec![4, 5, 6, 7], vec![1, 2, 3], vec![5, 6, 7]));
        drop(hanging);
        assert!(needs.await.is_err(), "there was nothing in it");
        assert_eq!(positions(&recent.read(&log, 3, 100).await.unwrap()), [4, 5, 6, 7]);
        log.close().await;
    }
}
