//! Runs node attempts, drives runtimes and keeps logs.
