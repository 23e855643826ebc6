//! `Approval`: people have to agree before the flow goes on. The engine carries it out.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shipway_documents::flow::Node;
use shipway_events::{run::ApprovalRule, run::NodeError};

use crate::{Kind, Outputs, Shape, Step, StepContext, Validation, shape::Config, step::read};

pub(crate) struct Approval;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// How many different people have to approve
    #[schemars(range(min = 1, max = 50))]
    amount: u32,
    /// Who may approve: names of people, and roles; everybody when absent
    #[serde(default)]
    approvers: Vec<String>,
    /// Whether who started the run may not approve
    #[serde(default)]
    exclude_author: bool,
    /// Seconds after which the approval is given up
    #[schemars(range(min = 30, max = 2_592_000))]
    timeout_duration: Option<u32>,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for Approval {
    fn name(&self) -> &'static str {
        "Approval"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let amount = node.spec.get("amount").and_then(Value::as_u64);
        let names = node.spec.get("approvers").and_then(Value::as_array).filter(|names| !names.is_empty());
        let distinct = |names: &Vec<Value>| names.iter().collect::<std::collections::HashSet<_>>().len();
        if let (Some(amount), Some(names)) = (amount, names)
            && amount > distinct(names) as u64
        {
            let message =
                format!("{amount} different people have to approve and only {} named", are(distinct(names)));
            let help = "that is enough only if they are roles that several people have; else add approvers, or ask for \
                        fewer";
            ctx.warning("/amount", &message, help);
        }
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&[], &["approvedBy", "approvedBy.*"])
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let Spec { amount, approvers, exclude_author, timeout_duration } = read(self, &CONFIG, spec)?;
        let rule = ApprovalRule { amount, approvers, exclude_author };
        Ok(Step::Approve { rule, timeout_seconds: timeout_duration.or(ctx.timeout_seconds) })
    }
}

fn are(count: usize) -> String {
    if count == 1 { "1 is".to_owned() } else { format!("{count} are") }
}
