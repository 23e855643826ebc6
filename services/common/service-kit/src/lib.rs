//! What every service's main shares: configuration, telemetry, health, drain.
