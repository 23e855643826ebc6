//! Lists: every filter finds what a look at every run would find, from the first page to the last; each of them by an index,
//! and however many runs there are, in the time that a page takes.

use std::time::{Duration, Instant};

use shipway_contracts::v1::{ListRunsReply, ListRunsRequest, Page, Run};
use shipway_events::{RunStatus, run::Origin};

use crate::{
    full,
    given::{Given, World},
    made::{self, Histories, Made, made, project},
};

/// How many runs there are by default.
const FEW: u64 = 2_000;
/// The most that a page may take at full size, 99 times of 100.
const MOST: Duration = Duration::from_millis(50);

type Fits = Box<dyn Fn(u64, &Made) -> bool>;

/// What is asked for, and which runs it means.
struct Filter {
    name: &'static str,
    request: ListRunsRequest,
    fits: Fits,
}

pub(crate) async fn every_filter_finds_what_it_should(given: Given) {
    let asked = std::env::var("SHIPWAY_RUNS").ok().and_then(|count| count.parse().ok());
    let count = if full() { asked.unwrap_or(1_000_000) } else { FEW };
    let begin = Instant::now();
    let histories = made::write(&given.log, count).await;
    let written = begin.elapsed();
    let begin = Instant::now();
    let world = given.start().await;
    let read = begin.elapsed();
    let scans = before(&world).await;
    let mut worst = (Duration::ZERO, "");
    let mut all = Vec::new();
    for filter in filters(&histories) {
        let expected: Vec<u64> = (0..count).rev().filter(|n| (filter.fits)(*n, &made(*n, count))).collect();
        assert!(!expected.is_empty(), "{} fits nothing", filter.name);
        let mut times = pages(&world, &histories, &filter, &expected).await;
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        println!("{} {}: {} runs, p99 {p99:?}", world.given.name(), filter.name, expected.len());
        worst = worst.max((p99, filter.name));
        all.append(&mut times);
        if full() {
            assert!(p99 <= MOST, "{}: {p99:?}", filter.name);
        }
    }
    all.sort_unstable();
    let (p50, p99) = (all[all.len() / 2], all[all.len() * 99 / 100]);
    println!(
        "ROW GROW {} runs={count} written_s={:.0} read_s={:.0} pages={} p50_ms={:.1} p99_ms={:.1} worst_p99_ms={:.1} of={}",
        world.given.name(),
        written.as_secs_f64(),
        read.as_secs_f64(),
        all.len(),
        p50.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
        worst.0.as_secs_f64() * 1e3,
        worst.1,
    );
    each_by_its_index(&world, scans).await;
    world.end().await;
}

fn filters(histories: &Histories) -> Vec<Filter> {
    let count = histories.count;
    let nothing = ListRunsRequest::default;
    let filter = |name, request, fits: Fits| Filter { name, request, fits };
    let commit = made((0..count).find(|n| !made(*n, count).commit.is_empty()).unwrap(), count).commit;
    let short = commit[..20].to_owned();
    let (since, until) = (histories.places[count as usize / 2].1, histories.places[count as usize * 3 / 4].1);
    let times: Vec<_> = histories.places.iter().map(|(_, at)| *at).collect();
    let later = times.clone();
    vec![
        filter("all", nothing(), Box::new(|_, _| true)),
        filter(
            "status",
            ListRunsRequest { status: "failure".to_owned(), ..nothing() },
            Box::new(|_, run| run.status == RunStatus::Failure),
        ),
        filter(
            "rare status",
            ListRunsRequest { status: "skipped".to_owned(), ..nothing() },
            Box::new(|_, run| run.status == RunStatus::Skipped),
        ),
        filter(
            "live status",
            ListRunsRequest { status: "running".to_owned(), ..nothing() },
            Box::new(|_, run| run.status == RunStatus::Running),
        ),
        filter(
            "open",
            ListRunsRequest { concluded: Some(false), ..nothing() },
            Box::new(|_, run| run.status == RunStatus::Running),
        ),
        filter(
            "concluded",
            ListRunsRequest { concluded: Some(true), ..nothing() },
            Box::new(|_, run| run.status != RunStatus::Running),
        ),
        filter(
            "project",
            ListRunsRequest { project: project(1).to_string(), ..nothing() },
            Box::new(|_, run| run.project == project(1)),
        ),
        filter(
            "small project",
            ListRunsRequest { project: project(3).to_string(), ..nothing() },
            Box::new(|_, run| run.project == project(3)),
        ),
        filter(
            "pipeline",
            ListRunsRequest { pipeline: "shop-07".to_owned(), ..nothing() },
            Box::new(|_, run| run.pipeline == "shop-07"),
        ),
        filter(
            "stage",
            ListRunsRequest { stage: "Production".to_owned(), ..nothing() },
            Box::new(|_, run| run.stage == "production"),
        ),
        filter(
            "flow",
            ListRunsRequest { flow: "shop-07/production".to_owned(), ..nothing() },
            Box::new(|_, run| run.path == "shop-07/production"),
        ),
        filter(
            "branch",
            ListRunsRequest { branch: "main".to_owned(), ..nothing() },
            Box::new(|_, run| run.branch == "main"),
        ),
        filter(
            "rare branch",
            ListRunsRequest { branch: "feature-7".to_owned(), ..nothing() },
            Box::new(|_, run| run.branch == "feature-7"),
        ),
        filter(
            "commit",
            ListRunsRequest { commit: short, ..nothing() },
            Box::new(move |_, run| run.commit == commit),
        ),
        filter(
            "author",
            ListRunsRequest { author: "grace".to_owned(), ..nothing() },
            Box::new(|_, run| run.author == "grace"),
        ),
        filter(
            "origin",
            ListRunsRequest { origin: "schedule".to_owned(), ..nothing() },
            Box::new(|_, run| run.origin == Origin::Schedule),
        ),
        filter(
            "time",
            ListRunsRequest { since: since.to_string(), until: until.to_string(), ..nothing() },
            Box::new(move |n, _| (since..=until).contains(&times[n as usize])),
        ),
        filter(
            "name",
            ListRunsRequest { text: "HOTFIX FÜR 50%".to_owned(), ..nothing() },
            Box::new(|_, run| run.name.contains("Hotfix")),
        ),
        filter(
            "several",
            ListRunsRequest {
                project: project(1).to_string(),
                stage: "staging".to_owned(),
                branch: "main".to_owned(),
                status: "failure".to_owned(),
                since: since.to_string(),
                ..nothing()
            },
            Box::new(move |n, run| {
                run.project == project(1)
                    && (run.stage, run.branch.as_str(), run.status) == ("staging", "main", RunStatus::Failure)
                    && later[n as usize] >= since
            }),
        ),
    ]
}

/// Looks at the pages of a filter, all of them or the first, middle and last ones; what each of them took.
async fn pages(world: &World, histories: &Histories, filter: &Filter, expected: &[u64]) -> Vec<Duration> {
    let mut times = Vec::new();
    if expected.len() <= 3_000 && histories.count <= FEW {
        let found = walk(world, filter, String::new(), usize::MAX, &mut times).await;
        same(filter, &found, expected);
    }
    let before = |place: usize| (histories.places[expected[place] as usize].0 + 1).to_string();
    let rounds = if full() { 100 } else { 2 };
    let places = [0, expected.len() / 2, expected.len().saturating_sub(50)];
    for (place, _) in places.iter().flat_map(|place| (0..rounds).map(move |round| (*place, round))) {
        let end = expected.len().min(place + 50);
        let after = if place == 0 { String::new() } else { before(place) };
        let found = walk(world, filter, after, end - place, &mut times).await;
        same(filter, &found, &expected[place..end]);
    }
    times
}

fn same(filter: &Filter, found: &[Run], expected: &[u64]) {
    let found: Vec<&str> = found.iter().map(|run| run.id.as_str()).collect();
    let expected: Vec<String> = expected.iter().map(|n| made::run_id(*n).to_string()).collect();
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

/// PostgreSQL has used every index of the lists, and has never read the whole table. It counts with some delay.
async fn each_by_its_index(world: &World, before: Option<i64>) {
    let Some(before) = before else { return };
    let mut direct = world.given.direct().await.unwrap();
    let unused =
        "SELECT indexrelname::text FROM pg_stat_user_indexes WHERE relname = 'runs_3' AND idx_scan = 0";
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
