//! The folders of a build, and what of them its commands see.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use sha2::{Digest, Sha256};
use shipway_nodes::workload::Build;

use crate::{
    runtime::{Folder, Place, Runtime},
    work::Attempt,
};

/// Who a build is done for: its service, or the service's strangers, whose programs run as another user.
pub(super) fn owner(work: &Build) -> String {
    let service = work.service.id;
    if work.apart { format!("{service}-apart") } else { service.to_string() }
}

/// The folders of one build.
pub(super) struct Folders {
    pub(super) base: PathBuf,
    pub(super) mirror: PathBuf,
    pub(super) cache: PathBuf,
    pub(super) home: PathBuf,
    pub(super) source: PathBuf,
    pub(super) config: PathBuf,
    pub(super) cargo: PathBuf,
    pub(super) temporary: PathBuf,
    /// They go with the build: what it left could reach a later one.
    apart: bool,
}

impl Folders {
    pub(super) fn make(
        attempt: &Attempt<'_>,
        work: &Build,
        base: PathBuf,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let name = &hex::encode(Sha256::digest(&work.build))[..16];
        // What the builds of a service have in common, a build that is apart has for itself.
        let kept =
            |kind: &str| base.join(if work.apart { format!("{kind}-{name}") } else { kind.to_owned() });
        let folders = Self {
            mirror: kept("mirror.git"),
            cache: kept("cache"),
            home: kept("home"),
            source: base.join(format!("src-{name}")),
            config: base.join("config"),
            cargo: base.join(".cargo"),
            temporary: base.join(format!("tmp-{name}")),
            apart: work.apart,
            base,
        };
        let write = || -> io::Result<()> {
            for folder in [&folders.config, &folders.cargo, &folders.temporary] {
                fs::create_dir_all(folder)?;
            }
            fs::write(folders.config.join("gitconfig"), shipway_repository::LOCAL)?;
            // Cargo looks for it in the parents of its folder. Its home belongs to the build's user: what Shipway
            // wrote there, it could have been made to write elsewhere.
            if let Some(config) = attempt.host.runtime.toolchain().cargo_config() {
                fs::copy(config, folders.cargo.join("config.toml"))?;
            }
            Ok(())
        };
        write().map_err(|source| (folders.base.clone(), source))?;
        Ok(folders)
    }

    /// Takes away what no later build needs.
    pub(super) fn clear(&self) {
        let own: &[&PathBuf] = if self.apart { &[&self.mirror, &self.cache, &self.home] } else { &[] };
        for folder in [&self.source, &self.temporary].into_iter().chain(own.iter().copied()) {
            let _ = fs::remove_dir_all(folder);
        }
    }

    pub(super) fn name(&self) -> String {
        self.source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(super) fn place(&self, directory: &Path) -> Place {
        let folder = |path: &Path, name: &str, writable| Folder {
            path: path.to_owned(),
            name: name.to_owned(),
            writable,
        };
        let owner = self.base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Place {
            owner,
            folders: vec![
                folder(&self.mirror, "mirror", true),
                folder(&self.cache, "cache", true),
                folder(&self.home, "home", true),
                folder(&self.source, "src", true),
                folder(&self.config, "config", false),
                folder(&self.cargo, ".cargo", false),
            ],
            directory: directory.to_owned(),
            tools: true,
        }
    }

    pub(super) fn environment(
        &self,
        attempt: &Attempt<'_>,
        work: &Build,
        commit: &str,
    ) -> BTreeMap<String, String> {
        let place = self.place(&self.source);
        let seen = |path: &Path| attempt.host.runtime.seen(&place, path).to_string_lossy().into_owned();
        let mut all: BTreeMap<String, String> = [
            ("CI", "true".to_owned()),
            ("CARGO_HOME", seen(&self.cache.join("cargo"))),
            ("CARGO_TARGET_DIR", seen(&self.cache.join("target"))),
            ("CARGO_TERM_COLOR", "never".to_owned()),
            ("GOCACHE", seen(&self.cache.join("go"))),
            ("GOPATH", seen(&self.cache.join("gopath"))),
            ("npm_config_cache", seen(&self.cache.join("npm"))),
            ("SHIPWAY_COMMIT", commit.to_owned()),
            ("SHIPWAY_BRANCH", work.branch.clone()),
            ("SHIPWAY_BUILD", work.build.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if self.apart {
            // Else Go writes its modules so that only root can take them away.
            all.insert("GOFLAGS".to_owned(), "-modcacherw".to_owned());
        }
        all.extend(attempt.host.runtime.passed_on());
        all
    }
}

/// The relative path, if it stays inside.
pub(super) fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        .then(|| path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}
