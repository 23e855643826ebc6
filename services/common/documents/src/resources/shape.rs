//! The shapes of resource specs: required members, types, ranges. Everything else is kept as it is.

use serde_json::Value;
use shipway_events::project::ResourceKind;

use crate::{
    Code, Fields, Problem, Problems, is_expression, names, pointer,
    schedule::{Schedule, ScheduleError, UTC},
    secret,
};

/// The name as it is given, though it may be no right one; none where there is none yet.
pub(super) fn name(spec: &Value, at: &str, length: names::Length, problems: &mut Problems) -> Option<String> {
    let mut fields = Fields::new(spec, at, "`spec`", problems);
    let name = fields.required_text("name", "name it; its id is the slug of its name")?;
    if is_expression(&Value::from(name)) {
        return None;
    }
    if let Err(reason) = names::check(name, length) {
        let problem = Problem::error(fields.at("name"), format!("the name `{name}` {reason}"));
        fields.note(problem.code(Code::NameInvalid).help(names::example(length)));
    }
    Some(name.to_owned())
}

/// Members that every resource may have.
const COMMON: &[&str] = &["name", "description", "projectId", "stageId", "tags", "billing"];

pub(super) fn resource(kind: ResourceKind, spec: &Value, at: &str, problems: &mut Problems) {
    let mut fields = Fields::new(spec, at, "`spec`", problems);
    match kind {
        ResourceKind::BuildService => {
            fields.known(&known(&BUILD));
            build(&mut fields);
        }
        ResourceKind::DeploymentService => {
            fields.known(&known(&DEPLOYMENT));
            deployment(&mut fields);
        }
        ResourceKind::CombinedService => {
            build(&mut fields);
            deployment(&mut fields);
        }
        ResourceKind::ManualJob | ResourceKind::CronJob => job(kind, &mut fields),
        ResourceKind::Addon => addon(&mut fields),
        ResourceKind::SecretGroup => secret_group(&mut fields),
    }
}

const BUILD: [&str; 6] =
    ["vcsData", "buildSettings", "buildConfiguration", "buildArguments", "disabledCI", "buildFiles"];

const DEPLOYMENT: [&str; 7] = [
    "deployment",
    "ports",
    "runtimeEnvironment",
    "runtimeFiles",
    "healthChecks",
    "autoscaling",
    "disabledCD",
];

fn known(own: &[&'static str]) -> Vec<&'static str> {
    COMMON.iter().chain(own).copied().collect()
}

fn build(fields: &mut Fields<'_, '_>) {
    match fields.get("vcsData") {
        None => fields.missing("vcsData", "name the repository: `vcsData: {projectUrl: …}`"),
        Some(value) => {
            let at = fields.at("vcsData");
            let mut vcs = Fields::new(value, &at, "`vcsData`", fields.problems());
            vcs.required_text(
                "projectUrl",
                "give the address of the repository, or its path on this machine",
            );
        }
    }
    if let Some(value) = fields.get("buildSettings") {
        let at = fields.at("buildSettings");
        let mut settings = Fields::new(value, &at, "`buildSettings`", fields.problems());
        settings.known(&["dockerfile", "buildpack", "command", "storage"]);
        if let Some(value) = settings.get("command") {
            let at = settings.at("command");
            let mut command = Fields::new(value, &at, "`command`", settings.problems());
            command.known(&["run", "include", "workDir"]);
            command.required_text("run", "give the shell command that builds");
            command.texts("include");
            command.text("workDir");
        }
    }
    scalars(fields, "buildArguments");
}

fn deployment(fields: &mut Fields<'_, '_>) {
    scalars(fields, "runtimeEnvironment");
    fields.boolean("disabledCD");
    ports(fields);
    health_checks(fields);
    let Some(value) = fields.get("deployment") else { return };
    let at = fields.at("deployment");
    let mut deployment = Fields::new(value, &at, "`deployment`", fields.problems());
    deployment.integer("instances", 0..=100);
    deployment.integer("gracePeriodSeconds", 0..=600);
    refuse_image("service", &mut deployment);
    start(&mut deployment);
}

fn refuse_image(what: &str, deployment: &mut Fields<'_, '_>) {
    if deployment.get("external").is_some() {
        let problem =
            Problem::unsupported(deployment.at("external"), "images from registries are not run yet");
        let help = format!("a flow can give the {what} a build with a `Release` node of type `build`");
        deployment.note(problem.help(help));
    }
}

/// What is executed: `docker` and `buildpack`.
fn start(deployment: &mut Fields<'_, '_>) {
    for (key, words) in [
        ("docker", &["default", "customCommand", "customEntrypoint", "customEntrypointCustomCommand"][..]),
        (
            "buildpack",
            &[
                "default",
                "customProcess",
                "customCommand",
                "customEntrypoint",
                "customEntrypointCustomCommand",
                "originalEntrypointCustomCommand",
            ][..],
        ),
    ] {
        let Some(value) = deployment.get(key) else { continue };
        let at = deployment.at(key);
        let mut start = Fields::new(value, &at, &format!("`{key}`"), deployment.problems());
        start.known(&["configType", "customCommand", "customEntrypoint", "customProcess"]);
        let config = start.one_of("configType", words).unwrap_or("default");
        let needs: &[&str] = match config {
            "customProcess" => &["customProcess"],
            "customCommand" | "originalEntrypointCustomCommand" => &["customCommand"],
            "customEntrypoint" => &["customEntrypoint"],
            "customEntrypointCustomCommand" => &["customEntrypoint", "customCommand"],
            _ => &[],
        };
        for need in needs {
            start.required_text(need, &format!("`configType: {config}` needs it"));
        }
    }
}

fn ports(fields: &mut Fields<'_, '_>) {
    let (list, list_at) = (fields.list("ports"), fields.at("ports"));
    let mut seen: Vec<&str> = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let at = pointer::item(&list_at, n);
        let mut port = Fields::new(value, &at, "a port", fields.problems());
        port.known(&["name", "internalPort", "public", "protocol", "domains", "security", "disableNfDomain"]);
        port.integer("internalPort", 1..=65_535);
        port.boolean("public");
        if port.one_of("protocol", &["HTTP", "HTTP/2", "TCP", "UDP"]) == Some("UDP") {
            let problem = Problem::unsupported(port.at("protocol"), "UDP ports are not supported yet");
            port.note(problem.help("use `TCP`, `HTTP` or `HTTP/2`"));
        }
        if let Some(name) = port.text("name") {
            if seen.contains(&name) {
                let problem = Problem::error(port.at("name"), format!("two ports are called `{name}`"));
                port.note(problem.help("give each its own name"));
            }
            seen.push(name);
        }
    }
}

fn health_checks(fields: &mut Fields<'_, '_>) {
    let (list, list_at) = (fields.list("healthChecks"), fields.at("healthChecks"));
    for (n, value) in list.iter().enumerate() {
        let at = pointer::item(&list_at, n);
        let mut check = Fields::new(value, &at, "a health check", fields.problems());
        check.known(&[
            "protocol",
            "type",
            "path",
            "cmd",
            "port",
            "initialDelaySeconds",
            "periodSeconds",
            "timeoutSeconds",
            "failureThreshold",
            "successThreshold",
        ]);
        match check.one_of("protocol", &["HTTP", "TCP", "CMD"]) {
            Some("CMD") => check.note(
                Problem::unsupported(check.at("protocol"), "health checks by command are not supported yet")
                    .help("use `HTTP` or `TCP`"),
            ),
            Some("HTTP") => {
                check.required_text("path", "name the path that answers 2xx or 3xx when all is well");
            }
            _ => {}
        }
        check.integer("failureThreshold", 1..=1000);
        check.integer("successThreshold", 1..=1000);
    }
}

fn job(kind: ResourceKind, fields: &mut Fields<'_, '_>) {
    scalars(fields, "runtimeEnvironment");
    if let Some(value) = fields.get("deployment") {
        let at = fields.at("deployment");
        let mut deployment = Fields::new(value, &at, "`deployment`", fields.problems());
        refuse_image("job", &mut deployment);
        start(&mut deployment);
    }
    job_settings(fields);
    let mut is_newer = false;
    if let Some(value) = fields.get("settings") {
        let at = fields.at("settings");
        let mut settings = Fields::new(value, &at, "`settings`", fields.problems());
        job_settings(&mut settings);
        if let Some(value) = settings.get("cron") {
            is_newer = true;
            let at = settings.at("cron");
            cron(&mut Fields::new(value, &at, "`cron`", settings.problems()));
        }
    }
    if kind == ResourceKind::CronJob && !is_newer {
        cron(fields);
    }
}

/// The schedule of a job: the members of a `CronJob`, and of the `cron` of a `Job`.
fn cron(fields: &mut Fields<'_, '_>) {
    let suspended = fields.boolean("suspended").unwrap_or_default();
    fields.one_of("concurrencyPolicy", &["allow", "forbid", "replace"]);
    let schedule = fields.required_text("schedule", "give its five fields, in UTC: `0 3 * * *`");
    let Some(schedule) = schedule.filter(|text| !is_expression(&Value::from(*text))) else { return };
    // How often a flow's own schedule may come is no rule of the format.
    let wrong = Schedule::parse(schedule, UTC).err();
    if let Some(wrong) = wrong.filter(|wrong| !matches!(wrong, ScheduleError::TooNear { .. })) {
        let problem = Problem::error(fields.at("schedule"), wrong.to_string()).code(Code::FieldValue);
        fields.note(problem.help(wrong.help()));
    } else if !suspended {
        let help = "add `suspended: true`, and let a flow with a `cron` trigger run the job: `kind: JobRun`";
        fields.note(
            Problem::unsupported(fields.at("schedule"), "schedules of jobs are not run yet").help(help),
        );
    }
}

fn job_settings(fields: &mut Fields<'_, '_>) {
    fields.integer("backoffLimit", 0..=100);
    fields.integer("activeDeadlineSeconds", 1..=86_400);
    fields.boolean("disabledCD");
    fields.one_of("runOnSourceChange", &["never", "cd-promote", "always"]);
}

fn addon(fields: &mut Fields<'_, '_>) {
    let Some(engine) = fields.required_text("type", "name the engine: `type: postgresql`") else { return };
    if !matches!(engine, "postgresql" | "postgres") {
        let message = format!("addons of type `{engine}` are not supported yet");
        fields.note(Problem::unsupported(fields.at("type"), message).help("supported is `postgresql`"));
    }
    if fields.get("version").is_some_and(|version| !version.is_number()) {
        fields.text("version");
    }
    if fields.get("source").is_some() {
        let problem = Problem::unsupported(fields.at("source"), "forking an addon is not supported yet");
        fields.note(problem.help("restore a backup into it with an `Action` node"));
    }
}

fn secret_group(fields: &mut Fields<'_, '_>) {
    fields.known(&known(&["type", "secretType", "priority", "secrets", "restrictions", "addonDependencies"]));
    fields.one_of("type", &["secret", "config"]);
    fields.one_of("secretType", &["environment-arguments", "environment", "arguments"]);
    fields.integer("priority", 0..=1000);
    if let Some(value) = fields.get("secrets") {
        let at = fields.at("secrets");
        let mut secrets = Fields::new(value, &at, "`secrets`", fields.problems());
        scalars(&mut secrets, "variables");
        secret_files(&mut secrets);
    }
    let (list, list_at) = (fields.list("addonDependencies"), fields.at("addonDependencies"));
    for (n, value) in list.iter().enumerate() {
        let at = pointer::item(&list_at, n);
        let mut dependency = Fields::new(value, &at, "an addon dependency", fields.problems());
        dependency.required_text("addonId", "name the addon by its id, the slug of its name");
        let (keys, keys_at) = (dependency.list("keys"), dependency.at("keys"));
        for (n, key) in keys.iter().enumerate() {
            let at = pointer::item(&keys_at, n);
            let mut key = Fields::new(key, &at, "a key", dependency.problems());
            key.required_text("keyName", "name the credential: `POSTGRES_URI`");
            key.texts("aliases");
        }
    }
}

/// Files, whose data are base64: `{CERT: {data: …, encoding: utf-8}}`.
fn secret_files(secrets: &mut Fields<'_, '_>) {
    let (files, files_at) = (secrets.object("files"), secrets.at("files"));
    let Some(files) = files.filter(|files| !files.is_empty()) else { return };
    for (name, value) in files {
        let at = pointer::join(&files_at, name);
        if !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
            let message = format!("no expression can name the file `{name}`");
            secrets.note(
                Problem::warning(at.clone(), message).help("use letters, digits, `-` and `_` for its name"),
            );
        }
        let mut file = Fields::new(value, &at, "a secret file", secrets.problems());
        file.known(&["data", "encoding"]);
        let encoding = file.one_of("encoding", &["utf-8", "base64"]);
        match file.get("data") {
            Some(made) if secret::is_secret(made) => {}
            _ => {
                let help = "give what is in it as base64: `data: ${fn.toBase64(args.CERT)}`";
                let data = file.required_text("data", help);
                let data = data.filter(|data| !is_expression(&Value::from(*data)));
                match data.map(secret::file_contents) {
                    Some(Err(why)) => {
                        file.note(Problem::error(file.at("data"), format!("the data {why}")).help(help));
                    }
                    Some(Ok(contents))
                        if encoding != Some("base64") && str::from_utf8(&contents).is_err() =>
                    {
                        let problem =
                            Problem::error(file.at("data"), "what is in the file is not UTF-8 text");
                        file.note(problem.help("say so: `encoding: base64`"));
                    }
                    _ => {}
                }
            }
        }
    }
    secrets.note(
        Problem::warning(files_at, "this version puts files of secret groups into no service and no job")
            .help("a flow hands one to a job: `runtimeEnvironment: {CERT: \"${secrets.<group>.files.<file>.path}\"}` on its `JobRun`"),
    );
}

/// An object whose members become environment variables.
fn scalars(fields: &mut Fields<'_, '_>, key: &str) {
    let Some(members) = fields.object(key) else { return };
    let at = fields.at(key);
    for (name, value) in members {
        if value.is_array() || (value.is_object() && !secret::is_secret(value)) {
            let problem =
                Problem::error(pointer::join(&at, name), format!("the variable `{name}` must be text"));
            fields.note(problem.help("use fn.stringifyJSON(…), or write JSON in quotes"));
        }
    }
}
