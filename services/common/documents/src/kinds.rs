//! The node kinds of the reference format, which documents may hold them, and what of it this version does.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The types of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentType {
    /// A team template: declares projects, resources and pipelines.
    Template,
    /// The release flow of a stage of a pipeline.
    ReleaseFlow,
    /// The preview template of a pipeline.
    Preview,
    /// A workflow of a project.
    Workflow,
    /// A preview blueprint of a project.
    Blueprint,
    /// What takes away again what one of the others has made: its `teardownSpec`.
    Teardown,
}

impl DocumentType {
    /// Every type, in the order of the format's own tables.
    pub const ALL: &'static [Self] =
        &[Self::Template, Self::ReleaseFlow, Self::Preview, Self::Workflow, Self::Blueprint, Self::Teardown];

    /// The word on the command line and in addresses of schemas.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::ReleaseFlow => "release-flow",
            Self::Preview => "preview",
            Self::Workflow => "workflow",
            Self::Blueprint => "blueprint",
            Self::Teardown => "teardown",
        }
    }

    /// The type of that word; also of the words that the format's own schemas have.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "preview-env" | "preview-template" => Some(Self::Preview),
            "preview-blueprint" => Some(Self::Blueprint),
            "release-flow-template" => Some(Self::ReleaseFlow),
            word => Self::ALL.iter().copied().find(|document| document.as_str() == word),
        }
    }

    /// The type for people: `a release flow`.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Template => "a team template",
            Self::ReleaseFlow => "a release flow",
            Self::Preview => "a preview template",
            Self::Workflow => "a workflow document",
            Self::Blueprint => "a preview blueprint",
            Self::Teardown => "a teardown",
        }
    }

    /// Whether this version does what documents of that type say.
    #[must_use]
    pub const fn support(self) -> Support {
        match self {
            Self::Template | Self::ReleaseFlow => Support::Runs,
            Self::Preview | Self::Workflow | Self::Blueprint | Self::Teardown => Support::Later,
        }
    }
}

impl fmt::Display for DocumentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether this version does what a legal part of a document says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// It does.
    Runs,
    /// Not yet.
    Later,
    /// No, and no later one will: the plumbing of somebody's cloud.
    OutOfScope,
}

/// A kind of the format, whether or not this version runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKind {
    /// Its name.
    pub name: &'static str,
    /// The documents that may hold it.
    pub documents: &'static [DocumentType],
    /// Whether this version does what it says, somewhere.
    pub support: Support,
    /// The documents in which it does; `shipway apply` reads templates.
    runs_in: &'static [DocumentType],
}

impl KnownKind {
    /// Whether a document of that type may hold it.
    #[must_use]
    pub fn is_allowed_in(&self, document: DocumentType) -> bool {
        self.documents.contains(&document)
    }

    /// Whether this version does what it says in a document of that type. Where the type itself is for later
    /// ([`DocumentType::support`]) the kind is judged by itself, so that not each node is blamed for it.
    #[must_use]
    pub fn support_in(&self, document: DocumentType) -> Support {
        match self.support {
            Support::Runs if document.support() == Support::Runs && !self.runs_in.contains(&document) => {
                Support::Later
            }
            support => support,
        }
    }
}

use DocumentType::{Blueprint, Preview, ReleaseFlow, Teardown, Template, Workflow};

const ALL: &[DocumentType] = DocumentType::ALL;
const SETUP: &[DocumentType] = &[Template, ReleaseFlow, Preview, Workflow, Blueprint];
const FLOW: &[DocumentType] = &[ReleaseFlow, Workflow];
const PREVIEW: &[DocumentType] = &[Preview, Blueprint];
const RESOURCE: &[DocumentType] = &[Template, Preview, Blueprint];
const TEAM: &[DocumentType] = &[Template];

/// A kind that flows run.
const fn run(name: &'static str, documents: &'static [DocumentType]) -> KnownKind {
    KnownKind { name, documents, support: Support::Runs, runs_in: &[ReleaseFlow] }
}

/// A kind that `shipway apply` makes.
const fn declared(name: &'static str, documents: &'static [DocumentType]) -> KnownKind {
    KnownKind { name, documents, support: Support::Runs, runs_in: &[Template] }
}

const fn later(name: &'static str, documents: &'static [DocumentType]) -> KnownKind {
    KnownKind { name, documents, support: Support::Later, runs_in: &[] }
}

const fn out_of_scope(name: &'static str, documents: &'static [DocumentType]) -> KnownKind {
    KnownKind { name, documents, support: Support::OutOfScope, runs_in: &[] }
}

/// Every kind, in the order of the format's own list; `Noop` is Shipway's.
pub const KNOWN: &[KnownKind] = &[
    KnownKind { runs_in: &[ReleaseFlow, Template], ..run("Workflow", ALL) },
    run("LoopWorkflow", ALL),
    run("LoopData", ALL),
    run("Condition", ALL),
    run("Approval", ALL),
    run("Message", ALL),
    run("Action", ALL),
    run("JobRun", ALL),
    run("Noop", ALL),
    run("Build", SETUP),
    run("AddonBackup", SETUP),
    later("AddonImport", SETUP),
    run("SecretInheritance", SETUP),
    later("RolloutStrategy", SETUP),
    run("Release", FLOW),
    run("RunTemplate", FLOW),
    later("BuildSource", PREVIEW),
    declared("DeploymentService", RESOURCE),
    declared("BuildService", RESOURCE),
    declared("CombinedService", RESOURCE),
    declared("CronJob", RESOURCE),
    declared("ManualJob", RESOURCE),
    declared("Job", RESOURCE),
    declared("Addon", RESOURCE),
    out_of_scope("ExternalAddon", RESOURCE),
    declared("SecretGroup", RESOURCE),
    later("Volume", RESOURCE),
    later("Subdomain", RESOURCE),
    later("SubdomainPath", RESOURCE),
    later("ResourceTag", RESOURCE),
    out_of_scope("OpenTofu", RESOURCE),
    out_of_scope("LLMModelDeployment", RESOURCE),
    declared("Project", TEAM),
    declared("Pipeline", TEAM),
    later("Template", TEAM),
    later("WorkflowTemplate", TEAM),
    later("PreviewBlueprint", TEAM),
    later("ReleaseStage", TEAM),
    out_of_scope("CustomPlan", TEAM),
    later("CustomDockerCredentials", TEAM),
    out_of_scope("BYOCIntegration", TEAM),
    out_of_scope("BYOCCluster", TEAM),
    out_of_scope("BYOCRegistry", TEAM),
    out_of_scope("SSHIdentity", TEAM),
    out_of_scope("WorkloadIdentity", TEAM),
    out_of_scope("EgressIp", TEAM),
    out_of_scope("LoadBalancer", TEAM),
    out_of_scope("OpenTofuDestroy", &[Teardown]),
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

    fn count(of: impl Fn(&KnownKind) -> bool) -> usize {
        KNOWN.iter().filter(|kind| kind.name != "Noop" && of(kind)).count()
    }

    #[test]
    fn the_reference_has_47_kinds_of_which_flows_hold_15() {
        assert_eq!(count(|_| true), 47);
        for (document, expected) in
            [(Template, 43), (ReleaseFlow, 15), (Preview, 29), (Workflow, 15), (Blueprint, 29), (Teardown, 9)]
        {
            assert_eq!(count(|kind| kind.is_allowed_in(document)), expected, "{document}");
        }
        assert_eq!(find("RunJob").map(|kind| kind.name), Some("JobRun"));
        assert_eq!(find("Nothing"), None);
    }

    #[test]
    fn support_is_of_the_kind_in_its_document() {
        let support = |kind: &str, document| find(kind).unwrap().support_in(document);
        assert_eq!(support("Build", ReleaseFlow), Support::Runs);
        assert_eq!(support("Build", Template), Support::Later);
        assert_eq!(support("Project", Template), Support::Runs);
        assert_eq!(support("Build", Workflow), Support::Runs);
        assert_eq!(support("Volume", Blueprint), Support::Later);
        assert_eq!(support("OpenTofu", Template), Support::OutOfScope);
        assert_eq!(count(|kind| kind.support == Support::OutOfScope), 12);
    }

    #[test]
    fn words_name_types() {
        for document in DocumentType::ALL {
            assert_eq!(DocumentType::parse(document.as_str()), Some(*document));
        }
        assert_eq!(DocumentType::parse("preview-env"), Some(Preview));
        assert_eq!(DocumentType::parse("flow"), None);
    }
}
