//! The one list of kinds.

use shipway_documents::{
    DocumentType, Support,
    kinds::{self as known, canonical},
};

use crate::{Kind, kinds};

/// Every kind of the format; which of them run is in [`shipway_documents::kinds::KNOWN`].
pub static KINDS: &[&dyn Kind] = &[
    &kinds::workflow::Workflow,
    &kinds::build::Build,
    &kinds::release::Release,
    &kinds::job_run::JobRun,
    &kinds::addon_backup::AddonBackup,
    &kinds::action::Action,
    &kinds::condition::Condition,
    &kinds::message::Message,
    &kinds::addon::Addon,
    &kinds::noop::Noop,
    &kinds::loop_workflow::LoopWorkflow,
    &kinds::loop_data::LoopData,
    &kinds::approval::Approval,
    &kinds::run_template::RunTemplate,
    &kinds::secret_inheritance::SecretInheritance,
    &kinds::build_source::BuildSource,
    &kinds::addon_import::AddonImport,
    &kinds::rollout_strategy::RolloutStrategy,
    &kinds::deployment_service::DeploymentService,
    &kinds::build_service::BuildService,
    &kinds::combined_service::CombinedService,
    &kinds::cron_job::CronJob,
    &kinds::manual_job::ManualJob,
    &kinds::job::Job,
    &kinds::external_addon::ExternalAddon,
    &kinds::secret_group::SecretGroup,
    &kinds::volume::Volume,
    &kinds::subdomain::Subdomain,
    &kinds::subdomain_path::SubdomainPath,
    &kinds::resource_tag::ResourceTag,
    &kinds::open_tofu::OpenTofu,
    &kinds::open_tofu_destroy::OpenTofuDestroy,
    &kinds::llm_model_deployment::LlmModelDeployment,
    &kinds::project::Project,
    &kinds::pipeline::Pipeline,
    &kinds::template::Template,
    &kinds::workflow_template::WorkflowTemplate,
    &kinds::preview_blueprint::PreviewBlueprint,
    &kinds::release_stage::ReleaseStage,
    &kinds::custom_plan::CustomPlan,
    &kinds::custom_docker_credentials::CustomDockerCredentials,
    &kinds::byoc_integration::ByocIntegration,
    &kinds::byoc_cluster::ByocCluster,
    &kinds::byoc_registry::ByocRegistry,
    &kinds::ssh_identity::SshIdentity,
    &kinds::workload_identity::WorkloadIdentity,
    &kinds::egress_ip::EgressIp,
    &kinds::load_balancer::LoadBalancer,
];

/// The kind of that name or alias.
#[must_use]
pub fn find(kind: &str) -> Option<&'static dyn Kind> {
    let kind = canonical(kind);
    KINDS.iter().copied().find(|known| known.name() == kind)
}

/// The names of the kinds that this version runs in release flows.
#[must_use]
pub fn supported() -> Vec<&'static str> {
    supported_in(DocumentType::ReleaseFlow)
}

/// The names of the kinds whose nodes this version carries out in documents of that type.
#[must_use]
pub fn supported_in(document: DocumentType) -> Vec<&'static str> {
    let runs = |name: &&str| {
        known::find(name)
            .is_some_and(|kind| kind.is_allowed_in(document) && kind.support_in(document) == Support::Runs)
    };
    KINDS.iter().map(|kind| kind.name()).filter(runs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_one_of_the_format_and_listed_once() {
        for kind in KINDS {
            assert!(known::find(kind.name()).is_some(), "{}", kind.name());
            assert_eq!(KINDS.iter().filter(|other| other.name() == kind.name()).count(), 1);
        }
        assert_eq!(find("RunJob").map(Kind::name), Some("JobRun"));
    }

    #[test]
    fn every_kind_of_the_format_is_here() {
        let missing: Vec<_> =
            known::KNOWN.iter().map(|kind| kind.name).filter(|name| find(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
