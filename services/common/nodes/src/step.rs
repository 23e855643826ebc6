//! What a node asks for when its turn has come, and what it is told to decide that.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shipway_documents::{Problems, list, nearest, plain_text, pointer, secret, type_name, with_article};
use shipway_events::{
    ProjectId, RunId,
    plan::{Artifact, BackupPin, Fork, PinnedResource},
    project::ResourceKind,
    run::{ApprovalRule, NodeError},
};

use crate::{
    Kind,
    shape::Config,
    workload::{Target, Workload},
};

/// What a node sees of its run.
#[derive(Clone, Copy, Debug)]
pub struct StepContext<'a> {
    /// The run.
    pub run: RunId,
    /// The node's index in the plan.
    pub node: u32,
    /// The node's name.
    pub reference: &'a str,
    /// The run's project.
    pub project: ProjectId,
    /// `condition`.
    pub condition: Option<&'a str>,
    /// `timeoutDuration`, if given.
    pub timeout_seconds: Option<u32>,
    /// The resources that nodes may name, by their id in documents.
    pub resources: &'a BTreeMap<String, PinnedResource>,
    /// What ran where when the run started: promotion takes exactly this.
    pub deployed: &'a BTreeMap<String, Artifact>,
    /// What this run has released so far, by target.
    pub released: &'a BTreeMap<String, Artifact>,
    /// Builds by id: those of the start and those that this run made.
    pub builds: &'a BTreeMap<String, Artifact>,
    /// Backups by id: those of the start and those that this run made.
    pub backups: &'a BTreeMap<String, BackupPin>,
    /// What the iteration around it is about, if it is in a loop.
    pub iteration: Option<&'a Value>,
    /// The pull request of a fork that the run is for, if it is for one.
    pub fork: Option<&'a Fork>,
    /// The pull request that the run is for, if its Git host says that it comes from a branch of the repository.
    pub own_pull_request: Option<u64>,
}

/// What a node asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An executor's work.
    Work(Workload),
    /// Nothing: it is done.
    Done {
        /// What later nodes can refer to.
        outputs: Map<String, Value>,
    },
    /// That people agree.
    Approve {
        /// How many of whom.
        rule: ApprovalRule,
        /// Seconds until it is given up, if it has a limit.
        timeout_seconds: Option<u32>,
    },
    /// That something in the run ends well: it waits without anybody's work.
    Await {
        /// What.
        made: Made,
        /// Seconds until it is given up.
        timeout_seconds: u32,
    },
    /// A run of another flow.
    Child(Child),
}

/// Something that a node of the run makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The kind of node that makes it: `Build`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
}

/// A run of another flow that a node asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// The flow.
    pub flow: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// Whether what follows waits for its end.
    pub wait: bool,
}

/// The stable words for why a node cannot start.
pub mod codes {
    /// A field is missing or has a value that does not fit.
    pub const BAD_SPEC: &str = "bad_spec";
    /// A field that steers depends on a secret.
    pub const SECRET: &str = "secret_in_spec";
    /// A resource is not known to the run.
    pub const UNKNOWN_RESOURCE: &str = "unknown_resource";
    /// A resource is of another kind.
    pub const WRONG_KIND: &str = "wrong_kind";
    /// Nothing runs where something should be taken from.
    pub const NOTHING_DEPLOYED: &str = "nothing_deployed";
    /// There is no such build, or it has not ended.
    pub const NO_BUILD: &str = "no_build";
    /// There is no such backup, or it has not ended.
    pub const NO_BACKUP: &str = "no_backup";
    /// A port has no number on this host.
    pub const NO_PORT: &str = "no_port";
    /// It is not said what to execute.
    pub const NO_COMMAND: &str = "no_command";
    /// There is no pull request to say something to.
    pub const NO_PULL_REQUEST: &str = "no_pull_request";
    /// A secret group has not what has to be there.
    pub const MISSING_KEY: &str = "missing_key";
    /// This version or this runtime cannot do it.
    pub const UNSUPPORTED: &str = "unsupported";
}

/// An error that no retry mends.
pub(crate) fn fail(code: &str, message: impl Into<String>) -> NodeError {
    NodeError { code: code.to_owned(), message: message.into(), transient: false }
}

/// Reads a resolved `spec`; refuses secrets where they would steer.
pub(crate) fn read<C: schemars::JsonSchema + serde::de::DeserializeOwned>(
    kind: &dyn Kind,
    config: &Config<C>,
    spec: &Value,
) -> Result<C, NodeError> {
    if let Some(place) = steering_secret(spec, "", kind.payload()) {
        return Err(fail(
            codes::SECRET,
            format!(
                "`spec{}` of the {} depends on a secret; only values that the work is given may, not what it works on",
                place.replace('/', "."),
                kind.name()
            ),
        ));
    }
    config.read(spec).map_err(|problems| bad_spec(kind.name(), &problems))
}

fn bad_spec(kind: &str, problems: &Problems) -> NodeError {
    let say = |problem: &shipway_documents::Problem| {
        let place = problem.pointer.replace('/', ".");
        let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("`spec{place}`: {}{help}", problem.message)
    };
    let all: Vec<_> = problems.iter().map(say).collect();
    fail(codes::BAD_SPEC, format!("the values of this {kind} do not fit: {}", all.join("; ")))
}

fn steering_secret(value: &Value, at: &str, payload: &[&str]) -> Option<String> {
    if payload.iter().any(|allowed| pointer::is_within(at, allowed)) {
        return None;
    }
    match value {
        mark if secret::is_mark(mark) => Some(at.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(n, item)| steering_secret(item, &pointer::item(at, n), payload)),
        Value::Object(members) => {
            members.iter().find_map(|(key, member)| steering_secret(member, &pointer::join(at, key), payload))
        }
        _ => None,
    }
}

impl<'a> StepContext<'a> {
    /// The resource of that id and its address, if it is one of these kinds.
    pub(crate) fn resource(
        &self,
        slug: &str,
        kinds: &[ResourceKind],
    ) -> Result<(&'a PinnedResource, Target), NodeError> {
        let wanted = || {
            let names: Vec<_> = kinds.iter().map(ToString::to_string).collect();
            names.join(" or ")
        };
        let Some(resource) = self.resources.get(slug) else {
            let of_kind = self.resources.iter().filter(|(_, resource)| kinds.contains(&resource.kind));
            let known: Vec<_> = of_kind.map(|(slug, _)| slug.as_str()).collect();
            let help = match nearest(slug, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is {}", list(known)),
            };
            return Err(fail(
                codes::UNKNOWN_RESOURCE,
                format!("this flow knows no {} `{slug}`; {help}", wanted()),
            ));
        };
        if !kinds.contains(&resource.kind) {
            let message = format!(
                "`{slug}` is {}, not {}",
                with_article(&resource.kind.to_string()),
                with_article(&wanted())
            );
            return Err(fail(codes::WRONG_KIND, message));
        }
        let target = Target { project: resource.project, id: resource.id, slug: slug.to_owned() };
        Ok((resource, target))
    }

    /// An id for what this node makes: the same on every attempt, and sorted by the start of its run.
    pub(crate) fn made(&self, prefix: &str) -> String {
        format!("{prefix}-{}-{}", self.run_part(), self.node)
    }

    /// The time of a run's id, and enough of its chance to tell runs of one millisecond apart.
    pub(crate) fn run_part(&self) -> String {
        let hex = self.run.uuid().simple().to_string();
        format!("{}{}", &hex[..12], &hex[24..])
    }
}

/// An environment, later parts over earlier ones: numbers and booleans become text, secrets stay what they
/// are.
pub(crate) fn environment<'v>(
    parts: impl IntoIterator<Item = &'v Map<String, Value>>,
) -> Result<Map<String, Value>, NodeError> {
    let mut all = Map::new();
    for (name, value) in parts.into_iter().flatten() {
        let value = match value {
            mark if secret::is_mark(mark) => mark.clone(),
            Value::Null => Value::from(""),
            Value::Array(_) | Value::Object(_) => {
                let kind = type_name(value);
                let message =
                    format!("the variable `{name}` must be text, not {kind}; use fn.stringifyJSON(…)");
                return Err(fail(codes::BAD_SPEC, message));
            }
            plain => plain_text(plain).unwrap_or_default().into(),
        };
        all.insert(name.clone(), value);
    }
    Ok(all)
}
