//! How PostgreSQL goes about an append: it looks up the streams of the batch, however many others there are.

use serde_json::json;
use shipway_eventing::Expected;
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

use crate::given::{Given, item, stream};

/// As many as make it look cheaper to read them all than to look up the hundred that a list is taken for.
const STREAMS: usize = 10_000;

pub(crate) async fn an_append_looks_up_its_streams(given: &mut Given) {
    for batch in (0..STREAMS).collect::<Vec<_>>().chunks(500) {
        let items = batch.iter().map(|n| item(&stream(format!("known-{n}")), Expected::New, 1)).collect();
        for answer in given.log.append_all(items).await {
            answer.unwrap();
        }
    }
    let mut session = given.superuser().await;
    sqlx::raw_sql("SET search_path = shipway_log; ANALYZE").execute(&mut session).await.unwrap();
    let batch = json!({
        "streams": [stream("known-77").to_string(), stream("new").to_string()],
        "items": [{"c": Uuid::now_v7(), "m": "{}", "w": 0, "s": [1, 2], "e": [1, 0], "n": [1, 1]}],
        "events": [
            {"i": 1, "w": 1, "o": 1, "t": 2, "k": "test.happened", "v": 1, "f": 0, "d": "{}"},
            {"i": 1, "w": 2, "o": 1, "t": null, "k": "test.happened", "v": 1, "f": 0, "d": "{}"},
        ],
    });
    let mut transaction = session.begin().await.unwrap();
    let append = format!("SELECT status FROM append('{batch}'::jsonb)");
    let status: String =
        sqlx::query_scalar(AssertSqlSafe(append)).fetch_one(&mut *transaction).await.unwrap();
    let counts = "SELECT seq_scan, coalesce(seq_tup_read, 0), idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'streams'";
    let counts: (i64, i64, i64) = sqlx::query_as(counts).fetch_one(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(status, "new");
    assert!((counts.0, counts.1) == (0, 0) && counts.2 > 0, "all, read of them, by index: {counts:?}");
}
