//! The node kinds: one file each with configuration, validation, outputs and what it asks for.
//!
//! A kind performs nothing: [`workload`] is what it asks an executor for, the engine does the rest.

pub mod addons;
mod allowed;
mod artifacts;
pub mod document;
mod kind;
mod kinds;
pub mod lint;
mod outputs;
mod registry;
mod removal;
mod schema;
mod service;
mod shape;
mod step;
pub mod validate;
mod words;
pub mod workload;

pub use kind::{Kind, Outputs, PathFit, Role, Use, UseKind};
pub use kinds::{
    loop_workflow::iterations,
    workflow::{Order, order},
};
pub use outputs::outputs_at_start;
pub use registry::{KINDS, find, supported, supported_in};
pub use removal::{Removal, remove_member};
pub use schema::schema;
pub use shape::Shape;
pub use step::{Child, Made, Step, StepContext, codes};
pub use validate::{StageContext, Validation, validate_flow};
pub use words::split_words;
pub use workload::{Outcome, Workload};
