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
    Kind, Outputs, Shape, Step, StepContext, Validation,
    shape::Config,
    step::{codes, fail, read},
    workload,
    workload::Channel,
};

pub(crate) struct Message;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// How it is sent: `RAW_WEBHOOK` or `SLACK`
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
    /// what it says
    message: Value,
}

static CONFIG: Config<Spec> = Config::new();

const SUPPORTED: &str = "supported are `RAW_WEBHOOK` and `SLACK` with a `webhookUrl`";

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
            ctx.unsupported("/kind", "comments on pull requests are not supported yet", SUPPORTED);
            return;
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

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&[], &["status"])
    }

    fn step(&self, spec: &Value, _ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let config = read(self, &CONFIG, spec)?;
        let channel = match config.kind {
            Via::RawWebhook => Channel::RawWebhook,
            Via::Slack => Channel::Slack,
            Via::Vcs => {
                return Err(fail(
                    codes::UNSUPPORTED,
                    format!("comments on pull requests are not supported; {SUPPORTED}"),
                ));
            }
        };
        if config.spec.integration_internal_id.is_some() && config.spec.webhook_url.is_none() {
            return Err(fail(
                codes::UNSUPPORTED,
                format!("integrations of a team are not supported; {SUPPORTED}"),
            ));
        }
        let url = config.spec.webhook_url.ok_or_else(|| {
            fail(codes::BAD_SPEC, "`spec.spec.webhookUrl` is missing: say where the message goes")
        })?;
        check_url(&url, "spec.spec.webhookUrl")?;
        Ok(Step::Work(workload::Workload::Message(workload::Message {
            channel,
            url,
            message: config.spec.message,
        })))
    }
}
