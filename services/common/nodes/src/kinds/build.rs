//! `Build`: makes an artifact from a commit.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shipway_documents::{flow::Node, is_expression};
use shipway_events::{plan::PinnedResource, project::ResourceKind, run::NodeError};

use super::{
    literal, named,
    parts::{BuildRules, Dockerfile},
};
use crate::{
    Kind, Outputs, Role, Shape, Step, StepContext, Use, UseKind, Validation,
    shape::Config,
    step::{codes, environment, fail, read},
    workload,
};

pub(crate) struct Build;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The build service, by its id
    id: String,
    /// `service` or `job`
    r#type: Option<Type>,
    /// The branch to build.
    branch: Option<String>,
    /// The pull request to build.
    pull_request_id: Option<u64>,
    /// The commit to build, 40 hex digits; the branch's newest when absent.
    sha: Option<String>,
    /// Whether an earlier build of the commit is given back; true unless said otherwise.
    reuse_existing_builds: Option<bool>,
    /// What happens when `buildRules` say that the commit should not be built.
    #[expect(dead_code, reason = "only means something with `buildRules`")]
    build_rule_fall_through_handling: Option<FallThrough>,
    /// Path and message rules.
    #[schemars(with = "Option<BuildRules>")]
    build_rules: Option<Map<String, Value>>,
    /// What differs from the build service's settings, for this build only.
    build_overrides: Option<Overrides>,
    /// The project, if not the flow's.
    #[expect(dead_code, reason = "checked when the flow is published")]
    project_id: Option<String>,
}

#[derive(Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Type {
    Service,
    Job,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum FallThrough {
    Fail,
    Skip,
    UseLastBuild,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Overrides {
    /// Build arguments.
    #[serde(default)]
    build_arguments: Map<String, Value>,
    /// Files.
    #[serde(default)]
    build_files: Map<String, Value>,
    /// Secret mounts of a Dockerfile build.
    #[serde(default)]
    docker_secret_mounts: Map<String, Value>,
    /// Settings of a Dockerfile build.
    #[serde(default)]
    #[schemars(with = "Option<Dockerfile>")]
    docker: Map<String, Value>,
}

static CONFIG: Config<Spec> = Config::new();

impl Kind for Build {
    fn name(&self) -> &'static str {
        "Build"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn conditions(&self) -> &'static [&'static str] {
        &["success"]
    }

    fn payload(&self) -> &'static [&'static str] {
        &["/buildOverrides/buildArguments"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let spec = &node.spec;
        if literal(spec, "/type") == Some("job") {
            ctx.unsupported(
                "/type",
                "building a job is not supported yet",
                "build with a BuildService and release its build to the job",
            );
        }
        match (spec.get("branch").is_some(), spec.get("pullRequestId").is_some()) {
            (true, true) => ctx.error(
                "/pullRequestId",
                "a build is of a branch or of a pull request, not of both",
                "take one of them away",
            ),
            (false, false) => ctx.error(
                "",
                "`branch` is missing",
                "say what to build: `branch: ${triggers.<ref>.branch}`, or `pullRequestId`",
            ),
            _ => {}
        }
        let plain = spec.get("sha").filter(|sha| !is_expression(sha)).and_then(Value::as_str);
        if let Some(sha) = plain.filter(|sha| !is_commit(sha)) {
            ctx.error(
                "/sha",
                &format!("`{sha}` is no commit"),
                "give 40 hex digits, or leave `sha` out for the newest",
            );
        }
        if spec.get("buildRules").is_some() {
            ctx.unsupported(
                "/buildRules",
                "`buildRules` are not supported yet",
                "put path rules on the flow's trigger: `pathIgnoreRules`",
            );
        }
        for part in ["buildFiles", "dockerSecretMounts", "docker"] {
            let value = spec.pointer(&format!("/buildOverrides/{part}"));
            if value.and_then(Value::as_object).is_some_and(|members| !members.is_empty()) {
                let message = format!("`{part}` is not supported by builds without a container");
                ctx.unsupported(&format!("/buildOverrides/{part}"), &message, "use `buildArguments`");
            }
        }
        ctx.check_project("/projectId", literal(spec, "/projectId"));
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        named(node, "/id", UseKind::BuildService, Role::BuildService).into_iter().collect()
    }

    fn outputs(&self, spec: &Value) -> Outputs {
        let mut outputs = outputs();
        if spec.get("pullRequestId").is_some() {
            outputs.later.retain(|path| path != "pullRequestId");
            outputs.always.push("pullRequestId".into());
        }
        // A commit that is asked for is known at once, the branch's newest when it has been looked up.
        let asked = spec.get("sha").is_some_and(|sha| sha != "");
        if asked { &mut outputs.always } else { &mut outputs.finished }.push("sha".into());
        outputs
    }

    fn may_be_detached(&self) -> bool {
        true
    }

    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        if config.r#type == Some(Type::Job) || config.build_rules.is_some() {
            let message = "this version builds with build services, without `buildRules`";
            return Err(fail(codes::UNSUPPORTED, message));
        }
        let kinds = [ResourceKind::BuildService, ResourceKind::CombinedService];
        let (resource, service) = ctx.resource(&config.id, &kinds)?;
        let overrides = config.build_overrides.unwrap_or_default();
        if !overrides.build_files.is_empty()
            || !overrides.docker_secret_mounts.is_empty()
            || !overrides.docker.is_empty()
        {
            let message = "`buildOverrides` of this runtime has `buildArguments` only";
            return Err(fail(codes::UNSUPPORTED, message));
        }
        let settings = Settings::of(&config.id, resource)?;
        let of =
            Of::asked(config.branch, config.pull_request_id, config.sha)?.in_run(&settings.repository, ctx);
        let apart = of.is_strange(ctx);
        let empty = Map::new();
        let declared = resource.spec.get("buildArguments").and_then(Value::as_object).unwrap_or(&empty);
        Ok(Step::Work(workload::Workload::Build(workload::Build {
            build: ctx.made("b"),
            repository: settings.repository,
            login: resource.login.clone(),
            branch: of.branch,
            pull_request: of.pull_request,
            sha: of.sha,
            reuse: config.reuse_existing_builds.unwrap_or(true) && !apart,
            apart,
            command: settings.command,
            include: settings.include,
            work_dir: settings.work_dir,
            arguments: environment([declared, &resource.environment, &overrides.build_arguments])?,
            service,
        })))
    }
}

/// What a build is of.
struct Of {
    /// The branch, or what stands for it in the build of a pull request.
    branch: String,
    pull_request: Option<u64>,
    /// The commit, if not the newest.
    sha: Option<String>,
}

impl Of {
    fn asked(
        branch: Option<String>,
        pull_request: Option<u64>,
        sha: Option<String>,
    ) -> Result<Self, NodeError> {
        let branch = match (branch.filter(|branch| !branch.is_empty()), pull_request) {
            (Some(branch), None) => branch,
            (None, Some(number)) => workload::Build::of_pull_request(number),
            (Some(_), Some(_)) => {
                let message =
                    "`spec.branch` and `spec.pullRequestId` are both there: a build is of one of them";
                return Err(fail(codes::BAD_SPEC, message));
            }
            (None, None) => {
                let message = "`spec.branch` is empty: start the flow with the branch to build, by its trigger or by hand";
                return Err(fail(codes::BAD_SPEC, message));
            }
        };
        let sha = sha.filter(|sha| !matches!(sha.as_str(), "" | "latest"));
        if let Some(sha) = sha.as_ref().filter(|sha| !is_commit(sha)) {
            return Err(fail(
                codes::BAD_SPEC,
                format!("`spec.sha` is `{sha}`, which is no commit of 40 hex digits"),
            ));
        }
        Ok(Self { branch, pull_request, sha: sha.map(|sha| sha.to_ascii_lowercase()) })
    }

    /// In the run of a fork's pull request a branch and a commit that the trigger gave are the fork's: what is built is
    /// the pull request, at the commit that was looked at. Named as the branch, the build would be taken for one of the
    /// repository's branch of that name, by whoever follows it.
    fn in_run(self, repository: &str, ctx: &StepContext<'_>) -> Self {
        let Some(fork) = ctx.fork else { return self };
        let is_its_branch = self.branch == fork.branch && same_repository(repository, &fork.repository);
        if self.sha.is_none() && self.pull_request.is_none() && !is_its_branch {
            return self;
        }
        let number = self.pull_request.unwrap_or(fork.pull_request);
        let sha = self.sha.or_else(|| (number == fork.pull_request).then(|| fork.head.clone()));
        Self { branch: workload::Build::of_pull_request(number), pull_request: Some(number), sha }
    }

    /// Whether what is built may be a stranger's: any pull request but one that the Git host says is the repository's own.
    fn is_strange(&self, ctx: &StepContext<'_>) -> bool {
        self.pull_request.is_some_and(|number| ctx.own_pull_request != Some(number))
    }
}

/// Whether two addresses are, but for how they are spelt, the same.
fn same_repository(one: &str, other: &str) -> bool {
    let bare = |address: &str| address.trim_end_matches('/').trim_end_matches(".git").to_lowercase();
    bare(one) == bare(other)
}

/// What every build gives, but for its commit.
pub(super) fn outputs() -> Outputs {
    let always = ["id", "branch", "nfObjectId"];
    let finished = ["status", "concluded", "success", "createdAt", "digest", "reused"];
    Outputs::of(&always, &finished).and_later(&["pullRequestId", "registry.uri", "internalId"])
}

struct Settings {
    repository: String,
    command: Option<String>,
    include: Vec<String>,
    work_dir: Option<String>,
}

impl Settings {
    fn of(slug: &str, resource: &PinnedResource) -> Result<Self, NodeError> {
        let text = |path: &str| {
            resource
                .spec
                .pointer(path)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let repository = text("/vcsData/projectUrl").ok_or_else(|| {
            fail(
                codes::BAD_SPEC,
                format!("the build service `{slug}` names no repository; set `vcsData.projectUrl`"),
            )
        })?;
        let has = |path: &str| resource.spec.pointer(path).is_some_and(|value| !value.is_null());
        if has("/buildSettings/dockerfile") && !has("/buildSettings/command") {
            return Err(fail(
                codes::UNSUPPORTED,
                format!(
                    "`{slug}` builds with a Dockerfile, which needs a container runtime; this one runs `buildSettings.command: {{run, include}}` or `buildSettings.buildpack`"
                ),
            ));
        }
        let include = resource.spec.pointer("/buildSettings/command/include").and_then(Value::as_array);
        let folder =
            text("/buildSettings/command/workDir").or_else(|| text("/buildSettings/buildpack/buildContext"));
        Ok(Self {
            repository,
            command: text("/buildSettings/command/run"),
            include: include.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            work_dir: folder
                .map(|folder| folder.trim_matches('/').to_owned())
                .filter(|folder| !folder.is_empty() && folder != "."),
        })
    }
}

fn is_commit(sha: &str) -> bool {
    sha.is_empty() || sha == "latest" || (sha.len() == 40 && sha.bytes().all(|c| c.is_ascii_hexdigit()))
}
