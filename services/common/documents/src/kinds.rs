//! The node kinds of the reference format, and which documents may hold them.

/// The kinds of documents that hold nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentType {
    /// Release flows and workflows.
    Flow,
    /// Preview templates and blueprints.
    Preview,
    /// Team templates.
    Template,
    /// Teardowns of any of them.
    Teardown,
}

/// A kind of the format, whether or not this version runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKind {
    /// Its name.
    pub name: &'static str,
    /// The documents that may hold it.
    pub documents: &'static [DocumentType],
}

impl KnownKind {
    /// Whether a document of that type may hold it.
    #[must_use]
    pub fn is_allowed_in(&self, document: DocumentType) -> bool {
        self.documents.contains(&document)
    }
}

use DocumentType::{Flow, Preview, Teardown, Template};

const ALL: &[DocumentType] = &[Flow, Preview, Template, Teardown];
const SETUP: &[DocumentType] = &[Flow, Preview, Template];
const FLOW: &[DocumentType] = &[Flow];
const RESOURCE: &[DocumentType] = &[Preview, Template];
const TEAM: &[DocumentType] = &[Template];

const fn kind(name: &'static str, documents: &'static [DocumentType]) -> KnownKind {
    KnownKind { name, documents }
}

/// Every kind, in the order of the format's own list; `Noop` is Shipway's.
pub const KNOWN: &[KnownKind] = &[
    kind("Workflow", ALL),
    kind("LoopWorkflow", ALL),
    kind("LoopData", ALL),
    kind("Condition", ALL),
    kind("Approval", ALL),
    kind("Message", ALL),
    kind("Action", ALL),
    kind("JobRun", ALL),
    kind("Noop", ALL),
    kind("Build", SETUP),
    kind("AddonBackup", SETUP),
    kind("AddonImport", SETUP),
    kind("SecretInheritance", SETUP),
    kind("RolloutStrategy", SETUP),
    kind("Release", FLOW),
    kind("RunTemplate", FLOW),
    kind("BuildSource", &[Preview]),
    kind("DeploymentService", RESOURCE),
    kind("BuildService", RESOURCE),
    kind("CombinedService", RESOURCE),
    kind("CronJob", RESOURCE),
    kind("ManualJob", RESOURCE),
    kind("Job", RESOURCE),
    kind("Addon", RESOURCE),
    kind("ExternalAddon", RESOURCE),
    kind("SecretGroup", RESOURCE),
    kind("Volume", RESOURCE),
    kind("Subdomain", RESOURCE),
    kind("SubdomainPath", RESOURCE),
    kind("ResourceTag", RESOURCE),
    kind("OpenTofu", RESOURCE),
    kind("LLMModelDeployment", RESOURCE),
    kind("Project", TEAM),
    kind("Pipeline", TEAM),
    kind("Template", TEAM),
    kind("WorkflowTemplate", TEAM),
    kind("PreviewBlueprint", TEAM),
    kind("ReleaseStage", TEAM),
    kind("CustomPlan", TEAM),
    kind("CustomDockerCredentials", TEAM),
    kind("BYOCIntegration", TEAM),
    kind("BYOCCluster", TEAM),
    kind("BYOCRegistry", TEAM),
    kind("SSHIdentity", TEAM),
    kind("WorkloadIdentity", TEAM),
    kind("EgressIp", TEAM),
    kind("LoadBalancer", TEAM),
    kind("OpenTofuDestroy", &[Teardown]),
];

/// Other names of kinds, and the right ones.
pub const ALIASES: &[(&str, &str)] = &[("RunJob", "JobRun")];

/// The right name of a kind.
#[must_use]
pub fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, right)| right)
}

/// The kind of that name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static KnownKind> {
    let name = canonical(name);
    KNOWN.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_47_kinds_of_which_flows_hold_15() {
        assert_eq!(KNOWN.iter().filter(|kind| kind.name != "Noop").count(), 47);
        let in_flows = KNOWN.iter().filter(|kind| kind.name != "Noop" && kind.is_allowed_in(Flow));
        assert_eq!(in_flows.count(), 15);
        assert_eq!(find("RunJob").map(|kind| kind.name), Some("JobRun"));
        assert_eq!(find("Nothing"), None);
    }
}
