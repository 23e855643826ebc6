//! Rows of either database as lines of JSON, and back.
//!
//! A line is an array of a row's columns: text, numbers, nothing, and bytes as hex. Either database makes lines and reads
//! them by itself.

use sqlx::{AnyConnection, AssertSqlSafe};

use super::{BackupError, database_error};
use crate::database::Database;

/// Durable tables that a backup leaves out: they tell of processes, and of what NATS holds.
const LEFT_OUT: [&str; 3] = ["leases", "members", "relay"];

/// A table as it is in one database.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub name: String,
    columns: Vec<(String, Kind)>,
    postgres: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bytes,
    /// 16 bytes, in PostgreSQL.
    Uuid,
}

/// The durable tables that these statements make and that are to stay, in their order.
pub(super) fn durable<'a>(statements: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = |statement: &'a str| {
        let rest = statement.trim_start().strip_prefix("CREATE TABLE IF NOT EXISTS ")?;
        rest.split(|c: char| c == '(' || c.is_whitespace()).find(|word| !word.is_empty())
    };
    let mut names: Vec<&str> = Vec::new();
    for table in statements.into_iter().filter_map(name) {
        if !LEFT_OUT.contains(&table) && !names.contains(&table) {
            names.push(table);
        }
    }
    names
}

/// Whether a statement makes a table or an index and nothing else. A backup's statements are run when it is restored.
pub(super) fn only_makes(statement: &str) -> bool {
    let makes =
        ["CREATE TABLE IF NOT EXISTS ", "CREATE INDEX IF NOT EXISTS ", "CREATE UNIQUE INDEX IF NOT EXISTS "];
    makes.iter().any(|begin| statement.trim_start().starts_with(begin)) && !statement.contains(';')
}

impl Table {
    /// The table of this name; none if there is no such table.
    pub(super) async fn find(database: &Database, name: &str) -> Result<Option<Self>, BackupError> {
        let sql = if database.is_postgres() {
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        } else {
            "SELECT name, lower(type) FROM pragma_table_info($1) ORDER BY cid"
        };
        let columns: Vec<(String, String)> = sqlx::query_as(sql)
            .bind(name)
            .fetch_all(database.readers())
            .await
            .map_err(database_error("looking at a table's columns"))?;
        let known = |(column, kind): (String, String)| {
            let known = match kind.as_str() {
                "text" => Kind::Text,
                "bigint" | "integer" | "smallint" | "int" => Kind::Number,
                "bytea" | "blob" => Kind::Bytes,
                "uuid" => Kind::Uuid,
                _ => return Err(BackupError::Column { table: name.to_owned(), column, kind }),
            };
            Ok((column, known))
        };
        let columns = columns.into_iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let found = !columns.is_empty() && std::iter::once(name).chain(names(&columns)).all(is_plain);
        Ok(found.then(|| Self { name: name.to_owned(), columns, postgres: database.is_postgres() }))
    }

    pub(super) fn column_names(&self) -> Vec<String> {
        names(&self.columns).map(str::to_owned).collect()
    }

    /// The same table with only these columns, in this order; none if it lacks one.
    pub(super) fn with(&self, columns: &[impl AsRef<str>]) -> Option<Self> {
        let find = |wanted: &str| self.columns.iter().find(|(name, _)| name == wanted).cloned();
        let columns = columns.iter().map(|column| find(column.as_ref())).collect::<Option<Vec<_>>>()?;
        Some(Self { columns, ..self.clone() })
    }

    /// The query for every row as a line.
    pub(super) fn lines(&self) -> AssertSqlSafe<String> {
        let value = |(name, kind): &(String, Kind)| match (kind, self.postgres) {
            (Kind::Text | Kind::Number, _) => format!("\"{name}\""),
            (Kind::Bytes, true) => format!("encode(\"{name}\", 'hex')"),
            (Kind::Uuid, _) => format!("encode(uuid_send(\"{name}\"), 'hex')"),
            (Kind::Bytes, false) => format!("CASE WHEN \"{name}\" IS NOT NULL THEN hex(\"{name}\") END"),
        };
        let values = self.columns.iter().map(value).collect::<Vec<_>>().join(", ");
        let array = if self.postgres {
            format!("json_build_array({values})::text")
        } else {
            format!("json_array({values})")
        };
        AssertSqlSafe(format!("SELECT {array} FROM \"{}\"", self.name))
    }

    /// Puts rows into the table that [`Table::lines`] asked for, or that look like it. How many.
    pub(super) async fn insert(
        &self,
        connection: &mut AnyConnection,
        lines: &str,
    ) -> Result<u64, BackupError> {
        let value = |(index, (_, kind)): (usize, &(String, Kind))| match kind {
            Kind::Text => format!("value->>{index}"),
            Kind::Number => format!("CAST(value->>{index} AS BIGINT)"),
            Kind::Bytes => format!("unhex(value->>{index})"),
            Kind::Uuid => format!("CAST(value->>{index} AS uuid)"),
        };
        let values = self.columns.iter().enumerate().map(value).collect::<Vec<_>>().join(", ");
        let columns: Vec<_> = names(&self.columns).map(|name| format!("\"{name}\"")).collect();
        let sql = AssertSqlSafe(format!(
            "INSERT INTO \"{}\" ({}) SELECT {values} FROM json_each($1)",
            self.name,
            columns.join(", ")
        ));
        let list = format!("[{}]", lines.trim_end().replace('\n', ","));
        let done = sqlx::query(sql).bind(list).execute(connection).await;
        Ok(done.map_err(database_error("filling a table"))?.rows_affected())
    }
}

fn names(columns: &[(String, Kind)]) -> impl Iterator<Item = &str> {
    columns.iter().map(|(name, _)| name.as_str())
}

/// Only such names become part of a statement.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_in_the_statements_that_made_them() {
        let made = [
            "CREATE TABLE IF NOT EXISTS inbox (id TEXT)",
            "CREATE TABLE IF NOT EXISTS leases (name TEXT)",
            "CREATE INDEX IF NOT EXISTS inbox_id ON inbox (id)",
            "CREATE TABLE IF NOT EXISTS\n inbox\n (id TEXT)",
            "CREATE TABLE IF NOT EXISTS secrets(id TEXT)",
        ];
        assert_eq!(durable(made), ["inbox", "secrets"]);
        assert!(made.iter().filter(|made| !made.contains('\n')).all(|made| only_makes(made)));
        assert!(!only_makes("DROP TABLE events"));
        assert!(!only_makes("CREATE TABLE IF NOT EXISTS a (b TEXT); DROP TABLE events"));
    }
}
