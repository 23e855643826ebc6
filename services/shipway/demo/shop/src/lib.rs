//! The shop: what its three programs share.

pub mod client;
pub mod database;
pub mod http;
pub mod items;
pub mod migrations;
pub mod version;

/// What can go wrong, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// An environment variable that has to be there.
pub fn required(name: &str) -> Result<String, Error> {
    std::env::var(name).map_err(|_| format!("the environment variable {name} is missing").into())
}
