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
    // Everything is read below the source folder, so that a link that the build put in the place of its work dir
    // leads nowhere.
    let work_dir = directory.strip_prefix(&folders.source).unwrap_or(Path::new("")).to_owned();
    let (recipe, programs, source) = (recipe.clone(), programs.to_vec(), folders.source.clone());
    let file = folders.temporary.join("artifact.tar.zst");
    let to = file.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let (entries, manifest) = gather(&recipe, &programs, &source, &work_dir)?;
        build::pack(&source, &entries, &manifest, &to).map_err(Gather::Io)
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

fn gather(
    recipe: &Recipe,
    programs: &[String],
    source: &Path,
    work_dir: &Path,
) -> Result<(Entries, Manifest), Gather> {
    let there = |below: &Path| source.join(work_dir).join(below).symlink_metadata().is_ok();
    let mut entries = Entries::new();
    let mut processes = BTreeMap::new();
    let mut include = recipe.include.clone();
    if recipe.cargo {
        for name in programs {
            let program = Path::new(".shipway/bin").join(name);
            if there(&program) {
                let below = work_dir.join(&program);
                build::collect(&mut entries, source, &below, &format!("bin/{name}"), &|_| false)?;
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
        let skip = |name: &str| matches!(name, ".git" | ".shipway" | "target");
        build::collect(&mut entries, source, work_dir, "", &skip)?;
    }
    if there(Path::new("Procfile")) {
        include.push("Procfile".to_owned());
    }
    for path in include {
        let Some(below) = inside(&path).filter(|below| there(below)) else {
            let message = format!("`{path}`, which the artifact is to hold, is not there after the build");
            return Err(Gather::Missing(message));
        };
        let name = below.to_string_lossy().into_owned();
        build::collect(&mut entries, source, &work_dir.join(&below), &name, &|_| false)?;
    }
    processes.extend(recipe.processes.clone());
    Ok((entries, Manifest { processes }))
}
