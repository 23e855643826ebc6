//! What holds and bad marks keep from a stage, and what freezes it, whether or not a run waits there.

use shipway_contracts::{
    Error,
    blockers::{Facts, Kind},
    id,
    v1::Blocker,
};
use shipway_engine::{Hold, held_in_words};
use shipway_events::plan::Artifact;

use crate::{foresee::named, holds::shown_hold, run::present, service::Shared};

impl Shared {
    /// What keeps artifacts from a stage.
    pub(super) async fn kept_from(
        &self,
        project: &str,
        path: &str,
        artifacts: impl Iterator<Item = &Artifact> + Send,
    ) -> Result<Vec<Blocker>, Error> {
        let (policies, _) = self.policies_of(id("project", project)?).await?;
        let holds = policies.holds.about(path, self.log.now());
        let mut kept = Vec::new();
        for artifact in artifacts {
            let about = holds.iter().filter(|hold| hold.is_about_artifact(artifact));
            kept.extend(about.map(|hold| blocker(hold, path, artifact)));
        }
        kept.dedup();
        Ok(kept)
    }

    /// The holds of a stage.
    pub(super) async fn holds_of(&self, project: &str, path: &str) -> Result<Vec<Blocker>, Error> {
        let (policies, _) = self.policies_of(id("project", project)?).await?;
        let now = self.log.now();
        let here = policies.holds.about(path, now);
        let is_here = |hold: &shipway_events::HoldId| here.iter().any(|known| known.hold == *hold);
        let told = policies.holds.ahead(now).filter(|kept| is_here(&kept.held.hold)).map(|kept| {
            let shown = shown_hold(kept);
            let facts = Facts { path: path.to_owned(), hold: shown.name.clone(), ..Facts::default() };
            let words = format!(
                "the hold `{}` of {} ({}) keeps {} from {path}",
                shown.name, shown.created_by, shown.reason, shown.what
            );
            Blocker {
                holder: shown.created_by,
                since: shown.created_at,
                until: shown.until,
                ..Kind::HeldBack.blocker(&facts, words)
            }
        });
        Ok(told.collect())
    }

    /// The freezes of a stage.
    pub(super) async fn freezes_of(&self, project: &str, path: &str) -> Result<Vec<Blocker>, Error> {
        let (policies, _) = self.policies_of(id("project", project)?).await?;
        let frozen = policies.freezes.holding(path, self.log.now());
        let told = frozen.iter().map(|freeze| {
            let kind = if freeze.stops_all { Kind::Stopped } else { Kind::Frozen };
            let facts = Facts { path: path.to_owned(), freeze: freeze.name.clone(), ..Facts::default() };
            Blocker {
                holder: freeze.by.name().to_owned(),
                until: present::text(freeze.until),
                ..kind.blocker(&facts, format!("{path} {}", held_in_words(freeze)))
            }
        });
        Ok(told.collect())
    }
}

fn blocker(hold: &Hold, path: &str, artifact: &Artifact) -> Blocker {
    let (by, what) = (hold.by.name(), named(artifact));
    let (kind, words) = match hold.bad {
        true => (Kind::Bad, format!("{by} marked {what} bad ({}): it goes no further", hold.reason)),
        false => {
            let words =
                format!("the hold `{}` of {by} ({}) keeps {what} from {path}", hold.name, hold.reason);
            (Kind::HeldBack, words)
        }
    };
    let facts = Facts {
        path: path.to_owned(),
        hold: hold.name.clone(),
        bad: artifact.digest.clone(),
        ..Facts::default()
    };
    Blocker { holder: by.to_owned(), until: present::text(hold.until), ..kind.blocker(&facts, words) }
}
