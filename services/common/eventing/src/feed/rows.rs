//! Rows that a projection writes together: a statement for many of them, since each costs a way to the database.

use sqlx::{Any, AnyConnection, AssertSqlSafe, query::Query};

/// How many rows one statement has, where there are so many. A statement for each other number would have to be prepared.
const AT_ONCE: usize = 32;

/// What a column of a row gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// Rows of one table with as many columns, written in the order in which they came.
#[derive(Debug)]
pub struct Rows<const COLUMNS: usize> {
    into: &'static str,
    rows: Vec<[Cell; COLUMNS]>,
}

impl<const COLUMNS: usize> Rows<COLUMNS> {
    /// Rows for a table and its columns: `INSERT INTO runs_3 (run, position)`.
    #[must_use]
    pub const fn new(into: &'static str) -> Self {
        Self { into, rows: Vec::new() }
    }

    /// One more row.
    pub fn push(&mut self, row: [Cell; COLUMNS]) {
        self.rows.push(row);
    }

    /// Writes them.
    ///
    /// # Errors
    /// If the database does not.
    pub async fn write(self, tables: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let mut rows = self.rows;
        while !rows.is_empty() {
            let now = if rows.len() < AT_ONCE { 1 } else { AT_ONCE };
            let statement = statement(self.into, COLUMNS, now);
            let query = sqlx::query(AssertSqlSafe(statement));
            rows.drain(..now).flatten().fold(query, bound).execute(&mut *tables).await?;
        }
        Ok(())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

fn bound<'q>(
    query: Query<'q, Any, <Any as sqlx::Database>::Arguments>,
    cell: Cell,
) -> Query<'q, Any, <Any as sqlx::Database>::Arguments> {
    match cell {
        Cell::Text(text) => query.bind(text),
        Cell::Number(number) => query.bind(number),
    }
}

fn statement(into: &str, columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let cells: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", cells.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("{into} VALUES {}", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use super::*;

    #[tokio::test]
    async fn however_many_rows_each_is_written_once_and_in_order() {
        assert_eq!(statement("INSERT INTO t (a, b)", 2, 2), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        sqlx::any::install_default_drivers();
        let mut tables = AnyConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (a TEXT, b BIGINT)").execute(&mut tables).await.unwrap();
        for count in [0_i64, 1, 31, 32, 33, 70] {
            sqlx::query("DELETE FROM t").execute(&mut tables).await.unwrap();
            let mut rows = Rows::new("INSERT INTO t (a, b)");
            for n in 0..count {
                rows.push([format!("row {n}").into(), n.into()]);
            }
            rows.write(&mut tables).await.unwrap();
            let read: Vec<(String, i64)> =
                sqlx::query_as("SELECT a, b FROM t ORDER BY rowid").fetch_all(&mut tables).await.unwrap();
            let expected: Vec<_> = (0..count).map(|n| (format!("row {n}"), n)).collect();
            assert_eq!(read, expected);
        }
    }
}
