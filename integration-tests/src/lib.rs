//! Real processes, real PostgreSQL, Git and clients.

pub mod postgres;
