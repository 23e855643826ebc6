//! Webhook ingress, delivery inbox, rule matching and repository polling.

pub mod domain;
pub mod signature;
