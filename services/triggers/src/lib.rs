//! Webhook ingress, delivery inbox, rule matching and repository polling.

pub mod domain;
mod git;
pub mod post_receive;
mod sealer;
pub mod signature;

pub use sealer::{KeyError, OpenError, Sealer};
