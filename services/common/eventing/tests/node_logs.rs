//! Logs of nodes in the blob store: every record keeps its number, and what is missing shows.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use shipway_eventing::{
    Blobs, NodeLogs,
    node_logs::{
        End, Expired, From, Kind, Line, LiveTail, NoTail, NodeLogWriter, Record, Source, Tail, TailError,
    },
};
use shipway_events::{Fence, RunId, Timestamp};

struct Given {
    folder: tempfile::TempDir,
    logs: NodeLogs,
    run: RunId,
}

async fn given() -> Given {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).await.unwrap();
    Given { logs: NodeLogs::new(&blobs), run: RunId::new(uuid::Uuid::now_v7()), folder }
}

impl Given {
    fn writer(&self, host: &str) -> NodeLogWriter {
        self.logs.writer(self.run, 1, host)
    }

    async fn read(&self, from: From) -> Vec<(u64, Kind, String)> {
        let lines = self.logs.reader(NoTail).read(self.run, 1, from, usize::MAX).await.unwrap();
        lines.iter().map(shown).collect()
    }

    /// The stored objects of the log.
    fn objects(&self) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.path().join("logs")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { open.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

fn shown(line: &Line) -> (u64, Kind, String) {
    (line.number, line.record.kind, String::from_utf8_lossy(&line.record.text).into_owned())
}

fn source(fence: u64, until: u64) -> Source {
    Source { fence: Fence::from_raw(fence), until }
}

fn records(texts: &[&str]) -> Vec<Record> {
    let line = |text: &&str| Record { kind: Kind::Line, text: Bytes::copy_from_slice(text.as_bytes()) };
    texts.iter().map(line).collect()
}

fn line(number: u64, text: &str) -> (u64, Kind, String) {
    (number, Kind::Line, text.to_owned())
}

#[tokio::test]
async fn every_line_has_one_number_for_ever_whoever_writes() {
    let given = given().await;
    let (mut first, mut second) = (given.writer("a"), given.writer("b"));
    assert_eq!(first.append(source(1, 8), &records(&["one", "two"])).await.unwrap(), End::default());
    // The second begins where the first is, and the first, which does not know of it, after that.
    let three = second.append(source(5, 6), &records(&["three"])).await.unwrap();
    assert_eq!(three, End { record: 2, offset: 8 });
    let late = first.append(source(1, 13), &records(&["late"])).await.unwrap();
    assert_eq!(late, End { record: 3, offset: 14 });
    second.append(source(5, 11), &records(&["four"])).await.unwrap();
    second.close().await.unwrap();
    let all = [line(0, "one"), line(1, "two"), line(2, "three"), line(3, "late"), line(4, "four")];
    assert_eq!(given.read(From::Record(0)).await, all);
    for from in 0..5 {
        assert_eq!(given.read(From::Record(from)).await, all[usize::try_from(from).unwrap()..]);
    }
    // Offsets: the line that the byte is in.
    for (offset, begin) in [(0, 0), (3, 0), (4, 1), (7, 1), (8, 2), (13, 2), (14, 3), (18, 3), (19, 4)] {
        assert_eq!(given.read(From::Offset(offset)).await, all[begin..], "{offset}");
    }
    let some = given.logs.reader(NoTail).read(given.run, 1, From::Record(1), 2).await.unwrap();
    assert_eq!(some.iter().map(shown).collect::<Vec<_>>(), all[1..3]);
}

#[tokio::test]
async fn a_writer_that_starts_again_knows_what_it_has_stored() {
    let given = given().await;
    let mut before = given.writer("a");
    before.append(source(1, 4), &records(&["one"])).await.unwrap();
    before.append(source(3, 9), &records(&["two"])).await.unwrap();
    given.writer("b").append(source(4, 99), &records(&["other"])).await.unwrap();
    let mut after = given.writer("a");
    after.open().await.unwrap();
    assert_eq!((after.stored(Fence::from_raw(1)), after.stored(Fence::from_raw(3))), (4, 9));
    assert_eq!((after.stored(Fence::from_raw(4)), after.end().record), (0, 3));
    // The same once more, because the answer of the store was lost: it is there once.
    before.append(source(3, 12), &records(&["three"])).await.unwrap();
    after.append(source(3, 12), &records(&["three"])).await.unwrap();
    assert_eq!(given.read(From::Record(3)).await[0], line(3, "three"));
    assert_eq!(after.end().record, 4);
}

#[tokio::test]
async fn what_is_missing_shows_in_its_place() {
    let given = given().await;
    let mut writer = given.writer("a");
    for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
        writer.append(source(1, number as u64 * 4), &records(&[text])).await.unwrap();
    }
    let cut = given.read(From::Record(0)).await;
    assert_eq!((cut[3].0, cut[3].1), (3, Kind::Gap));
    assert!(cut[3].2.contains("the log ends here"), "{}", cut[3].2);
    writer.close().await.unwrap();
    assert_eq!(given.read(From::Record(0)).await.len(), 3);
    std::fs::remove_file(&given.objects()[1]).unwrap();
    let gap = (1, Kind::Gap, "[shipway] the lines 1 to 1 are missing".to_owned());
    assert_eq!(given.read(From::Record(0)).await, [line(0, "one"), gap.clone(), line(2, "three")]);
    // A chunk that is damaged is missing too.
    std::fs::write(&given.objects()[0], "{}\nnonsense").unwrap();
    let gap = (0, Kind::Gap, "[shipway] the lines 0 to 1 are missing".to_owned());
    assert_eq!(given.read(From::Record(0)).await, [gap, line(2, "three")]);
    assert!(given.logs.reader(NoTail).read(given.run, 2, From::Record(0), 9).await.unwrap().is_empty());
}

/// A host that writes: what it has not stored, in steps.
#[derive(Clone)]
struct Host(Arc<Mutex<Vec<Answer>>>);

/// What the host says when it is asked.
type Answer = Result<Option<Tail>, &'static str>;

#[async_trait]
impl LiveTail for Host {
    async fn tail(&self, _: RunId, _: u32, _: u64, _: Duration) -> Result<Option<Tail>, TailError> {
        let next = self.0.lock().unwrap().pop();
        next.unwrap_or(Ok(None)).map_err(|why| TailError(why.to_owned()))
    }
}

fn tail(stored: u64, number: u64, texts: &[&str]) -> Result<Option<Tail>, &'static str> {
    let place = |(at, record): (usize, Record)| Line { number: number + at as u64, offset: 0, record };
    Ok(Some(Tail { stored, lines: records(texts).into_iter().enumerate().map(place).collect() }))
}

#[tokio::test]
async fn what_is_stored_comes_before_what_the_host_has() {
    let given = given().await;
    let mut writer = given.writer("a");
    writer.append(source(1, 4), &records(&["one"])).await.unwrap();
    let steps = |mut steps: Vec<_>| {
        steps.reverse();
        given.logs.reader(Host(Arc::new(Mutex::new(steps))))
    };
    let read = async |reader: shipway_eventing::node_logs::NodeLogReader<Host>, follow| {
        let batches: Vec<Vec<Line>> =
            reader.lines(given.run, 1, From::Record(0), follow).try_collect().await.unwrap();
        batches.concat().iter().map(shown).collect::<Vec<_>>()
    };
    let now = read(steps(vec![tail(1, 1, &["two"])]), false).await;
    assert_eq!(now, [line(0, "one"), line(1, "two")]);
    let gone = read(steps(vec![Err("it is away")]), false).await;
    assert!(gone[1].1 == Kind::Gap && gone[1].2.ends_with("does not answer: it is away"), "{gone:?}");

    // Followed: the host stores lines after the store was read, and says where to look.
    writer.append(source(1, 8), &records(&["two"])).await.unwrap();
    writer.append(source(1, 14), &records(&["three"])).await.unwrap();
    writer.close().await.unwrap();
    let followed = vec![
        tail(3, 3, &[]),
        Err("for a moment"),
        tail(3, 3, &["four"]),
        tail(3, 3, &["four", "five"]),
        tail(3, 5, &[]),
        Ok(None),
    ];
    let expected = [line(0, "one"), line(1, "two"), line(2, "three"), line(3, "four"), line(4, "five")];
    let all = read(steps(followed), true).await;
    assert_eq!(all[..5], expected);
    // The host is gone before it had stored them.
    assert!(all.len() == 6 && all[5].1 == Kind::Gap, "{all:?}");
}

#[tokio::test]
async fn old_runs_go_whole_and_in_batches() {
    let given = given().await;
    let now =
        Timestamp::from_micros(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap());
    let day = Duration::from_secs(86_400);
    let seconds = |days_ago: u64| u64::try_from(now.millis()).unwrap() / 1000 - days_ago * 86_400;
    let made = |days_ago| {
        RunId::new(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds(days_ago), 0)))
    };
    let mut runs: Vec<RunId> = [100, 99, 98, 1].map(made).into();
    // One that was started for another run has an id of another kind.
    runs[1] = RunId::of_child(runs[1], 2, 1);
    for run in &runs {
        for node in [1, 2] {
            let mut writer = given.logs.writer(*run, node, "a");
            writer.append(source(1, 4), &records(&["one"])).await.unwrap();
            writer.close().await.unwrap();
        }
    }
    let days: Vec<_> = std::fs::read_dir(given.folder.path().join("logs")).unwrap().collect();
    assert_eq!(days.len(), 4, "each is found by its day: {days:?}");
    let before = now.plus(day);
    // Nothing has been untouched for so long: a run may go on for months.
    let ninety = Timestamp::from_micros(now.micros() - 90 * 86_400 * 1_000_000);
    assert_eq!(given.logs.expire(ninety, 10).await.unwrap(), Expired::default());
    for object in given.objects() {
        let file = std::fs::File::options().write(true).open(object).unwrap();
        file.set_modified(std::time::SystemTime::now() - 95 * day).unwrap();
    }
    assert_eq!(given.logs.expire(ninety, 2).await.unwrap(), Expired { runs: 2, more: true });
    assert_eq!(given.logs.expire(ninety, 2).await.unwrap(), Expired { runs: 1, more: false });
    let left = async |run| given.logs.reader(NoTail).read(run, 2, From::Record(0), 9).await.unwrap().len();
    assert_eq!((left(runs[0]).await, left(runs[2]).await, left(runs[3]).await), (0, 0, 1));
    assert_eq!(given.logs.expire(before, 10).await.unwrap(), Expired { runs: 1, more: false });
    assert!(given.objects().is_empty());
    let left: Vec<_> = std::fs::read_dir(given.folder.path().join("logs")).into_iter().flatten().collect();
    assert!(left.is_empty(), "folders that nothing is in are looked through for ever: {left:?}");
}
