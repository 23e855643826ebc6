use std::sync::Arc;

use shipway_eventing::{Feed, Log, SqliteLog, SqliteOptions, Views};
use sqlx::{AnyPool, Row};

use super::*;
use crate::projections;

/// The read tables of a log without events.
async fn tables() -> (tempfile::TempDir, Views, Vec<shipway_eventing::Consumer>) {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&folder.path().join("log.db"), SqliteOptions::default()).await.unwrap();
    let log: Arc<dyn Log> = Arc::new(log);
    let views = Views::open(&folder.path().join("views.db"), &*log).await.unwrap();
    let feed = Feed::new(log);
    let mut consumers = Vec::new();
    for projection in projections::all(true) {
        consumers.push(feed.project(&views, projection).await.unwrap());
    }
    (folder, views, consumers)
}

/// How SQLite answers a question, step by step.
async fn plan(pool: &AnyPool, sql: &str, texts: usize) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let query = sqlx::query(explain).bind(1_i64).bind(1_i64);
    let query = (0..texts).fold(query, |query, _| query.bind("x"));
    let steps = query.fetch_all(pool).await.unwrap();
    steps.iter().map(|step| step.get::<String, _>("detail")).collect()
}

fn asked(equal: &[&'static str], concluded: Option<bool>, text: &str) -> Asked {
    let equal = equal.iter().map(|column| (*column, "x".to_owned())).collect();
    Asked { equal, concluded, text: text.to_owned(), from: 0, before: i64::MAX }
}

#[tokio::test]
async fn every_filter_walks_an_index_of_its_own_and_sorts_nothing() {
    let (_folder, views, _consumers) = tables().await;
    for (asked, index) in [
        (asked(&[], None, ""), "runs_3_position"),
        (asked(&["commit_sha"], None, ""), "runs_3_commit"),
        (asked(&["author"], None, ""), "runs_3_author"),
        (asked(&["branch"], None, ""), "runs_3_branch"),
        (asked(&["path"], None, ""), "runs_3_path"),
        (asked(&["status"], None, ""), "runs_3_status"),
        (asked(&["pipeline"], None, ""), "runs_3_pipeline"),
        (asked(&["stage"], None, ""), "runs_3_stage"),
        (asked(&["project"], None, ""), "runs_3_project"),
        (asked(&["origin"], None, ""), "runs_3_origin"),
        (asked(&[], Some(false), ""), "runs_3_open"),
        (asked(&[], Some(true), ""), "runs_3_position"),
        (asked(&[], None, "fix"), "runs_3_position"),
        (asked(&["project", "branch", "status"], Some(true), "fix"), "runs_3_branch"),
        (asked(&["project", "branch"], Some(false), "fix"), "runs_3_open"),
    ] {
        let questions = [(asked.page(51), "its page"), (asked.floor(), "the end of its walk")];
        for (question, of) in questions {
            let steps = plan(views.pool(), &question.sql, question.texts.len()).await;
            let [step] = steps.as_slice() else { panic!("{of} of {asked:?}: {steps:?}") };
            let index = format!("{index} (");
            assert!(step.starts_with("SEARCH runs_3 USING "), "{of} of {asked:?}: {step}");
            assert!(step.contains(&index), "{of} of {asked:?}: {step}");
        }
    }
}

#[tokio::test]
async fn what_else_is_asked_of_the_tables_searches_an_index_too() {
    let (_folder, views, _consumers) = tables().await;
    let questions = [NOT_BEFORE, COMMIT_FROM, COMMIT_AFTER]
        .into_iter()
        .chain(crate::queries::ALL)
        .chain(crate::older::ALL)
        .chain(crate::rollback::questions());
    for sql in questions {
        let highest = (1..9).rev().find(|n| sql.contains(&format!("${n}"))).unwrap_or(0);
        let query = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        let query = (0..highest).fold(query, |query, _| query.bind("1"));
        for step in query.fetch_all(views.pool()).await.unwrap() {
            let step: String = step.get("detail");
            // There are few targets and places, and all of them are asked for.
            let few = ["SCAN t", "SCAN places_2", "SCAN runs_3 USING INDEX"]
                .iter()
                .any(|few| step.starts_with(few));
            assert!(few || !step.starts_with("SCAN"), "{sql}: {step}");
        }
    }
}

#[test]
fn a_part_of_a_name_means_itself() {
    assert_eq!(escaped(r"50%_a\b"), r"50\%\_a\\b");
    let question = asked(&["path"], None, "50%").page(3);
    assert!(question.sql.contains("sought LIKE $4 ESCAPE '\\'"), "{}", question.sql);
    assert_eq!(question.texts, ["x", r"%50\%%"]);
}

#[test]
fn one_filter_alone_needs_no_end_of_its_walk() {
    for asked in [asked(&[], None, ""), asked(&["path"], None, ""), asked(&[], Some(false), "")] {
        assert!(!asked.is_walk(), "{asked:?}");
    }
    for asked in [asked(&["path", "branch"], None, ""), asked(&[], Some(true), ""), asked(&[], None, "x")] {
        assert!(asked.is_walk(), "{asked:?}");
    }
}
