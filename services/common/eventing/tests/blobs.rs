//! What a store of blobs owes: every test here runs against a folder and against an S3 that checks its keys.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

#[path = "../../../../integration-tests/src/s3.rs"]
#[expect(unreachable_pub, reason = "a crate's module there")]
mod s3;

use std::{collections::BTreeSet, path::PathBuf};

use futures::TryStreamExt;
use s3::{ACCESS_KEY, S3, SECRET_KEY};
use shipway_eventing::{
    BlobId, BlobOptions, Blobs,
    blobs::{BlobError, Object},
};

const BUCKET: &str = "ships";
const MIB: usize = 1 << 20;

/// A store of a test's own.
struct Given {
    blobs: Blobs,
    folder: tempfile::TempDir,
    server: Option<S3>,
}

impl Given {
    async fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().join("blobs").display());
        let blobs = Blobs::connect(&url, &BlobOptions::default()).await.unwrap();
        Self { blobs, folder, server: None }
    }

    async fn s3() -> Self {
        let server = S3::start(BUCKET).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::connect("s3://ships/some/prefix", &options(&server)).await.unwrap();
        Self { blobs, folder, server: Some(server) }
    }

    /// The file that a blob is.
    fn file(&self, id: &BlobId) -> PathBuf {
        let root = match &self.server {
            None => self.folder.path().join("blobs"),
            Some(server) => server.files(BUCKET).join("some/prefix"),
        };
        root.join("sha256").join(&id.hex()[..2]).join(id.hex())
    }
}

fn options(server: &S3) -> BlobOptions {
    BlobOptions {
        endpoint: Some(server.endpoint()),
        region: Some("eu-1".to_owned()),
        access_key: Some(ACCESS_KEY.to_owned()),
        path_style: true,
        secret_key: Some(SECRET_KEY.to_owned()),
        allow_http: true,
        ..BlobOptions::default()
    }
}

/// A module per store with one test per function.
macro_rules! contract {
    ($($name:ident,)*) => {
        mod folder {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Given::folder().await).await;
            })*
        }
        mod s3_server {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Given::s3().await).await;
            })*
        }
    };
}

contract! {
    what_is_put_can_be_read_in_every_way_and_is_stored_once,
    a_large_blob_is_sent_in_parts_and_has_its_name_only_when_whole,
    damage_is_found_by_whoever_reads,
    what_is_shorter_than_its_name_says_is_put_right,
    many_blobs_are_listed_over_pages,
    objects_have_names_of_their_own_and_stay_under_their_prefix,
}

async fn what_is_put_can_be_read_in_every_way_and_is_stored_once(given: &Given) {
    let blobs = &given.blobs;
    let content = vec![7_u8; 3 * MIB + 5];
    let file = given.folder.path().join("in");
    std::fs::write(&file, &content).unwrap();
    let id = blobs.put_file(&file).await.unwrap();
    assert_eq!(id, blobs.put(content.clone()).await.unwrap());
    assert_eq!(id, BlobId::of(&content));
    assert_eq!(blobs.get(&id).await.unwrap(), content);
    assert_eq!(blobs.get_range(&id, 5..9).await.unwrap(), content[5..9]);
    assert_eq!(blobs.size(&id).await.unwrap(), content.len() as u64);
    let copy = given.folder.path().join("out");
    blobs.copy_to(&id, &copy).await.unwrap();
    assert_eq!(std::fs::read(copy).unwrap(), content);
    let all: Vec<_> = blobs.list().try_collect().await.unwrap();
    assert_eq!(all, [(id.clone(), content.len() as u64)]);
    blobs.delete(&id).await.unwrap();
    blobs.delete(&id).await.unwrap();
    assert!(!blobs.exists(&id).await.unwrap());
    assert!(matches!(blobs.get(&id).await, Err(BlobError::Missing(_))));
}

async fn a_large_blob_is_sent_in_parts_and_has_its_name_only_when_whole(given: &Given) {
    // Its parts differ, so that none can take another's place.
    let content: Vec<u8> = (0..17 * MIB + 3).map(|n| (n >> 12) as u8).collect();
    let id = BlobId::of(&content);
    let mut dropped = given.blobs.writer().await.unwrap();
    let mut writer = given.blobs.writer().await.unwrap();
    for chunk in content.chunks(3 * MIB) {
        dropped.write(chunk.to_vec().into()).await.unwrap();
        writer.write(chunk.to_vec().into()).await.unwrap();
    }
    assert_eq!(writer.size(), content.len() as u64);
    drop(dropped);
    assert!(!given.blobs.exists(&id).await.unwrap());
    assert_eq!(writer.finish().await.unwrap(), id);
    assert_eq!(given.blobs.get(&id).await.unwrap(), content);
    // The same from a file is found there, and not sent again.
    let file = given.folder.path().join("large");
    std::fs::write(&file, &content).unwrap();
    let asked = given.server.as_ref().map(S3::asked);
    assert_eq!(given.blobs.put_file(&file).await.unwrap(), id);
    if let (Some(server), Some(asked)) = (&given.server, asked) {
        assert_eq!(server.asked(), asked + 1);
    }
    given.blobs.delete(&id).await.unwrap();
    assert_eq!(given.blobs.put_file(&file).await.unwrap(), id);
    assert_eq!(given.blobs.size(&id).await.unwrap(), content.len() as u64);
    let copy = given.folder.path().join("copy");
    given.blobs.copy_to(&id, &copy).await.unwrap();
}

async fn damage_is_found_by_whoever_reads(given: &Given) {
    let id = given.blobs.put("original").await.unwrap();
    std::fs::write(given.file(&id), "tampered").unwrap();
    assert!(matches!(given.blobs.get(&id).await, Err(BlobError::Damaged { .. })));
    let streamed = given.blobs.stream(&id).await.unwrap().try_collect::<Vec<_>>().await;
    assert!(matches!(streamed, Err(BlobError::Damaged { .. })), "{streamed:?}");
    let target = given.folder.path().join("copy");
    assert!(matches!(given.blobs.copy_to(&id, &target).await, Err(BlobError::Damaged { .. })));
    assert!(!target.exists());
}

async fn what_is_shorter_than_its_name_says_is_put_right(given: &Given) {
    let id = given.blobs.put("original").await.unwrap();
    std::fs::write(given.file(&id), "orig").unwrap();
    given.blobs.put("original").await.unwrap();
    assert_eq!(given.blobs.get(&id).await.unwrap(), "original");
}

async fn many_blobs_are_listed_over_pages(given: &Given) {
    // A page has 1,000 at most.
    let mut expected = BTreeSet::new();
    for n in 0..1_205 {
        let content = format!("blob {n}");
        let id = BlobId::of(content.as_bytes());
        let file = given.file(&id);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
        expected.insert(id);
    }
    let listed: Vec<_> = given.blobs.list().try_collect().await.unwrap();
    assert_eq!(listed.len(), expected.len());
    assert_eq!(listed.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), expected);
}

async fn objects_have_names_of_their_own_and_stay_under_their_prefix(given: &Given) {
    let logs = given.blobs.objects("logs");
    logs.put("run-1/build/00", "first").await.unwrap();
    logs.put("run-1/build/00", "first, again").await.unwrap();
    logs.put("run-1/build/01", "second").await.unwrap();
    logs.put("run-2/build/00", "third").await.unwrap();
    assert_eq!(logs.get("run-1/build/00").await.unwrap(), "first, again");
    assert_eq!(logs.get_range("run-1/build/01", 1..4).await.unwrap(), "eco");
    let names = async |folder: &str| {
        let listed: Vec<Object> = logs.list(folder).unwrap().try_collect().await.unwrap();
        let mut names: Vec<_> = listed.into_iter().map(|object| (object.name, object.size)).collect();
        names.sort();
        names
    };
    assert_eq!(names("run-1").await, [("run-1/build/00".to_owned(), 12), ("run-1/build/01".to_owned(), 6)]);
    assert_eq!(names("").await.len(), 3);
    logs.delete("run-1/build/00").await.unwrap();
    logs.delete("run-1/build/00").await.unwrap();
    assert!(matches!(logs.get("run-1/build/00").await, Err(BlobError::NoObject(_))));
    assert_eq!(given.blobs.list().try_collect::<Vec<_>>().await.unwrap(), []);
    for name in ["", "../sha256/x", "/etc/passwd/../x", "a//b"] {
        assert!(matches!(logs.put(name, "x").await, Err(BlobError::BadName(_))), "{name}");
    }
}

#[tokio::test]
async fn a_refused_key_and_a_missing_bucket_say_so() {
    let server = S3::start(BUCKET).unwrap();
    let wrong = BlobOptions { secret_key: Some("another".into()), ..options(&server) };
    let error = Blobs::connect("s3://ships/x", &wrong).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("s3://ships/x") && text.contains("credentials"), "{error:?}");
    assert!(!format!("{error:?}").contains("another"));
    let missing = Blobs::connect("s3://elsewhere", &options(&server)).await.unwrap_err().to_string();
    assert!(missing.contains("s3://elsewhere") && missing.contains("no such bucket"), "{missing}");
    let plain = BlobOptions { allow_http: false, ..options(&server) };
    Blobs::connect("s3://ships", &plain).await.unwrap_err();
}

#[tokio::test]
async fn a_store_that_is_busy_for_a_while_is_asked_again() {
    let given = Given::s3().await;
    let server = given.server.as_ref().unwrap();
    server.fail_next(2);
    let id = given.blobs.put("patience").await.unwrap();
    server.fail_next(2);
    assert_eq!(given.blobs.get(&id).await.unwrap(), "patience");
    let objects = s3::objects(&server.files(BUCKET));
    assert_eq!(objects, [given.file(&id)]);
}

#[tokio::test]
async fn the_same_blob_from_many_at_once_is_one() {
    let given = Given::s3().await;
    let puts = (0..8).map(|_| given.blobs.put("the same"));
    let ids = futures::future::try_join_all(puts).await.unwrap();
    assert!(ids.iter().all(|id| *id == BlobId::of(b"the same")));
    assert_eq!(given.blobs.get(&ids[0]).await.unwrap(), "the same");
}
