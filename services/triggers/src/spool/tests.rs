//! The spool on a disk: order, room, processes that die.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn open(folder: &Path, most: u64) -> Spool {
    let sealer = Arc::new(Sealer::open(&folder.join("keys")).unwrap());
    Spool::open(&folder.join("spool"), most, sealer).unwrap()
}

/// Everything in it, oldest first, which is then gone.
async fn drained(spool: &Spool) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(file) = spool.oldest().await.unwrap() {
        let contents = spool.read(&file).unwrap();
        all.extend(contents.deliveries.into_iter().map(|plain| String::from_utf8(plain).unwrap()));
        spool.done(file, contents.damaged).await.unwrap();
    }
    all
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("delivery {number}")).collect()
}

#[tokio::test]
async fn what_is_kept_comes_out_in_its_order_over_a_new_start_too() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    assert!(!spool.holds_any() && spool.oldest().await.unwrap().is_none());
    for name in names(10) {
        spool.keep(name.into_bytes()).await.unwrap();
    }
    assert!(spool.holds_any());
    let file = spool.oldest().await.unwrap().unwrap();
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(8).any(|part| part == b"delivery"), "readable on disk");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // What comes while the first file is read is in another one.
    spool.keep(b"later".to_vec()).await.unwrap();
    assert_eq!(spool.read(&file).unwrap().deliveries.len(), 10);
    drop(spool);
    let spool = open(folder.path(), 1 << 20);
    assert!(spool.holds_any());
    let mut all = names(10);
    all.push("later".to_owned());
    assert_eq!(drained(&spool).await, all);
    assert!(!spool.holds_any());
    assert_eq!(files(spool.folder()).unwrap(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn many_at_once_are_each_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 30);
    let kept = (0..500).map(|number| {
        let spool = spool.clone();
        async move { spool.keep(format!("{number:0>1000}").into_bytes()).await }
    });
    for kept in futures::future::join_all(kept).await {
        kept.unwrap();
    }
    assert!(files(spool.folder()).unwrap().len() > 1, "500 kB are more than one file of a test");
    let mut all: Vec<usize> =
        drained(&spool).await.iter().map(|text| text.trim_start_matches('0').parse().unwrap_or(0)).collect();
    all.sort_unstable();
    assert_eq!(all, (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_spool_says_so_and_has_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1_000);
    spool.keep(vec![b'x'; 800]).await.unwrap();
    let refused = spool.keep(vec![b'y'; 200]).await.unwrap_err();
    assert!(matches!(refused, SpoolError::Full { most: 1_000, .. }), "{refused}");
    spool.keep(vec![b'z'; 50]).await.unwrap();
    assert_eq!(drained(&spool).await.len(), 2);
    spool.keep(vec![b'y'; 200]).await.unwrap();
    assert_eq!(drained(&spool).await.len(), 1);
    assert!(spool.keep(vec![b'x'; 2_000]).await.is_err());
    assert!(!spool.holds_any(), "what is too large leaves nothing behind");
}

#[tokio::test]
async fn a_file_cut_or_damaged_anywhere_gives_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    for name in names(4) {
        spool.keep(name.into_bytes()).await.unwrap();
    }
    let file = spool.oldest().await.unwrap().unwrap();
    let whole = fs::read(&file).unwrap();
    let record = whole.len() / 4;
    for cut in 0..whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        let contents = spool.read(&file).unwrap();
        assert_eq!(contents.deliveries.len(), cut / record, "cut at {cut}");
        assert!(!contents.damaged);
    }
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&file, &damaged).unwrap();
        let contents = spool.read(&file).unwrap();
        // A last record with another length may look as if the rest of it was not written.
        let is_last_length = (3 * record + 4..3 * record + 8).contains(&at);
        assert_eq!(contents.deliveries.len(), 3, "damaged at {at}");
        assert!(contents.damaged || is_last_length, "damaged at {at}");
    }
    spool.done(file.clone(), true).await.unwrap();
    assert!(file.with_extension("damaged").exists() && !spool.holds_any());
}

/// Whoever loses the key of the inbox, and gets a new one made, has everything again once the old one is back.
#[tokio::test]
async fn what_another_key_does_not_open_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    for name in names(3) {
        spool.keep(name.into_bytes()).await.unwrap();
    }
    drop(spool);
    let (keys, lost) = (folder.path().join("keys"), folder.path().join("lost"));
    fs::rename(&keys, &lost).unwrap();
    let spool = open(folder.path(), 1 << 20);
    let file = spool.oldest().await.unwrap().unwrap();
    assert_eq!(drained(&spool).await, Vec::<String>::new());
    let aside = file.with_extension("damaged");
    assert!(aside.exists() && !file.exists() && !spool.holds_any());
    drop(spool);
    fs::remove_dir_all(&keys).unwrap();
    fs::rename(&lost, &keys).unwrap();
    fs::rename(&aside, &file).unwrap();
    assert_eq!(drained(&open(folder.path(), 1 << 20)).await, names(3));
}

#[tokio::test]
async fn a_disk_that_fails_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    fs::remove_dir_all(spool.folder()).unwrap();
    let error = spool.keep(b"x".to_vec()).await.unwrap_err();
    assert!(matches!(error, SpoolError::Disk { .. }), "{error}");
    assert!(!spool.holds_any());
    fs::create_dir(spool.folder()).unwrap();
    spool.keep(b"x".to_vec()).await.unwrap();
    assert_eq!(drained(&spool).await, ["x"]);
}

#[tokio::test]
async fn processes_share_a_folder_and_what_a_dead_one_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path(), 1 << 20), open(folder.path(), 1 << 20));
    assert_ne!(one.folder(), other.folder());
    one.keep(b"of one".to_vec()).await.unwrap();
    other.keep(b"of the other".to_vec()).await.unwrap();
    assert_eq!(drained(&one).await, ["of one"]);
    one.keep(b"of one again".to_vec()).await.unwrap();
    let other_folder = other.folder().to_owned();
    drop((one, other));
    let next = open(folder.path(), 1 << 20);
    assert_eq!(drained(&next).await, ["of the other", "of one again"]);
    assert_eq!(files(&other_folder).unwrap(), Vec::<PathBuf>::new());
}
