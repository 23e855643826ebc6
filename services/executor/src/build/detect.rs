//! How a checkout is built when nobody says it: by what lies in it.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use shipway_nodes::workload::Build;

use crate::{
    os::beneath,
    work::{Failure, error},
};

/// How a checkout becomes an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// What is built with, for people.
    pub(crate) language: &'static str,
    /// The program that has to be there, and the package that brings it.
    pub(crate) tool: Option<(&'static str, &'static str)>,
    /// The command; empty when there is nothing to build.
    pub(crate) command: String,
    /// A Cargo workspace: its binaries go to `bin/`.
    pub(crate) cargo: bool,
    /// Paths that make the artifact; everything when empty.
    pub(crate) include: Vec<String>,
    /// The process types.
    pub(crate) processes: BTreeMap<String, String>,
}

/// Of a longer Procfile only the beginning is read.
const PROCFILE: u64 = 64 << 10;

/// Folders of a Rust package that its programs may need at run time.
const RUST_ASSETS: [&str; 7] = ["assets", "config", "migrations", "public", "static", "templates", "views"];

/// The recipe for the checkout in `folder`.
pub(crate) fn recipe(folder: &Path, work: &Build) -> Result<Recipe, Failure> {
    let has = |name: &str| folder.join(name).is_file();
    let procfile = beneath::read_text(folder, "Procfile", PROCFILE).unwrap_or_default();
    let mut recipe = if has("Cargo.toml") {
        let locked = if has("Cargo.lock") { " --locked" } else { "" };
        let include = RUST_ASSETS.iter().filter(|name| folder.join(name).is_dir());
        Recipe {
            language: "Rust",
            tool: Some(("cargo", "cargo (or https://rustup.rs)")),
            command: format!("cargo build --release{locked}"),
            cargo: true,
            include: include.map(|name| (*name).to_owned()).collect(),
            ..Recipe::default()
        }
    } else if has("package.json") {
        let install = if has("package-lock.json") { "npm ci" } else { "npm install" };
        Recipe {
            language: "Node",
            tool: Some(("npm", "npm")),
            command: format!("{install} && npm run build --if-present"),
            processes: [("web".to_owned(), "npm start".to_owned())].into(),
            ..Recipe::default()
        }
    } else if has("go.mod") {
        Recipe {
            language: "Go",
            tool: Some(("go", "golang")),
            command: "mkdir -p bin && go build -o bin/ ./...".to_owned(),
            ..Recipe::default()
        }
    } else if procfile.is_some() || work.command.is_some() {
        Recipe { language: "a Procfile", ..Recipe::default() }
    } else {
        let message = "nothing says how to build this: there is neither Cargo.toml, package.json, go.mod nor Procfile \
                       in the folder that is built. Add a Procfile (`web: ./start`), or give the build service a \
                       build command and a work dir";
        return Err(error("no_build_instructions", message));
    };
    if let Some(command) = &work.command {
        recipe.command.clone_from(command);
        recipe.tool = None;
    }
    if !work.include.is_empty() {
        recipe.include.clone_from(&work.include);
        recipe.cargo = false;
    }
    if let Some(text) = procfile {
        recipe.processes.extend(parse_procfile(&text)?);
    }
    Ok(recipe)
}

fn parse_procfile(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut processes = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let named = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        match line.split_once(':') {
            Some((name, command)) if named(name.trim()) && !command.trim().is_empty() => {
                processes.insert(name.trim().to_owned(), command.trim().to_owned());
            }
            _ => {
                let message =
                    format!("Procfile, line {}: expected `name: command`, found `{line}`", number + 1);
                return Err(error("bad_procfile", message));
            }
        }
    }
    Ok(processes)
}

/// The programs that a Cargo workspace makes, from `cargo metadata`.
pub(crate) fn cargo_binaries(metadata: &Path) -> io::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
        workspace_members: Vec<String>,
        workspace_default_members: Option<Vec<String>>,
    }
    #[derive(Deserialize)]
    struct Package {
        id: String,
        targets: Vec<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    let metadata: Metadata = serde_json::from_slice(&fs::read(metadata)?).map_err(io::Error::other)?;
    let members = metadata.workspace_default_members.unwrap_or(metadata.workspace_members);
    let packages = metadata.packages.into_iter().filter(|package| members.contains(&package.id));
    let targets = packages.flat_map(|package| package.targets);
    let mut names: Vec<String> = targets
        .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
        .map(|target| target.name)
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)))
        .collect();
    names.sort();
    Ok(names)
}

/// Where a program is on a search path.
pub(crate) fn find_program(path: &str, name: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A program is not on this machine.
pub(crate) fn missing_program(program: &str, package: &str, purpose: &str) -> Failure {
    let message = format!(
        "{purpose} needs `{program}`, which is not on this machine. Install it: apt-get install {package}"
    );
    error("missing_binary", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfiles_name_processes() {
        let parsed = parse_procfile("# a\nweb: ./bin/web --port $PORT\n\nworker : ./w\n").unwrap();
        assert_eq!(parsed["web"], "./bin/web --port $PORT");
        assert_eq!(parsed["worker"], "./w");
        let Err(Failure::Error(bad)) = parse_procfile("web ./x") else { panic!("it was taken") };
        assert_eq!(bad.message, "Procfile, line 1: expected `name: command`, found `web ./x`");
    }
}
