//! What runs where: from the runs' history, and for now from the hosts too.

use std::{collections::HashMap, time::Duration};

use shipway_contracts::{
    Error,
    v1::{
        Artifact, Deployed, GetStateReply, ListProjectsRequest, ListResourcesRequest, Page, Resource,
        TargetStatus, TargetStatusesRequest, executors_client::ExecutorsClient,
        projects_client::ProjectsClient,
    },
};
use shipway_events::Timestamp;

use crate::{queries::Placed, service::Shared, start::from_status};

/// How long a host may take to say what it keeps.
const ANSWER: Duration = Duration::from_secs(2);

impl Shared {
    /// What ran where at a time, or what runs where now.
    pub(crate) async fn state(&self, at: Option<Timestamp>, project: &str) -> Result<GetStateReply, Error> {
        self.caught_up().await?;
        let asked = at.unwrap_or_else(|| self.log.now());
        let position = *self.log.tail().borrow();
        let mut statuses = HashMap::new();
        if at.is_none() {
            statuses = self.statuses().await?;
        }
        let mut deployed = Vec::new();
        for (id, slug) in self.project_names(project).await? {
            let resources = self.resources(&slug).await?;
            let placed = self.placed(&id, asked).await?;
            let mut rows = rows(&slug, &resources, placed, &statuses, at.is_none());
            if at.is_none() && self.cluster.together().is_some() {
                self.say_places(&slug, &resources, &mut rows).await?;
            }
            if at.is_none() {
                self.say_kept(&mut rows).await?;
            }
            deployed.extend(rows);
        }
        Ok(GetStateReply { deployed, position, at: asked.to_string() })
    }

    /// What every host says of what it keeps. A host that does not answer says nothing.
    async fn statuses(&self) -> Result<HashMap<(String, String), TargetStatus>, Error> {
        let mut targets = Vec::new();
        if let Some(here) = &self.executors {
            let mut executor = ExecutorsClient::new(here.clone());
            let reply = executor.target_statuses(TargetStatusesRequest {}).await.map_err(from_status)?;
            targets = reply.into_inner().targets;
        } else {
            for (_, executor) in self.hosts.all(&self.registry) {
                let mut client = ExecutorsClient::new(executor);
                let asked = client.target_statuses(TargetStatusesRequest {});
                if let Ok(Ok(reply)) = tokio::time::timeout(ANSWER, asked).await {
                    targets.extend(reply.into_inner().targets);
                }
            }
        }
        Ok(targets
            .into_iter()
            .map(|target| ((target.project.clone(), target.slug.clone()), target))
            .collect())
    }

    pub(crate) async fn project_names(&self, wanted: &str) -> Result<Vec<(String, String)>, Error> {
        let mut client = ProjectsClient::new(self.projects.clone());
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = Some(Page { after, limit: 500 });
            let reply =
                client.list_projects(ListProjectsRequest { page }).await.map_err(from_status)?.into_inner();
            let fits = |slug: &str| wanted.is_empty() || wanted == slug;
            found.extend(reply.projects.into_iter().filter(|p| fits(&p.slug)).map(|p| (p.id, p.slug)));
            if reply.next.is_empty() {
                return Ok(found);
            }
            after = reply.next;
        }
    }

    pub(crate) async fn resources(&self, project: &str) -> Result<Vec<Resource>, Error> {
        let mut client = ProjectsClient::new(self.projects.clone());
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let request =
                ListResourcesRequest { project: project.to_owned(), page: Some(Page { after, limit: 500 }) };
            let reply = client.list_resources(request).await.map_err(from_status)?.into_inner();
            found.extend(reply.resources);
            if reply.next.is_empty() {
                return Ok(found);
            }
            after = reply.next;
        }
    }
}

fn rows(
    project: &str,
    resources: &[Resource],
    placed: Vec<Placed>,
    statuses: &HashMap<(String, String), TargetStatus>,
    now: bool,
) -> Vec<Deployed> {
    let by_slug: HashMap<&str, &Resource> = resources.iter().map(|r| (r.slug.as_str(), r)).collect();
    let mut rows: Vec<Deployed> = placed
        .into_iter()
        .map(|placed| {
            let resource = by_slug.get(placed.slug.as_str());
            let status = statuses.get(&(placed.project.clone(), placed.slug.clone()));
            Deployed {
                project: project.to_owned(),
                stage: resource.map(|r| r.stage.clone()).unwrap_or_default(),
                kind: resource.map(|r| r.kind.clone()).unwrap_or_default(),
                id: resource.map(|r| r.id.clone()).unwrap_or_default(),
                resource: placed.slug,
                artifact: Some(artifact(placed.artifact)),
                run: placed.run,
                released_at: placed.at.to_string(),
                status: status.map(words).unwrap_or_default(),
                addresses: status.map(|status| status.addresses.clone()).unwrap_or_default(),
                ..Deployed::default()
            }
        })
        .collect();
    if now {
        // Addons have no artifact, but they run.
        for status in statuses.values() {
            if let Some(addon) = by_slug.get(status.slug.as_str()).filter(|r| r.kind == "Addon") {
                rows.push(Deployed {
                    project: project.to_owned(),
                    stage: addon.stage.clone(),
                    kind: addon.kind.clone(),
                    resource: status.slug.clone(),
                    id: addon.id.clone(),
                    status: words(status),
                    addresses: status.addresses.clone(),
                    ..Deployed::default()
                });
            }
        }
    }
    sort(&mut rows);
    rows
}

/// By stage, then by name.
pub(crate) fn sort(rows: &mut [Deployed]) {
    rows.sort_by(|a, b| (&a.stage, &a.resource).cmp(&(&b.stage, &b.resource)));
}

fn words(status: &TargetStatus) -> String {
    if status.wanted > 0 {
        format!("{} {}/{}", status.status, status.healthy, status.wanted)
    } else {
        status.status.clone()
    }
}

/// An artifact as the API shows it.
pub(crate) fn artifact(artifact: shipway_events::plan::Artifact) -> Artifact {
    Artifact {
        digest: artifact.digest,
        build: artifact.build,
        service: artifact.service,
        commit: artifact.commit,
        branch: artifact.branch,
    }
}
