//! Backups made while writers run, and what comes back from them: from either database into either.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod given;
#[path = "../../../../../integration-tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "a crate's module there, of which this suite needs a part")]
mod postgres;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use given::{Given, Writers, item};
use shipway_eventing::{
    Blobs, Log, OpenError, PostgresLog, PostgresOptions, SqliteLog, SqliteOptions, Views,
    backup::{Backup, BackupError, Progress, backup, restore, restore_to_servers},
    verify::verify,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_comes_back_in_either_mode() {
    for given in [Given::sqlite().await, Given::postgres().await] {
        let writers = Writers::start(&given);
        writers.until(120).await;
        let target = given.folder.path().join("backup");
        let manifest = backup(given.source(None), &target).await.unwrap();
        assert!(matches!(backup(given.source(None), &target).await, Err(BackupError::Exists(_))));
        writers.until(manifest.position + 20).await;
        writers.stop().await;
        assert!(manifest.position >= 120);
        for other in [Given::empty_folder(), Given::empty_server()] {
            let mut proven = 0;
            let restored = other
                .restore(&target, |progress| {
                    if let Progress::Proven(position) = progress {
                        proven = position;
                    }
                })
                .await
                .unwrap();
            assert_eq!((&restored.manifest, restored.report.head), (&manifest, manifest.position));
            assert_eq!((restored.report.bad.clone(), proven), (None, manifest.position));
            let back = other.open().await;
            assert_eq!(back.log.id(), given.log.id());
            assert!(back.log.generation() > manifest.generation);
            assert_eq!(back.log.generation(), restored.generation);
            back.is_what_was_up_to(&given, manifest.position).await;
            // It goes on from there.
            let appended = back.log.append(item(1_000_000, 1)).await.unwrap();
            assert_eq!(appended.first, manifest.position + 1);
            assert!(verify(&*back.log).await.unwrap().is_whole());
            let occupied = back.restore(&target, |_| {}).await.unwrap_err();
            assert!(matches!(occupied, BackupError::NotEmpty { .. }), "{occupied}");
            back.end().await;
        }
        given.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_in_it_if_asked_for() {
    let given = Given::sqlite().await;
    given.log.append(item(1, 1)).await.unwrap();
    let keys = given.folder.path().join("the keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("kek"), "key").unwrap();
    let (with, without) = (given.folder.path().join("with"), given.folder.path().join("without"));
    assert!(backup(given.source(Some(&keys)), &with).await.unwrap().keys);
    assert!(!backup(given.source(None), &without).await.unwrap().keys);
    let into = given.folder.path().join("into");
    restore(&with, &into, |_| {}).await.unwrap();
    assert_eq!(std::fs::read_to_string(into.join("keys/kek")).unwrap(), "key");
    let into = given.folder.path().join("into without");
    restore(&without, &into, |_| {}).await.unwrap();
    assert!(!into.join("keys").exists());
    given.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let given = Given::sqlite().await;
    for n in 0..40 {
        given.log.append(item(n, 3_000)).await.unwrap();
    }
    let target = given.folder.path().join("backup");
    backup(given.source(None), &target).await.unwrap();
    let whole = std::fs::read(&target).unwrap();
    let mut bad = vec![("text".to_owned(), b"hello".to_vec()), ("nothing".to_owned(), Vec::new())];
    for part in 1..8 {
        bad.push((format!("cut at {part}/8"), whole[..whole.len() * part / 8].to_vec()));
        let mut changed = whole.clone();
        changed[whole.len() * part / 8] ^= 0x10;
        bad.push((format!("changed at {part}/8"), changed));
    }
    bad.push(("without its last byte".to_owned(), whole[..whole.len() - 1].to_vec()));
    let into = given.folder.path().join("into");
    for (name, content) in bad {
        let path = given.folder.path().join("bad");
        std::fs::write(&path, content).unwrap();
        assert!(restore(&path, &into, |_| {}).await.is_err(), "{name}");
        assert_eq!(std::fs::read_dir(&into).unwrap().count(), 0, "{name}");
        // What is still open would be closed in the next one's files: SQLite removes a write-ahead log by its name.
        assert_eq!(open_files(&into), Vec::<PathBuf>::new(), "{name}");
    }
    // A lock that the caller holds is fine.
    std::fs::write(into.join("lock"), "").unwrap();
    restore(&target, &into, |_| {}).await.unwrap();
    given.end().await;
}

/// The files of a folder, removed ones too, that this process has open.
fn open_files(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = all.filter_map(|one| std::fs::read_link(one.unwrap().path()).ok());
    open.filter(|path| path.starts_with(folder)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_starts_on_a_restore_that_was_cut_off() {
    let given = Given::sqlite().await;
    for n in 0..600 {
        given.log.append(item(n, 10)).await.unwrap();
    }
    let target = given.folder.path().join("backup");
    backup(given.source(None), &target).await.unwrap();
    let other = Given::empty_server();
    let url = other.url().unwrap();
    let blobs = Some(Blobs::open(&other.folder.path().join("blobs")).await.unwrap());
    let options = PostgresOptions { blobs, allow_not_durable: true, ..PostgresOptions::default() };
    // It ends in the middle of the rows, as if its process had been killed.
    let (reached, mut half) = tokio::sync::mpsc::unbounded_channel();
    let filling = restore_to_servers(&target, &url, options.clone(), None, move |progress| {
        let _ = reached.send(progress);
    });
    tokio::select! {
        ended = filling => panic!("it ended first: {ended:?}"),
        progress = half.recv() => assert!(matches!(progress, Some(Progress::Filled(_)))),
    }
    let refused = PostgresLog::connect(&url, options.clone()).await.err().unwrap();
    assert!(matches!(refused, OpenError::HalfRestored { .. }), "{refused}");
    let again = restore_to_servers(&target, &url, options, None, |_| {}).await.unwrap_err();
    assert!(matches!(again, BackupError::CutOff { .. }), "{again}");
    given.end().await;
}

#[tokio::test]
async fn a_blob_that_is_missing_is_no_backup() {
    let given = Given::sqlite().await;
    given.log.append(item(1, 300_000)).await.unwrap();
    std::fs::remove_dir_all(given.folder.path().join("blobs/sha256")).unwrap();
    let target = given.folder.path().join("backup");
    let error = backup(given.source(None), &target).await.unwrap_err();
    assert!(matches!(error, BackupError::MissingBlob(_)), "{error}");
    assert!(!target.exists());
    given.end().await;
}

#[tokio::test]
async fn a_backup_whose_reader_goes_away_ends() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let given = Given::sqlite().await;
    for n in 0..40 {
        given.log.append(item(n, 200_000)).await.unwrap();
    }
    let begun = Backup::begin(given.source(None)).await.unwrap();
    assert!(matches!(begun.write(Gone).await, Err(BackupError::Write(_))));
    given.end().await;
}

#[tokio::test]
async fn views_of_another_generation_are_built_anew() {
    let given = Given::sqlite().await;
    for n in 0..20 {
        given.log.append(item(n, 10)).await.unwrap();
    }
    let file = given.folder.path().join("views.db");
    let views = Views::open(&file, &*given.log).await.unwrap();
    let note = "INSERT INTO read_models (name, version, position, tables) VALUES ('m', 1, 5, 'm_v1')";
    let direct = format!("sqlite://{}", file.display());
    let mut direct = <sqlx::SqliteConnection as sqlx::Connection>::connect(&direct).await.unwrap();
    sqlx::query(note).execute(&mut direct).await.unwrap();
    views.close().await;
    let views = Views::open(&file, &*given.log).await.unwrap();
    assert_eq!(views.position("m").await.unwrap(), 5);
    views.close().await;
    let target = given.folder.path().join("backup");
    backup(given.source(None), &target).await.unwrap();
    let restored = given.folder.path().join("restored");
    restore(&target, &restored, |_| {}).await.unwrap();
    std::fs::copy(&file, restored.join("views.db")).unwrap();
    let log = open_folder(&restored).await;
    let views = Views::open(&restored.join("views.db"), &log).await.unwrap();
    let behind = views.wait_for(&["m"], 1, Duration::from_millis(30)).await;
    assert!(behind.is_err());
    views.close().await;
    log.close().await;
    given.end().await;
}

/// The first format held the file of the embedded log as it was.
#[tokio::test]
async fn a_backup_of_the_first_format_comes_back() {
    let given = Given::sqlite().await;
    let artifact = given.log.blobs().unwrap().put("an artifact").await.unwrap();
    for n in 0..20 {
        given.log.append(item(n, 100)).await.unwrap();
    }
    let events = given.log.read(0, 100).await.unwrap();
    let (id, generation) = (given.log.id().to_owned(), given.log.generation());
    let folder = given.folder.path().to_owned();
    let copy = folder.join("copy.db");
    let file = format!("sqlite://{}", folder.join("log.db").display());
    let mut direct = <sqlx::SqliteConnection as sqlx::Connection>::connect(&file).await.unwrap();
    let copied = sqlx::query("VACUUM INTO $1").bind(copy.to_str().unwrap()).execute(&mut direct).await;
    copied.unwrap();
    given.log.close().await;
    let target = folder.join("first");
    let packer = zstd::Encoder::new(std::fs::File::create(&target).unwrap(), 3).unwrap();
    let mut tar = tar::Builder::new(packer);
    let manifest =
        format!(r#"{{"format":1,"log":"{id}","generation":{generation},"position":20,"keys":false}}"#);
    let mut header = tar::Header::new_gnu();
    header.set_size(manifest.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, "manifest.json", manifest.as_bytes()).unwrap();
    tar.append_path_with_name(copy, "log.db").unwrap();
    tar.append_dir_all("blobs/sha256", folder.join("blobs/sha256")).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    let into = folder.join("into");
    let restored = restore(&target, &into, |_| {}).await.unwrap();
    assert_eq!((restored.report.events, restored.generation > generation), (20, true));
    let log = open_folder(&into).await;
    assert_eq!(log.read(0, 100).await.unwrap(), events);
    assert_eq!(log.blobs().unwrap().get(&artifact).await.unwrap(), "an artifact");
    log.close().await;
}

async fn open_folder(data: &Path) -> SqliteLog {
    let blobs = Some(Blobs::open(&data.join("blobs")).await.unwrap());
    SqliteLog::open(&data.join("log.db"), SqliteOptions { blobs }).await.unwrap()
}
