//! Projects, resources, pipelines, stages, flows and secrets.

mod domain;
mod secrets;
mod environment;
mod world;
