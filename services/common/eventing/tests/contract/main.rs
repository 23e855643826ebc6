//! What a log owes its callers: every test here runs against SQLite and against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod append;
mod feed;
mod fixture;
mod lease;
mod observed;
#[path = "../../../../../integration-tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "a crate's module there, of which this suite needs a part")]
mod postgres;
mod read;
mod tamper;

/// PostgreSQL only: every connection is cut while appends go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_made_again_and_nothing_is_applied_twice() {
    let fixture = fixture::Fixture::postgres().await;
    append::cut_connections_lose_and_double_nothing(&fixture).await;
    fixture.end().await;
}

/// PostgreSQL only: a server that acknowledges what is not on disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_sync_is_refused() {
    let fixture = fixture::Fixture::postgres().await;
    let options = shipway_eventing::PostgresOptions::default();
    let refused = shipway_eventing::PostgresLog::connect(&fixture.url().unwrap(), options).await;
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("fsync = off"), "{message}");
    fixture.end().await;
}

/// A module per database with one test per function.
macro_rules! contract {
    ($($module:ident::$name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = crate::fixture::Fixture::sqlite().await;
                crate::$module::$name(&fixture).await;
                fixture.end().await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fixture = crate::fixture::Fixture::postgres().await;
                crate::$module::$name(&fixture).await;
                fixture.end().await;
            })*
        }
    };
}

contract! {
    append::positions_are_gapless_and_streams_keep_their_own_versions,
    append::a_wrong_version_is_a_conflict_that_names_what_is,
    append::several_streams_move_together_or_not_at_all,
    append::a_known_command_gets_its_old_answer,
    append::the_same_command_many_times_at_once_is_applied_once,
    append::what_can_never_be_appended_is_refused,
    append::items_handed_over_together_see_each_other_and_fail_alone,
    append::many_writers_share_commits,
    append::a_large_item_goes_through_alone,
    append::a_log_goes_on_where_it_was,
    append::the_time_of_events_never_falls,
    read::a_stream_is_read_from_a_version_and_the_log_from_a_position,
    read::everything_of_the_envelope_comes_back,
    read::large_data_is_a_blob_and_reads_like_any_other,
    read::the_tail_tells_of_every_commit,
    read::snapshots_are_kept_by_schema_and_never_go_back,
    read::after_closing_appends_are_refused,
    feed::a_projection_keeps_its_tables_and_checkpoint_together,
    feed::a_read_model_is_rebuilt_while_it_is_written,
    feed::many_wait_for_what_another_process_writes,
    feed::one_who_waits_hears_at_once_that_it_is_far,
    feed::a_new_version_is_built_beside_the_old_and_takes_over,
    feed::a_projection_that_fails_is_tried_again_and_keeps_nothing_half,
    feed::a_reaction_handles_every_event_and_goes_on_where_it_was,
    feed::a_reaction_retries_what_may_go_well_and_parks_what_never_will,
    feed::rows_submitted_at_once_share_commits_and_each_gets_its_own_answer,
    feed::a_group_with_one_bad_row_fails_that_row_only,
    observed::commits_are_told_with_what_was_new_in_them,
    observed::a_consumer_that_is_behind_is_told_and_one_that_has_caught_up_too,
    tamper::an_honest_log_is_whole,
    tamper::events_cannot_be_changed_or_deleted_by_accident,
    tamper::every_kind_of_tampering_is_named,
}
