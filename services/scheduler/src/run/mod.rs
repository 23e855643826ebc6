//! Runs that go on: the book of open ones, a task for each, and how they look from outside.

pub(crate) mod actor;
pub(crate) mod book;
mod gone;
pub(crate) mod lanes;
pub(crate) mod locks;
pub(crate) mod present;
pub(crate) mod told;
