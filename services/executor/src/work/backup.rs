//! Backups of addons, and back.

use std::fs;

use serde_json::{Map, Value, json};
use shipway_eventing::BlobId;
use shipway_events::run::Effect;
use shipway_nodes::workload::{Backup, Fate, Kept, Restore};

use super::{Attempt, Failure, Success, error, io_failure};
use crate::{addon, build, os::files};

pub(super) async fn run(attempt: &Attempt<'_>, work: &Backup) -> Result<Success, Failure> {
    // A finished backup of this id is not made again: the record is written before the answer.
    let records = attempt.host.folder.join("addons").join(work.addon.addon.id.to_string()).join("backups");
    let make = fs::create_dir_all(&records);
    make.map_err(|source| io_failure("opening the backup records", &source, &records))?;
    let name: String = work.backup.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let (record, dump) = (records.join(format!("{name}.json")), records.join(format!("{name}.dump")));
    let known: Option<Effect> = files::read_json(&record)
        .map_err(|source| io_failure("reading a backup record", &source, &records))?;
    let effect = match known {
        Some(effect) => effect,
        None => {
            let made = addon::engine(&work.addon.engine)?.backup(attempt, work, &dump).await;
            let recorded = made.and_then(|effect| {
                let saved = files::write_json(&record, &effect);
                saved.map_err(|source| io_failure("recording the backup", &source, &records))?;
                Ok(effect)
            });
            let _ = fs::remove_file(&dump);
            recorded?
        }
    };
    let outputs = json!({
        "id": work.backup,
        "name": work.backup,
        "addonId": work.addon.addon.slug,
        "status": "completed",
        "type": "dump",
    });
    Ok(Success { outputs: object(outputs), effects: vec![effect] })
}

pub(super) async fn restore(attempt: &Attempt<'_>, work: &Restore) -> Result<Success, Failure> {
    let engine = addon::engine(&work.addon.engine)?;
    let kept = if engine.has_loaded(attempt, work).await? {
        attempt.note(&format!("{} is loaded already", work.backup));
        if work.only_load { None } else { engine.restore(attempt, work, None).await? }
    } else {
        fetched(attempt, work, &*engine).await?
    };
    let (addon, backup) = (work.addon.addon.slug.clone(), work.backup.clone());
    let restored = Effect::Restored { addon, backup, resource: Some(work.addon.addon.id), kept };
    let outputs = json!({ "id": work.backup, "addonId": work.addon.addon.slug, "status": "completed" });
    Ok(Success {
        outputs: object(outputs),
        effects: (!work.only_load).then_some(restored).into_iter().collect(),
    })
}

/// Fetches the backup and has the engine load it, or put it in place.
async fn fetched(
    attempt: &Attempt<'_>,
    work: &Restore,
    engine: &dyn addon::Engine,
) -> Result<Option<String>, Failure> {
    let folder = attempt.host.folder.join("addons").join(work.addon.addon.id.to_string()).join("tmp");
    let what = format!("fetching the backup {}", work.backup);
    fs::create_dir_all(&folder).map_err(|source| io_failure(&what, &source, &folder))?;
    let id: BlobId = work.pin.digest.parse().map_err(|bad| error("bad_backup", format!("{bad}")))?;
    let token = attempt.given.fence.raw();
    remove_old(&folder);
    let (stored, dump) =
        (folder.join(format!("restore-{token}.blob")), folder.join(format!("restore-{token}.dump")));
    let restored = async {
        let copied = attempt.host.blobs.copy_to(&id, &stored).await;
        copied.map_err(|failure| build::blob_failure(&what, &failure, &folder))?;
        let (from, to) = (stored.clone(), dump.clone());
        let unpacked = tokio::task::spawn_blocking(move || decompress(&from, &to)).await;
        let unpacked = unpacked.unwrap_or_else(|failure| Err(std::io::Error::other(failure)));
        unpacked.map_err(|source| io_failure(&what, &source, &folder))?;
        if work.only_load {
            attempt.note(&format!("loading {} beside the content of {}", work.backup, work.addon.addon.slug));
            return engine.load(attempt, work, &dump).await.map(|()| None);
        }
        attempt.note(&format!("restoring {} from {}", work.addon.addon.slug, work.backup));
        engine.restore(attempt, work, Some(&dump)).await
    };
    let restored = restored.await;
    let _ = fs::remove_file(&stored);
    let _ = fs::remove_file(&dump);
    restored
}

/// What was kept when a backup was put into an addon is let go of, or put back.
pub(super) async fn kept(attempt: &Attempt<'_>, work: &Kept) -> Result<Success, Failure> {
    let engine = addon::engine(&work.addon.engine)?;
    let slug = &work.addon.addon.slug;
    let effect = match work.fate {
        Fate::LetGo => {
            let let_go = engine.let_go(attempt, &work.addon).await?;
            attempt.note(&format!("let go of {} content(s) that {slug} had before", let_go.len()));
            Effect::AddonStarted { addon: work.addon.addon.id, slug: slug.clone(), let_go }
        }
        Fate::PutBack => {
            let (back, kept) = engine.put_back(attempt, &work.addon).await?;
            attempt.note(&format!("{slug} has again what was kept as {back}"));
            Effect::Restored { addon: slug.clone(), backup: back, resource: Some(work.addon.addon.id), kept }
        }
    };
    Ok(Success { outputs: Map::new(), effects: vec![effect] })
}

/// What attempts left that a crash cut off.
fn remove_old(folder: &std::path::Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

/// A dump that was stored with zstd is taken out of it; any other is as it is.
fn decompress(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    use std::io::Read;
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let mut file = fs::File::open(from)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    if magic != ZSTD {
        return fs::rename(from, to);
    }
    let mut decoder = zstd::Decoder::new(fs::File::open(from)?)?;
    std::io::copy(&mut decoder, &mut fs::File::create(to)?).map(|_| ())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
