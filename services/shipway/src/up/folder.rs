//! The data folder: where everything that Shipway keeps is.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The data folder and the places in it.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// What a running Shipway says about itself in `server.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Where it answers.
    pub(crate) url: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
}

impl Folder {
    /// Opens the folder, making it if it is not there. Only its owner may look into it, apart from the
    /// places that instances run in.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(root)
            .with_context(|| format!("making the data folder {}", root.display()))?;
        let root =
            root.canonicalize().with_context(|| format!("opening the data folder {}", root.display()))?;
        let folder = Self { root };
        for private in [folder.keys(), folder.blobs()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&private)
                .with_context(|| format!("making {}", private.display()))?;
        }
        fs::set_permissions(folder.keys(), fs::Permissions::from_mode(0o700))
            .context("closing the folder of keys")?;
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log.db")
    }

    pub(crate) fn views(&self) -> PathBuf {
        self.root.join("views.db")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Says where this Shipway answers.
    pub(crate) fn announce(&self, note: &Note) -> anyhow::Result<()> {
        let (path, whole) = (self.root.join("server.json"), self.root.join("server.json.new"));
        fs::write(&whole, serde_json::to_vec_pretty(note)?)
            .with_context(|| format!("writing {}", whole.display()))?;
        fs::rename(&whole, &path).with_context(|| format!("writing {}", path.display()))
    }

    /// What the Shipway that runs here, or ran here last, said.
    pub(crate) fn note(&self) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.root.join("server.json")).ok()?).ok()
    }

    /// Nothing answers here any more.
    pub(crate) fn retract(&self) {
        // It is not there if Shipway never got so far.
        let _ = fs::remove_file(self.root.join("server.json"));
    }
}
