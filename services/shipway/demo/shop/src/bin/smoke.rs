//! Asks a running shop whether it works: is it well, is it the right one, does a row come back.

use std::process::ExitCode;

use serde_json::json;
use shop::{Error, client::ask, migrations};

fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            println!("all is well");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("smoke: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let base = address()?;
    let (status, _) = ask(&base, "GET", "/healthz", None)?;
    expect("GET /healthz", 200, status)?;

    let (status, version) = ask(&base, "GET", "/version", None)?;
    expect("GET /version", 200, status)?;
    println!("it is {version}");
    if version["schema"].as_i64() < Some(migrations::newest().into()) {
        return Err(format!("the schema is at {}, older than this program", version["schema"]).into());
    }
    let commit = std::env::var("SHIPWAY_COMMIT").unwrap_or_default();
    if !commit.is_empty() && version["commit"] != commit.as_str() {
        return Err(format!("it runs commit {}, not {commit}", version["commit"]).into());
    }

    let name = format!("smoke {}", std::process::id());
    let (status, made) = ask(&base, "POST", "/items", Some(&json!({"name": name})))?;
    expect("POST /items", 201, status)?;
    let (status, items) = ask(&base, "GET", "/items", None)?;
    expect("GET /items", 200, status)?;
    let back = items.as_array().into_iter().flatten().any(|item| item["id"] == made["id"]);
    if back { Ok(()) } else { Err(format!("row {} was written and does not come back", made["id"]).into()) }
}

/// `SHOP_URL`, or where Shipway says that the service `SHOP_SERVICE` answers.
fn address() -> Result<String, Error> {
    if let Ok(url) = std::env::var("SHOP_URL") {
        return Ok(url);
    }
    let service = std::env::var("SHOP_SERVICE").map_err(|_| "neither SHOP_URL nor SHOP_SERVICE is set")?;
    let name = format!("SHIPWAY_URL_{}", service.to_uppercase().replace('-', "_"));
    std::env::var(&name).map_err(|_| format!("{name} is not set: has `{service}` an HTTP port?").into())
}

fn expect(what: &str, wanted: u16, got: u16) -> Result<(), Error> {
    if wanted == got { Ok(()) } else { Err(format!("{what} answered {got}, not {wanted}").into()) }
}
