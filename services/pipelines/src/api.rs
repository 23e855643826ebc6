//! The gRPC services. Each method reads its request, asks or changes, and answers.

mod accounts;
mod home;
mod hooks;
mod hosts;
mod made;
mod pipelines;
mod projects;
mod tokens;

pub use accounts::AccountsApi;
pub use home::HomeApi;
pub(crate) use home::{fence_error, one_node, pinned};
pub use pipelines::PipelinesApi;
pub use projects::ProjectsApi;
pub use tokens::TokensApi;

use shipway_contracts::{Code, Error, v1::Page};
use shipway_eventing::PeopleError;
use shipway_events::{Cause, Meta};
use shipway_service_kit::Credentials;
use tonic::metadata::MetadataMap;

use crate::change::{Shared, away};

impl Shared {
    /// Who asks, and in which trace.
    pub(crate) async fn meta(&self, metadata: &MetadataMap) -> Result<Meta, Error> {
        let brought = Credentials::of(metadata);
        let actor = self.people.actor(brought.token(), brought.says()).await.map_err(|why| unproven(&why))?;
        Ok(Meta { actor, cause: Cause::Request, trace: shipway_service_kit::current_trace() })
    }
}

/// It is not known who is asking.
pub(crate) fn unproven(why: &PeopleError) -> Error {
    match why.is_unknown() {
        true => Error::new(Code::Unauthenticated, why.to_string()),
        false => away(why),
    }
}

/// A page of things in the order of their names, and where the next one begins.
fn page<T>(all: impl Iterator<Item = (String, T)>, page: Option<&Page>) -> (Vec<T>, String) {
    let (after, limit) = page.map_or(("", 0), |page| (page.after.as_str(), page.limit));
    let limit = match limit {
        0 => 50,
        some => some.min(500) as usize,
    };
    let mut rest = all.filter(|(name, _)| after.is_empty() || name.as_str() > after);
    let mut last = String::new();
    let taken: Vec<T> = rest
        .by_ref()
        .take(limit)
        .map(|(name, one)| {
            last = name;
            one
        })
        .collect();
    let next = if rest.next().is_some() { last } else { String::new() };
    (taken, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let names: Vec<String> = (0..125).map(|n| format!("{n:03}")).collect();
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let asked = Page { after: after.clone(), limit: 0 };
            let (taken, next) = page(names.iter().map(|name| (name.clone(), name.clone())), Some(&asked));
            assert!(taken.len() <= 50);
            seen.extend(taken);
            if next.is_empty() {
                break;
            }
            after = next;
        }
        assert_eq!(seen, names);
        let (all, next) =
            page(names.iter().map(|n| (n.clone(), ())), Some(&Page { after: String::new(), limit: 9999 }));
        assert_eq!((all.len(), next.as_str()), (125, ""));
    }
}
