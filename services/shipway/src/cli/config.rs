//! `config`: the settings of a distributed Shipway's services.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use shipway_service_kit::config::Problem;

use super::{
    Exit, Failure, Outcome, Paint, Style, Table,
    flags::Output,
    out,
    output::{out_json, talk},
};
use crate::up::{Given, Service, settings};

/// What is done with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Tell everything that is wrong with the settings that a service would start with here.
    Check(CheckArgs),
    /// Print each value and where it came from; secrets are masked.
    Show(ShowArgs),
    /// Print a service's default file: every key, with its meaning.
    Default(DefaultArgs),
}

/// Arguments of `config check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The service; all when absent.
    #[arg(long, value_name = "SERVICE")]
    service: Option<Service>,
    #[command(flatten)]
    given: Given,
    /// For people, or for programs.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Arguments of `config show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The service.
    service: Service,
    #[command(flatten)]
    given: Given,
    /// For people, or for programs.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Arguments of `config default`.
#[derive(Args, Debug)]
pub(crate) struct DefaultArgs {
    /// The service.
    service: Service,
}

/// Checks or shows settings.
pub(crate) fn config(verb: Config) -> Outcome {
    match verb {
        Config::Check(args) => check(&args),
        Config::Show(args) => show(&args),
        Config::Default(args) => {
            out(settings::defaults(args.service).trim_end());
            Ok(Exit::Ok)
        }
    }
}

fn check(args: &CheckArgs) -> Outcome {
    let services = args.service.as_ref().map_or_else(Service::value_variants, std::slice::from_ref);
    let sources = settings::sources(&args.given);
    // The same mistake is told once, with the services that it stops.
    let mut found: Vec<(Problem, Vec<String>)> = Vec::new();
    for service in services {
        for problem in settings::resolved(*service, &sources).err().map_or_else(Vec::new, |all| all.0) {
            match found.iter_mut().find(|(known, _)| *known == problem) {
                Some((_, stopped)) => stopped.push(name(*service)),
                None => found.push((problem, vec![name(*service)])),
            }
        }
    }
    if args.output == Output::Json {
        let problems: Vec<_> = found.iter().map(|(problem, stopped)| json_of(problem, stopped)).collect();
        out_json(&json!({ "ok": problems.is_empty(), "problems": problems }));
    } else {
        let paint = Paint::stderr();
        for (problem, stopped) in &found {
            let whose = if services.len() > 1 { format!(" ({})", stopped.join(", ")) } else { String::new() };
            let text = Problem { help: None, ..problem.clone() };
            talk(&format!("{}{text}{whose}", paint.on("error: ", Style::Bad)));
            if let Some(help) = &problem.help {
                talk(&format!("{}{help}", paint.on(" help: ", Style::Accent)));
            }
        }
        if found.is_empty() {
            let names: Vec<_> = services.iter().map(|service| name(*service)).collect();
            talk(&format!("the settings of {} hold", names.join(", ")));
        }
    }
    Ok(if found.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn show(args: &ShowArgs) -> Outcome {
    let resolved = settings::resolved(args.service, &settings::sources(&args.given))
        .map_err(|problems| Failure::new(problems.to_string()))?;
    if args.output == Output::Json {
        let keys: Vec<_> = resolved
            .iter()
            .map(|key| json!({ "key": key.key, "value": key.value, "from": key.origin.to_string() }))
            .collect();
        out_json(&json!(keys));
    } else {
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for key in resolved {
            table.row([&key.key, &key.value, &key.origin.to_string()]);
        }
        out(&table.text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

fn json_of(problem: &Problem, services: &[String]) -> serde_json::Value {
    json!({
        "from": problem.origin.as_ref().map(ToString::to_string),
        "key": problem.key,
        "message": problem.message,
        "help": problem.help,
        "services": services,
    })
}

fn name(service: Service) -> String {
    service.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
