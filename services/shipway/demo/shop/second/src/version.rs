//! What is running.

use postgres::Client;
use serde_json::{Value, json};

use crate::{Error, migrations};

/// Commit, schema version and instance.
pub fn of(client: &mut Client) -> Result<Value, Error> {
    Ok(json!({
        "commit": std::env::var("SHIPWAY_COMMIT").unwrap_or_default(),
        "schema": migrations::version(client)?,
        "instance": std::process::id(),
        "message": include_str!("message.txt").trim(),
        "notes": true,
    }))
}
