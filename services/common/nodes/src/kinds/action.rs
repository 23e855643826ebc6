//! `Action`: executes a command, restarts, stops, restores a backup, decides about what a restore kept.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::flow::Node;
use shipway_events::{project::ResourceKind, run::NodeError};

use super::{addon, job_run, literal, named};
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind, Validation,
    service::service_spec,
    shape::Config,
    step::{codes, environment, fail, read},
    words::split_words,
    workload,
    workload::{Command, Workload},
};

pub(crate) struct Action;

/// Seconds that a command or a restart may take, unless the node says otherwise.
const TIMEOUT_SECONDS: u32 = 600;
/// Seconds that a restore may take, unless the node says otherwise.
const RESTORE_SECONDS: u32 = 3600;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// What is acted on: `Service`, `Job`, `Addon` or `AddonBackup`
    kind: Subject,
    /// What is done: `{type, data}`
    spec: Inner,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum Subject {
    Service,
    Job,
    Addon,
    AddonBackup,
    #[serde(rename = "VCS")]
    Vcs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Inner {
    /// `execute`, `restart`, `stop`, `restore`, `confirm` or `revert`
    r#type: Type,
    /// What it needs to know
    data: Data,
    /// `running` or `success`: what is waited for.
    condition: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Type {
    Restart,
    Execute,
    Load,
    Restore,
    CreateRepoFromSource,
    Stop,
    Confirm,
    Revert,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Data {
    /// The service, by its id.
    service_id: Option<String>,
    /// The job, by its id.
    job_id: Option<String>,
    /// The addon, by its id.
    addon_id: Option<String>,
    /// The backup's id, or `latest`.
    backup_id: Option<String>,
    /// Whether what the addon has is kept until the restore is confirmed or reverted.
    keep: Option<bool>,
    /// The command; its words are passed as they are, without a shell.
    command: Option<String>,
    /// A shell to run it in.
    shell: Option<String>,
    /// The user to run it as.
    user: Option<String>,
    /// The group to run it as.
    group: Option<String>,
    /// `{dispatchOnly}`
    #[serde(default)]
    options: Options,
    /// The repository that is copied.
    #[expect(dead_code, reason = "making a repository is refused when the flow is published")]
    source_data: Option<Map<String, Value>>,
    /// The repository that is made.
    #[expect(dead_code, reason = "making a repository is refused when the flow is published")]
    target_data: Option<Map<String, Value>>,
    /// Seconds that it may take.
    #[schemars(range(min = 30, max = 14_400))]
    timeout_duration: Option<u32>,
    /// The project, if not the flow's.
    #[expect(dead_code, reason = "checked when the flow is published")]
    project_id: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Options {
    /// Whether it is started and not waited for.
    dispatch_only: Option<bool>,
}

static CONFIG: Config<Spec> = Config::new();

/// What this version does: the subject, the type, the member of `data` that names what is acted on.
const ACTIONS: &[(&str, &str, &str)] = &[
    ("Service", "execute", "serviceId"),
    ("Service", "restart", "serviceId"),
    ("Service", "stop", "serviceId"),
    ("Job", "execute", "jobId"),
    ("Addon", "restart", "addonId"),
    ("Addon", "confirm", "addonId"),
    ("Addon", "revert", "addonId"),
    ("AddonBackup", "load", "addonId"),
    ("AddonBackup", "restore", "addonId"),
];

impl Kind for Action {
    fn name(&self) -> &'static str {
        "Action"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    /// Documents put it in `spec.spec.condition`; on the node it means the same.
    fn conditions(&self) -> &'static [&'static str] {
        &["running", "success"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let spec = &node.spec;
        let (Some(kind), Some(act)) = (literal(spec, "/kind"), literal(spec, "/spec/type")) else { return };
        if (kind, act) == ("VCS", "createRepoFromSource") {
            ctx.unsupported("/kind", "making a repository is not supported yet", &supported());
            return;
        }
        let Some((.., id)) = ACTIONS.iter().find(|(k, a, _)| (*k, *a) == (kind, act)) else {
            let can: Vec<_> = ACTIONS.iter().filter(|(k, ..)| *k == kind).map(|(_, a, _)| *a).collect();
            // That nothing has such an action is said by the shape.
            if !can.is_empty() && ACTIONS.iter().any(|(_, known, _)| *known == act) {
                let message = format!("`{kind}` has no action `{act}`");
                ctx.error("/spec/type", &message, &format!("it has {}", shipway_documents::list(can)));
            }
            return;
        };
        let needs: &[&str] = match act {
            "execute" => &["command"],
            "load" | "restore" => &["backupId"],
            _ => &[],
        };
        for name in std::iter::once(id).chain(needs) {
            if spec.pointer("/spec/data").is_some_and(Value::is_object)
                && spec.pointer(&format!("/spec/data/{name}")).is_none()
            {
                ctx.error(
                    "/spec/data",
                    &format!("`{name}` is missing"),
                    &format!("`{kind}` `{act}` needs it"),
                );
            }
        }
        if let Some(Err(error)) = literal(spec, "/spec/data/command").map(split_words) {
            ctx.error("/spec/data/command", &error, "close the quote");
        }
        for (name, help) in [
            ("shell", "wrap the command: `sh -c \"…\"`"),
            ("user", "commands run as the service's own user"),
            ("group", "commands run as the service's own group"),
        ] {
            if spec.pointer(&format!("/spec/data/{name}")).is_some_and(|value| value != "") {
                ctx.unsupported(
                    &format!("/spec/data/{name}"),
                    &format!("`{name}` is not supported yet"),
                    help,
                );
            }
        }
        if let Some(condition) = literal(spec, "/spec/condition") {
            let right = if matches!(act, "restart" | "stop") { "running" } else { "success" };
            if condition != right {
                ctx.error(
                    "/spec/condition",
                    &format!("`condition` cannot be `{condition}` here"),
                    &format!("write `{right}`"),
                );
            }
        }
        ctx.check_project("/spec/data/projectId", literal(spec, "/spec/data/projectId"));
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        let (path, kind) = match literal(&node.spec, "/kind") {
            Some("Service") => ("/spec/data/serviceId", UseKind::Service),
            Some("Job") => ("/spec/data/jobId", UseKind::Job),
            Some("Addon" | "AddonBackup") => ("/spec/data/addonId", UseKind::Addon),
            _ => return Vec::new(),
        };
        named(node, path, kind, Role::Member).into_iter().collect()
    }

    fn outputs(&self, spec: &Value) -> Outputs {
        match (literal(spec, "/kind"), literal(spec, "/spec/type")) {
            (Some("Job"), Some("execute")) => {
                Outputs::of(&["id", "runName", "jobId"], &["status", "concluded"])
            }
            (_, Some("execute")) => Outputs::of(&[], &["status", "output"]),
            (Some("VCS"), _) => Outputs::default().and_later(&["trackerId"]),
            (_, Some("load" | "restore")) => Outputs::of(&["id", "addonId"], &["status"]),
            _ => Outputs::default(),
        }
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let wait = ctx.condition.is_some() || spec.pointer("/spec/condition").is_some_and(Value::is_string);
        let config = read(self, &CONFIG, spec)?;
        let data = &config.spec.data;
        if let Some(name) = [(&data.shell, "shell"), (&data.user, "user"), (&data.group, "group")]
            .iter()
            .find_map(|(value, name)| value.as_ref().filter(|value| !value.is_empty()).map(|_| *name))
        {
            let message =
                format!("`{name}` is not supported: the command runs without a shell, as the service's user");
            return Err(fail(codes::UNSUPPORTED, message));
        }
        let ctx = &StepContext { timeout_seconds: ctx.timeout_seconds.or(data.timeout_duration), ..*ctx };
        let work = match (config.kind, config.spec.r#type) {
            (Subject::Service, Type::Execute) => execute(data, ctx)?,
            (Subject::Service, Type::Restart) => restart(
                &required(data.service_id.as_ref(), "serviceId")?,
                ResourceKind::DeploymentService,
                wait,
                ctx,
            )?,
            (Subject::Addon, Type::Restart) => {
                restart(&required(data.addon_id.as_ref(), "addonId")?, ResourceKind::Addon, wait, ctx)?
            }
            (Subject::Service, Type::Stop) => stop(&required(data.service_id.as_ref(), "serviceId")?, ctx)?,
            (Subject::Addon, Type::Confirm) => kept(data, workload::Fate::LetGo, ctx)?,
            (Subject::Addon, Type::Revert) => kept(data, workload::Fate::PutBack, ctx)?,
            (Subject::Job, Type::Execute) => execute_job(data, ctx)?,
            (Subject::AddonBackup, Type::Load) => restore(data, true, ctx)?,
            (Subject::AddonBackup, Type::Restore) => restore(data, false, ctx)?,
            (subject, act) => {
                let message = format!("the action {act:?} on {subject:?} is not supported; {}", supported());
                return Err(fail(codes::UNSUPPORTED, message));
            }
        };
        let _ = config.spec.condition;
        Ok(Step::Work(work))
    }
}

fn supported() -> String {
    let all: Vec<_> = ACTIONS.iter().map(|(kind, act, _)| format!("{kind} {act}")).collect();
    format!("supported are {}", all.join(", "))
}

fn required(value: Option<&String>, name: &str) -> Result<String, NodeError> {
    value
        .filter(|value| !value.trim().is_empty())
        .cloned()
        .ok_or_else(|| fail(codes::BAD_SPEC, format!("`spec.spec.data.{name}` is missing")))
}

fn command_words(data: &Data) -> Result<Vec<String>, NodeError> {
    let words = split_words(&required(data.command.as_ref(), "command")?);
    words.map_err(|error| fail(codes::BAD_SPEC, format!("`spec.spec.data.command`: {error}")))
}

fn execute(data: &Data, ctx: &StepContext<'_>) -> Result<Workload, NodeError> {
    let slug = required(data.service_id.as_ref(), "serviceId")?;
    let (resource, target) = ctx.resource(&slug, &[ResourceKind::DeploymentService])?;
    if ctx.current(&slug).is_none() {
        let message = format!(
            "nothing runs at `{slug}`, so no command can be executed in it: release something to it first"
        );
        return Err(fail(codes::NOTHING_DEPLOYED, message));
    }
    Ok(Workload::Exec(workload::Exec {
        target,
        command: command_words(data)?,
        environment: environment([&resource.environment])?,
        dispatch_only: data.options.dispatch_only.unwrap_or_default(),
        timeout_seconds: ctx.timeout_seconds.unwrap_or(TIMEOUT_SECONDS),
    }))
}

/// A command in a job is a run of the job with that command.
fn execute_job(data: &Data, ctx: &StepContext<'_>) -> Result<Workload, NodeError> {
    let slug = required(data.job_id.as_ref(), "jobId")?;
    let (resource, job) = ctx.resource(&slug, &[ResourceKind::ManualJob, ResourceKind::CronJob])?;
    Ok(Workload::Job(workload::Job {
        job,
        job_run: ctx.made("jr"),
        artifact: job_run::job_artifact(&slug, resource, ctx)?.clone(),
        command: Command::Words(command_words(data)?),
        environment: environment([&resource.environment])?,
        deadline_seconds: Some(job_run::deadline(resource, ctx).unwrap_or(TIMEOUT_SECONDS)),
    }))
}

fn restart(slug: &str, kind: ResourceKind, wait: bool, ctx: &StepContext<'_>) -> Result<Workload, NodeError> {
    let (_, target) = ctx.resource(slug, &[kind])?;
    let timeout_seconds = ctx.timeout_seconds.unwrap_or(TIMEOUT_SECONDS);
    Ok(Workload::Restart(workload::Restart { target, wait, timeout_seconds }))
}

/// What runs there is what is there without an instance: the next release starts it again. Who asks meanwhile waits.
fn stop(slug: &str, ctx: &StepContext<'_>) -> Result<Workload, NodeError> {
    let (resource, target) = ctx.resource(slug, &[ResourceKind::DeploymentService])?;
    let artifact = ctx.current(slug).ok_or_else(|| {
        fail(codes::NOTHING_DEPLOYED, format!("nothing runs at `{slug}`, so there is nothing to stop"))
    })?;
    Ok(Workload::Release(workload::Release {
        target,
        artifact: artifact.clone(),
        service: Some(workload::ServiceSpec { instances: 0, ..service_spec(slug, resource)? }),
        wait: true,
        timeout_seconds: ctx.timeout_seconds.unwrap_or(TIMEOUT_SECONDS),
    }))
}

fn kept(data: &Data, fate: workload::Fate, ctx: &StepContext<'_>) -> Result<Workload, NodeError> {
    let slug = required(data.addon_id.as_ref(), "addonId")?;
    Ok(Workload::Kept(workload::Kept { addon: addon::pinned(&slug, ctx)?, fate }))
}

fn restore(data: &Data, only_load: bool, ctx: &StepContext<'_>) -> Result<Workload, NodeError> {
    let slug = required(data.addon_id.as_ref(), "addonId")?;
    let asked = required(data.backup_id.as_ref(), "backupId")?;
    let ctx = &StepContext { timeout_seconds: Some(ctx.timeout_seconds.unwrap_or(RESTORE_SECONDS)), ..*ctx };
    let addon = addon::pinned(&slug, ctx)?;
    let backup = if asked == "latest" { ctx.newest_backup(&slug) } else { Some(asked.as_str()) };
    let pin = backup.and_then(|backup| ctx.backups.get(backup)).ok_or_else(|| {
        let message = format!("the addon `{slug}` has no finished backup `{asked}`; make one with an `AddonBackup` node with `condition: success`");
        fail(codes::NO_BACKUP, message)
    })?;
    Ok(Workload::Restore(workload::Restore {
        addon,
        backup: backup.unwrap_or_default().to_owned(),
        pin: pin.clone(),
        keep: data.keep.unwrap_or_default(),
        only_load,
    }))
}
