//! From what runs recorded to the steps that take it back. No input or output: all that is known is handed in.

use std::collections::{BTreeMap, BTreeSet};

use shipway_events::{Timestamp, plan::Artifact};

use super::facts::LOOKED_AT;

/// A service or job of the project.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Member {
    /// It is a job: it keeps its artifact until somebody runs it.
    pub(crate) is_job: bool,
    /// It is in the stage that goes back.
    pub(crate) is_here: bool,
    /// The addons that it is given the password of.
    pub(crate) uses: BTreeSet<String>,
    /// What it has now, and when it got that.
    pub(crate) now: Option<(Artifact, Timestamp)>,
    /// What it had then.
    pub(crate) then: Option<Artifact>,
}

/// Something that a run did since then.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Done {
    /// The run's flow: `shop/production`.
    pub(crate) path: String,
    /// The node's name.
    pub(crate) node: String,
    /// It is a run of the flow that goes back.
    pub(crate) is_here: bool,
    /// When it began.
    pub(crate) at: Timestamp,
    /// What it did.
    pub(crate) what: What,
}

/// What a node does that an earlier digest does not take back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// It ran a job, by its id in documents.
    Ran(String),
    /// It replaced the content of an addon.
    Restored(String),
    /// It executed a command in a service.
    Executed(String),
    /// Whatever else it did, in words: `sent a message`.
    Other(&'static str),
}

/// A backup of an addon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backup {
    /// Its id.
    pub(crate) id: String,
    /// When it was begun: what was written later may not be in it.
    pub(crate) began: Timestamp,
}

/// What somebody said about an addon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    /// Its content stays.
    Keep,
    /// This backup is put into it.
    Restore(Backup),
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Services and jobs by their ids in documents: those of the stage, and those that use its addons.
    pub(crate) members: BTreeMap<String, Member>,
    /// What had an artifact in the stage then, and is not in it any more.
    pub(crate) gone: Vec<String>,
    /// What was done since then, oldest first.
    pub(crate) done: Vec<Done>,
    /// More was done since then than was looked at: the oldest of it is not known.
    pub(crate) cut: bool,
    /// Of each addon the newest backup from before its first change since then.
    pub(crate) backups: BTreeMap<String, Backup>,
    /// What was said about addons.
    pub(crate) choices: BTreeMap<String, Choice>,
    /// Services that ran nothing then are stopped.
    pub(crate) exact: bool,
}

/// One step back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// A service is stopped, so that it does not meet what changes under it.
    Stop(String),
    /// A backup is put into an addon.
    Restore { addon: String, backup: String },
    /// A service that was stopped is started as it was: something went wrong before anything was changed.
    StartAgain { service: String, artifact: Artifact },
    /// A service or job gets an artifact.
    Release { target: String, is_job: bool, artifact: Artifact },
}

/// An addon whose content was changed since then.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Changed {
    pub(crate) addon: String,
    /// By what, in words.
    pub(crate) by: String,
    /// What can be put into it; without one its content stays.
    pub(crate) backup: Option<Backup>,
    /// What was said.
    pub(crate) choice: Option<Choice>,
}

/// The way back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reverse {
    /// In their order.
    pub(crate) steps: Vec<Step>,
    /// What has to be decided, or was.
    pub(crate) changed: Vec<Changed>,
    /// What it does not take back, and what else somebody should look at.
    pub(crate) warnings: Vec<String>,
    /// What is left: the digest of each target that gets another.
    pub(crate) left: BTreeMap<String, String>,
}

/// When a content was first changed since then, for each addon, with all that changed it.
pub(crate) fn changes(facts: &Facts) -> BTreeMap<String, (Timestamp, Vec<String>)> {
    let mut changes: BTreeMap<String, (Timestamp, Vec<String>)> = BTreeMap::new();
    let mut note = |addon: &str, done: &Done, words: String| {
        let (first, by) = changes.entry(addon.to_owned()).or_insert_with(|| (done.at, Vec::new()));
        *first = done.at.min(*first);
        by.push(words);
    };
    for done in &facts.done {
        let Done { node, path, .. } = done;
        match &done.what {
            What::Ran(job) => {
                for addon in facts.members.get(job).into_iter().flat_map(|job| &job.uses) {
                    note(addon, done, format!("`{node}` of {path} ran `{job}`"));
                }
            }
            What::Restored(addon) => note(addon, done, format!("`{node}` of {path} restored it")),
            What::Executed(_) | What::Other(_) => {}
        }
    }
    changes
}

/// The way back from what is to what was.
pub(crate) fn reverse(facts: &Facts) -> Reverse {
    let mut back = Reverse { changed: changed(facts), warnings: warnings(facts), ..Reverse::default() };
    let restored: BTreeMap<&str, &str> = back
        .changed
        .iter()
        .filter_map(|changed| match &changed.choice {
            Some(Choice::Restore(backup)) => Some((changed.addon.as_str(), backup.id.as_str())),
            _ => None,
        })
        .collect();
    // What came last goes first: it may need what came before it.
    let mut members: Vec<(&String, &Member)> = facts.members.iter().collect();
    members.sort_by_key(|(slug, member)| {
        (std::cmp::Reverse(member.now.as_ref().map(|(_, at)| *at)), (*slug).clone())
    });
    let meets = |member: &Member| member.uses.iter().any(|addon| restored.contains_key(addon.as_str()));
    let running = |member: &Member| !member.is_job && member.now.is_some();
    let is_new = |member: &Member| member.is_here && running(member) && member.then.is_none();
    let (mut stops, mut again, mut releases) = (Vec::new(), Vec::new(), Vec::new());
    for (slug, member) in members {
        let now = member.now.as_ref().map(|(artifact, _)| artifact);
        let stays_stopped = facts.exact && is_new(member);
        if running(member) && (meets(member) || stays_stopped) {
            stops.push(Step::Stop(slug.clone()));
        }
        if let Some(artifact) = now.filter(|_| running(member) && meets(member)) {
            again.push(Step::StartAgain { service: slug.clone(), artifact: artifact.clone() });
        }
        let wanted = member.then.as_ref().filter(|_| member.is_here);
        let differs = wanted.is_some_and(|then| now.is_none_or(|now| now.digest != then.digest));
        if let (true, Some(now)) = (differs, now) {
            back.left.insert(slug.clone(), now.digest.clone());
        }
        let target = match wanted {
            Some(then) if differs => Some(then),
            // It was stopped for what it uses, and has to come up again.
            _ if running(member) && meets(member) && !stays_stopped => now,
            _ => None,
        };
        if let Some(artifact) = target {
            let (target, artifact) = (slug.clone(), artifact.clone());
            releases.push(Step::Release { target, is_job: member.is_job, artifact });
        }
    }
    let restores = restored
        .iter()
        .map(|(addon, backup)| Step::Restore { addon: (*addon).to_owned(), backup: (*backup).to_owned() });
    back.steps = stops.into_iter().chain(restores).collect();
    if !restored.is_empty() {
        back.steps.extend(again);
    }
    back.steps.extend(releases);
    back
}

fn changed(facts: &Facts) -> Vec<Changed> {
    let mut changes = changes(facts);
    // Somebody may want a backup in any addon of the stage.
    for (addon, choice) in &facts.choices {
        if matches!(choice, Choice::Restore(_)) && !changes.contains_key(addon) {
            changes.insert(addon.clone(), (Timestamp::default(), vec!["nothing that is known".to_owned()]));
        }
    }
    changes
        .into_iter()
        .map(|(addon, (_, by))| {
            let (backup, choice) = (facts.backups.get(&addon), facts.choices.get(&addon));
            Changed { by: by.join(", "), backup: backup.cloned(), choice: choice.cloned(), addon }
        })
        .collect()
}

fn warnings(facts: &Facts) -> Vec<String> {
    let mut all = Vec::new();
    if facts.cut {
        all.push(format!(
            "more than {LOOKED_AT} runs began since then: what the older ones did, to databases too, is not looked at"
        ));
    }
    let chosen = |addon: &String| facts.choices.get(addon);
    for (addon, (_, by)) in changes(facts) {
        let by = by.join(", ");
        match chosen(&addon) {
            Some(Choice::Restore(_)) => {}
            Some(Choice::Keep) => all.push(format!("the content of `{addon}` stays as it is: {by}")),
            None if facts.backups.contains_key(&addon) => {}
            None => all.push(format!(
                "the content of `{addon}` stays as it is: {by}, and no backup was made before that"
            )),
        }
    }
    for (slug, member) in &facts.members {
        if member.is_here && !member.is_job && member.then.is_none() && member.now.is_some() {
            all.push(match facts.exact {
                true => format!("`{slug}` ran nothing then: it is stopped"),
                false => format!("`{slug}` ran nothing then, and goes on running: --exact stops it"),
            });
        }
        let restored = member.uses.iter().find(|addon| matches!(chosen(addon), Some(Choice::Restore(_))));
        if let (Some(addon), false, false, Some((now, _))) =
            (restored, member.is_here, member.is_job, &member.now)
        {
            let commit = now.commit.get(..7).unwrap_or(&now.commit);
            all.push(format!(
                "`{slug}` is of another stage and uses `{addon}`: it is stopped while that is restored, and stays at commit \
                 {commit}"
            ));
        }
    }
    for slug in &facts.gone {
        all.push(format!(
            "`{slug}` ran then and is not in the stage any more: apply it again to have it back"
        ));
    }
    for Done { node, path, what, .. } in facts.done.iter().filter(|done| done.is_here) {
        match what {
            What::Executed(service) => all.push(format!(
                "`{node}` of {path} executed a command in `{service}`: what that did is not taken back"
            )),
            What::Other(words) => all.push(format!("`{node}` of {path} {words}: that is not taken back")),
            What::Ran(job) if facts.members.get(job).is_none_or(|job| job.uses.is_empty()) => {
                all.push(format!("`{node}` of {path} ran the job `{job}`: what that did is not taken back"))
            }
            What::Ran(_) | What::Restored(_) => {}
        }
    }
    all
}

#[cfg(test)]
mod tests;
