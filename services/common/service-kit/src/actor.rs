//! Who asks: taken from what the front verified.

use shipway_events::Actor;
use tonic::metadata::MetadataMap;

/// The header in which the command line and the console say who the person is. On the embedded default
/// the port is on loopback and the person is the operating system's user.
const HEADER: &str = "shipway-actor";

/// The person behind a request, or `local` if the front said nothing.
#[must_use]
pub fn actor(metadata: &MetadataMap) -> Actor {
    let name = metadata.get(HEADER).and_then(|value| value.to_str().ok()).filter(|name| fits(name));
    Actor::Person(name.unwrap_or("local").to_owned())
}

fn fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && !name.chars().any(char::is_control)
}
