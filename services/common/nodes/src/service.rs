//! How a service or job runs, from its declared `spec`.

use serde_json::Value;
use shipway_documents::resources::{Protocol, ports};
use shipway_events::{plan::PinnedResource, run::NodeError};

use crate::{
    step::{codes, environment, fail},
    words::split_words,
    workload::{Command, HealthCheck, Port, ServiceSpec},
};

/// Consecutive good answers that make an instance healthy, unless the service says otherwise.
const SUCCESSES: u32 = 3;
/// Consecutive bad answers that make a healthy instance ill, unless the service says otherwise.
const FAILURES: u32 = 3;
/// Milliseconds between checks, unless the service says otherwise.
const PERIOD_MS: u64 = 200;
/// Milliseconds that an answer may take, unless the service says otherwise.
const TIMEOUT_MS: u64 = 1000;
/// Seconds between SIGTERM and SIGKILL, unless the service says otherwise.
const GRACE_SECONDS: u32 = 30;

/// How the service `slug` runs.
pub(crate) fn service_spec(slug: &str, resource: &PinnedResource) -> Result<ServiceSpec, NodeError> {
    let deployment = resource.spec.get("deployment").unwrap_or(&Value::Null);
    let number = |key: &str| deployment.get(key).and_then(whole);
    Ok(ServiceSpec {
        instances: number("instances").unwrap_or(1),
        command: command(slug, deployment)?.unwrap_or_else(|| Command::Process("web".into())),
        environment: environment([&resource.environment])?,
        ports: public_ports(slug, resource)?,
        health: health_checks(slug, &resource.spec)?,
        grace_seconds: number("gracePeriodSeconds").unwrap_or(GRACE_SECONDS),
    })
}

/// What a `deployment` says is executed; none where it leaves that to the artifact.
pub(crate) fn command(slug: &str, deployment: &Value) -> Result<Option<Command>, NodeError> {
    for key in ["docker", "buildpack"] {
        let Some(start) = deployment.get(key) else { continue };
        let config = start.get("configType").and_then(Value::as_str).unwrap_or("default");
        let text = |name: &str| {
            start.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).ok_or_else(|| {
                let message = format!(
                    "`{slug}` has `configType: {config}` and no `{name}`; set `deployment.{key}.{name}`"
                );
                fail(codes::NO_COMMAND, message)
            })
        };
        let words = |name: &str| {
            split_words(text(name)?).map_err(|error| {
                fail(codes::NO_COMMAND, format!("`deployment.{key}.{name}` of `{slug}`: {error}"))
            })
        };
        return Ok(match config {
            "default" | "" => continue,
            "customProcess" => Some(Command::Process(text("customProcess")?.to_owned())),
            "customCommand" | "originalEntrypointCustomCommand" => {
                Some(Command::Words(words("customCommand")?))
            }
            "customEntrypoint" => Some(Command::Words(words("customEntrypoint")?)),
            "customEntrypointCustomCommand" => {
                let mut all = words("customEntrypoint")?;
                all.extend(words("customCommand")?);
                Some(Command::Words(all))
            }
            other => {
                let message = format!("`deployment.{key}.configType` of `{slug}` cannot be `{other}`");
                return Err(fail(codes::NO_COMMAND, message));
            }
        });
    }
    Ok(None)
}

fn public_ports(slug: &str, resource: &PinnedResource) -> Result<Vec<Port>, NodeError> {
    let port = |port: shipway_documents::resources::Port| {
        let name = port.name;
        if port.protocol == Protocol::Udp {
            return Err(fail(
                codes::UNSUPPORTED,
                format!("the port `{name}` of `{slug}` is UDP, which this runtime has not"),
            ));
        }
        let Some(public) = resource.ports.get(&name) else {
            let message =
                format!("the port `{name}` of `{slug}` has no number on this host; apply the service again");
            return Err(fail(codes::NO_PORT, message));
        };
        Ok(Port { name, public: *public, http: port.protocol == Protocol::Http })
    };
    ports(&resource.spec).into_iter().map(port).collect()
}

fn health_checks(slug: &str, spec: &Value) -> Result<Vec<HealthCheck>, NodeError> {
    let list = spec.get("healthChecks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().map(|check| health_check(slug, spec, check)).collect()
}

fn health_check(slug: &str, spec: &Value, check: &Value) -> Result<HealthCheck, NodeError> {
    let path = match check.get("protocol").and_then(Value::as_str) {
        Some("CMD") => {
            let message =
                format!("`{slug}` has a health check by command; this runtime has `HTTP` and `TCP`");
            return Err(fail(codes::UNSUPPORTED, message));
        }
        Some("TCP") => None,
        _ => check
            .get("path")
            .and_then(Value::as_str)
            .map(|path| if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }),
    };
    let port = match check.get("port") {
        None | Some(Value::Null) => None,
        Some(wanted) => {
            let all = ports(spec);
            let number = whole(wanted);
            let found = all
                .iter()
                .find(|port| wanted.as_str() == Some(&port.name) || number == Some(u32::from(port.internal)));
            let shown = shipway_documents::plain_text(wanted).unwrap_or_default();
            Some(found.map(|port| port.name.clone()).ok_or_else(|| {
                let names = shipway_documents::list(all.iter().map(|port| port.name.as_str()));
                let message =
                    format!("a health check of `{slug}` is for port `{shown}`; its ports are {names}");
                fail(codes::NO_PORT, message)
            })?)
        }
    };
    Ok(HealthCheck {
        path,
        port,
        period_ms: milliseconds(check.get("periodSeconds")).unwrap_or(PERIOD_MS),
        timeout_ms: milliseconds(check.get("timeoutSeconds")).unwrap_or(TIMEOUT_MS),
        successes: check.get("successThreshold").and_then(whole).unwrap_or(SUCCESSES).max(1),
        failures: check.get("failureThreshold").and_then(whole).unwrap_or(FAILURES).max(1),
    })
}

/// Seconds, fractions allowed, from 10 ms to an hour.
fn milliseconds(seconds: Option<&Value>) -> Option<u64> {
    let seconds = number(seconds?)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 10 ms to an hour"
    )]
    Some((seconds * 1000.0).clamp(10.0, 3_600_000.0) as u64)
}

/// A whole number, or the text of one.
pub(crate) fn whole(value: &Value) -> Option<u32> {
    let number = number(value)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and in range"
    )]
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32)
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number: &f64| number.is_finite())
}
