//! L-3: a command is applied once, however often and through whichever process it is sent.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use rand::RngExt;
use shipway_eventing::{Appended, Expected};

use crate::given::{Given, chance, item, seed, stream};

const COMMANDS: u64 = 100_000;
const SENDERS: u64 = 96;

/// Each command three times at once; of some the first reply is cut before.
pub(crate) async fn each_command_is_applied_once(given: &Given) {
    let seed = seed();
    let begun = Instant::now();
    let commands = if given.is_postgres() && !crate::full() { COMMANDS / 4 } else { COMMANDS };
    let logs = [Arc::clone(&given.log), given.another().await];
    let next = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (one, two, next) = (Arc::clone(&logs[0]), Arc::clone(&logs[1]), Arc::clone(&next));
            tokio::spawn(async move {
                let mut chance = chance(seed.wrapping_add(sender));
                let (mut applied, mut unequal, mut cut) = (0, 0, 0);
                while next.fetch_add(1, Ordering::Relaxed) < commands {
                    let to = stream(format!("run-{}", chance.random_range(0..2_000)));
                    let item = item(&to, Expected::Any, 1);
                    if chance.random_bool(0.1) {
                        let (log, item) = (Arc::clone(&one), item.clone());
                        let first = tokio::spawn(async move { log.append(item).await });
                        for _ in 0..chance.random_range(0..4) {
                            tokio::task::yield_now().await;
                        }
                        first.abort();
                        cut += 1;
                    }
                    let answers =
                        tokio::join!(one.append(item.clone()), two.append(item.clone()), one.append(item));
                    let answers = [answers.0.unwrap(), answers.1.unwrap(), answers.2.unwrap()];
                    applied += answers.iter().filter(|answer| !answer.duplicate).count();
                    let bytes = |answer: &Appended| {
                        let same = Appended { duplicate: true, ..answer.clone() };
                        format!("{same:?}")
                    };
                    unequal +=
                        answers[1..].iter().filter(|answer| bytes(answer) != bytes(&answers[0])).count();
                }
                (applied, unequal, cut)
            })
        })
        .collect();
    let (mut applied, mut unequal, mut cut) = (0, 0, 0);
    for sender in senders {
        let (a, u, c) = sender.await.unwrap();
        applied += a;
        unequal += u;
        cut += c;
    }
    let mut ids = HashSet::new();
    let (mut at, mut twice) = (0, 0);
    loop {
        let events = given.log.read(at, 5_000).await.unwrap();
        let Some(last) = events.last() else { break };
        at = last.position;
        twice += events.iter().filter(|event| !ids.insert(event.command)).count();
    }
    println!(
        "ROW L-3 {} commands={commands} sent={} cut={cut} applied_twice={twice} unequal_answers={unequal} \
         events={at} seconds={:.1} seed={seed}",
        given.name(),
        3 * commands + cut,
        begun.elapsed().as_secs_f64()
    );
    assert_eq!((twice, unequal), (0, 0));
    assert_eq!((ids.len() as u64, at), (commands, commands));
    // Where the first reply was cut, all three may be repetitions.
    assert!(applied as u64 <= commands && applied as u64 >= commands - cut);
    if given.is_postgres() {
        logs[1].close().await;
    }
}
