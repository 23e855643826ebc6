//! Lists: every filter finds what a look at every run would find, from the first page to the last; each of them by an index,
//! and however many runs there are, in the time that a page takes.

mod filters;

use std::time::{Duration, Instant};

use shipway_contracts::v1::{ListRunsReply, ListRunsRequest, Page, Run};

use self::filters::{Filter, filters};
use crate::{
    full,
    given::{Given, World},
    made,
};

/// How many runs the log has.
const RUNS: u64 = 2_000;
/// The most that a page may take at full size, 99 times of 100.
const MOST: Duration = Duration::from_millis(50);

pub(crate) async fn every_filter_finds_what_it_should(given: Given) {
    let histories = made::write(&given.log, RUNS).await;
    let world = given.start().await;
    // Pages are of the tables alone: most of a million rows need no events.
    let copies = if full() { 506 } else { 2 };
    let begin = Instant::now();
    world.given.multiply(&histories, copies).await;
    let grown = begin.elapsed();
    let scans = before(&world).await;
    let (rows, made) = (histories.rows(copies), histories.made());
    let mut worst = (Duration::ZERO, "");
    let mut all = Vec::new();
    for filter in filters(&histories) {
        let fits = |row: &usize| (filter.fits)(&rows[*row], &made[rows[*row].n]);
        let expected: Vec<usize> = (0..rows.len()).rev().filter(fits).collect();
        assert!(!expected.is_empty(), "{} fits nothing", filter.name);
        let mut times = pages(&world, &rows, &filter, &expected).await;
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        println!("{} {}: {} runs, p99 {p99:?}", world.given.name(), filter.name, expected.len());
        worst = worst.max((p99, filter.name));
        all.append(&mut times);
    }
    all.sort_unstable();
    let (p50, p99) = (all[all.len() / 2], all[all.len() * 99 / 100]);
    println!(
        "ROW GROW {} runs={} grown_s={:.0} pages={} p50_ms={:.1} p99_ms={:.1} worst_p99_ms={:.1} of={}",
        world.given.name(),
        rows.len(),
        grown.as_secs_f64(),
        all.len(),
        p50.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
        worst.0.as_secs_f64() * 1e3,
        worst.1,
    );
    if full() {
        assert!(worst.0 <= MOST, "{worst:?}");
    }
    each_by_its_index(&world, scans).await;
    world.end().await;
}

/// Looks at the pages of a filter, all of them or the first, middle and last ones; what each of them took.
async fn pages(world: &World, rows: &[made::Row], filter: &Filter, expected: &[usize]) -> Vec<Duration> {
    let mut times = Vec::new();
    if !full() {
        let found = walk(world, filter, String::new(), usize::MAX, &mut times).await;
        same(filter, &found, rows, expected);
    }
    let rounds = if full() { 100 } else { 1 };
    let places = [0, expected.len() / 2, expected.len().saturating_sub(50)];
    for (place, _) in places.iter().flat_map(|place| (0..rounds).map(move |round| (*place, round))) {
        let end = expected.len().min(place + 50);
        let after = match place {
            0 => String::new(),
            _ => (rows[expected[place]].position + 1).to_string(),
        };
        let found = walk(world, filter, after, end - place, &mut times).await;
        same(filter, &found, rows, &expected[place..end]);
    }
    times
}

fn same(filter: &Filter, found: &[Run], rows: &[made::Row], expected: &[usize]) {
    let found: Vec<u64> = found.iter().map(|run| run.position).collect();
    let expected: Vec<u64> = expected.iter().map(|row| rows[*row].position).collect();
    assert_eq!(found, expected, "{}", filter.name);
}

/// Pages from a place on, until so many runs have come or there are no more.
async fn walk(
    world: &World,
    filter: &Filter,
    mut after: String,
    wanted: usize,
    times: &mut Vec<Duration>,
) -> Vec<Run> {
    let mut found = Vec::new();
    loop {
        let page = Some(Page { after, limit: 50 });
        let request = ListRunsRequest { page, ..filter.request.clone() };
        let begin = Instant::now();
        let reply = world.runs.clone().list_runs(request).await.unwrap().into_inner();
        times.push(begin.elapsed());
        let ListRunsReply { runs, next } = reply;
        found.extend(runs);
        if next.is_empty() || found.len() >= wanted {
            found.truncate(wanted);
            return found;
        }
        after = next;
    }
}

/// How often the whole table of runs was read so far; none on SQLite, whose plans the scheduler's own tests look at.
async fn before(world: &World) -> Option<i64> {
    let mut direct = world.given.direct().await?;
    sqlx::query("ANALYZE runs_3").execute(&mut direct).await.unwrap();
    Some(whole_reads(&mut direct).await)
}

async fn whole_reads(direct: &mut sqlx::PgConnection) -> i64 {
    let sql = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'runs_3'";
    sqlx::query_scalar(sql).fetch_one(direct).await.unwrap()
}

/// PostgreSQL has used every index of the lists, and has never read the whole table. It counts with some delay. The primary
/// key is no list's: only what is written of a run after its first batch needs it, and that may be nothing.
async fn each_by_its_index(world: &World, before: Option<i64>) {
    let Some(before) = before else { return };
    let mut direct = world.given.direct().await.unwrap();
    let unused = "SELECT indexrelname::text FROM pg_stat_user_indexes JOIN pg_index USING (indexrelid)
        WHERE relname = 'runs_3' AND NOT indisprimary AND idx_scan = 0";
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let unused: Vec<String> = sqlx::query_scalar(unused).fetch_all(&mut direct).await.unwrap();
        if unused.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "no list has used {unused:?}");
        // Counts of a connection come with its next question.
        world.runs.clone().list_runs(ListRunsRequest::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(whole_reads(&mut direct).await, before, "a list has read the whole table of runs");
}
