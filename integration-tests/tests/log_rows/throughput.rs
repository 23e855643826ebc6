//! L-17: how many appends a second, how long one takes, and whether a hundred projects get the same share.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shipway_eventing::{Expected, verify::verify};

use crate::given::{Given, item, quantile, stream};

const CLIENTS: usize = 16;

pub(crate) async fn appends_are_fast_and_fair(given: &Given) {
    let time = Duration::from_secs(if crate::full() { 60 } else { 3 });
    let (mut single, singles) = clients(given, "single", CLIENTS, 1, time).await;
    let (_, batched) = clients(given, "batched", CLIENTS, 32, time).await;
    let (_, shares) = clients(given, "project", 100, 1, time).await;
    let per_second = |counts: &[usize]| counts.iter().sum::<usize>() as f64 / time.as_secs_f64();
    let unfair =
        shares.iter().max().copied().unwrap_or(0) as f64 / shares.iter().min().copied().unwrap_or(1) as f64;
    let report = verify(&*given.log).await.unwrap();
    let appended: usize = [&singles, &batched, &shares].iter().flat_map(|counts| counts.iter()).sum();
    let lost = appended as u64 - report.events.min(appended as u64);
    let (one_by_one, together) = (per_second(&singles), per_second(&batched));
    let slow = quantile(&mut single, 0.99);
    println!(
        "ROW L-17 {} single_per_s={one_by_one:.0} batched_per_s={together:.0} p50_ms={:.2} p99_ms={slow:.2} fairness={unfair:.2} events={} \
         lost={lost}",
        given.name(),
        quantile(&mut single, 0.5),
        report.events,
    );
    assert_eq!((report.events, lost, report.bad), (appended as u64, 0, None));
    assert!(shares.iter().all(|count| *count > 0));
    if crate::full() {
        assert!(one_by_one >= 1_500.0 && together >= 10_000.0, "{one_by_one} and {together} a second");
        assert!(slow <= 50.0, "{slow} ms");
        assert!(unfair <= 2.0, "{unfair}");
    }
}

/// Clients that append one item after the other (or `batch` handed over together) for some time: how long each call
/// took in milliseconds, and how many items each client appended.
async fn clients(
    given: &Given,
    name: &str,
    clients: usize,
    batch: usize,
    time: Duration,
) -> (Vec<f64>, Vec<usize>) {
    let end = Instant::now() + time;
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let (log, to) = (Arc::clone(&given.log), stream(format!("{name}-{client}")));
            tokio::spawn(async move {
                let (mut took, mut count) = (Vec::new(), 0);
                while Instant::now() < end {
                    let items =
                        (0..batch).map(|n| item(&to, Expected::Version((count + n) as u64), 1)).collect();
                    let begun = Instant::now();
                    for answer in log.append_all(items).await {
                        answer.unwrap();
                    }
                    took.push(begun.elapsed().as_secs_f64() * 1e3);
                    count += batch;
                }
                (took, count)
            })
        })
        .collect();
    let (mut took, mut counts) = (Vec::new(), Vec::new());
    for client in clients {
        let (some, count) = client.await.unwrap();
        took.extend(some);
        counts.push(count);
    }
    (took, counts)
}
