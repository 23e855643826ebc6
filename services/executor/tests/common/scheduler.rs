//! The other side of an executor, for tests: takes outcomes, knows secrets.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test file uses its part")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::TryStreamExt;
use shipway_eventing::{
    Blobs,
    node_logs::{From, Kind, Line},
};
use shipway_events::{Fence, ProjectId, RunId, SecretRef, plan::Artifact, run::NodeError};
use shipway_executor::{Assignment, Executor, ExecutorConfig, ReportError, Reports, Secrets, SecretsError};
use shipway_forge::Account;
use shipway_nodes::{Outcome, Workload};
use zeroize::Zeroizing;

use crate::common::{BINARY, Data};

#[derive(Default)]
pub struct Scheduler {
    outcomes: Mutex<Vec<(Fence, Outcome)>>,
    refusals: Mutex<Vec<(Fence, String)>>,
    pub secrets: Mutex<BTreeMap<String, String>>,
    /// The account of every host.
    pub account: Mutex<Option<Account>>,
}

#[async_trait]
impl Reports for Scheduler {
    async fn complete(
        &self,
        fence: Fence,
        _run: RunId,
        _node: u32,
        outcome: Outcome,
    ) -> Result<Option<Vec<Assignment>>, ReportError> {
        self.outcomes.lock().unwrap().push((fence, outcome));
        Ok(None)
    }

    async fn refuse(&self, fence: Fence, _run: RunId, _node: u32, reason: String) -> Result<(), ReportError> {
        self.refusals.lock().unwrap().push((fence, reason));
        Ok(())
    }
}

#[async_trait]
impl Secrets for Scheduler {
    async fn fetch(
        &self,
        _project: ProjectId,
        _fence: Fence,
        names: &BTreeSet<SecretRef>,
    ) -> Result<BTreeMap<SecretRef, Zeroizing<String>>, SecretsError> {
        let known = self.secrets.lock().unwrap();
        let found = names
            .iter()
            .filter_map(|name| Some((name.clone(), Zeroizing::new(known.get(&name.name)?.clone()))));
        Ok(found.collect())
    }

    async fn account(&self, _: ProjectId, _: Fence) -> Result<Account, SecretsError> {
        let account = self.account.lock().unwrap().clone();
        account.ok_or_else(|| SecretsError::Refused("no linked account fits".to_owned()))
    }
}

impl Scheduler {
    pub fn outcomes(&self, fence: Fence) -> Vec<Outcome> {
        let all = self.outcomes.lock().unwrap();
        all.iter().filter(|(known, _)| *known == fence).map(|(_, outcome)| outcome.clone()).collect()
    }

    /// The fences that were given back, in the order of their coming.
    pub fn refused(&self) -> Vec<(u64, String)> {
        let all = self.refusals.lock().unwrap();
        all.iter().map(|(fence, reason)| (fence.raw(), reason.clone())).collect()
    }

    /// The end of that attempt.
    pub async fn end(&self, fence: Fence) -> Outcome {
        let until = std::time::Instant::now() + Duration::from_secs(240);
        loop {
            let ended = |outcome: &Outcome| !matches!(outcome, Outcome::Started { .. });
            if let Some(end) = self.outcomes(fence).into_iter().find(ended) {
                return end;
            }
            assert!(std::time::Instant::now() < until, "no end within 240 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn succeed(
        &self,
        fence: Fence,
    ) -> (serde_json::Map<String, serde_json::Value>, Vec<shipway_events::run::Effect>) {
        match self.end(fence).await {
            Outcome::Succeeded { outputs, effects } => (outputs, effects),
            other => panic!("{other:#?}"),
        }
    }

    pub async fn fail(&self, fence: Fence) -> NodeError {
        match self.end(fence).await {
            Outcome::Failed { error } => error,
            other => panic!("{other:#?}"),
        }
    }
}

pub async fn executor(data: &Data, scheduler: &Arc<Scheduler>) -> Executor {
    executor_with(data, scheduler, |_| {}).await
}

pub async fn executor_with(
    data: &Data,
    scheduler: &Arc<Scheduler>,
    set: impl FnOnce(&mut ExecutorConfig),
) -> Executor {
    let blobs = Blobs::open(&data.path().join("blobs")).await.unwrap();
    let mut config = ExecutorConfig::new(data.path().to_owned(), Path::new(BINARY).to_owned(), blobs);
    set(&mut config);
    Executor::open(config, scheduler.clone(), scheduler.clone()).await.unwrap()
}

pub fn assignment(fence: u64, key: &str, work: Workload) -> Assignment {
    Assignment {
        project: ProjectId::new(uuid::Uuid::now_v7()),
        run: RunId::new(uuid::Uuid::now_v7()),
        node: 1,
        attempt: 1,
        fence: Fence::from_raw(fence),
        effect: work.effect(),
        effect_key: key.to_owned(),
        work,
        deadline: None,
        detached: false,
        registration: None,
        labels: BTreeSet::new(),
        trace: None,
    }
}

/// An artifact with the test program in it.
pub async fn artifact(data: &Data) -> Artifact {
    let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    tar.append_path_with_name(BINARY, "program").unwrap();
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let digest = Blobs::open(&data.path().join("blobs")).await.unwrap().put(bytes).await.unwrap();
    let text = |text: &str| text.to_owned();
    Artifact {
        digest: digest.to_string(),
        build: text("b"),
        service: text("s"),
        commit: "a".repeat(40),
        branch: text("main"),
    }
}

/// The whole log of an attempt's node, once nobody writes it any more.
pub async fn lines(executor: &Executor, given: &Assignment) -> Vec<Line> {
    let lines = executor.logs().reader().lines(given.run, given.node, From::Record(0), true);
    lines.try_collect::<Vec<_>>().await.unwrap().concat()
}

/// As [`lines`], as text.
pub async fn log(executor: &Executor, given: &Assignment) -> String {
    let end = |line: &Line| if line.record.kind == Kind::Piece { "" } else { "\n" };
    let text = |line: Line| String::from_utf8_lossy(&line.record.text).into_owned() + end(&line);
    lines(executor, given).await.into_iter().map(text).collect()
}
