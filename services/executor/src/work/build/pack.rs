//! What the build made into an archive in the blobs.

use std::{collections::BTreeMap, fs, io, path::Path};

use shipway_eventing::BlobId;

use super::folders::{Folders, inside};
use crate::{
    build::{self, Entries, Manifest, Recipe},
    work::{Attempt, Failure, error, io_failure},
};

pub(super) async fn archive(
    attempt: &Attempt<'_>,
    recipe: &Recipe,
    programs: &[String],
    directory: &Path,
    folders: &Folders,
) -> Result<(BlobId, u64), Failure> {
    let (recipe, programs, directory) = (recipe.clone(), programs.to_vec(), directory.to_owned());
    let file = folders.temporary.join("artifact.tar.zst");
    let to = file.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let (entries, manifest) = gather(&recipe, &programs, &directory)?;
        build::pack(&entries, &manifest, &to).map_err(Gather::Io)
    });
    let digest =
        packed.await.map_err(|failure| error("io", failure.to_string()))?.map_err(
            |failure| match failure {
                Gather::Io(source) => io_failure("packing the artifact", &source, &folders.base),
                Gather::Missing(message) => error("build_incomplete", message),
            },
        )?;
    let bytes = fs::metadata(&file).map(|data| data.len()).unwrap_or(0);
    let stored = attempt.host.blobs.put_file(&file).await;
    stored.map_err(|failure| {
        build::blob_failure("storing the artifact", &failure, &attempt.host.config.data)
    })?;
    Ok((digest, bytes))
}

enum Gather {
    Io(io::Error),
    Missing(String),
}

impl From<io::Error> for Gather {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

fn gather(recipe: &Recipe, programs: &[String], directory: &Path) -> Result<(Entries, Manifest), Gather> {
    let mut entries = Entries::new();
    let mut processes = BTreeMap::new();
    let mut include = recipe.include.clone();
    if recipe.cargo {
        for name in programs {
            let program = directory.join(".shipway/bin").join(name);
            if program.is_file() {
                build::collect(&mut entries, &program, &format!("bin/{name}"), &|_| false)?;
                processes.insert(name.clone(), format!("./bin/{name}"));
            }
        }
        if processes.is_empty() {
            let message = format!(
                "the build made none of the programs that Cargo.toml names ({}): does the command build with --release?",
                programs.join(", ")
            );
            return Err(Gather::Missing(message));
        }
        if let [only] = programs {
            processes.insert("web".to_owned(), format!("./bin/{only}"));
        }
    } else if include.is_empty() {
        build::collect(&mut entries, directory, "", &|name| matches!(name, ".git" | ".shipway" | "target"))?;
    }
    if directory.join("Procfile").is_file() {
        include.push("Procfile".to_owned());
    }
    for path in include {
        let Some(below) = inside(&path).filter(|below| directory.join(below).exists()) else {
            let message = format!("`{path}`, which the artifact is to hold, is not there after the build");
            return Err(Gather::Missing(message));
        };
        build::collect(&mut entries, &directory.join(&below), &below.to_string_lossy(), &|_| false)?;
    }
    processes.extend(recipe.processes.clone());
    Ok((entries, Manifest { processes }))
}
