//! `Message`: tells somebody.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shipway_documents::flow::Node;
use shipway_events::run::NodeError;

use super::{
    condition::{check_url, is_http},
    literal,
};
use crate::{
    Kind, Shape, Step, StepContext, Validation,
    shape::Config,
    step::{codes, fail, read},
    workload,
    workload::{Channel, Workload},
};

pub(crate) struct Message;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// How it is sent: `RAW_WEBHOOK`, `SLACK`, or `VCS` for a comment on a pull request
    kind: Via,
    /// Where it goes and what it says
    spec: Inner,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum Via {
    #[serde(rename = "RAW_WEBHOOK")]
    RawWebhook,
    #[serde(rename = "SLACK")]
    Slack,
    #[serde(rename = "VCS")]
    Vcs,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Inner {
    /// The address.
    webhook_url: Option<Value>,
    /// An integration of the team.
    integration_internal_id: Option<String>,
    /// Where the repository of the pull request is: `github`, `gitlab`, `bitbucket`, `azure` or `self-hosted`.
    vcs_service: Option<Service>,
    /// The repository's address.
    repo_url: Option<String>,
    /// The pull request, by its number.
    pull_request_id: Option<String>,
    /// The linked account that comments.
    account_login: Option<String>,
    /// The host, if it is one of your own.
    self_hosted_vcs_id: Option<String>,
    /// what it says
    message: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Service {
    #[serde(rename = "github")]
    GitHub,
    #[serde(rename = "gitlab")]
    GitLab,
    Bitbucket,
    Azure,
    SelfHosted,
}

impl Service {
    const fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Bitbucket => "bitbucket",
            Self::Azure => "azure",
            Self::SelfHosted => "self-hosted",
        }
    }
}

static CONFIG: Config<Spec> = Config::new();

/// What a comment needs, and why.
const COMMENT: [(&str, &str); 3] = [
    ("vcsService", "say where the repository is: `github`, `gitlab`, `bitbucket`, `azure` or `self-hosted`"),
    ("repoUrl", "say which repository: `${refs.<trigger>.repoUrl}` is the one that started the run"),
    (
        "pullRequestId",
        "say which pull request: `${refs.<trigger>.pullRequestId}` is the one that started the run",
    ),
];

const NO_INTEGRATIONS: &str = "integrations of a team are not supported";

impl Kind for Message {
    fn name(&self) -> &'static str {
        "Message"
    }

    fn shape(&self) -> &'static Shape {
        &CONFIG.shape
    }

    fn payload(&self) -> &'static [&'static str] {
        &["/spec/webhookUrl", "/spec/message"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let spec = &node.spec;
        if literal(spec, "/kind") == Some("VCS") {
            return comment_is_whole(spec, ctx);
        }
        let url = literal(spec, "/spec/webhookUrl");
        if spec.pointer("/spec/integrationInternalId").is_some() {
            ctx.unsupported(
                "/spec/integrationInternalId",
                "integrations of a team are not supported yet",
                "give the `webhookUrl` itself",
            );
        } else if spec.get("spec").is_some_and(Value::is_object) && spec.pointer("/spec/webhookUrl").is_none()
        {
            ctx.error("/spec", "`webhookUrl` is missing", "say where the message goes");
        }
        if let Some(url) = url.filter(|url| !is_http(url)) {
            ctx.error(
                "/spec/webhookUrl",
                &format!("`{url}` is no address"),
                "start it with `http://` or `https://`",
            );
        }
    }

    fn step(&self, spec: &Value, _ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        let channel = match config.kind {
            Via::RawWebhook => Channel::RawWebhook,
            Via::Slack => Channel::Slack,
            Via::Vcs => return comment(config.spec).map(Step::Work),
        };
        if config.spec.integration_internal_id.is_some() && config.spec.webhook_url.is_none() {
            return Err(fail(codes::UNSUPPORTED, format!("{NO_INTEGRATIONS}; give the `webhookUrl` itself")));
        }
        let url = config.spec.webhook_url.ok_or_else(|| {
            fail(codes::BAD_SPEC, "`spec.spec.webhookUrl` is missing: say where the message goes")
        })?;
        check_url(&url, "spec.spec.webhookUrl")?;
        Ok(Step::Work(Workload::Message(workload::Message { channel, url, message: config.spec.message })))
    }
}

/// Whether a comment says where it goes.
fn comment_is_whole(spec: &Value, ctx: &mut Validation<'_>) {
    let Some(inner) = spec.get("spec").filter(|inner| inner.is_object()) else { return };
    for (field, help) in COMMENT {
        if inner.get(field).is_none() {
            ctx.error("/spec", &format!("`{field}` is missing"), help);
        }
    }
    if literal(spec, "/spec/vcsService") == Some("self-hosted") && inner.get("selfHostedVcsId").is_none() {
        let help = "name the host that is your own, or the account by `accountLogin`";
        if inner.get("accountLogin").is_none() {
            ctx.error("/spec", "`selfHostedVcsId` is missing", help);
        }
    }
    if let Some(number) = literal(spec, "/spec/pullRequestId").filter(|number| pull_request(number).is_none())
    {
        let message = format!("`{number}` is no pull request");
        ctx.error("/spec/pullRequestId", &message, "give its number, as its address shows it");
    }
}

/// A pull request's number.
fn pull_request(text: &str) -> Option<u64> {
    text.trim().trim_start_matches(['#', '!']).parse().ok().filter(|number| *number > 0)
}

fn comment(inner: Inner) -> Result<Workload, NodeError> {
    let missing = |field: usize| {
        let (name, help) = COMMENT[field];
        fail(codes::BAD_SPEC, format!("`spec.spec.{name}` is missing: {help}"))
    };
    let service = inner.vcs_service.ok_or_else(|| missing(0))?;
    let repository = inner.repo_url.filter(|url| !url.is_empty()).ok_or_else(|| missing(1))?;
    let number = inner.pull_request_id.ok_or_else(|| missing(2))?;
    if number.trim().is_empty() {
        return Err(fail(
            codes::NO_PULL_REQUEST,
            "there is no pull request to comment on: the run was not started by one; \
             `skipNodeExecution` with an expression on it skips the node then",
        ));
    }
    let pull_request = pull_request(&number).ok_or_else(|| {
        fail(
            codes::BAD_SPEC,
            format!("`spec.spec.pullRequestId` is `{number}`, which is no number of a pull request"),
        )
    })?;
    Ok(Workload::Comment(workload::Comment {
        service: service.word().to_owned(),
        repository,
        pull_request,
        account: inner.account_login,
        self_hosted: inner.self_hosted_vcs_id,
        message: inner.message,
    }))
}
