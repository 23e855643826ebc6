//! One file per kind.

/// A kind that this version describes and flows do not run: its name, what it can wait for, its outputs, and where
/// its values may depend on a secret. `Spec` is its shape.
macro_rules! described {
    ($kind:ident, $name:literal
     $(, conditions: $conditions:expr)?
     $(, payload: $payload:expr)?
     $(, outputs: $outputs:expr)? $(,)?) => {
        pub(crate) struct $kind;

        static SHAPE: $crate::Shape = $crate::Shape::of::<Spec>();

        impl $crate::Kind for $kind {
            fn name(&self) -> &'static str {
                $name
            }

            fn shape(&self) -> &'static $crate::Shape {
                &SHAPE
            }

            $(
                fn conditions(&self) -> &'static [&'static str] {
                    $conditions
                }

                fn may_be_detached(&self) -> bool {
                    true
                }
            )?

            $(
                fn payload(&self) -> &'static [&'static str] {
                    $payload
                }
            )?

            $(
                fn outputs(&self, _spec: &serde_json::Value) -> $crate::Outputs {
                    $outputs
                }
            )?
        }
    };
}

pub(crate) mod action;
pub(crate) mod addon;
pub(crate) mod addon_backup;
pub(crate) mod addon_import;
pub(crate) mod approval;
pub(crate) mod build;
pub(crate) mod build_service;
pub(crate) mod build_source;
pub(crate) mod byoc_cluster;
pub(crate) mod byoc_integration;
pub(crate) mod byoc_registry;
pub(crate) mod combined_service;
pub(crate) mod condition;
pub(crate) mod cron_job;
pub(crate) mod custom_docker_credentials;
pub(crate) mod custom_plan;
pub(crate) mod deployment_service;
pub(crate) mod egress_ip;
pub(crate) mod external_addon;
pub(crate) mod job;
pub(crate) mod job_run;
pub(crate) mod llm_model_deployment;
pub(crate) mod load_balancer;
pub(crate) mod loop_data;
pub(crate) mod loop_workflow;
pub(crate) mod manual_job;
pub(crate) mod message;
pub(crate) mod noop;
pub(crate) mod open_tofu;
pub(crate) mod open_tofu_destroy;
mod parts;
pub(crate) mod pipeline;
pub(crate) mod preview_blueprint;
pub(crate) mod project;
pub(crate) mod release;
pub(crate) mod release_stage;
pub(crate) mod resource_tag;
pub(crate) mod rollout_strategy;
pub(crate) mod run_template;
pub(crate) mod secret_group;
pub(crate) mod secret_inheritance;
pub(crate) mod ssh_identity;
pub(crate) mod subdomain;
pub(crate) mod subdomain_path;
pub(crate) mod template;
pub(crate) mod volume;
pub(crate) mod workflow;
pub(crate) mod workflow_template;
pub(crate) mod workload_identity;

use serde_json::Value;
use shipway_documents::{flow::Node, is_expression};

use crate::{Role, Use, UseKind};

/// The resource that a node names at `path` in its spec, unless that is an expression.
fn named(node: &Node, path: &str, kind: UseKind, role: Role) -> Option<Use> {
    let value = node.spec.pointer(path)?;
    let slug = value.as_str().filter(|_| !is_expression(value))?;
    Some(Use { slug: slug.to_owned(), kind, pointer: format!("{}{path}", node.spec_pointer()), role })
}

/// The text at `path` in a spec, unless it is an expression.
pub(crate) fn literal<'a>(spec: &'a Value, path: &str) -> Option<&'a str> {
    spec.pointer(path).filter(|value| !is_expression(value)).and_then(Value::as_str)
}
