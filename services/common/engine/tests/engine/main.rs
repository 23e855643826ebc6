//! The engine's tests: rules one by one, whole stories, and a simulation of everything around the engine.

mod language;
mod plan;
mod rows;
mod rules;
mod scenarios;
mod sim;
mod story;
