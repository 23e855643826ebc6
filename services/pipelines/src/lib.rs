//! Projects, resources, pipelines, stages, flows and secrets.

mod domain;
mod environment;
mod fences;
mod secrets;
mod world;
