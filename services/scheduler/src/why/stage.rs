//! What of a stage's flow goes on, and what waits there.

use shipway_contracts::{
    Error,
    blockers::{Facts, Kind, sort},
    v1::{Blocker, FlowForRunReply, WhyReply},
};
use shipway_events::RunStatus;

use super::about;
use crate::service::Shared;

impl Shared {
    pub(super) async fn why_stage(&self, flow: &str, project: &str) -> Result<WhyReply, Error> {
        let flow = self.flow_for_run(project, flow, 0).await?;
        self.caught_up().await?;
        let FlowForRunReply { project, path, paused, .. } = flow;
        let now = self.log.now();
        let (mut blockers, mut counts, mut first) = (Vec::new(), Vec::<(RunStatus, usize)>::new(), None);
        for run in self.open_of(&project, &path).await? {
            let Ok(state) = self.book.look(run).await else { continue };
            if state.ended().is_some() {
                continue;
            }
            first.get_or_insert_with(|| about(&state));
            let status = state.status();
            match counts.iter_mut().find(|(known, _)| *known == status) {
                Some((_, count)) => *count += 1,
                None => counts.push((status, 1)),
            }
            blockers.extend(self.blockers(&state, now).await?);
        }
        if paused {
            let words = format!("the triggers of {path} are switched off: they start nothing");
            blockers.push(Kind::Paused.blocker(&Facts { path: path.clone(), ..Facts::default() }, words));
        }
        blockers.extend(self.holds_of(&project, &path).await?);
        let frozen = self.freezes_of(&project, &path).await?;
        // What waits for one has told of it.
        let is_told = |freeze: &Blocker| blockers.iter().any(|told: &Blocker| told.action == freeze.action);
        let frozen: Vec<_> = frozen.into_iter().filter(|freeze| !is_told(freeze)).collect();
        blockers.extend(frozen);
        sort(&mut blockers);
        let counted: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
        let status = if counted.is_empty() { "idle".to_owned() } else { counted.join(", ") };
        let sentence = match (blockers.first(), first) {
            (None, _) => format!("{path} has no run that goes on, and nothing holds it up"),
            (Some(blocker), None) => format!("{path} has no run that goes on: {}", blocker.words),
            (Some(blocker), Some(_)) => format!("{path} has runs that go on ({status}): {}", blocker.words),
        };
        Ok(self.reply("stage", sentence, status, blockers))
    }
}
