//! The rows of the shop.

use postgres::Client;
use serde_json::{Value, json};

use crate::Error;

/// The newest rows.
pub fn newest(client: &mut Client) -> Result<Value, Error> {
    let rows = client.query("SELECT id, name, note FROM items ORDER BY id DESC LIMIT 20", &[])?;
    Ok(rows
        .iter()
        .map(|row| {
            json!({
                "id": row.get::<_, i64>("id"),
                "name": row.get::<_, String>("name"),
                "note": row.get::<_, String>("note"),
            })
        })
        .collect())
}

/// Makes a row of `{"name": …, "note": …}`; none if that is not what it is.
pub fn add(client: &mut Client, item: &Value) -> Result<Option<Value>, Error> {
    let Some(name) = item["name"].as_str().filter(|name| !name.is_empty()) else { return Ok(None) };
    let note = item["note"].as_str().unwrap_or_default();
    let row =
        client.query_one("INSERT INTO items (name, note) VALUES ($1, $2) RETURNING id", &[&name, &note])?;
    Ok(Some(json!({"id": row.get::<_, i64>(0), "name": name, "note": note})))
}
