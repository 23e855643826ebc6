//! What is deployed where, and whether it is what it should be.

use anyhow::Context;
use serde_json::Value;
use shipway_contracts::v1::{Artifact, Deployed, GetStateRequest};

use super::{asking, patience::patiently};
use crate::cli::{Client, Style, Table, short_commit, short_digest, short_id};

/// The demo's services, from the first stage to the last.
const SERVICES: [&str; 4] = ["shop-web-dev", "shop-web-staging", "shop-web", "shop-admin"];
/// The jobs that run what their stage runs.
const JOBS: [&str; 2] = ["shop-smoke", "shop-migrate"];

/// What runs where.
#[derive(Debug)]
pub(crate) struct Deployment(Vec<Deployed>);

impl Deployment {
    /// Asks Shipway.
    pub(crate) async fn look(client: &Client) -> anyhow::Result<Self> {
        let state = patiently(|| {
            let mut runs = client.runs();
            let request = GetStateRequest { at: String::new(), project: "shop".to_owned() };
            async move { runs.get_state(request).await }
        })
        .await?;
        Ok(Self(state.deployed))
    }

    /// Whether the status of every service that is deployed is known.
    pub(crate) fn is_known(&self) -> bool {
        SERVICES.iter().filter_map(|name| self.find(name)).all(|deployed| !deployed.status.is_empty())
    }

    /// A service's address, if it has one.
    pub(crate) fn address(&self, name: &str) -> Option<String> {
        self.find(name)?.addresses.first().cloned()
    }

    /// For people.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&["STAGE", "RESOURCE", "STATUS", "DIGEST", "COMMIT", "RUN", "ADDRESS"]);
        for name in SERVICES.iter().chain(&JOBS) {
            let Some(deployed) = self.find(name) else { continue };
            let artifact = deployed.artifact.clone().unwrap_or_default();
            let plain = |text: &str| (text.to_owned(), Style::Plain);
            table.styled([
                plain(&deployed.stage),
                plain(&deployed.resource),
                (deployed.status.clone(), Style::of_status(&deployed.status)),
                (short_digest(&artifact.digest).to_owned(), Style::Accent),
                plain(short_commit(&artifact.commit)),
                plain(short_id(&deployed.run)),
                plain(&deployed.addresses.join(" ")),
            ]);
        }
        table
    }

    /// Everything that is not as it should be after `commit` has gone through.
    pub(crate) async fn wrong(&self, commit: &str, schema: i64) -> Vec<String> {
        let mut wrong = Vec::new();
        let built = self.artifact(SERVICES[0]).map(|artifact| artifact.digest.as_str()).unwrap_or_default();
        for name in SERVICES.iter().chain(&JOBS) {
            let Some(artifact) = self.artifact(name) else {
                wrong.push(format!("{name} has nothing deployed"));
                continue;
            };
            if artifact.digest != built {
                wrong.push(format!("{name} runs {}, {} runs {built}", artifact.digest, SERVICES[0]));
            }
            if artifact.commit != commit {
                wrong.push(format!("{name} runs commit {}, pushed was {commit}", artifact.commit));
            }
        }
        for name in SERVICES {
            if let Err(error) = self.answers(name, commit, schema).await {
                wrong.push(format!("{name}: {error:#}"));
            }
        }
        wrong
    }

    /// The service itself says what it runs.
    async fn answers(&self, name: &str, commit: &str, schema: i64) -> anyhow::Result<()> {
        let status = self.find(name).map(|deployed| deployed.status.clone()).unwrap_or_default();
        anyhow::ensure!(status.starts_with("running"), "its status is `{status}`");
        let address = self.address(name).context("it has no address")?;
        let version: Value = serde_json::from_slice(&asking::once(&address, "/version").await?.body)
            .context("reading its answer at /version")?;
        anyhow::ensure!(version["commit"] == commit, "it says that it runs commit {}", version["commit"]);
        anyhow::ensure!(version["schema"] == schema, "its schema is at {}, not {schema}", version["schema"]);
        Ok(())
    }

    fn artifact(&self, name: &str) -> Option<&Artifact> {
        self.find(name)?.artifact.as_ref()
    }

    fn find(&self, name: &str) -> Option<&Deployed> {
        self.0.iter().find(|deployed| deployed.resource == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(digest: impl Fn(&str) -> String) -> Deployment {
        let deployed = |name: &&str| Deployed {
            resource: (*name).to_owned(),
            artifact: Some(Artifact { digest: digest(name), commit: "c".to_owned(), ..Artifact::default() }),
            ..Deployed::default()
        };
        Deployment(SERVICES.iter().chain(&JOBS).map(deployed).collect())
    }

    #[tokio::test]
    async fn another_digest_in_production_is_told() {
        let wrong =
            all(|name| if name == "shop-web" { "other" } else { "one" }.to_owned()).wrong("c", 1).await;
        assert!(wrong.iter().any(|line| line == "shop-web runs other, shop-web-dev runs one"), "{wrong:?}");
        assert!(!wrong.iter().any(|line| line.starts_with("shop-admin runs")), "{wrong:?}");
    }

    #[test]
    fn what_has_not_said_how_it_is_is_waited_for() {
        let mut deployment = all(|_| "one".to_owned());
        assert!(!deployment.is_known());
        for deployed in &mut deployment.0 {
            deployed.status = "running 1/1".to_owned();
        }
        assert!(deployment.is_known());
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_told() {
        let wrong = Deployment(Vec::new()).wrong("c", 1).await;
        assert!(wrong.iter().any(|line| line == "shop-admin has nothing deployed"), "{wrong:?}");
    }
}
