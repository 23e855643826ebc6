//! Settings of the service when it runs as a process of its own: `config.default.toml` says what each key means.

use shipway_service_kit::config::section;

shipway_service_kit::sections! {
    /// Settings of `shipway serve console`.
    pub struct Settings for "console", include_str!("../config.default.toml"), {
        /// The port.
        pub server: section::Server,
        /// Where Shipway's services answer.
        pub shipway: section::Shipway,
        /// What the process tells about itself.
        pub telemetry: section::Telemetry,
    }
}
