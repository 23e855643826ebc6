//! Real processes, real PostgreSQL, NATS, Git and clients.

pub mod cluster;
pub mod failpoints;
pub mod forge;
pub mod git;
pub mod git_host;
pub mod lab;
pub mod nats;
pub mod nats_production;
pub mod postgres;
pub mod proxy;
pub mod s3;
pub mod shipway;
pub mod sink;
pub mod strace;
pub mod workload;
