//! Nodes that people have to approve.

use serde::{Deserialize, Serialize};

use super::is_false;
use crate::{Actor, Timestamp};

/// Who has to approve before a node counts as done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRule {
    /// How many different people.
    pub amount: u32,
    /// Who may, by name; everybody when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Who started the run may not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclude_author: bool,
}

/// See [`Event::ApprovalRequested`](super::Event::ApprovalRequested).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequested {
    /// The node's index in the plan.
    pub node: u32,
    /// Who has to.
    pub rule: ApprovalRule,
    /// When it is given up, if it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// See [`Event::ApprovalGiven`](super::Event::ApprovalGiven).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalGiven {
    /// The node's index in the plan.
    pub node: u32,
    /// Who.
    pub by: Actor,
    /// The hash of the plan that was approved.
    pub plan: String,
    /// What they said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// See [`Event::ApprovalRejected`](super::Event::ApprovalRejected).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRejected {
    /// The node's index in the plan.
    pub node: u32,
    /// Who.
    pub by: Actor,
    /// The hash of the plan that was rejected.
    pub plan: String,
    /// What they said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
