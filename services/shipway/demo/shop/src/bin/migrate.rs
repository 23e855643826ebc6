//! Brings the schema up to date; `migrate --status` only says where it is, and fails if something is missing.

use std::process::ExitCode;

use shop::{Error, database, migrations, required};

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        None => apply(),
        Some("--status") => status(),
        Some(other) => Err(format!("`{other}` is not known; there is only --status").into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("migrate: {error}");
        ExitCode::FAILURE
    })
}

fn apply() -> Result<ExitCode, Error> {
    let mut client = database::connect(&required("DATABASE_URL")?)?;
    let applied = migrations::apply(&mut client)?;
    for step in &applied {
        println!("applied {step}");
    }
    if applied.is_empty() {
        println!("nothing to do: the schema is at version {}", migrations::version(&mut client)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode, Error> {
    let mut client = database::connect(&required("DATABASE_URL")?)?;
    let (at, newest) = (migrations::version(&mut client)?, migrations::newest());
    println!("the schema is at version {at}, this program brings version {newest}");
    Ok(if at < newest { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
