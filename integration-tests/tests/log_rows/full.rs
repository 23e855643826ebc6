//! L-8: the disk of the log's tables is full. What was answered stays, appends say what is wrong, and go on by themselves
//! when there is room again.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    time::{Duration, Instant},
};

use shipway_eventing::{AppendError, Expected, Item, Log, verify::verify};
use shipway_events::NewEvent;
use shipway_integration_tests::postgres::disk::Disk;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::given::{Given, command, meta, stream};

/// The size of the disk, of what keeps it busy, and of an event, in bytes.
const DISK: usize = 64 << 20;
const BUSY: usize = 32 << 20;
const EVENT: usize = 200 << 10;

pub(crate) async fn a_full_disk_loses_nothing_and_heals(given: &mut Given) {
    if !Disk::is_allowed() {
        println!("ROW L-8 postgresql skipped=only-root-can-mount");
        return;
    }
    let mut superuser = given.superuser().await;
    let data: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut superuser).await.unwrap();
    let owner = fs::metadata(&data).unwrap();
    let (uid, gid) = (owner.uid(), owner.gid());
    let folder = tempfile::Builder::new().prefix("shipway-disk-").tempdir().unwrap();
    let disk = Disk::mount(folder.path(), DISK, Some((uid, gid))).unwrap();
    let space = disk.folder().join("space");
    fs::write(disk.folder().join("busy"), vec![0; BUSY]).unwrap();
    let place = format!("CREATE TABLESPACE small LOCATION '{}'", space.display());
    fs::create_dir(&space).unwrap();
    chown(&space, Some(uid), Some(gid)).unwrap();
    sqlx::raw_sql(AssertSqlSafe(place)).execute(&mut superuser).await.unwrap();
    sqlx::raw_sql("CREATE DATABASE small TABLESPACE small").execute(&mut superuser).await.unwrap();
    let url = given.url().replace("/shipway", "/small");
    let log = given.at(&url).await;
    let mut acked = 0_u64;
    let refused = loop {
        match log.append(large(acked)).await {
            Ok(_) => acked += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::DiskFull { .. }) && refused.is_transient(), "{refused}");
    let full_at = acked;
    // Reading goes on.
    assert_eq!(log.head().await.unwrap().position, acked);
    let again = log.append(large(acked)).await.unwrap_err();
    assert!(again.is_transient(), "{again}");
    fs::remove_file(disk.folder().join("busy")).unwrap();
    let freed = Instant::now();
    while let Err(error) = log.append(large(acked)).await {
        assert!(error.is_transient(), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let healed = freed.elapsed();
    acked += 1;
    for _ in 0..20 {
        log.append(large(acked)).await.unwrap();
        acked += 1;
    }
    let report = verify(&log).await.unwrap();
    println!(
        "ROW L-8 postgresql full_at={full_at} acked={acked} events={} bad={} healed_ms={}",
        report.events,
        u8::from(report.bad.is_some()),
        healed.as_millis()
    );
    assert_eq!((report.events, report.bad), (acked, None));
    assert!(!crate::full() || healed < Duration::from_secs(30), "{healed:?}");
    log.close().await;
    superuser.close().await.unwrap();
    let mut superuser = PgConnection::connect(&given.url()).await.unwrap();
    sqlx::raw_sql("DROP DATABASE small WITH (FORCE)").execute(&mut superuser).await.unwrap();
    sqlx::raw_sql("DROP TABLESPACE small").execute(&mut superuser).await.unwrap();
    superuser.close().await.unwrap();
}

/// An event that does not get smaller by being packed.
fn large(n: u64) -> Item {
    use rand::{Rng, SeedableRng, rngs::SmallRng};
    let mut bytes = vec![0; EVENT / 2];
    SmallRng::seed_from_u64(n).fill_bytes(&mut bytes);
    let event = NewEvent { kind: "test.happened", schema: 1, data: format!("\"{}\"", hex::encode(bytes)) };
    Item::one(command(), meta(), stream(format!("large-{n}")), Expected::New, vec![event])
}
