//! Words back to Git hosts: the status of a commit, and one comment on a pull request that a repeat changes instead of
//! adding another.
//!
//! What is asked of a host and what its answers mean are pure values: one file per host in [`hosts`]. [`Client`] sends
//! them. An [`Account`]'s credential is bound to its API's address and goes nowhere else, over redirects neither.

mod account;
mod address;
mod client;
mod error;
mod exchange;
pub mod hosts;
mod listing;
mod outbound;
mod said;

pub use account::{Account, HostKind};
pub use address::RepositoryAddress;
pub use client::{Client, Put};
pub use error::{ForgeError, retry_after};
pub use exchange::{Answer, Request};
pub use listing::{Listed, Repositories, Who};
pub use outbound::{AddressError, Outbound};
pub use said::{Comment, Pull, State, Status};
