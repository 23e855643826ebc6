//! L-1: readers miss nothing. L-2: of those who write a version, one wins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::RngExt;
use shipway_eventing::{AppendError, Expected, Feed, Log, verify::verify};

use crate::given::{Given, chance, item, quantile, seed, stream};

const EVENTS: u64 = 50_000;
const WRITERS: u64 = 16;

/// How long they write at least, where the plan's sizes are asked for.
const WRITING: Duration = Duration::from_secs(60);

/// 16 writers (on PostgreSQL in two processes) with pauses and refused items, a transaction that is rolled back
/// beside them, 3 readers that poll and one that is woken.
pub(crate) async fn readers_miss_nothing(given: &Given) {
    let seed = seed();
    let begun = Instant::now();
    let until = if crate::full() { begun + WRITING } else { begun };
    let logs = [Arc::clone(&given.log), given.another().await];
    let done = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (log, written, refused) =
                (Arc::clone(&logs[(writer % 2) as usize]), Arc::clone(&written), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut chance = chance(seed.wrapping_add(writer));
                while written.load(Ordering::Relaxed) < EVENTS || Instant::now() < until {
                    let to = stream(format!("run-{writer}-{}", chance.random_range(0..50)));
                    let events = chance.random_range(1..8);
                    let wrong = chance.random_bool(0.02);
                    let expected = if wrong { Expected::Version(1_000_000) } else { Expected::Any };
                    match log.append(item(&to, expected, events)).await {
                        Ok(answer) => {
                            written.fetch_add(1 + answer.last - answer.first, Ordering::Relaxed);
                        }
                        Err(AppendError::Conflict { .. }) if wrong => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error}"),
                    }
                    if chance.random_bool(0.1) {
                        tokio::time::sleep(Duration::from_micros(chance.random_range(0..2_000))).await;
                    }
                }
            })
        })
        .collect();
    let mut direct = given.direct().await;
    let (stop, postgres) = (Arc::clone(&done), given.is_postgres());
    let rollbacks = tokio::spawn(async move {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let begin = if postgres { "BEGIN" } else { "BEGIN IMMEDIATE" };
            direct.run(begin).await;
            direct.run("UPDATE head SET position = position + 5").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            direct.run("ROLLBACK").await;
            count += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        count
    });
    let readers: Vec<_> = (0..4_usize)
        .map(|reader| {
            let (log, done) = (Arc::clone(&logs[reader % 2]), Arc::clone(&done));
            tokio::spawn(async move { follow(log, reader == 3, &done).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let head = given.log.head().await.unwrap().position;
    let (mut missed, mut disordered) = (0, 0);
    for reader in readers {
        let (seen, wrong) = reader.await.unwrap();
        missed += head - seen;
        disordered += wrong;
    }
    let report = verify(&*given.log).await.unwrap();
    let refused = refused.load(Ordering::Relaxed);
    let rollbacks = rollbacks.await.unwrap();
    println!(
        "ROW L-1 {} events={head} readers=4 refused={refused} rollbacks={rollbacks} missed={missed} \
         disordered={disordered} seconds={:.1} seed={seed}",
        given.name(),
        begun.elapsed().as_secs_f64()
    );
    assert!(head >= EVENTS);
    assert_eq!((missed, disordered, report.bad), (0, 0, None));
    assert_eq!((head, report.events), (written.load(Ordering::Relaxed), head));
    if given.is_postgres() {
        logs[1].close().await;
    }
}

/// Reads to the end of the log after the writers are done: how many events were seen, and how many not in order.
async fn follow(log: Arc<dyn Log>, woken: bool, done: &AtomicBool) -> (u64, u64) {
    let feed = Feed::new(Arc::clone(&log));
    let mut tail = feed.tail();
    let (mut at, mut seen, mut wrong) = (0, 0, 0);
    loop {
        let finished = done.load(Ordering::Relaxed);
        let positions: Vec<_> = if woken {
            feed.read(at, 500).await.unwrap().iter().map(|event| event.position).collect()
        } else {
            log.read(at, 500).await.unwrap().iter().map(|event| event.position).collect()
        };
        if positions.is_empty() {
            if finished {
                return (seen, wrong);
            }
            // A poll, or a wake; the pause only bounds it.
            drop(tokio::time::timeout(Duration::from_millis(5), tail.changed()).await);
        }
        for position in positions {
            wrong += u64::from(position != at + 1);
            seen += 1;
            at = position;
        }
    }
}

const TRIES: u64 = 100_000;

pub(crate) async fn one_writer_wins_each_version(given: &Given) {
    let begun = Instant::now();
    let version = Arc::new(AtomicU64::new(0));
    let tries = Arc::new(AtomicU64::new(0));
    let logs = [Arc::clone(&given.log), given.another().await];
    let writers: Vec<_> = (0..64_usize)
        .map(|writer| {
            let (log, version, tries) =
                (Arc::clone(&logs[writer % 2]), Arc::clone(&version), Arc::clone(&tries));
            tokio::spawn(async move {
                let to = stream("run-one");
                let (mut won, mut lost) = (Vec::new(), Vec::new());
                while tries.fetch_add(1, Ordering::Relaxed) < TRIES {
                    let expected = version.load(Ordering::Acquire);
                    let begun = Instant::now();
                    match log.append(item(&to, Expected::Version(expected), 1)).await {
                        Ok(answer) => {
                            assert_eq!(answer.versions, [(to.clone(), expected + 1)]);
                            version.fetch_max(expected + 1, Ordering::AcqRel);
                            won.push(expected + 1);
                        }
                        Err(AppendError::Conflict { actual, .. }) => {
                            assert!(actual > expected, "{actual} <= {expected}");
                            version.fetch_max(actual, Ordering::AcqRel);
                            lost.push(begun.elapsed().as_secs_f64() * 1e3);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                (won, lost)
            })
        })
        .collect();
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for writer in writers {
        let (some_won, some_lost) = writer.await.unwrap();
        won.extend(some_won);
        lost.extend(some_lost);
    }
    won.sort_unstable();
    let double = won.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let head = given.log.head().await.unwrap().position;
    let tries = won.len() + lost.len();
    let slow = quantile(&mut lost, 0.99);
    println!(
        "ROW L-2 {} tries={tries} winners={} double={double} conflicts={} conflict_p99_ms={slow:.2} seconds={:.1}",
        given.name(),
        won.len(),
        lost.len(),
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(won, (1..=head).collect::<Vec<_>>());
    assert_eq!((double, tries as u64), (0, TRIES));
    assert!(!crate::full() || slow < 50.0, "{slow} ms");
    assert!(verify(&*given.log).await.unwrap().is_whole());
    if given.is_postgres() {
        logs[1].close().await;
    }
}
