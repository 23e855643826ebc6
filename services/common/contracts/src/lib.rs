//! The gRPC contracts: generated code, conversions and the closed list of error codes.

mod again;
pub mod blockers;
mod channel;
mod convert;
mod error;
mod targets;
pub mod trace;

/// The generated messages, clients and servers of `shipway.v1`.
pub mod v1 {
    #![expect(
        missing_docs,
        unused_qualifications,
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated from the protos, where the documentation is"
    )]
    tonic::include_proto!("shipway.v1");
}

pub use again::until_answered;
pub use channel::{Channel, Door};
pub use convert::{id, optional_id};
pub use error::{Code, Error, RETRY_AFTER, retry_after};
pub use targets::{BadAddress, Targets, is_away};

/// The descriptors of all protos, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
