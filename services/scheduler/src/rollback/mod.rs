//! Rollbacks: what a stage had at an earlier time, and the run that brings it back.
//!
//! The facts are gathered here; what follows from them is decided in `reverse`, and written down as a flow by `document`.

mod asked;
mod document;
mod facts;
mod hold;
mod made;
mod moment;
mod reverse;

/// All that is asked of the read tables, to look at how databases answer it.
#[cfg(test)]
pub(crate) fn questions() -> impl Iterator<Item = &'static str> {
    asked::ALL.into_iter().chain(made::ALL)
}

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shipway_contracts::{
    Code, Error,
    v1::{self, DataChoice, FlowForRunReply},
};
use shipway_engine::hold_in_words;
use shipway_events::{
    Timestamp,
    plan::{Artifact, BackupPin},
    run::{self, Started},
};

use crate::{planning::World, service::Shared};
pub(crate) use hold::{RollbacksHold, gone_back_to};
pub(crate) use made::kind;
use reverse::{Changed, Choice, Reverse, reverse};

/// What somebody wants to go back to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// The stage's flow.
    pub(crate) project: String,
    pub(crate) flow: String,
    /// To when.
    pub(crate) to: To,
    /// The version of the flow that ran then is made its newest.
    pub(crate) with_flow: bool,
    /// Services that ran nothing then are stopped.
    pub(crate) exact: bool,
    /// What is left is held.
    pub(crate) hold: bool,
    /// Of addons: a backup, or [`KEEP`].
    pub(crate) data: BTreeMap<String, String>,
}

/// To when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum To {
    /// The last good release before the one that runs now.
    #[default]
    Before,
    /// The release of a run.
    Run(String),
    /// The time at which this digest ran in the stage last.
    Digest(String),
    /// A time.
    At(Timestamp),
}

/// What is said of an addon whose content stays.
const KEEP: &str = "keep";

/// The way back as a flow, with all that a run of it has to know.
#[derive(Debug)]
pub(crate) struct WayBack {
    /// The stage's flow with the document of the rollback.
    pub(crate) flow: FlowForRunReply,
    /// With what the rollback names, however old it is.
    pub(crate) world: World,
    /// What marks the run.
    pub(crate) rollback: run::Rollback,
    /// Addons whose content was changed since then.
    pub(crate) data: Vec<DataChoice>,
    pub(crate) warnings: Vec<String>,
}

impl WayBack {
    /// Why its run may release what is held, if it may without anybody having said so. What is stopped for a restore has to
    /// come up again, as it was too; and what it was may be what the rollback itself holds.
    pub(crate) fn despite_hold(&self) -> Option<String> {
        let restores = self.data.iter().any(|data| !matches!(data.chosen.as_str(), "" | KEEP));
        let why = "what a rollback stops while it restores comes up again, also what it holds itself";
        (self.rollback.holds && restores).then(|| why.to_owned())
    }

    /// Refuses while somebody has to decide about an addon: the choices are said.
    pub(crate) fn is_decided(&self) -> Result<(), Error> {
        let open = self.open();
        if open.is_empty() {
            return Ok(());
        }
        let words = open.iter().map(|data| {
            let DataChoice { addon, backup, changed, loss, .. } = data;
            format!("`{addon}` was changed since ({changed}): {loss}; say {addon}={backup} or {addon}={KEEP}")
        });
        Err(Error::new(Code::FailedPrecondition, words.collect::<Vec<_>>().join(". ")))
    }

    /// Addons of which somebody has to decide before anything is started.
    pub(crate) fn open(&self) -> Vec<DataChoice> {
        let is_open = |choice: &&DataChoice| choice.chosen.is_empty() && !choice.backup.is_empty();
        self.data.iter().filter(is_open).cloned().collect()
    }
}

impl Shared {
    /// The way back from what runs in a stage to what ran there.
    pub(crate) async fn way_back(
        &self,
        wanted: &Wanted,
        flow: FlowForRunReply,
        mut world: World,
    ) -> Result<WayBack, Error> {
        if flow.pipeline.is_empty() {
            let message = format!("{} is no stage's flow; name `<pipeline>/<stage>`", flow.path);
            return Err(Error::bad_request(message));
        }
        self.caught_up().await?;
        let stage = facts::Stage::of(&flow)?;
        let moment = self.moment_of(wanted, &stage).await?;
        let facts = self.facts(wanted, &stage, &moment).await?;
        let back = reverse(&facts);
        let is_open = |changed: &Changed| changed.choice.is_none() && changed.backup.is_some();
        if back.steps.is_empty() && !back.changed.iter().any(is_open) {
            let mut message = format!(
                "{} is as it was at {}: there is nothing to go back from; `to` says which other time is meant",
                flow.path, moment.at
            );
            for warning in &back.warnings {
                message = format!("{message}; {warning}");
            }
            return Err(Error::new(Code::FailedPrecondition, message));
        }
        let own: Value =
            serde_json::from_str(&flow.document_json).map_err(|error| Error::internal(&error))?;
        let Reverse { steps, changed, mut warnings, left } = back;
        for run in self.open_of(&flow.project, &flow.path).await? {
            warnings
                .push(format!("run {run} goes on, and may release after this: `shipway abort {run}` first"));
        }
        let overrides: Map<String, Value> = match flow.overrides_json.as_str() {
            "" => Map::new(),
            text => serde_json::from_str(text).map_err(|error| Error::internal(&error))?,
        };
        let document = document::document(&steps, &own, &overrides)?;
        for step in &steps {
            match step {
                reverse::Step::Release { artifact, .. } | reverse::Step::StartAgain { artifact, .. } => {
                    world.builds.insert(artifact.build.clone(), artifact.clone());
                }
                reverse::Step::Restore { addon, backup } => {
                    let pin = self.backup_pin(&stage, addon, backup).await?;
                    world.backups.insert(backup.clone(), pin);
                }
                reverse::Step::Stop(_) => {}
            }
        }
        let now = self.log.now();
        let data: Vec<DataChoice> = changed.into_iter().map(|changed| shown(changed, now)).collect();
        let losses = data.iter().filter(|data| !matches!(data.chosen.as_str(), "" | KEEP));
        warnings.extend(losses.map(|data| data.loss.clone()));
        let flow_version = match wanted.with_flow {
            true => Some(moment.flow_version(&flow)?).filter(|version| *version != flow.version),
            false => None,
        };
        Ok(WayBack {
            // Its arguments are the business of the flow's own document.
            flow: FlowForRunReply {
                document_json: document.to_string(),
                overrides_json: String::new(),
                ..flow
            },
            world,
            rollback: run::Rollback {
                of: moment.of,
                to: moment.to,
                at: moment.at,
                flow_version,
                left,
                holds: wanted.hold,
            },
            data,
            warnings,
        })
    }

    /// Refuses a rollback that may bring up again whatever runs there now, if it would release something else that is held:
    /// of that nobody has said that they mean it.
    pub(crate) async fn only_what_runs_is_held(&self, started: &Started) -> Result<(), Error> {
        let runs_there = |held: &run::Held| {
            started.plan.deployed.get(&held.target).is_some_and(|now| now.digest == held.artifact.digest)
        };
        match self.held_back(started).await?.iter().find(|held| !held.bad && !runs_there(held)) {
            None => Ok(()),
            Some(held) => Err(Error::new(Code::FailedPrecondition, hold_in_words(held, started))),
        }
    }

    async fn backup_pin(&self, stage: &facts::Stage, addon: &str, backup: &str) -> Result<BackupPin, Error> {
        let digest = self.digest_of_backup(stage.project, addon, backup).await?;
        let digest = digest.ok_or_else(|| Error::not_found(format!("`{addon}` has no backup {backup}")))?;
        Ok(BackupPin { addon: addon.to_owned(), digest })
    }
}

/// An addon as the API shows it.
fn shown(changed: Changed, now: Timestamp) -> DataChoice {
    let Changed { addon, by, backup, choice } = changed;
    let chosen = match &choice {
        None => String::new(),
        Some(Choice::Keep) => KEEP.to_owned(),
        Some(Choice::Restore(backup)) => backup.id.clone(),
    };
    let at_stake = match choice {
        Some(Choice::Restore(backup)) => Some(backup),
        _ => backup.clone(),
    };
    let loss = at_stake.map_or_else(String::new, |backup| {
        format!(
            "with the backup {} what was written to `{addon}` since {} ({}) is lost",
            backup.id,
            second(backup.began),
            span(now.since(backup.began))
        )
    });
    DataChoice {
        addon,
        changed: by,
        backup: backup.as_ref().map(|backup| backup.id.clone()).unwrap_or_default(),
        backup_began_at: backup.map(|backup| backup.began.to_string()).unwrap_or_default(),
        chosen,
        loss,
    }
}

/// A time to the second.
fn second(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// How long, in hours and minutes, or seconds where it is less.
fn span(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A mark as the API shows it.
pub(crate) fn mark(rollback: &run::Rollback) -> v1::Rollback {
    let text = |run: Option<shipway_events::RunId>| run.map(|run| run.to_string()).unwrap_or_default();
    v1::Rollback {
        of: text(rollback.of),
        to: text(rollback.to),
        at: rollback.at.to_string(),
        flow_version: rollback.flow_version.unwrap_or(0),
    }
}

/// What an artifact is called in a refusal.
fn named(artifact: &Artifact) -> &str {
    artifact.digest.get(..19).unwrap_or(&artifact.digest)
}
