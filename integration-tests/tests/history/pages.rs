//! A large run opens page by page: whatever its size, a page costs what is on it once somebody has looked at the run.

use std::time::{Duration, Instant};

use shipway_contracts::v1::{GetRunRequest, OpenRunRequest, Page};

use crate::{full, given::Given, made};

/// The most that a page may take at full size, 99 times of 100.
const MOST: Duration = Duration::from_millis(50);

pub(crate) async fn a_large_run_opens_page_by_page(given: Given) {
    let nodes = if full() { 10_000 } else { 1_000 };
    let run = made::write_large(&given.log, nodes).await.to_string();
    let world = given.start().await;
    let request = GetRunRequest { run: run.clone() };
    let whole = world.runs.clone().get_run(request).await.unwrap().into_inner();
    assert_eq!((whole.nodes.len(), whole.status.as_str()), (nodes as usize + 1, "success"));

    let (mut found, mut after, mut times) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = Some(Page { after, limit: 100 });
        let request = OpenRunRequest { run: run.clone(), page, ..OpenRunRequest::default() };
        let begin = Instant::now();
        let reply = world.history.clone().open_run(request).await.unwrap().into_inner();
        times.push(begin.elapsed());
        assert_eq!(reply.event, 2 * u64::from(nodes) + 2);
        found.extend(reply.run.unwrap().nodes);
        after = reply.next;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(found, whole.nodes);

    let first = times.remove(0);
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    println!(
        "ROW GROW {} nodes={nodes} pages={} first_ms={:.1} p50_ms={:.1} p99_ms={:.1}",
        world.given.name(),
        times.len() + 1,
        first.as_secs_f64() * 1e3,
        times[times.len() / 2].as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
    );
    if full() {
        assert!(p99 <= MOST, "{p99:?}");
    }
    world.end().await;
}
