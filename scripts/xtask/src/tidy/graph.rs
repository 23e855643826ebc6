//! The crates and what they depend on, as Cargo resolves it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Members and resolved dependencies.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Name and folder of every member.
    pub(crate) members: BTreeMap<String, String>,
    /// Direct dependencies on members by crate name, of every sort: normal, build and test.
    pub(crate) arrows: BTreeMap<String, BTreeSet<String>>,
    /// Normal dependencies by package id, with the name of each package.
    pub(crate) normal: BTreeMap<String, BTreeSet<String>>,
    pub(crate) names: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    workspace_root: String,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Graph {
    /// Asks Cargo.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        // Only what is compiled here: what a browser would need is no dependency of anything that runs.
        let host = Command::new("rustc").args(["--print", "host-tuple"]).output().context("running rustc")?;
        let host = String::from_utf8_lossy(&host.stdout).trim().to_owned();
        let words = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &host];
        let output =
            Command::new("cargo").args(words).current_dir(root).output().context("running cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self::of(serde_json::from_slice(&output.stdout).context("reading cargo metadata")?))
    }

    fn of(metadata: Metadata) -> Self {
        let mut graph = Self::default();
        for package in &metadata.packages {
            graph.names.insert(package.id.clone(), package.name.clone());
            if metadata.workspace_members.contains(&package.id) {
                let folder = package.manifest_path.trim_start_matches(&metadata.workspace_root);
                let folder = folder.trim_start_matches('/').trim_end_matches("/Cargo.toml");
                graph.members.insert(package.name.clone(), folder.to_owned());
            }
        }
        for node in metadata.resolve.nodes {
            let name = graph.names[&node.id].clone();
            for dependency in &node.deps {
                let target = &graph.names[&dependency.pkg];
                if graph.members.contains_key(&name) && graph.members.contains_key(target) {
                    graph.arrows.entry(name.clone()).or_default().insert(target.clone());
                }
                if dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()) {
                    graph.normal.entry(node.id.clone()).or_default().insert(dependency.pkg.clone());
                }
            }
        }
        graph
    }

    /// Every crate in the normal dependency tree of a member, each with the way to it.
    pub(crate) fn tree(&self, member: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let start = self.names.iter().find(|(id, name)| *name == member && self.is_member(id));
        let mut open: Vec<(&String, String)> =
            start.map(|(id, name)| vec![(id, name.clone())]).unwrap_or_default();
        while let Some((id, way)) = open.pop() {
            for next in self.normal.get(id).into_iter().flatten() {
                let name = &self.names[next];
                let way = format!("{way} → {name}");
                if found.insert(name.clone(), way.clone()).is_none() {
                    open.push((next, way));
                }
            }
        }
        found
    }

    fn is_member(&self, id: &str) -> bool {
        self.members.contains_key(&self.names[id])
    }
}
