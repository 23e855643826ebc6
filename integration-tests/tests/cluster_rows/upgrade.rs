//! E-19: a rolling upgrade and the way back, service by service, under running runs. The next release is the program
//! built with the feature `next-schema`: `SHIPWAY_NEXT_BIN`, or built here beside the other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use shipway_integration_tests::{
    cluster::{SERVICES, Shape},
    shipway::binary,
    workload::{Ended, percentile},
};
use sqlx::PgPool;

use crate::given::{Given, judged, sized};

/// Runs by the schema of their first and of their last request, and what else only the next release writes.
const WRITTEN: &str = "
SELECT count(*) FILTER (WHERE first = 1 AND last = 2), count(*) FILTER (WHERE first = 2 AND last = 1),
       (SELECT count(*) FROM shipway_log.events WHERE kind = 'run.noted_writer'),
       (SELECT count(*) FROM shipway_log.events WHERE kind = 'run.attempt_requested' AND schema = 2)
FROM (SELECT (array_agg(schema ORDER BY position))[1] AS first,
             (array_agg(schema ORDER BY position DESC))[1] AS last
      FROM shipway_log.events WHERE kind = 'run.attempt_requested' GROUP BY stream) runs";

/// The schemas of read tables.
const VIEWS: [&str; 2] = ["shipway_pipelines", "shipway_scheduler"];

#[tokio::test(flavor = "multi_thread")]
async fn row_e_19_services_are_upgraded_one_by_one_and_go_back() {
    let Some(next) = next_binary() else {
        println!("E-19 needs a second program: scripts/test --row E-19, or SHIPWAY_NEXT_BIN");
        return;
    };
    let mut given = Given::new("e19", Shape { services: [2; 5], ..Shape::default() });
    let log = PgPool::connect(&given.cluster.database()).await.unwrap();
    let mut all = Vec::new();
    all.extend(given.load(4, 4).ended().await);
    let upgraded = roll(&mut given, &next, &mut all).await;
    all.extend(given.load(4, 4).ended().await);
    let before_the_way_back = written(&log).await;
    let went_back = roll(&mut given, &binary().unwrap(), &mut all).await;
    all.extend(given.load(4, 4).ended().await);
    let verdict = given.judge(&all);
    let (taken_up, taken_back, notes, requests) = written(&log).await;
    let tables = rebuilt(&mut given, &log).await;
    println!(
        "ROW E-19 runs={} lost=0 doubled=0 stuck=0 upgraded_in={upgraded:?} back_in={went_back:?} notes={notes} \
         new_requests={requests} runs_taken_up={taken_up} runs_taken_back={taken_back} read_tables_equal={tables} \
         repeats={} p99={:?}",
        all.len(),
        verdict.repeats,
        percentile(&all, 99),
    );
    assert!(
        before_the_way_back.2 > 0 && before_the_way_back.3 > 0,
        "the next release wrote nothing of its own"
    );
    assert!(taken_up > 0, "no run was begun by the older and went on with the newer");
    assert!(taken_back > 0, "no run was begun by the newer and went on with the older");
}

/// Gives each process the program, one after the other, while runs go on; how long it took.
async fn roll(given: &mut Given, program: &Path, all: &mut Vec<Ended>) -> Duration {
    let begin = Instant::now();
    let mut loads = Vec::new();
    for service in SERVICES {
        // A scheduler's runs are to go on with the other one, whose program is another.
        let usual = if service == "scheduler" { 8 } else { 3 };
        for number in 1..=2 {
            // Each of their nodes is told to come again, so that they last while processes change.
            loads.push(given.load_through("later", sized(usual, 25), 25));
            let process = given.cluster.process(&format!("{service}-{number}"));
            let (status, _) = process.terminate().unwrap();
            assert!(status.success(), "{status}\n{}", process.said());
            process.set_program(program);
            process.start().unwrap();
        }
    }
    let took = begin.elapsed();
    for load in loads {
        all.extend(load.ended().await);
    }
    took
}

async fn written(log: &PgPool) -> (i64, i64, i64, i64) {
    sqlx::query_as(WRITTEN).fetch_one(log).await.unwrap()
}

/// Has the older release make all read tables again from what both have written; how many were as they had been.
async fn rebuilt(given: &mut Given, log: &PgPool) -> usize {
    let head: i64 = sqlx::query_scalar("SELECT position FROM shipway_log.head").fetch_one(log).await.unwrap();
    caught_up(log, head).await;
    let keepers = ["pipelines-1", "pipelines-2", "scheduler-1", "scheduler-2"];
    for name in keepers {
        given.cluster.process(name).terminate().unwrap();
    }
    let before = tables(log).await;
    for table in before.keys() {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TABLE {table}"))).execute(log).await.unwrap();
    }
    for schema in VIEWS {
        let forget = format!("DELETE FROM {schema}.read_models");
        sqlx::raw_sql(sqlx::AssertSqlSafe(forget)).execute(log).await.unwrap();
    }
    for name in keepers {
        given.cluster.process(name).start().unwrap();
    }
    caught_up(log, head).await;
    let after = tables(log).await;
    assert!(!before.is_empty());
    assert_eq!(after, before);
    after.len()
}

/// Waits until every read model has come to that position.
async fn caught_up(log: &PgPool, head: i64) {
    let until = Instant::now() + Duration::from_secs(60);
    for schema in VIEWS {
        let behind =
            format!("SELECT count(*), count(*) FILTER (WHERE position < {head}) FROM {schema}.read_models");
        loop {
            let (all, behind): (i64, i64) =
                sqlx::query_as(sqlx::AssertSqlSafe(behind.clone())).fetch_one(log).await.unwrap();
            if all > 0 && behind == 0 {
                break;
            }
            assert!(Instant::now() < until, "{schema} has not caught up: {behind} of {all} are behind");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// All rows of all read tables, as text.
async fn tables(log: &PgPool) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for schema in VIEWS {
        let names = format!("SELECT tables FROM {schema}.read_models");
        let names: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(names)).fetch_all(log).await.unwrap();
        for table in names.iter().flat_map(|names| names.split_whitespace()) {
            let table = format!("{schema}.{table}");
            let rows =
                format!("SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table} t");
            let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_one(log).await.unwrap();
            all.insert(table, rows);
        }
    }
    all
}

/// The next release; none on an ordinary run without one, because it takes a minute to build.
fn next_binary() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("SHIPWAY_NEXT_BIN") {
        return Some(given.into());
    }
    if !judged() {
        return None;
    }
    let beside = binary().unwrap().with_file_name("shipway-next");
    // The whole workspace is named so that everything outside it is built as it is already.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", "shipway-next"])
        .args(["--features", "shipway/next-schema"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status();
    assert!(built.unwrap().success(), "the next release was not built");
    Some(beside)
}
