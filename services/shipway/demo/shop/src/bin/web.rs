//! Serves the shop.

use std::{process::ExitCode, sync::Arc, thread};

use serde_json::{Value, json};
use shop::{
    Error,
    database::{self, Pool},
    http::{Handler, Request, Response, Server},
    items, migrations, required, version,
};
use signal_hook::{consts::SIGTERM, iterator::Signals};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("stopped with requests unanswered");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Error> {
    let mut signals = Signals::new([SIGTERM])?;
    let url = required("DATABASE_URL")?;
    if std::env::var("MIGRATE_ON_START").is_ok_and(|value| value == "1") {
        for step in migrations::apply(&mut database::connect(&url)?)? {
            println!("migrated: {step}");
        }
    }
    let server = Server::bind(&format!("127.0.0.1:{}", required("PORT")?))?;
    println!("serving at {}", server.address());
    let stop = server.stop();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            println!("asked to stop: finishing what is open");
            stop.now();
        }
    });
    let pool = Pool::new(url);
    let handler: Arc<Handler> = Arc::new(move |request| {
        answer(&pool, request).unwrap_or_else(|error| {
            eprintln!("{} {}: {error}", request.method, request.path);
            json(503, &json!({"error": "the database does not answer"}))
        })
    });
    Ok(server.run(handler)?)
}

fn answer(pool: &Pool, request: &Request) -> Result<Response, Error> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/healthz") => {
            pool.with(|client| Ok(client.simple_query("SELECT 1").map(drop)?))?;
            Ok(json(200, &json!({"ok": true})))
        }
        ("GET", "/version") => Ok(json(200, &pool.with(version::of)?)),
        ("GET", "/items") => Ok(json(200, &pool.with(items::newest)?)),
        ("POST", "/items") => {
            let item = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            match pool.with(|client| items::add(client, &item))? {
                Some(item) => Ok(json(201, &item)),
                None => Ok(json(400, &json!({"error": "expected {\"name\": \"…\"}"}))),
            }
        }
        (_, "/healthz" | "/version" | "/items") => Ok(json(405, &json!({"error": "not that way"}))),
        _ => Ok(json(404, &json!({"error": "no such page"}))),
    }
}

fn json(status: u16, value: &Value) -> Response {
    Response { status, body: value.to_string() }
}
