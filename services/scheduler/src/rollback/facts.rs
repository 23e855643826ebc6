//! What is known of a stage: its members, what they had and have, and what runs did since.

use std::collections::{BTreeMap, BTreeSet};

use shipway_contracts::{Code, Error, v1::FlowForRunReply};
use shipway_engine::RunState;
use shipway_events::{
    NodeStatus, ProjectId, RunId, Timestamp,
    plan::{PinnedResource, PlanNode},
    project::ResourceKind,
    run::Effect,
};

use super::{
    KEEP, Wanted,
    moment::Moment,
    named,
    reverse::{Backup, Choice, Done, Facts, Member, What, changes},
    second,
};
use crate::{planning, service::Shared};

/// How many runs of a pipeline and of resources by themselves are looked at, the newest ones.
pub(super) const LOOKED_AT: usize = 200;

/// A stage and the project around it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) project: ProjectId,
    /// Its flow: `shop/production`.
    pub(super) path: String,
    resources: BTreeMap<String, PinnedResource>,
    /// The resources that are in it.
    here: BTreeSet<String>,
}

impl Stage {
    pub(super) fn of(flow: &FlowForRunReply) -> Result<Self, Error> {
        let resources = planning::resources(flow)
            .map_err(|_| Error::unavailable("what the stage's flow may name could not be read; try again"))?;
        let is_here = |resource: &&shipway_contracts::v1::PinnedResource| resource.stage == flow.stage;
        Ok(Self {
            project: shipway_contracts::id("project", &flow.project)?,
            path: flow.path.clone(),
            here: flow.resources.iter().filter(is_here).map(|resource| resource.slug.clone()).collect(),
            resources,
        })
    }

    /// Whether that is a service or a job of the stage.
    pub(super) fn is_member(&self, slug: &str) -> bool {
        self.here.contains(slug) && self.resources.get(slug).is_some_and(has_artifact)
    }

    /// The addons whose password a resource is given.
    fn used_by(&self, resource: &PinnedResource) -> BTreeSet<String> {
        let environment = serde_json::to_string(&resource.environment).unwrap_or_default();
        let addons = self.resources.iter().filter(|(_, other)| other.kind == ResourceKind::Addon);
        let used = addons.filter(|(_, addon)| {
            let password = addon.spec.pointer("/credentials/password/$secret");
            password.is_some_and(|password| environment.contains(&password.to_string()))
        });
        used.map(|(slug, _)| slug.clone()).collect()
    }
}

fn has_artifact(resource: &PinnedResource) -> bool {
    matches!(resource.kind, ResourceKind::DeploymentService | ResourceKind::ManualJob | ResourceKind::CronJob)
}

impl Shared {
    /// All that is known of the stage and of what was done since the moment.
    pub(super) async fn facts(
        &self,
        wanted: &Wanted,
        stage: &Stage,
        moment: &Moment,
    ) -> Result<Facts, Error> {
        let mut facts = Facts { exact: wanted.exact, ..Facts::default() };
        for (slug, resource) in stage.resources.iter().filter(|(_, resource)| has_artifact(resource)) {
            let is_job = resource.kind != ResourceKind::DeploymentService;
            let (is_here, uses) = (stage.here.contains(slug), stage.used_by(resource));
            facts.members.insert(slug.clone(), Member { is_job, is_here, uses, ..Member::default() });
        }
        // What neither is here nor shares an addon with what is, has nothing to do with it.
        let here = facts.members.values().filter(|member| member.is_here);
        let addons: BTreeSet<String> = here.flat_map(|member| member.uses.iter().cloned()).collect();
        facts.members.retain(|_, member| member.is_here || !member.uses.is_disjoint(&addons));
        let project = stage.project.to_string();
        for placed in self.placed(&project, self.log.now()).await? {
            if let Some(member) = facts.members.get_mut(&placed.slug) {
                member.now = Some((placed.artifact, placed.at));
            }
        }
        for placed in self.placed(&project, moment.at).await? {
            match facts.members.get_mut(&placed.slug) {
                Some(member) => member.then = Some(placed.artifact),
                None if !stage.resources.contains_key(&placed.slug) => facts.gone.push(placed.slug),
                None => {}
            }
        }
        let mut runs = self.runs_since(&project, &stage.path, moment.since, LOOKED_AT + 1).await?;
        facts.cut = runs.len() > LOOKED_AT;
        runs.truncate(LOOKED_AT);
        facts.done = self.done_since(runs, stage, &facts, moment).await?;
        for (addon, (first, _)) in changes(&facts) {
            if let Some(backup) = self.backup_before(stage, &addon, first).await? {
                facts.backups.insert(addon, backup);
            }
        }
        for (addon, said) in &wanted.data {
            let choice = self.choice(stage, &facts, addon, said).await?;
            facts.choices.insert(addon.clone(), choice);
        }
        self.check_blobs(stage, &facts).await?;
        Ok(facts)
    }

    /// What these runs of the pipeline, and of its jobs and addons by themselves, did after the moment.
    async fn done_since(
        &self,
        runs: Vec<RunId>,
        stage: &Stage,
        facts: &Facts,
        moment: &Moment,
    ) -> Result<Vec<Done>, Error> {
        let mut done = Vec::new();
        for run in runs {
            // What that run did is what is gone back to, also what nobody waited for.
            if Some(run) == moment.to {
                continue;
            }
            let state = self.book.look(run).await?;
            collect(&state, stage, facts, moment.at, &mut done);
        }
        done.sort_by_key(|done: &Done| done.at);
        Ok(done)
    }

    /// The newest backup of an addon that had ended before something changed its content.
    async fn backup_before(
        &self,
        stage: &Stage,
        addon: &str,
        change: Timestamp,
    ) -> Result<Option<Backup>, Error> {
        for (id, position) in self.backups_of(stage.project, addon).await? {
            if self.time_of(position).await? <= change {
                return Ok(Some(Backup { id, began: self.backup_began(position).await? }));
            }
        }
        Ok(None)
    }

    /// What somebody said about an addon, looked at.
    async fn choice(&self, stage: &Stage, facts: &Facts, addon: &str, said: &str) -> Result<Choice, Error> {
        let is_addon = |resource: &PinnedResource| resource.kind == ResourceKind::Addon;
        if !stage.resources.get(addon).is_some_and(is_addon) {
            let message = format!("field `data`: the project of {} has no addon `{addon}`", stage.path);
            return Err(Error::bad_request(message));
        }
        if said == KEEP {
            return Ok(Choice::Keep);
        }
        let offered = facts.backups.get(addon);
        if let Some(backup) = offered.filter(|backup| backup.id == said) {
            return Ok(Choice::Restore(backup.clone()));
        }
        let all = self.backups_of(stage.project, addon).await?;
        if let Some((id, position)) = all.iter().find(|(id, _)| id == said) {
            return Ok(Choice::Restore(Backup {
                id: id.clone(),
                began: self.backup_began(*position).await?,
            }));
        }
        let help = match (offered, all.first()) {
            (Some(backup), _) => {
                format!("the one from before the change is {} of {}", backup.id, second(backup.began))
            }
            (None, Some((newest, _))) => format!("its newest is {newest}"),
            (None, None) => "it has none".to_owned(),
        };
        let message = format!("field `data`: `{addon}` has no backup `{said}`: {help}; or say `{KEEP}`");
        Err(Error::bad_request(message))
    }

    /// What runs again, and what is put into addons, has to be there still.
    async fn check_blobs(&self, stage: &Stage, facts: &Facts) -> Result<(), Error> {
        let mut wanted = BTreeMap::new();
        for (slug, member) in facts.members.iter().filter(|(_, member)| member.is_here) {
            let Some(then) = &member.then else { continue };
            if member.now.as_ref().is_none_or(|(now, _)| now.digest != then.digest) {
                let words = format!(
                    "the artifact {} that `{slug}` had is not among the blobs any more: build commit {} of {} again and release \
                     it, or go back to another time",
                    named(then),
                    then.commit,
                    then.branch
                );
                wanted.insert(then.digest.clone(), words);
            }
        }
        for (addon, choice) in &facts.choices {
            let Choice::Restore(Backup { id, .. }) = choice else { continue };
            if let Some(digest) = self.digest_of_backup(stage.project, addon, id).await? {
                let words = format!(
                    "the backup {id} of `{addon}` is not among the blobs any more: name another one, or `{KEEP}`"
                );
                wanted.insert(digest, words);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let missing = self.missing_blobs(wanted.keys().cloned().collect()).await?;
        let words: Vec<String> = missing.iter().filter_map(|digest| wanted.remove(digest)).collect();
        if words.is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::FailedPrecondition, words.join("; ")))
    }
}

/// What a run did after a moment that an earlier digest does not take back.
fn collect(state: &RunState, stage: &Stage, facts: &Facts, after: Timestamp, all: &mut Vec<Done>) {
    let Some(started) = state.started() else { return };
    let is_here = started.path == stage.path;
    for (n, node) in (0_u32..).zip(state.nodes()) {
        let Some(began) = node.started_at.filter(|_| node.attempts > 0 && !node.kept) else { continue };
        let over = node.later.as_ref().map(|later| later.at).or(node.ended_at);
        if over.is_some_and(|over| over <= after) {
            continue;
        }
        let Some(planned) = state.plan_node(n) else { continue };
        let Some(what) = what(state, n, planned, node.status) else { continue };
        let concerns = match &what {
            What::Ran(job) => is_here || facts.members.contains_key(job),
            What::Restored(_) => true,
            What::Executed(_) | What::Other(_) => is_here,
        };
        if concerns {
            let (path, node) = (started.path.clone(), state.name_of(n));
            all.push(Done { path, node, is_here, at: began, what });
        }
    }
}

fn what(state: &RunState, n: u32, planned: &PlanNode, status: NodeStatus) -> Option<What> {
    let restored = state.effects_of(n).iter().find_map(|effect| match effect {
        Effect::Restored { addon, .. } => Some(addon.clone()),
        _ => None,
    });
    if let Some(addon) = restored {
        return Some(What::Restored(addon));
    }
    let ran = state.effects_of(n).iter().find_map(|effect| match effect {
        Effect::JobRan { job, .. } => Some(job.clone()),
        _ => None,
    });
    if let Some(job) = ran {
        return Some(What::Ran(job));
    }
    let text = |pointer: &str| planned.spec.pointer(pointer).and_then(serde_json::Value::as_str);
    match (planned.kind.as_str(), text("/kind"), text("/spec/type")) {
        // One that failed may have changed something before it did.
        ("JobRun", ..) => text("/jobId").map(|job| What::Ran(job.to_owned())),
        ("Action", Some("Job"), _) => text("/spec/data/jobId").map(|job| What::Ran(job.to_owned())),
        ("Action", Some("Service"), Some("execute")) => {
            Some(What::Executed(text("/spec/data/serviceId").unwrap_or("a service").to_owned()))
        }
        ("Message", ..) if status == NodeStatus::Success => Some(What::Other("sent a message")),
        ("RunTemplate", ..) => Some(What::Other("started a run of another flow")),
        _ => None,
    }
}
