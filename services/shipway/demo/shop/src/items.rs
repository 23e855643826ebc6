//! The rows of the shop.

use postgres::Client;
use serde_json::{Value, json};

use crate::Error;

/// The newest rows.
pub fn newest(client: &mut Client) -> Result<Value, Error> {
    let rows = client.query("SELECT id, name FROM items ORDER BY id DESC LIMIT 20", &[])?;
    Ok(rows
        .iter()
        .map(|row| json!({"id": row.get::<_, i64>("id"), "name": row.get::<_, String>("name")}))
        .collect())
}

/// Makes a row of `{"name": …}`; none if that is not what it is.
pub fn add(client: &mut Client, item: &Value) -> Result<Option<Value>, Error> {
    let Some(name) = item["name"].as_str().filter(|name| !name.is_empty()) else { return Ok(None) };
    let row = client.query_one("INSERT INTO items (name) VALUES ($1) RETURNING id", &[&name])?;
    Ok(Some(json!({"id": row.get::<_, i64>(0), "name": name})))
}
