//! The gRPC services.

mod addons;
mod events;
mod freezes;
mod history;
mod holds;
mod once;
mod people;
mod plans;
mod resume;
mod rollbacks;
mod runs;
mod wanted;
mod work;

pub use events::EventsApi;
pub use freezes::FreezesApi;
pub use history::HistoryApi;
pub use holds::HoldsApi;
pub(crate) use holds::NewHold;
pub(crate) use people::asked_by;
pub use rollbacks::RollbacksApi;
pub use runs::RunsApi;
pub use work::WorkApi;
