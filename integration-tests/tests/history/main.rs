//! Runs by the hundred and by the million: lists, pages and what ran where, on SQLite and on PostgreSQL.
//!
//! `SHIPWAY_FULL=1` lists 1,000,000 runs and opens one of 10,000 nodes, and judges times; what is found and by which index
//! is judged always.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod given;
mod lists;
mod made;
mod pages;

use given::Given;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_page_by_page_sqlite() {
    lists::every_filter_finds_what_it_should(Given::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_page_by_page_postgresql() {
    lists::every_filter_finds_what_it_should(Given::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_run_opens_page_by_page_sqlite() {
    pages::a_large_run_opens_page_by_page(Given::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_run_opens_page_by_page_postgresql() {
    pages::a_large_run_opens_page_by_page(Given::postgres().await).await;
}

/// Whether the long sizes are asked for.
fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1")
}
