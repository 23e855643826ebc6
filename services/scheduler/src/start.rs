//! Starting a run: the flow's newest version, what it may name and what runs where, pinned in one plan.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shipway_contracts::{
    Code, Error,
    v1::{
        FlowForRunReply, FlowForRunRequest, Problem, StartRunReply, project_home_client::ProjectHomeClient,
    },
};
use shipway_eventing::failing;
use shipway_events::{
    Actor, ConcurrencyPolicy, Meta, Position, ProjectId, RunId, RunStatus,
    plan::{Fork, Given},
    run::{Origin, Parent, Started},
};

use crate::{
    cluster::shards::Shard,
    planning::{self, World},
    rollback,
    service::Shared,
};

/// A run that somebody asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Its id, decided by whoever asks: asked again, it is the same run.
    pub(crate) run: RunId,
    pub(crate) choice: FlowChoice,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) origin: Origin,
    pub(crate) arguments: Map<String, Value>,
    /// What else was asked of this run alone; its arguments are not in it.
    #[serde(default)]
    pub(crate) given: Given,
    /// Trigger values by the trigger's ref.
    pub(crate) triggers: Map<String, Value>,
    pub(crate) meta: Meta,
    /// Who started it, where that is not who asks: who pushed what came by a hook.
    #[serde(default)]
    pub(crate) author: Option<Actor>,
    /// The projects' read model must have come so far.
    pub(crate) at_least: Position,
    /// The node that wants it, if a node of another run does.
    #[serde(default)]
    pub(crate) parent: Option<Parent>,
    /// Why its nodes may use no secret, if they may not.
    #[serde(default)]
    pub(crate) without_secrets: Option<String>,
    /// The pull request of a fork that it is for.
    #[serde(default)]
    pub(crate) fork: Option<Fork>,
    /// The hash of the plan that was looked at: no other is started.
    #[serde(default)]
    pub(crate) plan: Option<String>,
    /// Why it may release what is held, if whoever asks says so.
    #[serde(default)]
    pub(crate) despite_hold: Option<String>,
}

impl Asked {
    /// A run that somebody asks for without more.
    pub(crate) fn by_hand(run: RunId, choice: FlowChoice, meta: Meta) -> Self {
        Self {
            run,
            choice,
            name: String::new(),
            description: String::new(),
            origin: Origin::Manual,
            arguments: Map::new(),
            given: Given::default(),
            triggers: Map::new(),
            meta,
            author: None,
            at_least: 0,
            parent: None,
            without_secrets: None,
            fork: None,
            plan: None,
            despite_hold: None,
        }
    }
}

/// Which flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FlowChoice {
    /// A published one.
    Published { project: String, flow: String },
    /// A document of diagnostic nodes.
    Document(String),
    /// An addon's own, with its content from a backup.
    Restored { addon: String, backup: String },
    /// A stage's, with the way back to what ran there.
    Rollback(Box<rollback::Wanted>),
    /// An addon's own, with a decision about what it kept when a backup was put into it.
    Kept { addon: String, put_back: bool },
}

impl Shared {
    /// Starts a run, or answers what it answered before.
    pub(crate) async fn start(&self, asked: Asked) -> Result<StartRunReply, Error> {
        self.start_or_pass_on(asked, false).await
    }

    /// Starts a run that another scheduler was asked for and whose lane is here.
    pub(crate) async fn start_passed_on(&self, asked: Asked) -> Result<StartRunReply, Error> {
        self.start_or_pass_on(asked, true).await
    }

    async fn start_or_pass_on(&self, asked: Asked, passed_on: bool) -> Result<StartRunReply, Error> {
        if let Some(reply) = self.started_before(asked.run).await {
            return Ok(reply);
        }
        let flow = match &asked.choice {
            FlowChoice::Document(text) => planning::diagnostic(text)?,
            FlowChoice::Published { project, flow } => {
                let found =
                    self.flow_version_for_run(project, flow, asked.given.flow_version, asked.at_least);
                failing!("scheduler.start_flow", Error::unavailable, found.await)?
            }
            FlowChoice::Restored { addon, backup } => {
                planning::restored(self.flow_for_run("", addon, asked.at_least).await?, backup)
            }
            FlowChoice::Rollback(wanted) => {
                self.flow_for_run(&wanted.project, &wanted.flow, asked.at_least).await?
            }
            FlowChoice::Kept { addon, put_back } => {
                planning::kept(self.flow_for_run("", addon, asked.at_least).await?, *put_back)
            }
        };
        let flow_id = shipway_contracts::id("flow", &flow.flow)?;
        Self::check_nesting(asked.parent.as_ref(), flow_id, &flow.path)?;
        let shard = Shard::of(flow_id, asked.run);
        if let Some(peer) = self.cluster.route(shard, passed_on).await? {
            return failing!(
                "scheduler.start_there",
                Error::unavailable,
                self.start_there(&peer, &asked).await
            );
        }
        let mut world = match &asked.choice {
            FlowChoice::Document(_) => World::default(),
            _ => failing!("scheduler.start_world", Error::unavailable, self.world(&flow).await)?,
        };
        let (mut flow, mut rollback, mut comes_up) = (flow, None, None);
        if let FlowChoice::Rollback(wanted) = &asked.choice {
            let back = self.way_back(wanted, flow, world).await?;
            back.is_decided()?;
            comes_up = back.despite_hold();
            (flow, world, rollback) = (back.flow, back.world, Some(back.rollback));
        }
        let meta = asked.meta.clone();
        let mut started = match planning::plan(&asked, &flow, world, self.log.now()) {
            Ok(started) => Started { rollback, ..started },
            Err(problems) => return Ok(refused(&flow, problems)),
        };
        self.pin_older_builds(&mut started).await?;
        if let Some(seen) = &asked.plan {
            let plan = &started.plan;
            let hash = plan.hash(plan.nodes.len());
            if hash != *seen {
                let moved = self.plans.moved(seen, plan);
                return Ok(StartRunReply {
                    path: started.path,
                    plan: hash,
                    moved,
                    ..StartRunReply::default()
                });
            }
        }
        if asked.despite_hold.is_none() && comes_up.is_some() {
            self.only_what_runs_is_held(&started).await?;
        }
        let despite = asked.despite_hold.or(comes_up);
        let (path, name) = (started.path.clone(), started.name.clone());
        let in_force = self.book.policies().in_force(&*self.log, Some(&started), false, self.log.now()).await;
        let is_allowed = started.policy == ConcurrencyPolicy::Allow
            && in_force.is_ok_and(|all| all.freezes.is_empty() && all.holds.is_empty());
        let start = self.book.start(started, despite, meta);
        let reply = match failing!("scheduler.start", Error::unavailable, start.await) {
            // The same command came twice at once.
            Err(error) if error.code == Code::AlreadyExists => {
                return self.started_before(asked.run).await.ok_or(error);
            }
            reply => reply?,
        };
        let mut status = RunStatus::Running;
        if !is_allowed {
            // Its lane may have it wait, or not let it in, or a freeze or a hold may keep it.
            status = self.book.look(asked.run).await?.status();
        }
        Ok(StartRunReply {
            run: asked.run.to_string(),
            status: status.to_string(),
            path,
            name,
            position: reply.position,
            ..StartRunReply::default()
        })
    }

    /// The answer for a run that is there already.
    async fn started_before(&self, run: RunId) -> Option<StartRunReply> {
        let state = self.book.look(run).await.ok()?;
        let started = state.started()?;
        Some(StartRunReply {
            run: run.to_string(),
            status: state.status().to_string(),
            path: started.path.clone(),
            name: started.name.clone(),
            ..StartRunReply::default()
        })
    }

    pub(crate) async fn flow_for_run(
        &self,
        project: &str,
        flow: &str,
        at_least: Position,
    ) -> Result<FlowForRunReply, Error> {
        self.flow_version_for_run(project, flow, 0, at_least).await
    }

    /// The same in one version; 0 for the newest.
    pub(crate) async fn flow_version_for_run(
        &self,
        project: &str,
        flow: &str,
        version: u32,
        at_least: Position,
    ) -> Result<FlowForRunReply, Error> {
        let flow = if project.is_empty() || flow.matches('/').count() > 1 {
            flow.to_owned()
        } else {
            format!("{project}/{flow}")
        };
        let mut home = ProjectHomeClient::new(self.projects.clone()).max_decoding_message_size(64 << 20);
        let request = FlowForRunRequest { flow, at_least, version };
        Ok(home.flow_for_run(request).await.map_err(from_status)?.into_inner())
    }

    /// What runs where in the project at this moment: read once, and pinned.
    pub(crate) async fn world(&self, flow: &FlowForRunReply) -> Result<World, Error> {
        self.caught_up().await?;
        let project: ProjectId = shipway_contracts::id("project", &flow.project)?;
        let placed = self.placed(&flow.project, self.log.now()).await?;
        Ok(World {
            deployed: placed.into_iter().map(|placed| (placed.slug, placed.artifact)).collect(),
            builds: self.builds(project).await?,
            backups: self.backups(project).await?,
        })
    }
}

fn refused(flow: &FlowForRunReply, problems: Vec<Problem>) -> StartRunReply {
    StartRunReply { path: flow.path.clone(), problems, ..StartRunReply::default() }
}

/// An answer of another service, with its code.
pub(crate) fn from_status(status: tonic::Status) -> Error {
    let code = match status.code() {
        tonic::Code::InvalidArgument => Code::BadRequest,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::AlreadyExists => Code::AlreadyExists,
        tonic::Code::FailedPrecondition => Code::FailedPrecondition,
        tonic::Code::Aborted => Code::Conflict,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::Unavailable => Code::Unavailable,
        _ => Code::Internal,
    };
    Error::new(code, status.message())
}
