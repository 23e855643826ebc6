//! Rows of the test plan about the log, most of them on SQLite and on PostgreSQL; L-5, L-6, L-8, L-10, L-12 and L-16 are about
//! PostgreSQL itself, L-9 about files of ours.
//!
//! Each test prints a line `ROW <id> <database> name=figure …` last. Counts and zeros decide; times are printed.
//! `SHIPWAY_FULL=1` runs the sizes that take longer than about 20 seconds.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod archive;
mod commands;
mod crashes;
mod full;
mod given;
mod golden;
mod locks;
mod model;
mod order;
mod plans;
mod rebuild;
mod roles;
mod snapshots;
mod tampering;
mod throughput;

use given::Given;
use shipway_integration_tests::postgres::Sync;

/// A test per row and database.
macro_rules! rows {
    ($($sqlite:ident, $postgres:ident => $row:path, $sync:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $sqlite() {
            let given = Given::sqlite(Sync::$sync).await;
            $row(&given).await;
            given.end().await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $postgres() {
            let given = Given::postgres(Sync::$sync).await;
            $row(&given).await;
            given.end().await;
        }
    )*};
}

rows! {
    row_l_1_sqlite, row_l_1_postgresql => order::readers_miss_nothing, Off;
    row_l_2_sqlite, row_l_2_postgresql => order::one_writer_wins_each_version, Off;
    row_l_3_sqlite, row_l_3_postgresql => commands::each_command_is_applied_once, Off;
    row_l_4_sqlite, row_l_4_postgresql => model::the_log_is_what_a_list_would_be, Off;
    row_l_11_sqlite, row_l_11_postgresql => tampering::every_change_is_found_and_named, Off;
    row_l_13_sqlite, row_l_13_postgresql => golden::every_event_ever_written_is_read, Off;
    row_l_14_sqlite, row_l_14_postgresql => rebuild::a_rebuild_equals_what_was_live, Off;
    row_l_15_sqlite, row_l_15_postgresql => snapshots::a_snapshot_is_only_a_cache, Off;
    row_l_17_sqlite, row_l_17_postgresql => throughput::appends_are_fast_and_fair, On;
}

/// A test for a row that is about one database only.
macro_rules! postgresql_rows {
    ($($name:ident => $row:path, $sync:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let mut given = Given::postgres(Sync::$sync).await;
            $row(&mut given).await;
            given.end().await;
        }
    )*};
}

postgresql_rows! {
    row_l_5_postgresql => crashes::a_killed_server_loses_nothing, On;
    row_l_6_postgresql => crashes::a_killed_backend_leaves_no_half_batch, On;
    row_l_8_postgresql => full::a_full_disk_loses_nothing_and_heals, Off;
    row_l_10_postgresql => locks::a_session_that_holds_the_head_stops_nobody_for_long, Off;
    row_l_16_postgresql => archive::partitions_are_archived_under_load, Off;
    row_l_16_older_log_postgresql => archive::an_older_log_becomes_the_first_partition, Off;
    row_l_12_postgresql => roles::the_services_role_may_only_append, Off;
    an_append_looks_up_its_streams => plans::an_append_looks_up_its_streams, Off;
}

/// Whether the long sizes are asked for.
fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1")
}
