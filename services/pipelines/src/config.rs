//! Settings of this service.

use std::ops::RangeInclusive;

/// Settings of this service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Ports of this machine that services and addons are given: each once, and kept.
    pub ports: RangeInclusive<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self { ports: 7500..=7999 }
    }
}
