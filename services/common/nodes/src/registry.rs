//! The one list of the kinds that run.

use shipway_documents::kinds::canonical;

use crate::{Kind, kinds};

/// Every kind that this version runs.
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
];

/// The kind of that name or alias, if this version runs it.
#[must_use]
pub fn find(kind: &str) -> Option<&'static dyn Kind> {
    let kind = canonical(kind);
    KINDS.iter().copied().find(|known| known.name() == kind)
}

/// The names of the kinds that this version runs in release flows.
#[must_use]
pub fn supported() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name()).filter(|name| *name != "Addon").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipway_documents::kinds as known;

    #[test]
    fn every_kind_is_one_of_the_format_and_listed_once() {
        for kind in KINDS {
            assert!(known::find(kind.name()).is_some(), "{}", kind.name());
            assert_eq!(KINDS.iter().filter(|other| other.name() == kind.name()).count(), 1);
        }
        assert_eq!(find("RunJob").map(Kind::name), Some("JobRun"));
    }
}
