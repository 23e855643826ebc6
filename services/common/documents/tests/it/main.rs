//! The crate as its users see it.

mod expressions;
mod flows;
mod golden;
mod phases;
mod properties;
mod resources;
mod sources;
