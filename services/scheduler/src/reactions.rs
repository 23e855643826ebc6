//! From events of other services to commands of this one. Every command's id comes from the event, so that an
//! event that is handled again changes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use shipway_contracts::{Code, Error, v1::StartRunReply};
use shipway_eventing::feed::{HandleError, Reaction};
use shipway_events::{
    Actor, Cause, CommandId, DeliveryId, Meta, RawEvent, RunId, StreamEvent,
    delivery::{self, Approved, Held, Matched, Verdict},
    place,
    plan::{Fork, Given},
    project::{self, ResourceKind},
    run::Origin,
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    children::Children,
    refused::Wanted,
    rollback::RollbacksHold,
    schedules::Schedules,
    service::Shared,
    start::{Asked, FlowChoice},
};

/// Every reaction of the scheduler.
pub(crate) fn all(shared: &Arc<Shared>) -> Vec<Arc<dyn Reaction>> {
    let mut all: Vec<Arc<dyn Reaction>> = vec![
        Arc::new(Deliveries { shared: shared.clone() }),
        Arc::new(Resources { shared: shared.clone() }),
        Arc::new(Children { shared: shared.clone() }),
        Arc::new(Schedules { shared: shared.clone() }),
        Arc::new(RollbacksHold { shared: shared.clone() }),
    ];
    if shared.cluster.together().is_some() {
        all.push(Arc::new(Places { shared: shared.clone() }));
    }
    all
}

/// A delivery that matched starts one run for each trigger that it matched.
struct Deliveries {
    shared: Arc<Shared>,
}

#[async_trait]
impl Reaction for Deliveries {
    fn name(&self) -> &'static str {
        "scheduler-deliveries"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["delivery"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        let Some(recorded) = delivery::Event::read(event)? else { return Ok(()) };
        let matches = match recorded.event {
            delivery::Event::Matched(matched) => Matches::of(matched),
            delivery::Event::Approved(approved) => Matches::approved(approved),
        };
        for verdict in &matches.verdicts {
            let Some(run) = verdict.run(matches.delivery) else { continue };
            // A trace of its own, that points back to the delivery: a run outlives the request that it follows from.
            let span = tracing::info_span!(parent: None, "start", %run, delivery = %matches.delivery);
            shipway_service_kit::link_span(&span, event.meta.trace.as_deref());
            let mut asked = asked(event, &matches, verdict, run);
            asked.meta.trace = shipway_contracts::trace::of(&span).or(asked.meta.trace);
            if let Some(refusal) = outcome(self.shared.start(asked.clone()).instrument(span).await)? {
                let wanted = Wanted { project: verdict.project, flow: verdict.flow, path: &verdict.path };
                self.shared.failed_to_start(asked, wanted, refusal).await?;
            }
        }
        Ok(())
    }
}

/// What of a delivery starts runs.
struct Matches {
    delivery: DeliveryId,
    summary: String,
    verdicts: Vec<Verdict>,
    actor: Actor,
    without_secrets: Option<String>,
}

impl Matches {
    fn of(matched: Matched) -> Self {
        let Matched { delivery, hook, summary, verdicts, .. } = matched;
        let actor = Actor::Hook(hook.map_or_else(|| "reconcile".to_owned(), |hook| hook.to_string()));
        Self { delivery, summary, verdicts, actor, without_secrets: None }
    }

    /// Whoever approved a fork's commit is who the run is by.
    fn approved(approved: Approved) -> Self {
        let Approved { delivery, summary, by, head, secrets, verdicts, .. } = approved;
        let without_secrets = (!secrets).then(|| {
            let (name, head) = (by.name(), head.get(..7).unwrap_or(&head));
            format!(
                "commit {head} is of a fork, and {name} approved it without secrets; what needs them runs only if it is \
                 approved `--with-secrets`"
            )
        });
        Self { delivery, summary, verdicts, actor: by, without_secrets }
    }
}

fn asked(event: &RawEvent, matches: &Matches, verdict: &Verdict, run: RunId) -> Asked {
    let mut triggers = verdict.triggers.clone();
    triggers.insert(verdict.trigger.clone(), Value::Object(verdict.values.clone()));
    // Whoever lets a fork's commit run has started it, and not who wrote it.
    let sender = verdict.sender.clone().filter(|_| matches!(matches.actor, Actor::Hook(_)));
    let author = sender.map(Actor::Hook);
    Asked {
        run,
        choice: FlowChoice::Published { project: String::new(), flow: verdict.flow.to_string() },
        name: verdict.run_name(matches.delivery),
        description: verdict.description.clone().unwrap_or_else(|| matches.summary.clone()),
        origin: verdict.origin,
        arguments: verdict.arguments.clone(),
        triggers,
        meta: Meta {
            actor: matches.actor.clone(),
            cause: Cause::Delivery(matches.delivery),
            trace: event.meta.trace.clone(),
        },
        author,
        at_least: event.position,
        parent: None,
        without_secrets: matches.without_secrets.clone(),
        fork: verdict.held.as_ref().map(|held| fork(verdict, held)),
        plan: None,
        given: Given::default(),
        despite_hold: None,
    }
}

/// What a verdict was held for, as its run knows it.
fn fork(verdict: &Verdict, held: &Held) -> Fork {
    let text = |name: &str| verdict.values.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Fork {
        pull_request: held.pull_request,
        head: held.head.clone(),
        branch: text("branch"),
        repository: text("repoUrl"),
    }
}

/// What follows from a change of a project is a run of a resource's own one-node flow: an addon that was declared or changed
/// is brought to that state, a build that is followed is released, a job that is due is run.
struct Resources {
    shared: Arc<Shared>,
}

#[async_trait]
impl Reaction for Resources {
    fn name(&self) -> &'static str {
        "scheduler-resources"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["project"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        if !matches!(
            event.kind.as_str(),
            "project.resource_applied" | "project.build_followed" | "project.job_due"
        ) {
            return Ok(());
        }
        let project = event.stream.id().unwrap_or_default();
        let (slug, flow, name, description, triggers) = match project::Event::from_raw(event)?.event {
            project::Event::ResourceApplied(applied) if applied.kind == ResourceKind::Addon => {
                let (flow, name) = (applied.resource.to_string(), format!("start {}", applied.slug));
                (applied.slug, flow, name, "the addon was declared or changed".to_owned(), Map::new())
            }
            project::Event::BuildFollowed(followed) => {
                let flow = format!("cd/{project}/{}", followed.slug);
                let values = json!({
                    "branch": followed.branch, "build": followed.build, "sha": followed.commit,
                });
                let about = format!("{} is the newest build of {}", followed.build, followed.branch);
                let triggers = Map::from_iter([("cd".to_owned(), values)]);
                (followed.slug.clone(), flow, format!("follow {}", followed.slug), about, triggers)
            }
            project::Event::JobDue(due) => {
                let flow = format!("job/{project}/{}", due.slug);
                let about = format!("run {} has changed what the job runs", due.run);
                (due.slug.clone(), flow, format!("run {}", due.slug), about, Map::new())
            }
            _ => return Ok(()),
        };
        let asked = Asked {
            run: derived(event),
            choice: FlowChoice::Published { project: String::new(), flow },
            name,
            description,
            origin: Origin::Resource,
            arguments: Map::new(),
            triggers,
            meta: Meta::reaction("scheduler", event.position),
            author: None,
            at_least: event.position,
            parent: None,
            without_secrets: None,
            fork: None,
            plan: None,
            given: Given::default(),
            despite_hold: None,
        };
        settle(self.shared.start(asked).await, &slug)
    }
}

/// A target that was given another host is started there by a run of its own: a service from its artifact, an addon from
/// the backup that a person named.
struct Places {
    shared: Arc<Shared>,
}

#[async_trait]
impl Reaction for Places {
    fn name(&self) -> &'static str {
        "scheduler-places"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["place"]
    }

    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        let Some(place::Event::Moved(moved)) = place::Event::read(event)?.map(|recorded| recorded.event)
        else {
            return Ok(());
        };
        let flow = event.stream.id().unwrap_or_default().to_owned();
        let choice = match &moved.backup {
            None => FlowChoice::Published { project: String::new(), flow },
            Some(backup) => FlowChoice::Restored { addon: flow, backup: backup.clone() },
        };
        let description = if moved.from == moved.to {
            format!("the move to executor {} failed and is made again", moved.to)
        } else {
            format!("executor {} was away; what it had goes to executor {}", moved.from, moved.to)
        };
        let asked = Asked {
            run: moved.run,
            choice,
            name: "another host".to_owned(),
            description,
            origin: Origin::Resource,
            arguments: Map::new(),
            triggers: Map::new(),
            meta: Meta::reaction("scheduler", event.position),
            author: None,
            at_least: event.position,
            parent: None,
            without_secrets: None,
            fork: None,
            plan: None,
            given: Given::default(),
            despite_hold: None,
        };
        match outcome(self.shared.start(asked).await)? {
            None => Ok(()),
            Some(refusal) => self.refused(event, moved.run, refusal).await,
        }
    }
}

impl Places {
    /// A move whose run cannot be started has failed, and is made again like any other.
    async fn refused(&self, event: &RawEvent, run: RunId, reason: String) -> Result<(), HandleError> {
        let Some(target) = event.stream.id().and_then(|id| id.parse().ok()) else { return Ok(()) };
        let place = crate::places::read(&*self.shared.log, target).await.map_err(HandleError::retry)?;
        let Some(place) = place else { return Ok(()) };
        let Some(failed) = crate::places::refused(&place, run, reason, self.shared.log.now()) else {
            return Ok(());
        };
        let (meta, command) =
            (Meta::reaction("scheduler", event.position), CommandId::new(derived(event).uuid()));
        let recorded = self.shared.record_place(target, &place, &[failed], meta, command).await;
        recorded.map_err(HandleError::retry)
    }
}

/// The run that follows from an event: always the same, and as old as the event.
fn derived(event: &RawEvent) -> RunId {
    let millis = u64::try_from(event.at.millis()).unwrap_or(0);
    let mut bytes = *Uuid::nil().as_bytes();
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[8..].copy_from_slice(&event.position.to_be_bytes());
    RunId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// What can be mended by waiting is tried again; a refusal is said and left, because asking again would not help.
fn settle(started: Result<StartRunReply, Error>, path: &str) -> Result<(), HandleError> {
    if let Some(refusal) = outcome(started)? {
        tracing::error!(path, refusal, "a run was not started");
    }
    Ok(())
}

/// Why a run was refused, if it was; what can be mended by waiting is an error, and is tried again.
pub(crate) fn outcome(started: Result<StartRunReply, Error>) -> Result<Option<String>, HandleError> {
    match started {
        Ok(reply) => {
            let problems: Vec<String> = reply
                .problems
                .iter()
                .map(|problem| format!("{} ({})", problem.message, problem.pointer))
                .collect();
            Ok((!problems.is_empty()).then(|| problems.join("; ")))
        }
        Err(error) => match error.code {
            Code::Unavailable | Code::Conflict | Code::ResourceExhausted | Code::Internal => {
                Err(HandleError::retry(error))
            }
            _ => Ok(Some(error.message)),
        },
    }
}

#[cfg(test)]
mod tests {
    use shipway_events::{FlowId, ProjectId, StreamName, Timestamp};

    use super::*;

    fn event() -> RawEvent {
        RawEvent {
            position: 1,
            stream: StreamName::delivery(DeliveryId::new(Uuid::nil())),
            version: 1,
            kind: "delivery.matched".to_owned(),
            schema: 2,
            data: String::new(),
            command: CommandId::new(Uuid::nil()),
            meta: Meta::reaction("triggers", 0),
            at: Timestamp::from_micros(0),
        }
    }

    fn author(sender: Option<&str>, actor: Actor) -> Option<Actor> {
        let verdict = Verdict {
            project: ProjectId::new(Uuid::nil()),
            flow: FlowId::new(Uuid::nil()),
            path: String::new(),
            trigger: "app".to_owned(),
            matched: true,
            reason: String::new(),
            rules: Vec::new(),
            part: 0,
            held: None,
            origin: Origin::Git,
            sender: sender.map(str::to_owned),
            values: Map::new(),
            triggers: Map::new(),
            arguments: Map::new(),
            name: None,
            description: None,
        };
        let delivery = DeliveryId::new(Uuid::nil());
        let (summary, verdicts) = (String::new(), Vec::new());
        let matches = Matches { delivery, summary, verdicts, actor, without_secrets: None };
        asked(&event(), &matches, &verdict, RunId::new(Uuid::nil())).author
    }

    #[test]
    fn who_pushed_is_the_author_unless_somebody_had_to_let_it_run() {
        let hook = || Actor::Hook("0190aaaa".to_owned());
        assert_eq!(author(Some("ada"), hook()), Some(Actor::Hook("ada".to_owned())));
        assert_eq!(author(None, hook()), None);
        assert_eq!(author(Some("stranger"), Actor::Person("grace".to_owned())), None);
    }
}
