//! What ran at one time and not at another.

use std::collections::BTreeMap;

use shipway_contracts::{
    Error,
    v1::{DiffStatesReply, DiffStatesRequest, Resource, StateChange},
};
use shipway_events::Timestamp;

use crate::{queries::Placed, service::Shared, state::artifact};

impl Shared {
    /// What has another artifact at `to` than it had at `from`.
    pub(crate) async fn diff_states(&self, request: DiffStatesRequest) -> Result<DiffStatesReply, Error> {
        self.caught_up().await?;
        let now = self.log.now();
        let time = |field: &str, text: &str| match text {
            "" => Ok(now),
            text => text.parse().map_err(|error| Error::bad_request(format!("field `{field}`: {error}"))),
        };
        let (from, to): (Timestamp, Timestamp) = (time("from", &request.from)?, time("to", &request.to)?);
        let mut changes = Vec::new();
        for (id, slug) in self.project_names(&request.project).await? {
            let resources = self.resources(&slug).await?;
            let resources: BTreeMap<&str, &Resource> =
                resources.iter().map(|resource| (resource.slug.as_str(), resource)).collect();
            let (before, after) = (self.placed(&id, from).await?, self.placed(&id, to).await?);
            for (name, (before, after)) in pairs(before, after) {
                let resource = resources.get(name.as_str());
                changes.push(StateChange {
                    project: slug.clone(),
                    stage: resource.map(|it| it.stage.clone()).unwrap_or_default(),
                    kind: resource.map(|it| it.kind.clone()).unwrap_or_default(),
                    resource: name,
                    run: after.as_ref().map(|it| it.run.clone()).unwrap_or_default(),
                    released_at: after.as_ref().map(|it| it.at.to_string()).unwrap_or_default(),
                    from: before.map(|it| artifact(it.artifact)),
                    to: after.map(|it| artifact(it.artifact)),
                });
            }
        }
        changes.sort_by(|a, b| (&a.stage, &a.resource).cmp(&(&b.stage, &b.resource)));
        Ok(DiffStatesReply { from: from.to_string(), to: to.to_string(), changes })
    }
}

/// What had one artifact and then another, by name.
fn pairs(
    before: Vec<Placed>,
    after: Vec<Placed>,
) -> impl Iterator<Item = (String, (Option<Placed>, Option<Placed>))> {
    let mut pairs: BTreeMap<String, (Option<Placed>, Option<Placed>)> = BTreeMap::new();
    for placed in before {
        let pair = pairs.entry(placed.slug.clone()).or_default();
        pair.0 = Some(placed);
    }
    for placed in after {
        let pair = pairs.entry(placed.slug.clone()).or_default();
        pair.1 = Some(placed);
    }
    let digest = |placed: &Option<Placed>| placed.as_ref().map(|it| it.artifact.digest.clone());
    pairs.into_iter().filter(move |(_, (before, after))| digest(before) != digest(after))
}

#[cfg(test)]
mod tests {
    use shipway_events::plan::Artifact;

    use super::*;

    fn placed(slug: &str, digest: &str) -> Placed {
        let artifact = Artifact {
            digest: digest.to_owned(),
            build: String::new(),
            service: String::new(),
            commit: String::new(),
            branch: String::new(),
        };
        let (project, run) = (String::new(), String::new());
        Placed { project, slug: slug.to_owned(), run, at: Timestamp::default(), artifact }
    }

    #[test]
    fn only_what_has_another_digest_is_a_difference() {
        let before = vec![placed("api", "1"), placed("job", "1"), placed("web", "1")];
        let after = vec![placed("api", "1"), placed("new", "3"), placed("web", "2")];
        let digest = |placed: Option<Placed>| placed.map(|placed| placed.artifact.digest);
        let found: Vec<_> =
            pairs(before, after).map(|(name, (from, to))| (name, digest(from), digest(to))).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("job".to_owned(), some("1"), None),
                ("new".to_owned(), None, some("3")),
                ("web".to_owned(), some("1"), some("2")),
            ]
        );
    }
}
