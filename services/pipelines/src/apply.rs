//! `apply`: from files to events. Everything is read, resolved and decided before anything is kept; whatever is
//! wrong is told at once, and then nothing is changed.

mod accounts;
mod flows;
mod groups;
mod hooks;
mod intake;
mod plan;
mod ports;
mod values;

use shipway_contracts::{
    Error,
    v1::{ApplyReply, ApplyRequest, Change, Problem, change::Verb, problem::Severity},
};
use shipway_documents::resources::Declared;
use shipway_eventing::failing;
use shipway_events::{CommandId, Meta};

use crate::{
    change::{Done, Shared, busy, secret_error, world_error},
    describe::{change, changes},
};
pub(crate) use accounts::problems as account_problems;
pub(crate) use hooks::{
    HOOKS as HOOK_SECRETS, secret_name as hook_secret_name, shown as hook_shown,
    signing_name as hook_signing_name,
};
use intake::Intake;
use plan::Plan;

/// How often everything is decided again after somebody else changed a project.
const TRIES: usize = 20;

impl Shared {
    /// Makes or changes what the files declare.
    pub(crate) async fn apply(&self, request: &ApplyRequest, meta: Meta) -> Result<ApplyReply, Error> {
        // Which ports are needed is known only when the documents are: for now every service has an address.
        let intake = Intake::read(request, &|_, _| Some("127.0.0.1:0".to_owned()));
        if intake.has_errors() {
            return Ok(ApplyReply { problems: intake.problems, ..ApplyReply::default() });
        }
        let command: CommandId = match request.command.as_str() {
            "" if request.dry_run => CommandId::new(uuid::Uuid::nil()),
            id => shipway_contracts::id("command", id)?,
        };
        let _turn = self.turn.lock().await;
        if !request.dry_run
            && let Some(done) = self.replay(command).await?
        {
            return self.answer(&intake, &done, intake.problems.clone()).await;
        }
        for _ in 0..TRIES {
            let projects = self.world.refresh().await.map_err(world_error)?;
            let mut plan = Plan::make(self, request, &intake, &projects).await?;
            if plan.has_errors() {
                return Ok(ApplyReply { problems: plan.problems, ..ApplyReply::default() });
            }
            if request.dry_run {
                return Ok(reply(&intake, &plan.done, plan.problems));
            }
            for (project, pending) in &plan.secrets {
                let keep = async { self.secrets.keep(*project, pending).await.map_err(secret_error) };
                failing!("pipelines.keep", Error::unavailable, keep.await)?;
            }
            if self.append(command, &meta, &mut plan.done).await? {
                return self.answer(&intake, &plan.done, plan.problems).await;
            }
        }
        Err(busy())
    }

    async fn answer(
        &self,
        intake: &Intake,
        done: &Done,
        problems: Vec<Problem>,
    ) -> Result<ApplyReply, Error> {
        Ok(ApplyReply { hooks: self.made_hooks(done).await?, ..reply(intake, done, problems) })
    }
}

/// What changed, then what was declared and is so already.
fn reply(intake: &Intake, done: &Done, problems: Vec<Problem>) -> ApplyReply {
    let mut all: Vec<Change> = done
        .created
        .iter()
        .map(|created| change(Verb::Create, "Project", &created.slug, &created.description))
        .collect();
    let mut projects: Vec<String> = done.created.iter().map(|created| created.slug.clone()).collect();
    for part in &done.parts {
        projects.push(part.before.slug.clone());
        all.extend(changes(&part.before, &part.events));
    }
    for declared in intake.declarations() {
        let kind = match &declared.declared {
            Declared::Project => "Project".to_owned(),
            Declared::Pipeline(_) => "Pipeline".to_owned(),
            Declared::Resource(kind) => kind.to_string(),
        };
        if kind == "Project" {
            projects.push(declared.slug.clone());
        }
        if !all.iter().any(|change| change.kind == kind && change.id == declared.slug) {
            all.push(change(Verb::Unchanged, kind, &declared.slug, ""));
        }
    }
    projects.sort();
    projects.dedup();
    ApplyReply { changes: all, problems, position: done.position, hooks: Vec::new(), projects }
}

/// Whether one of them keeps the documents from being applied.
fn any_error(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity() == Severity::Error)
}
