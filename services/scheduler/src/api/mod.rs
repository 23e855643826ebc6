//! The gRPC services.

mod addons;
mod events;
mod runs;
mod work;

pub use events::EventsApi;
pub use runs::RunsApi;
pub use work::WorkApi;
