//! What a run would do, before it is one: node by node, asked from the same code that will carry it out.

use std::collections::BTreeSet;

use serde_json::Value;
use shipway_documents::is_expression;
use shipway_engine::{Language, RunState, Step};
use shipway_events::{
    Actor, Cause, CommandId, ConcurrencyPolicy, Meta, Recorded, Timestamp,
    plan::{Artifact, PlanNode, When},
    run::{NodeError, Started},
};
use shipway_nodes::workload::{Fate, Workload};
use uuid::Uuid;

use crate::language::Documents;

/// What a node would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Would {
    /// Something has another state afterwards.
    Change,
    /// Something is made, sent or looked at, and nothing that runs is changed by it.
    Run,
    /// Nothing.
    Nothing,
    /// What it changes cannot be known: it is somebody's own program.
    Unknown,
    /// It asks people.
    Ask,
    /// It waits.
    Wait,
    /// It cannot be carried out.
    Fail,
}

impl Would {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Run => "run",
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
            Self::Ask => "ask",
            Self::Wait => "wait",
            Self::Fail => "fail",
        }
    }
}

/// A node, and what it would do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Foreseen {
    /// Its index in the plan; of a step in a loop, the loop's.
    pub(crate) node: u32,
    pub(crate) reference: String,
    pub(crate) kind: String,
    pub(crate) would: Would,
    pub(crate) words: String,
    /// What runs at its target, and what it gets.
    pub(crate) from: Option<Artifact>,
    pub(crate) to: Option<Artifact>,
}

/// What comes of one node.
struct Said {
    would: Would,
    words: String,
    from: Option<Artifact>,
    to: Option<Artifact>,
}

fn said(would: Would, words: impl Into<String>) -> Said {
    Said { would, words: words.into(), from: None, to: None }
}

/// Every step of a run that would start like this, in the order of its plan.
pub(crate) fn foresee(started: &Started) -> Vec<Foreseen> {
    let state = starting(started);
    let mut all = Vec::new();
    for (n, node) in (0_u32..).zip(&started.plan.nodes) {
        let is_container = matches!(node.kind.as_str(), "Workflow" | "LoopWorkflow");
        let skipped = skipped(&state, n);
        match skipped {
            Skipped::Yes if is_container => {}
            Skipped::Yes => all.push(shown(n, node, said(Would::Nothing, "it is skipped"))),
            _ if node.kind == "Workflow" => {}
            _ if node.kind == "LoopWorkflow" => {
                let times = match Documents.iterations(&state, n) {
                    Ok(items) => format!("in each of {} iterations of `{}`: ", items.len(), node.reference),
                    Err(_) => format!("in each iteration of `{}`: ", node.reference),
                };
                let steps = node.body.iter().filter(|step| step.kind != "Workflow");
                all.extend(steps.map(|step| {
                    let mut said = by_kind(step);
                    said.words.insert_str(0, &times);
                    shown(n, step, said)
                }));
            }
            _ => {
                let mut said = step(&state, n, node);
                if matches!(skipped, Skipped::Perhaps) {
                    said.words.push_str("; it may be skipped (`skipNodeExecution`)");
                }
                all.push(shown(n, node, said));
            }
        }
    }
    all
}

/// A run that has started like this, and nothing more.
pub(crate) fn starting(started: &Started) -> RunState {
    let mut state = RunState::new();
    let event = started.clone().into();
    let (at, command) = (Timestamp::from_micros(0), CommandId::new(Uuid::nil()));
    let meta = Meta { actor: Actor::nobody(), cause: Cause::Request, trace: None };
    state.evolve(&Recorded { position: 0, version: 1, at, meta, command, event }, 0);
    state
}

fn shown(n: u32, node: &PlanNode, said: Said) -> Foreseen {
    let Said { would, words, from, to } = said;
    let words = match node.when {
        When::Failure => format!("if something before it fails: {words}"),
        When::Success | When::Always => words,
    };
    Foreseen { node: n, reference: node.reference.clone(), kind: node.kind.clone(), would, words, from, to }
}

pub(crate) enum Skipped {
    Yes,
    No,
    Perhaps,
}

/// Whether a node, or what is around it, says that it is not run.
pub(crate) fn skipped(state: &RunState, n: u32) -> Skipped {
    let (mut at, mut perhaps) = (Some(n), false);
    while let Some((n, node)) = at.and_then(|n| Some((n, state.plan_node(n)?))) {
        match node.skip.as_ref().map(|skip| Documents.truthy(state, n, skip)) {
            Some(Ok(true)) => return Skipped::Yes,
            Some(Err(_)) => perhaps = true,
            Some(Ok(false)) | None => {}
        }
        at = node.parent;
    }
    if perhaps { Skipped::Perhaps } else { Skipped::No }
}

fn step(state: &RunState, n: u32, node: &PlanNode) -> Said {
    if let Some(build) = made_before(state, n, node) {
        let mut said = by_kind(node);
        said.words = format!("{}, which `{build}` makes", said.words);
        said.from = deployed(state, literal(node, "/target/id"));
        return said;
    }
    match Documents.step(state, n) {
        Ok(Step::Work { work, .. }) => of_work(state, &work),
        Ok(Step::Done { .. }) => said(Would::Nothing, "it changes nothing"),
        Ok(Step::Approve { rule, .. }) => {
            let who = match rule.approvers.as_slice() {
                [] => "any".to_owned(),
                some => some.join(", "),
            };
            let but = if rule.exclude_author { ", not who starts the run" } else { "" };
            said(Would::Ask, format!("waits for {} approval(s) by {who}{but}", rule.amount))
        }
        Ok(Step::Wait { .. }) => said(Would::Wait, "waits for something in the run"),
        Ok(Step::Child(child)) => said(
            Would::Unknown,
            format!("starts a run of {}; what that changes, its own plan says", child.flow),
        ),
        Err(error) => not_yet(node, &error),
    }
}

/// Names of other nodes whose outputs it needs.
fn needs(node: &PlanNode) -> BTreeSet<String> {
    let text = node.spec.to_string();
    let names = text.split("refs.").skip(1);
    let names =
        names.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && !"-_".contains(c)).next());
    names.filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect()
}

/// What cannot be asked yet, because it waits for what other nodes put out; anything else would fail the node.
fn not_yet(node: &PlanNode, error: &NodeError) -> Said {
    let needs = needs(node);
    if needs.is_empty() {
        return said(Would::Fail, format!("it would fail ({}): {}", error.code, error.message));
    }
    let mut said = by_kind(node);
    let names: Vec<String> = needs.into_iter().collect();
    said.words = format!("{}; the rest is known when {} has run", said.words, names.join(" and "));
    said
}

/// The earlier node of the run that makes what this one releases.
pub(crate) fn made_before(state: &RunState, n: u32, node: &PlanNode) -> Option<String> {
    if node.kind != "Release" || literal(node, "/type") != Some("build") {
        return None;
    }
    let service = literal(node, "/origin/id")?;
    if literal(node, "/origin/build").is_some_and(|build| build != "latest") {
        return None;
    }
    let earlier = state.plan()?.nodes.iter().take(n as usize);
    let build = earlier.rev().find(|it| it.kind == "Build" && literal(it, "/id") == Some(service));
    build.map(|it| it.reference.clone())
}

fn of_work(state: &RunState, work: &Workload) -> Said {
    match work {
        Workload::Noop(_) => said(Would::Nothing, "it changes nothing"),
        Workload::Build(build) => {
            let what = build
                .pull_request
                .map_or_else(|| build.branch.clone(), |number| format!("pull request #{number}"));
            said(Would::Run, format!("builds `{}` at {what}", build.service.slug))
        }
        Workload::Release(release) if release.service.as_ref().is_some_and(|spec| spec.instances == 0) => {
            said(Would::Change, format!("`{}` is stopped; who asks it waits", release.target.slug))
        }
        Workload::Release(release) => {
            let (slug, to) = (&release.target.slug, &release.artifact);
            let from = deployed(state, Some(slug));
            let same = from.as_ref().is_some_and(|from| from.digest == to.digest);
            let said = match &from {
                None => said(Would::Change, format!("`{slug}` gets its first build: {}", named(to))),
                Some(_) if same && release.service.is_none() => {
                    said(Would::Nothing, format!("`{slug}` has {} already", named(to)))
                }
                // The settings may be others.
                Some(_) if same => {
                    said(Would::Change, format!("`{slug}` has {} already, and is released anew", named(to)))
                }
                Some(from) => {
                    said(Would::Change, format!("`{slug}`: {} instead of {}", named(to), named(from)))
                }
            };
            Said { from, to: Some(to.clone()), ..said }
        }
        Workload::Job(job) => said(
            Would::Unknown,
            format!(
                "runs the job `{}` of {}: what it changes nobody can tell",
                job.job.slug,
                named(&job.artifact)
            ),
        ),
        Workload::Exec(exec) => said(
            Would::Unknown,
            format!(
                "executes `{}` in `{}`: what it changes nobody can tell",
                exec.command.join(" "),
                exec.target.slug
            ),
        ),
        Workload::Addon(addon) => said(
            Would::Change,
            format!(
                "starts `{}`, or brings it to what is declared ({} {})",
                addon.addon.slug, addon.engine, addon.version
            ),
        ),
        Workload::Backup(backup) => said(Would::Run, format!("backs up `{}`", backup.addon.addon.slug)),
        Workload::Restore(restore) if restore.only_load => said(
            Would::Run,
            format!(
                "loads the backup {} beside the content of `{}`, which goes on",
                restore.backup, restore.addon.addon.slug
            ),
        ),
        Workload::Restore(restore) => said(
            Would::Change,
            format!(
                "replaces the content of `{}` by the backup {}{}",
                restore.addon.addon.slug,
                restore.backup,
                if restore.keep { "; what is there now is kept until somebody confirms" } else { "" }
            ),
        ),
        Workload::Kept(kept) => said(
            Would::Change,
            match kept.fate {
                Fate::LetGo => format!("lets go of what `{}` was before its restores", kept.addon.addon.slug),
                Fate::PutBack => format!("puts back what `{}` was before its restore", kept.addon.addon.slug),
            },
        ),
        Workload::Restart(restart) => said(Would::Change, format!("restarts `{}`", restart.target.slug)),
        Workload::Await(_) => said(Would::Wait, "waits for a condition"),
        Workload::Message(_) => said(Would::Run, "sends a message"),
        Workload::Comment(_) => said(Would::Run, "comments on a pull request"),
    }
}

/// What a node of that kind does, as far as its specification says it already.
fn by_kind(node: &PlanNode) -> Said {
    let of = |pointer: &str| literal(node, pointer).map(|id| format!(" `{id}`")).unwrap_or_default();
    match node.kind.as_str() {
        "Noop" | "LoopData" => said(Would::Nothing, "it changes nothing"),
        "Condition" => said(Would::Wait, "waits for a condition"),
        "Approval" => said(Would::Ask, "waits for approvals"),
        "Message" => said(Would::Run, "sends a message"),
        "Build" => said(Would::Run, format!("builds{}", of("/id"))),
        "Release" => {
            let target = of("/target/id");
            let target = if target.is_empty() { "a target" } else { target.trim() };
            said(Would::Change, format!("{target} gets a build"))
        }
        "AddonBackup" => said(Would::Run, format!("backs up{}", of("/addonId"))),
        "Addon" => said(Would::Change, format!("starts or changes{}", of("/name"))),
        "JobRun" => {
            said(Would::Unknown, format!("runs the job{}: what it changes nobody can tell", of("/jobId")))
        }
        kind => said(Would::Unknown, format!("{kind}: what it changes nobody can tell")),
    }
}

fn literal<'a>(node: &'a PlanNode, pointer: &str) -> Option<&'a str> {
    let value = node.spec.pointer(pointer).filter(|value| !is_expression(value))?;
    value.as_str().filter(|text| !text.is_empty())
}

fn deployed(state: &RunState, slug: Option<&str>) -> Option<Artifact> {
    state.plan()?.deployed.get(slug?).cloned()
}

/// An artifact by what people know of it.
pub(crate) fn named(artifact: &Artifact) -> String {
    let commit = artifact.commit.get(..7).unwrap_or(&artifact.commit);
    format!("commit {commit} of {}", artifact.branch)
}

/// What holds a run up that would start like this, apart from what its steps do.
pub(crate) fn gates(started: &Started) -> Vec<String> {
    let mut gates = Vec::new();
    let path = &started.path;
    match started.policy {
        ConcurrencyPolicy::Allow => {}
        ConcurrencyPolicy::Queue => {
            gates.push(format!("it waits for other runs of {path} that came before it"))
        }
        ConcurrencyPolicy::Forbid => gates.push(format!("it is skipped if a run of {path} goes on")),
        ConcurrencyPolicy::Latest => {
            gates.push(format!(
                "it waits for the run of {path} that goes on, and is skipped if a newer one comes"
            ));
        }
        ConcurrencyPolicy::Replace => gates.push(format!("it aborts other runs of {path}")),
    }
    let locks: BTreeSet<&String> = started.plan.nodes.iter().flat_map(|node| &node.locks).collect();
    gates.extend(
        locks.into_iter().map(|lock| format!("it waits for the lock `{lock}` while another flow has it")),
    );
    gates
}

/// The secrets that it may use, by name and version, sorted. Their values are nowhere near a plan.
pub(crate) fn secrets(started: &Started) -> Vec<String> {
    let mut names = BTreeSet::new();
    collect(&serde_json::to_value(&started.plan).unwrap_or_default(), &mut names);
    names.into_iter().collect()
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(name) = members.get("$secret").and_then(Value::as_str) {
                names.insert(name.to_owned());
            }
            members.values().for_each(|member| collect(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
