//! The node kinds: one file each with configuration, validation, outputs and what it asks for.
//!
//! A kind performs nothing: [`workload`] is what it asks an executor for, the engine does the rest.

pub mod validate;
pub mod workload;
use std::collections::BTreeMap;
use serde_json::{Map, Value};
use shipway_events::{*, plan::*, run::NodeError};
/// x
pub struct StepContext<'a> { /// x
 pub run: RunId, /// x
 pub node: u32, /// x
 pub reference:&'a str, /// x
 pub project: ProjectId, /// x
 pub condition: Option<&'a str>, /// x
 pub timeout_seconds: Option<u32>,
 /// x
   pub resources:&'a BTreeMap<String,PinnedResource>, /// x
 pub deployed:&'a BTreeMap<String,Artifact>, /// x
 pub released:&'a BTreeMap<String,Artifact>, /// x
 pub builds:&'a BTreeMap<String,Artifact>, /// x
 pub backups:&'a BTreeMap<String,BackupPin> }
/// x
pub enum Step { /// x
 Work(Workload), /// x
 Done{/// x
 outputs: Map<String,Value>} }
/// x
pub struct K;
impl K { /// x
 pub fn step(&self, spec: &Value, _: &StepContext<'_>) -> Result<Step, NodeError> { Ok(Step::Work(Workload::Noop(serde_json::from_value(spec.clone()).unwrap_or_default()))) }
 /// x
 pub fn may_be_detached(&self) -> bool { false } }
/// x
pub fn find(_: &str) -> Option<&'static K> { Some(&K) }

pub use workload::{Outcome, Workload};
