//! Runs by the hundred and by the million: lists, pages and what ran where, on SQLite and on PostgreSQL.
//!
//! `SHIPWAY_FULL=1` makes 1,000,000 runs, or as many as `SHIPWAY_RUNS` says, and judges times; counts and plans are judged
//! always.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod given;
mod lists;
mod made;

use given::Given;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_page_by_page_sqlite() {
    lists::every_filter_finds_what_it_should(Given::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_page_by_page_postgresql() {
    lists::every_filter_finds_what_it_should(Given::postgres().await).await;
}

/// Whether the long sizes are asked for.
fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1")
}
