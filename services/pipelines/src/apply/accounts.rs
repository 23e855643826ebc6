//! Accounts that documents name must be linked, for the hosts that they are named for.

use shipway_documents::{Problem, flow::Flow, list, resources::Declared};

use super::plan::Planner;
use crate::{
    accounts::{mentioned, mentions},
    domain::{Accounts, Mention, resolve_account, undecided_accounts},
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
                if let Some(problem) = problem(&self.projects.accounts, &at, &mention) {
                    self.note(file, problem);
                }
            }
        }
    }
}

/// What is wrong with the accounts that a flow's triggers name. Places are below `at`, where the flow is.
pub(crate) fn problems(accounts: &Accounts, flow: &Flow, at: &str) -> Vec<Problem> {
    let found = mentions(flow).into_iter();
    found.filter_map(|(place, mention)| problem(accounts, &format!("{at}{place}"), &mention)).collect()
}

/// What is wrong with the account that is meant at a place: an error if it is named and cannot be, a warning if none is
/// named and several could be.
fn problem(accounts: &Accounts, at: &str, mention: &Mention) -> Option<Problem> {
    if let Err(unresolved) = resolve_account(accounts, mention) {
        let problem = Problem::error(format!("{at}/{}", unresolved.member), unresolved.message);
        return Some(problem.help(unresolved.help));
    }
    let several = undecided_accounts(accounts, mention);
    let names = list(several.iter().map(String::as_str));
    (!several.is_empty()).then(|| {
        let message = format!("several linked accounts fit {}, so that none is taken", mention.repository);
        Problem::warning(at, message).help(format!("name one of them with `accountLogin`: {names}"))
    })
}
