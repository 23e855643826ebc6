//! Accounts that documents name must be linked, for the hosts that they are named for.

use shipway_documents::{Problem, resources::Declared};

use super::plan::Planner;
use crate::{
    accounts::{mentioned, mentions},
    domain::resolve_account,
};

impl Planner<'_> {
    /// Looks for every account that the declarations name.
    pub(super) fn accounts(&mut self) {
        let intake = self.intake;
        for (file, declared) in intake.placed() {
            let found = match &declared.declared {
                Declared::Project => Vec::new(),
                Declared::Resource(kind) => mentioned(*kind, &declared.spec)
                    .map(|mention| (format!("{}/spec/vcsData", declared.pointer), mention))
                    .into_iter()
                    .collect(),
                Declared::Pipeline(pipeline) => {
                    let flows = pipeline.stages.iter().filter_map(|stage| stage.flow.as_ref());
                    let mut all = Vec::new();
                    for flow in flows {
                        for (at, mention) in mentions(&flow.flow) {
                            all.push((format!("{}{at}", flow.pointer), mention));
                        }
                    }
                    all
                }
            };
            for (at, mention) in found {
                if let Err(unresolved) = resolve_account(&self.projects.accounts, &mention) {
                    let problem = Problem::error(format!("{at}/{}", unresolved.member), unresolved.message);
                    self.note(file, problem.help(unresolved.help));
                }
            }
        }
    }
}
