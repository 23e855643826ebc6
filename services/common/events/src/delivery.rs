//! The stream `delivery-<id>`: a delivery and what was made of it. Written by the triggers service.
//! The body is in the encrypted inbox, never here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::{Actor, CommandId, DeliveryId, FlowId, HookId, ProjectId, RunId, run::Origin};

stream_events! {
    /// What happens to a delivery.
    pub enum Event, upcast upcast {
        /// Every rule of every trigger of the hook was asked; each match starts one run.
        Matched = "delivery.matched", 2;
        /// Somebody let a pull request of a fork run, at exactly the commit that was held.
        Approved = "delivery.approved", 2;
    }
}

fn upcast(_kind: &str, _from: u16, data: Value) -> Value {
    data
}

/// See [`Event::Matched`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matched {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The hook that it came to; none for a push found by asking the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookId>,
    /// SHA-256 of the body, in hex.
    pub body: String,
    /// What it was, in words: `push of 3f2a91c to main`.
    pub summary: String,
    /// The verdict of each trigger.
    pub verdicts: Vec<Verdict>,
}

/// See [`Event::Approved`]. A type of its own: a Shipway that does not know it starts nothing, rather than a run with
/// secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// The delivery that was held.
    pub delivery: DeliveryId,
    /// The hook that it came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookId>,
    /// What it was, in words.
    pub summary: String,
    /// Who let it run.
    pub by: Actor,
    /// The commit that they looked at, and the only one that runs.
    pub head: String,
    /// Whether the runs may use secrets.
    pub secrets: bool,
    /// The verdict of each trigger; those that were held are matches now.
    pub verdicts: Vec<Verdict>,
}

/// What a trigger made of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The flow's project.
    pub project: ProjectId,
    /// The flow.
    pub flow: FlowId,
    /// The flow by the names people use: `shop/development`.
    pub path: String,
    /// The trigger's ref.
    pub trigger: String,
    /// Whether a run follows.
    pub matched: bool,
    /// Why or why not, in words: `branch main matches the rule main`.
    pub reason: String,
    /// What each rule said, in the order in which they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleVerdict>,
    /// Which of the things that the delivery tells of this is about, counted from 0: only Bitbucket tells of pushes to
    /// several branches at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
    /// What somebody has to approve before a run follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// How the run will have come to be.
    pub origin: Origin,
    /// Who did it, by their name at the Git host: the author of the run. None where the delivery does not say, as before
    /// schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The trigger's values: `branch`, `sha`, `repoUrl`, `pullRequestId` and what else its event has.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Map<String, Value>,
    /// Values that the webhook gave to other triggers of the flow, by their ref.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub triggers: Map<String, Value>,
    /// Run-time arguments from the webhook's query.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    /// The run's name and description, if the webhook gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What one rule of a trigger said of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleVerdict {
    /// The rule by a short stable word: `branch`, `paths`, `flags`.
    pub rule: String,
    /// What it said.
    pub outcome: RuleOutcome,
    /// The same in words: ``path rule `docs/**` excluded all 3 files``.
    pub words: String,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleOutcome {
    /// It lets the delivery start the flow.
    Passed,
    /// It does not.
    Failed,
    /// It cannot tell before the repository has answered.
    Open,
    /// Something that a later Shipway says.
    #[serde(other)]
    Unknown,
}

impl RuleOutcome {
    /// The word that people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// A pull request of a fork at one commit: nothing of it runs until somebody approves exactly that commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The pull request's number.
    pub pull_request: u64,
    /// The commit.
    pub head: String,
    /// Who approved it, once somebody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// That somebody let a held commit run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Who.
    pub by: Actor,
    /// Whether the run may use secrets.
    pub secrets: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Verdict {
    /// The run that follows if the trigger matched.
    #[must_use]
    pub fn run(&self, delivery: DeliveryId) -> Option<RunId> {
        self.matched.then(|| self.run_if_matched(delivery))
    }

    /// Whether nobody can tell before the repository has answered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let says = |outcome| self.rules.iter().any(|rule| rule.outcome == outcome);
        says(RuleOutcome::Open) && !says(RuleOutcome::Failed)
    }

    fn run_if_matched(&self, delivery: DeliveryId) -> RunId {
        match self.part {
            0 => run_id(delivery, self.flow, &self.trigger),
            // No trigger's name holds a zero byte.
            part => run_id(delivery, self.flow, &format!("{}\0{part}", self.trigger)),
        }
    }

    /// What people will call the run: what the webhook said, else the trigger and the end of the run's id.
    #[must_use]
    pub fn run_name(&self, delivery: DeliveryId) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let run = self.run_if_matched(delivery).uuid().simple().to_string();
        format!("{}-{}", self.trigger, &run[run.len() - 6..])
    }
}

/// The run that a delivery starts by one trigger of a flow: always the same, so that it is known before it exists.
///
/// A version 8 UUID. Its first 48 bits are the delivery's (its time, so that ids go on growing), the rest is
/// from SHA-256 over `shipway/run`, a zero byte, the delivery's 16 bytes, the flow's 16 bytes and the
/// trigger's ref.
#[must_use]
pub fn run_id(delivery: DeliveryId, flow: FlowId, trigger: &str) -> RunId {
    RunId::new(derived("shipway/run", delivery.uuid(), &[flow.uuid().as_bytes(), trigger.as_bytes()]))
}

/// The command that appends what was made of a delivery, derived as [`run_id`] is: repeated after a crash, it
/// is applied once.
#[must_use]
pub fn match_command(delivery: DeliveryId) -> CommandId {
    CommandId::new(derived("shipway/match", delivery.uuid(), &[]))
}

/// The command that appends that a held delivery was approved; see [`match_command`].
#[must_use]
pub fn approve_command(delivery: DeliveryId) -> CommandId {
    CommandId::new(derived("shipway/approve", delivery.uuid(), &[]))
}

pub(crate) fn derived(purpose: &str, from: Uuid, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(purpose.as_bytes());
    hash.update([0]);
    hash.update(from.as_bytes());
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&from.as_bytes()[..6]);
    bytes[6..].copy_from_slice(&digest[..10]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_before_it_exists_and_always_alike() {
        let delivery = DeliveryId::new(Uuid::from_u128(0x0190_aaaa_bbbb_7000_8000_0000_0000_0001));
        let flow = FlowId::new(Uuid::from_u128(7));
        let run = run_id(delivery, flow, "main-push");
        assert_eq!(run, run_id(delivery, flow, "main-push"));
        assert_eq!(run.to_string(), "0190aaaa-bbbb-8998-84e9-24006326e47f");
        assert_ne!(run, run_id(delivery, flow, "main-push2"));
        assert_ne!(run, run_id(delivery, FlowId::new(Uuid::from_u128(8)), "main-push"));
        assert_ne!(run.uuid(), match_command(delivery).uuid());
    }
}
