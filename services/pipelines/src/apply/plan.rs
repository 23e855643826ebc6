//! Everything that an apply would do, decided on the projects as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;
use shipway_contracts::{
    Error,
    v1::{ApplyRequest, Problem},
};
use shipway_documents::{
    self as documents,
    resources::{Declaration, Declared, PipelineDeclaration, StageDeclaration},
};
use shipway_events::{
    FlowId, PipelineId, ProjectId, ResourceId,
    org::ProjectCreated,
    project::{self, ResourceKind},
};
use uuid::Uuid;

use super::{flows, groups, intake::Intake, ports::Given, values};
use crate::{
    change::{Done, Part, Shared},
    domain::{ApplyPipeline, ApplyResource, Command, MemberWish, ProjectState, Rejection, StageWish},
    secrets::Pending,
    world::{Project, Projects},
};

/// What an apply would do, and what is wrong with it.
pub(super) struct Plan {
    /// The events.
    pub(super) done: Done,
    /// What is to be kept before the events are appended.
    pub(super) secrets: BTreeMap<ProjectId, Vec<Pending>>,
    /// What is wrong, and warnings.
    pub(super) problems: Vec<Problem>,
}

impl Plan {
    /// Whether nothing of it may be done.
    pub(super) fn has_errors(&self) -> bool {
        super::any_error(&self.problems)
    }

    /// Decides everything that the files declare.
    pub(super) async fn make(
        shared: &Shared,
        request: &ApplyRequest,
        first: &Intake,
        projects: &Projects,
    ) -> Result<Self, Error> {
        let default = default_project(first, projects, &request.project);
        let ports =
            Given::out(&shared.ports, first, projects, |declared| project_of(declared, projects, &default));
        let intake = Intake::read(request, &|service, port| ports.address(service, port));
        let mut planner = Planner {
            shared,
            intake: &intake,
            projects,
            problems: intake.problems.clone(),
            default,
            ports,
            created: Vec::new(),
            work: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        planner.projects();
        planner.resources().await?;
        planner.groups();
        planner.pipelines();
        planner.calls();
        planner.accounts();
        let failed = planner.problems.iter().any(|problem| problem.severity() == super::Severity::Error);
        if !failed {
            planner.hooks().await?;
        }
        let Planner { created, work, secrets, problems, projects, .. } = planner;
        let parts = work.into_values().map(|work| work.part).collect();
        let done = Done { org_version: projects.version, created, parts, ..Done::default() };
        Ok(Self { done, secrets, problems })
    }
}

/// The work on one project.
pub(super) struct Work {
    /// What happens to it.
    pub(super) part: Part,
    /// The project after what was decided so far.
    pub(super) after: Project,
}

impl Work {
    /// Decides a command on what was decided before.
    pub(super) fn decide(&mut self, command: &Command) -> Result<(), Rejection> {
        self.part.decide(&mut self.after.state, command)
    }
}

pub(super) struct Planner<'a> {
    pub(super) shared: &'a Shared,
    pub(super) intake: &'a Intake,
    pub(super) projects: &'a Projects,
    /// The project of documents that name none.
    default: String,
    created: Vec<ProjectCreated>,
    /// By the project's slug.
    pub(super) work: BTreeMap<String, Work>,
    pub(super) secrets: BTreeMap<ProjectId, Vec<Pending>>,
    pub(super) problems: Vec<Problem>,
    ports: Given,
}

impl<'a> Planner<'a> {
    /// Notes a problem with a declaration; what reading the file has shown already is said once.
    pub(super) fn note(&mut self, file: usize, problem: documents::Problem) {
        let problem = self.intake.located(file, problem);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn projects(&mut self) {
        for (file, declared) in self.intake.placed() {
            if !matches!(declared.declared, Declared::Project) {
                continue;
            }
            let description =
                declared.spec.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
            if let Some(known) = self.projects.by_slug.get(&declared.slug) {
                if !description.is_empty() && known.description != description {
                    let at = format!("{}/spec/description", declared.pointer);
                    let problem =
                        documents::Problem::warning(at, "a project's description is kept as it was made");
                    self.note(file, problem);
                }
                continue;
            }
            if self.work.contains_key(&declared.slug) {
                continue;
            }
            let project = ProjectId::new(Uuid::now_v7());
            let (slug, name) = (declared.slug.clone(), declared.name.clone());
            let created = ProjectCreated { project, slug, name, description };
            let new = Project::new(&created);
            self.work.insert(new.slug.clone(), Work { part: Part::new(Arc::new(new.clone())), after: new });
            self.created.push(created);
        }
    }

    /// The work on the declaration's project; none if there is no such project, which is noted.
    fn work(&mut self, file: usize, declared: &Declaration) -> Option<&mut Work> {
        let slug = project_of(declared, self.projects, &self.default);
        if !self.work.contains_key(&slug) {
            let Some(known) = self.projects.by_slug.get(&slug) else {
                let problem = self.no_project(declared, &slug);
                self.note(file, problem);
                return None;
            };
            let work = Work { part: Part::new(known.clone()), after: Project::clone(known) };
            self.work.insert(slug.clone(), work);
        }
        self.work.get_mut(&slug)
    }

    fn no_project(&self, declared: &Declaration, slug: &str) -> documents::Problem {
        let known: Vec<&str> =
            self.projects.by_slug.keys().chain(self.work.keys()).map(String::as_str).collect();
        if slug.is_empty() {
            let message = format!("`{}` names no project", declared.slug);
            return documents::Problem::error(format!("{}/spec", declared.pointer), message).help(format!(
                "declare one (`kind: Project`), give the node a `projectId`, or name it: `--project`; there is {}",
                documents::list(known)
            ));
        }
        documents::Problem::error(
            format!("{}/spec/projectId", declared.pointer),
            format!("there is no project `{slug}`"),
        )
        .suggest(slug, known)
    }

    async fn resources(&mut self) -> Result<(), Error> {
        let intake = self.intake;
        for (place, (file, declared)) in intake.placed().enumerate() {
            let Declared::Resource(kind) = declared.declared else { continue };
            let Some(work) = self.work(file, declared) else { continue };
            let (project, project_slug) = (work.after.id, work.after.slug.clone());
            if self.ports.exhausted.contains(&place) {
                let (first, last) = (self.shared.ports.start(), self.shared.ports.end());
                let message = format!("no port from {first} to {last} is free for `{}`", declared.slug);
                let problem = documents::Problem::error(format!("{}/spec", declared.pointer), message);
                self.note(
                    file,
                    problem.help("end what listens on them, or give Shipway another range of ports"),
                );
                continue;
            }
            let (spec, pending) =
                values::take_out(&self.shared.secrets, project, kind, &declared.slug, &declared.spec).await?;
            let wish = ApplyResource {
                id: ResourceId::new(Uuid::now_v7()),
                slug: declared.slug.clone(),
                kind,
                spec,
                new_ports: self.ports.new_ports(&project_slug, &declared.slug),
            };
            self.secrets.entry(project).or_default().extend(pending);
            self.decide(file, declared, &Command::ApplyResource(wish));
        }
        Ok(())
    }

    /// Decides on the declaration's project, and notes every reason against it at its place.
    fn decide(&mut self, file: usize, declared: &Declaration, command: &Command) -> bool {
        let Some(work) = self.work(file, declared) else { return false };
        let Err(rejection) = work.decide(command) else { return true };
        for refusal in rejection.refusals {
            let pointer = format!("{}{}", declared.pointer, refusal.pointer);
            let problem = documents::Problem::error(pointer, refusal.why.to_string().trim_end_matches('.'));
            self.note(file, problem.help(refusal.why.help()));
        }
        false
    }

    /// What secret groups name must be there, now that everything is declared.
    fn groups(&mut self) {
        let intake = self.intake;
        for (file, declared) in intake.placed() {
            if !matches!(declared.declared, Declared::Resource(ResourceKind::SecretGroup)) {
                continue;
            }
            let Some(work) = self.work(file, declared) else { continue };
            for problem in groups::problems(&work.after.state, declared) {
                self.note(file, problem);
            }
        }
    }

    fn pipelines(&mut self) {
        let intake = self.intake;
        for (file, declared) in intake.placed() {
            let Declared::Pipeline(pipeline) = &declared.declared else { continue };
            let Some(wish) = self.wish(file, declared, pipeline) else { continue };
            let known = self
                .work(file, declared)
                .is_some_and(|work| work.after.state.pipelines.contains_key(&declared.slug));
            let events = self.work(file, declared).map_or(0, |work| work.part.events.len());
            if !self.decide(file, declared, &Command::ApplyPipeline(wish)) {
                continue;
            }
            let Some(work) = self.work(file, declared) else { continue };
            let moved = known
                && work.part.events[events..]
                    .iter()
                    .any(|event| matches!(event, project::Event::PipelineApplied(_)));
            for problem in flows::problems(&work.after, declared, pipeline, moved) {
                self.note(file, problem);
            }
        }
    }

    /// What flows that run each other must not do, now that all of them are known.
    fn calls(&mut self) {
        let intake = self.intake;
        let mut stuck: BTreeMap<String, Vec<flows::Stuck>> = BTreeMap::new();
        for (file, declared) in intake.placed() {
            let Declared::Pipeline(pipeline) = &declared.declared else { continue };
            let Some(work) = self.work(file, declared) else { continue };
            let slug = work.after.slug.clone();
            let stuck = stuck.entry(slug).or_insert_with(|| flows::stuck(&work.after));
            for problem in flows::calls(stuck, declared, pipeline) {
                self.note(file, problem);
            }
        }
    }

    fn wish(
        &mut self,
        file: usize,
        declared: &Declaration,
        pipeline: &PipelineDeclaration,
    ) -> Option<ApplyPipeline> {
        let own = self.work(file, declared)?.after.slug.clone();
        let stages = pipeline.stages.iter().map(|stage| self.stage(&own, declared, stage)).collect();
        Some(ApplyPipeline {
            id: PipelineId::new(Uuid::now_v7()),
            slug: declared.slug.clone(),
            name: declared.name.clone(),
            description: pipeline.description.clone(),
            stages,
            new_flows: (0..20).map(|_| FlowId::new(Uuid::now_v7())).collect(),
        })
    }

    fn stage(&self, own: &str, declared: &Declaration, stage: &StageDeclaration) -> StageWish {
        let relative =
            |pointer: &str| pointer.strip_prefix(declared.pointer.as_str()).unwrap_or(pointer).to_owned();
        let members = stage
            .members
            .iter()
            .map(|member| {
                let (id, found_in) = self.located_member(own, &member.slug);
                MemberWish {
                    id,
                    member_type: member.member_type.clone(),
                    found_in,
                    pointer: relative(&member.pointer),
                }
            })
            .collect();
        StageWish {
            name: stage.name.clone(),
            members,
            flow: stage.flow.as_ref().map(|declared| flows::document(&declared.flow.value)),
            pointer: relative(&stage.pointer),
        }
    }

    /// A member's slug, and the other project that has it if its own has not.
    fn located_member(&self, own: &str, id: &str) -> (String, Option<String>) {
        if let Some((project, slug)) = id.split_once('/') {
            if project == own {
                return (slug.to_owned(), None);
            }
            return (id.to_owned(), Some(project.to_owned()));
        }
        let has = |state: &ProjectState| state.resources.contains_key(id);
        if self.work.get(own).is_some_and(|work| has(&work.after.state)) {
            return (id.to_owned(), None);
        }
        let other = self.projects.by_slug.values().find(|project| project.slug != own && has(&project.state));
        (id.to_owned(), other.map(|project| project.slug.clone()))
    }
}

/// The slug of the project that a declaration belongs to; empty if nothing says so.
fn project_of(declared: &Declaration, projects: &Projects, default: &str) -> String {
    let named = declared.project.as_deref().unwrap_or(default);
    projects.named(named).map_or_else(|| named.to_owned(), |known| known.slug.clone())
}

/// The project that the caller named, or the only one that is declared, or the only one that there is.
fn default_project(intake: &Intake, projects: &Projects, named: &str) -> String {
    if !named.is_empty() {
        return named.to_owned();
    }
    let declared: BTreeSet<&str> = intake
        .declarations()
        .filter(|declared| matches!(declared.declared, Declared::Project))
        .map(|declared| declared.slug.as_str())
        .collect();
    let mut candidates: Vec<&str> = declared.into_iter().collect();
    if candidates.is_empty() {
        candidates = projects.by_slug.keys().map(String::as_str).collect();
    }
    match candidates.as_slice() {
        [only] => (*only).to_owned(),
        _ => String::new(),
    }
}
