//! The triggers service as others meet it: over a real log, with real Git repositories.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

/// Runs tests, which take a `Place`, on each database.
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Place::sqlite()).await;
            })*
        }

        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::Place::postgresql()).await;
            })*
        }
    };
}
use on_both;

mod asking;
mod events;
mod flow_hook;
#[path = "../../../../integration-tests/src/git_host.rs"]
#[expect(dead_code, unreachable_pub, reason = "other tests use the rest of it")]
mod git_host;
mod guards;
mod ingress;
mod paths;
mod payloads;
#[path = "../../../../integration-tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "other tests use the rest of it")]
mod postgres;
mod pull_requests;
mod real_git;
mod reconcile;
mod rules;
mod schedules;
mod senders;
mod signatures;
mod sources;
mod spooling;
mod support;
mod timing;
mod waiting;
mod why;
