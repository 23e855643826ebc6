//! What happens to the store: wiped, rolled back, deleted, damaged. N-1 and N-3 to N-6.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    time::{Duration, Instant},
};

use async_nats::jetstream::context::GetStreamErrorKind;
use futures::StreamExt;
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use shipway_integration_tests::nats::NatsServer;

use crate::{
    full,
    given::{Given, Member, Reader, SOON, in_order, on_stream, until},
    outside::Outside,
};

/// How often a busy writer appends.
const BUSY: Duration = Duration::from_millis(4);

/// Waits until the relay has published all that there is; how long that took.
async fn caught_up(relay: &shipway_eventing::Relay, member: &Member) -> Duration {
    let begin = Instant::now();
    let head = member.log.head().await.unwrap().position;
    let mut status = relay.status();
    let reached = tokio::time::timeout(SOON, status.wait_for(|status| status.position >= head)).await.is_ok();
    assert!(reached, "the relay never came to {head}: {:?}", relay.status().borrow());
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_appends_the_others_hear() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let reader = two.reader();
    // What comes before the second process listens, it learns by looking.
    let last = one.append(1).await;
    reader.reach(last).await;
    let heard = async {
        while two
            .nats
            .jetstream()
            .get_stream(two.names().events_stream())
            .await
            .unwrap()
            .consumers()
            .count()
            .await
            < 2
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, heard).await.unwrap();
    let mut hops = Vec::new();
    for _ in 0..100 {
        let last = one.append(1).await;
        let begin = Instant::now();
        reader.reach(last).await;
        hops.push(begin.elapsed());
    }
    hops.sort();
    println!("from one process to another: p50 {:?}, p99 {:?}", hops[50], hops[99]);
    caught_up(&relay, &one).await;
    let stream = on_stream(&one).await;
    assert_eq!((stream.len(), relay.status().borrow().resyncs), (101, 1));
    in_order(&stream);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_1_the_store_is_wiped_three_times_under_load() {
    let mut given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let readers = [one.reader(), two.reader()];
    let writers = [one.writer(BUSY), two.writer(BUSY)];
    let mut back = Vec::new();
    for round in 0..3 {
        let wait_for = relay.status().borrow().position + if full() { 5_000 } else { 150 };
        until("some more events are published", || relay.status().borrow().position >= wait_for).await;
        let generation = relay.status().borrow().generation;
        given.server(NatsServer::wipe);
        let begin = Instant::now();
        until("the relay publishes a new generation", || {
            let status = relay.status();
            let status = status.borrow();
            status.publishes && status.generation > generation
        })
        .await;
        caught_up(&relay, &one).await;
        back.push(begin.elapsed());
        println!("round {round}: published again after {:?}", begin.elapsed());
    }
    for writer in writers {
        writer.stop().await;
    }
    for reader in &readers {
        reader.agrees_with(&*one.log).await;
    }
    caught_up(&relay, &one).await;
    in_order(&on_stream(&one).await);
    println!("ROW N-1 wiped=3 events={} lost=0 back_max={:?}", readers[0].at(), back.iter().max().unwrap());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_3_the_store_is_rolled_back() {
    let mut given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let readers = [one.reader(), two.reader()];
    let writer = one.writer(BUSY);
    let (first, then) = if full() { (2_000, 8_000) } else { (200, 300) };
    until("there is something to keep", || relay.status().borrow().position >= first).await;
    given.server(|server| server.copy());
    let mark = relay.status().borrow().position + then;
    until("the stream goes on", || relay.status().borrow().position >= mark).await;
    let generation = relay.status().borrow().generation;
    given.server(|server| server.restore(None));
    let begin = Instant::now();
    until("the relay sees it", || relay.status().borrow().generation > generation).await;
    caught_up(&relay, &one).await;
    let back = begin.elapsed();
    writer.stop().await;
    for reader in &readers {
        reader.agrees_with(&*one.log).await;
    }
    caught_up(&relay, &one).await;
    in_order(&on_stream(&one).await);
    if full() {
        assert!(back <= Duration::from_secs(10), "{back:?}");
    }
    println!("ROW N-3 events={} missed=0 resync={back:?}", readers[0].at());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_4_messages_are_rolled_back_and_consumers_are_not() {
    let mut given = Given::new();
    let one = given.member().await;
    let relay = one.publishing().await;
    let reader = one.reader();
    let outside = Outside::start(&one).await;
    one.append(100).await;
    outside.reach(100).await;
    given.server(|server| server.copy());
    one.append(200).await;
    outside.reach(300).await;
    let generation = relay.status().borrow().generation;
    given.server(|server| server.restore(Some("msgs")));
    // As many as the plain consumer would pass over, and more.
    let last = one.append(300).await;
    until("the relay sees it", || relay.status().borrow().generation > generation).await;
    caught_up(&relay, &one).await;
    outside.reach(last).await;
    reader.agrees_with(&*one.log).await;
    in_order(&on_stream(&one).await);
    let report = outside.stop().await;
    println!(
        "ROW N-4 events={last} missed=0 outside_missed=0 outside_consumers={} outside_filled={}",
        report.consumers, report.filled
    );
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_5_an_operator_deletes_purges_and_makes_the_stream() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let readers = [one.reader(), two.reader()];
    let writer = one.writer(BUSY);
    let jetstream = one.nats.jetstream();
    let name = one.names().events_stream();
    let config = jetstream.get_stream(&name).await.unwrap().cached_info().config.clone();
    let mut generations = vec![relay.status().borrow().generation];
    for act in ["delete", "purge", "delete and make"] {
        let some = relay.status().borrow().position + 100;
        until("some more events are published", || relay.status().borrow().position >= some).await;
        match act {
            // The stream refuses it, or it would be one more way to lose what readers outside have not read.
            "purge" => assert!(jetstream.get_stream(&name).await.unwrap().purge().await.is_err()),
            "delete" => drop(jetstream.delete_stream(&name).await.unwrap()),
            _ => {
                jetstream.delete_stream(&name).await.unwrap();
                // The relay may have been quicker.
                drop(jetstream.create_stream(config.clone()).await);
            }
        }
        if act != "purge" {
            let last = *generations.last().unwrap();
            until("the relay begins a new generation", || relay.status().borrow().generation > last).await;
            generations.push(relay.status().borrow().generation);
        }
        caught_up(&relay, &one).await;
        in_order(&on_stream(&one).await);
    }
    writer.stop().await;
    for reader in &readers {
        reader.agrees_with(&*one.log).await;
    }
    caught_up(&relay, &one).await;
    // Nothing was taken for a repetition: the stream ends where the log does.
    let stream = on_stream(&one).await;
    in_order(&stream);
    assert_eq!(stream.last().unwrap().1, readers[0].at());
    println!("ROW N-5 events={} missed=0 swallowed=0 generations={generations:?}", readers[0].at());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_6_bits_flip_and_files_end_early() {
    damage(&mut Given::new(), if full() { 100 } else { 4 }).await;
}

pub(crate) async fn damage(given: &mut Given, rounds: u32) {
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let readers = [one.reader(), two.reader()];
    let mut random = SmallRng::seed_from_u64(6);
    let (mut flipped, mut cut, mut refused_to_start, mut hung) = (0, 0, 0, 0);
    for round in 0..rounds {
        one.append(60).await;
        hung += caught_up_or_hung(given, &relay, &one).await;
        let started = given.server(|server| {
            server.kill()?;
            for file in server.block_files()? {
                if round % 4 == 3 {
                    cut += cut_last(&file, &mut random);
                } else {
                    flipped += flip(&file, &mut random);
                }
            }
            Ok(server.run().is_ok())
        });
        if !started {
            // An operator would delete what the server cannot read.
            refused_to_start += 1;
            given.server(NatsServer::forget_and_run);
        }
        // On the way while it is damaged.
        let last = one.append(20).await;
        for reader in &readers {
            reader.reach(last).await;
        }
        hung += caught_up_or_hung(given, &relay, &one).await;
    }
    for reader in &readers {
        reader.agrees_with(&*one.log).await;
    }
    let made_anew = relay.status().borrow().made_anew;
    println!(
        "ROW N-6 rounds={rounds} flipped={flipped} cut={cut} refused_to_start={refused_to_start} hung={hung} made_anew={made_anew} missed=0 wrong=0"
    );
    relay.stop().await;
}

/// Waits until the relay has published all that there is. A server of 2.9.10 may stand still over a damaged store: as long
/// as it answers, the relay has to get on by itself; once it does not, an operator would delete what it cannot read. How
/// often that was.
async fn caught_up_or_hung(given: &mut Given, relay: &shipway_eventing::Relay, member: &Member) -> u32 {
    let mut hung = 0;
    loop {
        let silent = async {
            let name = member.names().events_stream();
            let mut unanswered = 0;
            while unanswered < 3 {
                match member.nats.jetstream().get_stream(&name).await {
                    Err(error) if matches!(error.kind(), GetStreamErrorKind::Request) => unanswered += 1,
                    _ => unanswered = 0,
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            _ = caught_up(relay, member) => return hung,
            () = silent => {}
        }
        given.server(|server| {
            server.kill()?;
            server.forget_and_run()
        });
        hung += 1;
    }
}

fn flip(path: &std::path::Path, random: &mut SmallRng) -> u64 {
    let mut file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let bits = random.random_range(1..=5);
    for _ in 0..bits.min(length) {
        let at = SeekFrom::Start(random.random_range(0..length));
        let mut byte = [0];
        file.seek(at).unwrap();
        file.read_exact(&mut byte).unwrap();
        byte[0] ^= 1 << random.random_range(0..8);
        file.seek(at).unwrap();
        file.write_all(&byte).unwrap();
    }
    bits.min(length)
}

fn cut_last(path: &std::path::Path, random: &mut impl Rng) -> u64 {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - random.random_range(0..=length)).unwrap();
    1
}

/// The other way round: a reader that begins when all is long over reads all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_comes_late_reads_from_the_log() {
    let mut given = Given::new();
    let one = given.member().await;
    let relay = one.publishing().await;
    one.append(700).await;
    caught_up(&relay, &one).await;
    given.server(NatsServer::wipe);
    let two = given.member().await;
    let reader = Reader::start(two.feed.clone(), Duration::ZERO);
    reader.agrees_with(&*one.log).await;
    relay.stop().await;
}
