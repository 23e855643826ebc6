//! A PostgreSQL addon, from its start to its restore.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{process::Command, sync::Arc};

use common::{Data, eventually, free_port, target, walk};
use scheduler::{Scheduler, assignment, executor};
use serde_json::json;
use shipway_events::{Fence, plan::BackupPin, run::Effect};
use shipway_nodes::{
    Workload,
    workload::{Addon, Backup, Fate, Kept, Restart, Restore, Target},
};

fn fence(raw: u64) -> Fence {
    Fence::from_raw(raw)
}

/// What was there before a restore takes its place again, as often as somebody wants, until it is let go of.
async fn what_a_restore_keeps_can_be_put_back(
    scheduler: &Scheduler,
    executor: &shipway_executor::Executor,
    addon: &Addon,
    sql: &impl Fn(&str) -> (bool, String),
) {
    let backup = Backup {
        addon: addon.clone(),
        backup: "bk-kept".into(),
        backup_type: "dump".into(),
        compression: "zstd".into(),
    };
    executor.offer(assignment(81, "run/81", Workload::Backup(backup)));
    let (_, effects) = scheduler.succeed(fence(81)).await;
    let [Effect::BackedUp { digest, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert!(sql("DELETE FROM item WHERE n > 1").0);
    let pin = BackupPin { addon: "shop-db".into(), digest: digest.clone() };
    let restore =
        Restore { addon: addon.clone(), backup: "bk-kept".into(), pin, keep: true, only_load: false };
    // Loaded beforehand, it is beside what is there; asked again, it is not loaded again.
    let load = Workload::Restore(Restore { only_load: true, ..restore.clone() });
    let number_of = |name: &str| sql(&format!("SELECT oid FROM pg_database WHERE datname = '{name}'")).1;
    let mut loaded = Vec::new();
    for number in [811, 812] {
        executor.offer(assignment(number, "run811/1", load.clone()));
        assert!(scheduler.succeed(fence(number)).await.1.is_empty(), "nothing has changed yet");
        assert_eq!(sql("SELECT count(*) FROM item").1, "1");
        loaded.push(number_of("shop_db__new"));
    }
    executor.offer(assignment(82, "run82/1", Workload::Restore(restore.clone())));
    let (_, effects) = scheduler.succeed(fence(82)).await;
    let [Effect::Restored { kept: Some(kept), resource: Some(of), .. }] = &effects[..] else { panic!() };
    assert_eq!((kept.as_str(), *of), ("shop_db__kept_run821run821", addon.addon.id));
    assert_eq!(sql("SELECT count(*) FROM item").1, "1000");
    assert_eq!(loaded, [number_of("shop_db"), number_of("shop_db")], "what was loaded is what is there now");
    // Asked again, the same answer.
    executor.offer(assignment(83, "run82/1", Workload::Restore(restore)));
    assert_eq!(scheduler.succeed(fence(83)).await.1, effects);

    let decide = |fate| Workload::Kept(Kept { addon: addon.clone(), fate });
    for (number, rows) in [(84, "1"), (85, "1000")] {
        executor.offer(assignment(number, &format!("run{number}/1"), decide(Fate::PutBack)));
        let (_, effects) = scheduler.succeed(fence(number)).await;
        assert!(matches!(&effects[..], [Effect::Restored { kept: Some(_), .. }]), "{effects:?}");
        assert_eq!(sql("SELECT count(*) FROM item").1, rows);
    }
    executor.offer(assignment(813, "run813/1", load));
    scheduler.succeed(fence(813)).await;
    executor.offer(assignment(86, "run86/1", decide(Fate::LetGo)));
    let (_, effects) = scheduler.succeed(fence(86)).await;
    let [Effect::AddonStarted { let_go, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(let_go, &["shop_db__kept_run851run851"]);
    assert_eq!(sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'shop\\_db\\_%'").1, "0");
    executor.offer(assignment(87, "run87/1", decide(Fate::PutBack)));
    assert_eq!(scheduler.fail(fence(87)).await.code, "nothing_kept");
    assert_eq!(sql("SELECT count(*) FROM item").1, "1000");
}

/// A real PostgreSQL: started, backed up, damaged, restored, restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_comes_back_from_its_backup() {
    let data = Data::new();
    let scheduler = Arc::new(Scheduler::default());
    scheduler.secrets.lock().unwrap().insert("addon/shop-db/password".into(), "correct-horse-battery".into());
    let executor = executor(&data, &scheduler).await;
    let port = free_port();
    let database = Target { slug: "shop-db".into(), ..target() };
    let addon = Addon {
        addon: database.clone(),
        engine: "postgresql".into(),
        version: "latest".into(),
        port,
        credentials: [("password".to_owned(), json!({"$secret": "addon/shop-db/password@1"}))].into(),
        timeout_seconds: 60,
    };
    executor.offer(assignment(1, "run/1", Workload::Addon(addon.clone())));
    assert!(matches!(&scheduler.succeed(fence(1)).await.1[..], [Effect::AddonStarted { .. }]));
    let uri = shipway_nodes::addons::postgresql::connection_uri("shop-db", port, "correct-horse-battery");
    let sql = |statement: &str| {
        let output = Command::new("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", &uri, "-c", statement])
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    assert!(sql("CREATE TABLE item AS SELECT n FROM generate_series(1, 1000) n").0);
    let wrong = uri.replace("battery", "staple");
    assert!(
        !Command::new("psql").args(["-XAtq", &wrong, "-c", "SELECT 1"]).output().unwrap().status.success()
    );

    let mut number = 2;
    for compression in ["zstd", "gz", "none"] {
        let backup = Backup {
            addon: addon.clone(),
            backup: format!("bk-{compression}"),
            backup_type: "snapshot".into(),
            compression: compression.into(),
        };
        executor.offer(assignment(number, &format!("run/{number}"), Workload::Backup(backup.clone())));
        let (_, effects) = scheduler.succeed(fence(number)).await;
        let [Effect::BackedUp { digest, bytes, .. }] = &effects[..] else { panic!("{effects:?}") };
        assert!(*bytes > 0);
        // Asked again, the same answer and no second dump.
        executor.offer(assignment(number + 1, &format!("run/{number}"), Workload::Backup(backup)));
        assert_eq!(scheduler.succeed(fence(number + 1)).await.1, effects);
        assert!(sql("DROP TABLE item").0);
        assert!(!sql("SELECT count(*) FROM item").0);
        let pin = BackupPin { addon: "shop-db".into(), digest: digest.clone() };
        let restore = Restore {
            addon: addon.clone(),
            backup: format!("bk-{compression}"),
            pin,
            keep: false,
            only_load: false,
        };
        executor.offer(assignment(
            number + 2,
            &format!("run/{}", number + 2),
            Workload::Restore(restore.clone()),
        ));
        scheduler.succeed(fence(number + 2)).await;
        assert_eq!(sql("SELECT count(*), sum(n) FROM item"), (true, "1000|500500".to_owned()));
        // A restore that was made is not made again: what came after it stays.
        assert!(sql("DELETE FROM item WHERE n > 500").0);
        executor.offer(assignment(number + 3, &format!("run/{}", number + 2), Workload::Restore(restore)));
        scheduler.succeed(fence(number + 3)).await;
        assert_eq!(sql("SELECT count(*) FROM item").1, "500");
        assert!(sql("INSERT INTO item SELECT n FROM generate_series(501, 1000) n").0);
        number += 10;
    }
    let broken = Restore {
        addon: addon.clone(),
        backup: "bk-none".into(),
        pin: BackupPin {
            addon: "shop-db".into(),
            digest: shipway_eventing::Blobs::open(&data.path().join("blobs"))
                .await
                .unwrap()
                .put("no dump")
                .await
                .unwrap()
                .to_string(),
        },
        keep: true,
        only_load: false,
    };
    executor.offer(assignment(80, "run/80", Workload::Restore(broken)));
    assert_eq!(scheduler.fail(fence(80)).await.code, "restore_failed");
    assert_eq!(sql("SELECT count(*) FROM item").1, "1000");

    executor.offer(assignment(
        90,
        "run/90",
        Workload::Restart(Restart { target: database.clone(), wait: true, timeout_seconds: 60 }),
    ));
    scheduler.succeed(fence(90)).await;
    assert_eq!(sql("SELECT count(*) FROM item").1, "1000");
    what_a_restore_keeps_can_be_put_back(&scheduler, &executor, &addon, &sql).await;
    let mut old = addon.clone();
    old.version = "9.6".into();
    executor.offer(assignment(91, "run/91", Workload::Addon(old)));
    let failed = scheduler.fail(fence(91)).await;
    assert_eq!(failed.code, "missing_binary");
    assert!(failed.message.contains("apt-get install postgresql-9"), "{}", failed.message);

    // A killed keeper takes the server with it; the next executor starts both, and the rows are there.
    for pid in common::processes(&format!("host/keepers/{}", database.id)) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        );
    }
    eventually("the database is back", async || sql("SELECT count(*) FROM item").1 == "1000").await;
    for path in walk(&data.path().join("host")).into_iter().filter(|path| !path.contains("/data/")) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("horse"), "{path} holds the password");
    }
    executor.down().await.unwrap();
    assert!(!sql("SELECT 1").0);
}
