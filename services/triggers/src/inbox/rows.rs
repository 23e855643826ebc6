//! How many rows are written at once: PostgreSQL takes them as one JSON text, for a statement costs it a round trip. SQLite
//! takes their values: a statement costs it little, and to take a row out of JSON more than all else of the row.

use serde::Serialize;
use sqlx::{Any, AnyConnection, AssertSqlSafe, any::AnyArguments, query::Query};

use super::known::is_postgres;

/// So many rows at most are written by one statement.
const MOST: usize = 64;

/// So many rows have a statement of their own where several statements make one transaction. Few, so that all of them
/// stay prepared.
const SIZES: [usize; 12] = [MOST, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1];

/// A statement to which values are bound.
pub(super) type Bound<'q> = Query<'q, Any, AnyArguments>;

/// A row of a table.
pub(super) trait Written: Serialize + Send {
    /// The statement that takes a list of rows as JSON.
    const JSON: &str;
    /// The same statement's part before the values of rows, and after them.
    const HEAD: &str;
    const TAIL: &str;
    /// How many values a row has.
    const COLUMNS: usize;

    /// With this row's values, in the order of the statement's columns.
    fn bound(self, query: Bound<'_>) -> Bound<'_>;
}

/// Writes rows in their order.
pub(super) async fn write_rows<R: Written>(
    connection: &mut AnyConnection,
    rows: Vec<R>,
) -> Result<(), sqlx::Error> {
    if is_postgres(connection) && !rows.is_empty() {
        let rows = serde_json::to_string(&rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
        return sqlx::query(R::JSON).bind(rows).execute(connection).await.map(drop);
    }
    let mut rest = rows.into_iter();
    while let Some(size) = SIZES.into_iter().find(|size| *size <= rest.len()) {
        write_values(connection, rest.by_ref().take(size), R::TAIL).await?;
    }
    Ok(())
}

/// Writes rows as values, with another end of the statement: by one statement, however many they are, if they are not
/// very many. How many it wrote.
pub(super) async fn write_at_once<R: Written>(
    connection: &mut AnyConnection,
    rows: Vec<R>,
    tail: &str,
) -> Result<u64, sqlx::Error> {
    let (mut rest, mut written) = (rows.into_iter(), 0);
    while rest.len() > 0 {
        written += write_values(connection, rest.by_ref().take(MOST), tail).await?;
    }
    Ok(written)
}

async fn write_values<R: Written>(
    connection: &mut AnyConnection,
    rows: impl ExactSizeIterator<Item = R>,
    tail: &str,
) -> Result<u64, sqlx::Error> {
    let query = sqlx::query(AssertSqlSafe(with_values::<R>(rows.len(), tail)));
    let query = rows.fold(query, |query, row| row.bound(query));
    Ok(query.execute(connection).await?.rows_affected())
}

/// The statement for so many rows.
fn with_values<R: Written>(rows: usize, tail: &str) -> String {
    let mut text = R::HEAD.to_owned();
    for number in 0..rows * R::COLUMNS {
        // Without numbers: SQLite looks those up among all of them, each time one is bound.
        text.push_str(match (number, number % R::COLUMNS) {
            (0, _) => " VALUES (?",
            (_, 0) => "), (?",
            _ => ", ?",
        });
    }
    text.push(')');
    text.push_str(tail);
    text
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Executor as _};

    use super::*;

    #[derive(Clone, PartialEq, Debug, Serialize)]
    struct Pair(i64, Option<String>);

    impl Written for Pair {
        const JSON: &str = "";
        const HEAD: &str = "INSERT INTO pairs (a, b)";
        const TAIL: &str = " ON CONFLICT (a) DO UPDATE SET b = excluded.b";
        const COLUMNS: usize = 2;

        fn bound(self, query: Bound<'_>) -> Bound<'_> {
            query.bind(self.0).bind(self.1)
        }
    }

    #[tokio::test]
    async fn any_number_of_rows_is_written_in_their_order() {
        sqlx::any::install_default_drivers();
        for count in [0, 1, 3, 31, 64, 65, 137] {
            let mut connection = AnyConnection::connect("sqlite::memory:").await.unwrap();
            connection.execute("CREATE TABLE pairs (a BIGINT PRIMARY KEY, b TEXT)").await.unwrap();
            let rows: Vec<_> = (0..count).map(|n| Pair(n, (n % 2 == 0).then(|| format!("{n}?")))).collect();
            // Again, with what they had before.
            let again: Vec<_> = rows.iter().map(|row| Pair(row.0, None)).collect();
            write_rows(&mut connection, again).await.unwrap();
            write_rows(&mut connection, rows.clone()).await.unwrap();
            let new = [Pair(-1, None), Pair(-2, None)];
            let all = [rows, new.to_vec()].concat();
            let known =
                write_at_once(&mut connection, all.clone(), " ON CONFLICT (a) DO NOTHING").await.unwrap();
            assert_eq!(known, 2, "the others are there");
            let written: Vec<(i64, Option<String>)> =
                sqlx::query_as("SELECT a, b FROM pairs ORDER BY a < 0, abs(a)")
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
            assert_eq!(written, all.into_iter().map(|row| (row.0, row.1)).collect::<Vec<_>>());
        }
    }
}
