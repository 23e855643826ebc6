//! The service as its callers see it: gRPC in process, over a real log in a folder of its own.

mod applying;
mod fetching;
mod flows;
mod hooks;
mod members;
mod overrides;
mod support;
