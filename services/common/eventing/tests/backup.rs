//! A backup made while writers run, and what comes back from it.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

use std::{path::Path, sync::Arc, time::Duration};

use shipway_eventing::{
    Blobs, Expected, Item, Log, SqliteLog, SqliteOptions, Views,
    backup::{BackupError, backup, restore},
    verify::verify,
};
use shipway_events::{Actor, Cause, CommandId, Meta, NewEvent, StreamName};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_whole_and_its_generation_is_higher() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = Arc::new(open(&data).await);
    let artifact = Blobs::open(&data.join("blobs")).await.unwrap().put("an artifact").await.unwrap();
    std::fs::create_dir(data.join("keys")).unwrap();
    std::fs::write(data.join("keys/kek"), "key").unwrap();
    let writer = Arc::clone(&log);
    let appending = tokio::spawn(async move {
        for n in 0.. {
            let size = if n % 50 == 0 { 300_000 } else { 10 };
            writer.append(item(n, size)).await.unwrap();
            if n == 400 {
                return;
            }
        }
    });
    let mut tail = log.tail();
    tail.wait_for(|at| *at >= 60).await.unwrap();
    let target = folder.path().join("backup.tar.zst");
    let manifest = backup(&data, &target, false).await.unwrap();
    assert!(matches!(backup(&data, &target, false).await, Err(BackupError::Exists(_))));
    let with_keys = folder.path().join("keys.tar.zst");
    backup(&data, &with_keys, true).await.unwrap();
    appending.await.unwrap();
    let original = log.read(0, 1_000).await.unwrap();
    log.close().await;
    assert!(manifest.position >= 60 && manifest.position <= 401, "{manifest:?}");

    let restored = folder.path().join("restored");
    let (said, report) = restore(&target, &restored).await.unwrap();
    assert_eq!((said, report.head, report.bad), (manifest.clone(), manifest.position, None));
    assert!(!restored.join("keys").exists());
    let log = open(&restored).await;
    assert_eq!((log.id(), log.generation() > manifest.generation), (manifest.log.as_str(), true));
    let events = log.read(0, 1_000).await.unwrap();
    assert_eq!(events, original[..events.len()]);
    let blobs = Blobs::open(&restored.join("blobs")).await.unwrap();
    assert_eq!(blobs.get(&artifact).await.unwrap(), "an artifact");
    log.append(item(1_000, 1)).await.unwrap();
    assert!(verify(&log).await.unwrap().is_whole());
    log.close().await;

    let again = folder.path().join("again");
    restore(&with_keys, &again).await.unwrap();
    assert_eq!(std::fs::read_to_string(again.join("keys/kek")).unwrap(), "key");
    let occupied = restore(&target, &restored).await.unwrap_err();
    assert!(matches!(occupied, BackupError::NotEmpty { .. }), "{occupied}");
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = open(&data).await;
    for n in 0..20 {
        log.append(item(n, 100)).await.unwrap();
    }
    log.close().await;
    let target = folder.path().join("backup");
    backup(&data, &target, true).await.unwrap();
    let whole = std::fs::read(&target).unwrap();
    let into = folder.path().join("into");
    for (name, content) in [("text", b"hello".to_vec()), ("cut", whole[..whole.len() / 2].to_vec())] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        restore(&path, &into).await.unwrap_err();
        assert_eq!(std::fs::read_dir(&into).unwrap().count(), 0, "{name}");
    }
    // A lock that the caller holds is fine.
    std::fs::write(into.join("lock"), "").unwrap();
    restore(&target, &into).await.unwrap();
}

#[tokio::test]
async fn views_of_another_generation_are_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = open(&data).await;
    let views = Views::open(&data.join("views.db"), &log).await.unwrap();
    let note = "INSERT INTO read_models (name, version, position, tables) VALUES ('m', 1, 5, 'm_v1')";
    let file = format!("sqlite://{}", data.join("views.db").display());
    let mut direct = <sqlx::SqliteConnection as sqlx::Connection>::connect(&file).await.unwrap();
    sqlx::query(note).execute(&mut direct).await.unwrap();
    assert_eq!(views.position("m").await.unwrap(), 5);
    views.close().await;
    let views = Views::open(&data.join("views.db"), &log).await.unwrap();
    assert_eq!(views.position("m").await.unwrap(), 5);
    views.close().await;
    log.close().await;
    let target = folder.path().join("backup");
    backup(&data, &target, true).await.unwrap();
    let restored = folder.path().join("restored");
    restore(&target, &restored).await.unwrap();
    std::fs::copy(data.join("views.db"), restored.join("views.db")).unwrap();
    let log = open(&restored).await;
    let views = Views::open(&restored.join("views.db"), &log).await.unwrap();
    let behind = views.wait_for(&["m"], 1, Duration::from_millis(30)).await;
    assert!(behind.is_err());
    views.close().await;
    log.close().await;
}

async fn open(data: &Path) -> SqliteLog {
    let blobs = Some(Blobs::open(&data.join("blobs")).await.unwrap());
    SqliteLog::open(&data.join("log.db"), SqliteOptions { blobs }).await.unwrap()
}

fn item(n: u64, size: usize) -> Item {
    let meta = Meta { actor: Actor::System("test".into()), cause: Cause::Clock, trace: None };
    let data = format!("\"{n} {}\"", "x".repeat(size));
    let event = NewEvent { kind: "test.happened", schema: 1, data };
    let stream = StreamName::parse(&format!("run-{n}")).unwrap();
    Item::one(CommandId::new(uuid::Uuid::now_v7()), meta, stream, Expected::New, vec![event])
}
