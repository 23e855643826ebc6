//! x
pub struct PostgresLog;
pub struct PostgresOptions;
