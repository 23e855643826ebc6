//! What triggers would make of a delivery, without a hook, a repository or a log: for people who ask.

use shipway_events::{FlowId, ProjectId, delivery::Verdict, run::Origin};
use uuid::Uuid;

use super::{
    happened::{Facts, Happened},
    push::Delivered,
    rules::{FlowTrigger, blank, judge},
    trigger::{Kind, Trigger, TriggerError},
};

/// Triggers in the typed form, of a flow that is called `path`.
///
/// # Errors
/// If one of them has not the shape of a trigger.
pub fn triggers_of(path: &str, typed: &[serde_json::Value]) -> Result<Vec<FlowTrigger>, TriggerError> {
    let read = |trigger: &serde_json::Value| {
        Ok(FlowTrigger {
            project: ProjectId::new(Uuid::nil()),
            flow: FlowId::new(Uuid::nil()),
            path: path.to_owned(),
            paused: false,
            secret_arguments: Vec::new(),
            trigger: Trigger::parse(path, &trigger.to_string())?,
        })
    };
    typed.iter().map(read).collect()
}

/// What each trigger makes of a delivery to the hook of its own repository: a verdict of each for everything that the
/// delivery tells of.
#[must_use]
pub fn explain(delivered: &Delivered, triggers: &[FlowTrigger]) -> Vec<Verdict> {
    triggers.iter().flat_map(|trigger| verdicts(delivered, trigger)).collect()
}

fn verdicts(delivered: &Delivered, trigger: &FlowTrigger) -> Vec<Verdict> {
    let no = |reason: String| vec![Verdict { reason, ..blank(trigger, Origin::Git) }];
    let rule = match &trigger.trigger.kind {
        Kind::Git(rule) => rule,
        Kind::Webhook { .. } => {
            return no("a request to the flow's own address fires it, no Git host".to_owned());
        }
        Kind::Cron(_) => return no("its schedule fires it, no delivery".to_owned()),
        Kind::Other(kind) => return no(format!("a trigger of kind {kind} is fired by no delivery")),
    };
    let happened = Happened::all(delivered.clone());
    if happened.is_empty() {
        return no(format!("{}: nothing listens to it", delivered.summary()));
    }
    let judged = |one: &Happened| judge(one, &rule.key, [trigger], &Facts::default(), usize::MAX).verdicts;
    happened.iter().flat_map(judged).collect()
}
