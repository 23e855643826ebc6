//! Real processes, real PostgreSQL, Git and clients.

pub mod git;
pub mod lab;
pub mod postgres;
pub mod s3;
pub mod shipway;
