//! Where an artifact runs, and what keeps it from the next stage.

use std::collections::BTreeMap;

use shipway_contracts::{
    Error,
    blockers::{Facts, Kind, sort},
    v1::{
        Artifact, Blocker, DigestPlace, ListPipelinesRequest, Page, Pipeline, WhyReply,
        pipelines_client::PipelinesClient,
    },
};
use shipway_events::RunId;

use super::ended;
use crate::{queries::Placed, service::Shared, start::from_status, state::artifact};

/// So many characters of a digest's hash are needed.
const SHORTEST: usize = 8;

impl Shared {
    /// `hash` is what comes after `sha256:`, or its beginning.
    pub(super) async fn why_digest(&self, hash: &str, project: &str) -> Result<WhyReply, Error> {
        if hash.len() < SHORTEST || !hash.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(Error::bad_request(format!(
                "field `what`: `sha256:{hash}` is no digest: give {SHORTEST} hex digits of it or more"
            )));
        }
        self.caught_up().await?;
        let digest = format!("sha256:{}", hash.to_ascii_lowercase());
        let (mut places, mut blockers) = (Vec::new(), Vec::new());
        let mut made = self.is_built(&digest).await?;
        for (id, slug) in self.project_names(project).await? {
            let now_there = self.placed(&id, self.log.now()).await?;
            let is_it = |placed: &&Placed| placed.artifact.digest.starts_with(&digest);
            let there: BTreeMap<&str, &Placed> =
                now_there.iter().filter(is_it).map(|placed| (placed.slug.as_str(), placed)).collect();
            made |= !there.is_empty();
            if there.is_empty() {
                continue;
            }
            for pipeline in self.pipelines(&slug).await? {
                let found = on_the_way(&pipeline, &there);
                places.extend(found.iter().map(|(stage, placed)| place(&pipeline, stage, placed)));
                let Some(next) = next_stage(&pipeline, &found) else { continue };
                let path = format!("{}/{}", pipeline.slug, next.to_lowercase());
                let kept =
                    self.kept_from(&id, &path, found.iter().map(|(_, placed)| &placed.artifact)).await?;
                blockers.extend(kept);
                blockers.extend(self.towards(&id, &path).await?);
            }
        }
        sort(&mut blockers);
        let sentence = match (places.as_slice(), blockers.first()) {
            ([], _) if !made => {
                return Err(Error::not_found(format!(
                    "nothing with the digest {digest} was built or released here"
                )));
            }
            ([], _) => "it runs nowhere: it was built, and is not released, or not any more".to_owned(),
            (places, None) => format!("it runs in {}, and there is no stage after that", stages(places)),
            (places, Some(next)) => format!("it runs in {}: {}", stages(places), next.words),
        };
        let status = if places.is_empty() { "built" } else { "released" };
        let reply = self.reply("digest", sentence, status.to_owned(), blockers);
        Ok(WhyReply { places, ..reply })
    }

    /// What keeps a stage from having it: its runs that go on, how its last one failed, or that nobody has started one.
    async fn towards(&self, project: &str, path: &str) -> Result<Vec<Blocker>, Error> {
        let mut blockers = Vec::new();
        for run in self.open_of(project, path).await? {
            let Ok(state) = self.book.look(run).await else { continue };
            blockers.extend(self.blockers(&state, self.log.now()).await?);
        }
        if let (true, Some(last)) = (blockers.is_empty(), self.newest_of(project, path).await?) {
            blockers.extend(self.ended_badly(last).await);
        }
        if blockers.is_empty() {
            let words = format!("nobody has started {path} with it");
            blockers
                .push(Kind::NotStarted.blocker(&Facts { path: path.to_owned(), ..Facts::default() }, words));
        }
        Ok(blockers)
    }

    async fn ended_badly(&self, run: RunId) -> Vec<Blocker> {
        self.book.look(run).await.map(|state| ended::why(&state)).unwrap_or_default()
    }

    async fn pipelines(&self, project: &str) -> Result<Vec<Pipeline>, Error> {
        let mut client = PipelinesClient::new(self.projects.clone());
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = Some(Page { after, limit: 500 });
            let request = ListPipelinesRequest { project: project.to_owned(), page };
            let reply = client.list_pipelines(request).await.map_err(from_status)?.into_inner();
            found.extend(reply.pipelines);
            if reply.next.is_empty() {
                return Ok(found);
            }
            after = reply.next;
        }
    }
}

/// The stages of a pipeline in which it runs, in their order.
fn on_the_way<'a>(pipeline: &'a Pipeline, there: &BTreeMap<&str, &'a Placed>) -> Vec<(&'a str, &'a Placed)> {
    let mut found = Vec::new();
    for stage in &pipeline.stages {
        let members = stage.members.iter().filter_map(|member| there.get(member.slug.as_str()));
        found.extend(members.map(|placed| (stage.name.as_str(), *placed)));
    }
    found
}

/// The stage after the last one that it runs in.
fn next_stage<'a>(pipeline: &'a Pipeline, found: &[(&str, &Placed)]) -> Option<&'a str> {
    let (last, _) = found.last()?;
    let place = pipeline.stages.iter().position(|stage| stage.name == *last)?;
    pipeline.stages.get(place + 1).map(|stage| stage.name.as_str())
}

fn place(pipeline: &Pipeline, stage: &str, placed: &Placed) -> DigestPlace {
    let artifact: Artifact = artifact(placed.artifact.clone());
    DigestPlace {
        project: pipeline.project.clone(),
        pipeline: pipeline.slug.clone(),
        stage: stage.to_owned(),
        resource: placed.slug.clone(),
        run: placed.run.clone(),
        released_at: placed.at.to_string(),
        artifact: Some(artifact),
    }
}

fn stages(places: &[DigestPlace]) -> String {
    let names: Vec<String> = places
        .iter()
        .map(|place| format!("{} ({}/{})", place.resource, place.pipeline, place.stage))
        .collect();
    names.join(", ")
}
