//! stand-in
use std::{borrow::Cow, collections::BTreeMap};
use shipway_documents::{Problems, flow::Flow};
use shipway_events::project::ResourceKind;
/// x
pub struct Resource<'a> {/// x
pub kind: ResourceKind, /// x
pub stage: Option<Cow<'a, str>>, /// x
pub unusable: Option<Cow<'a, str>>}
/// x
pub struct StageContext<'a> {/// x
pub stage: Cow<'a, str>, /// x
pub previous: Option<Cow<'a, str>>, /// x
pub resources: BTreeMap<Cow<'a, str>, Resource<'a>>}
/// x
pub fn validate_flow(_: &Flow, _: &StageContext<'_>) -> Problems { Problems::new() }
