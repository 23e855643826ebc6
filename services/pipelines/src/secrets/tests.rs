//! What the home keeps it gives back, and nothing that somebody did to the rows.

use std::path::Path;

use shipway_eventing::log::{Log, SqliteLog, SqliteOptions};

use super::*;

const NAME: &str = "addon/shop-db/password";

async fn durable(dir: &Path) -> Durable {
    let log = SqliteLog::open(&dir.join("log.db"), SqliteOptions::default()).await.unwrap();
    log.durable().await.unwrap()
}

async fn open(dir: &Path) -> Secrets {
    Secrets::open(durable(dir).await, &dir.join("keys")).await.unwrap()
}

fn project(n: u128) -> ProjectId {
    ProjectId::new(Uuid::from_u128(n))
}

fn value(text: &str) -> Value {
    Zeroizing::new(text.to_owned())
}

async fn keep(secrets: &Secrets, project: ProjectId, name: &str, text: &str) -> SecretRef {
    let pending = secrets.plan(project, name, value(text)).await.unwrap();
    let secret = pending.secret.clone();
    secrets.keep(project, &[pending]).await.unwrap();
    secret
}

async fn tamper(secrets: &Secrets, statement: &'static str) {
    let mut tx = secrets.db.begin().await.unwrap();
    let changed = sqlx::query(statement).execute(&mut *tx).await.unwrap().rows_affected();
    tx.commit().await.unwrap();
    assert!(changed > 0, "{statement}");
}

#[tokio::test]
async fn values_have_versions_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path()).await;
    assert_eq!(keep(&secrets, project(1), NAME, "one").await.to_string(), "addon/shop-db/password@1");
    assert_eq!(keep(&secrets, project(1), NAME, "one").await.version, 1, "the same value is no new version");
    assert_eq!(keep(&secrets, project(1), NAME, "two").await.version, 2);
    assert_eq!(keep(&secrets, project(1), NAME, "one").await.version, 3);
    assert_eq!(keep(&secrets, project(2), NAME, "other").await.version, 1);
    drop(secrets);

    let secrets = open(dir.path()).await;
    let get = async |n, version| {
        secrets.get(project(n), &SecretRef { name: NAME.into(), version }).await.map(|value| (*value).clone())
    };
    assert_eq!(get(1, 1).await.unwrap(), "one");
    assert_eq!(get(1, 2).await.unwrap(), "two");
    assert_eq!(get(1, 3).await.unwrap(), "one");
    assert_eq!(get(2, 1).await.unwrap(), "other");
    assert!(matches!(get(2, 2).await, Err(SecretError::Missing { .. })));
    assert!(matches!(get(3, 1).await, Err(SecretError::Missing { .. })));
}

#[tokio::test]
async fn random_values_are_made_once_and_need_no_escaping() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path()).await;
    let first = secrets.plan_random(project(1), NAME).await.unwrap();
    secrets.keep(project(1), &[first]).await.unwrap();
    let (secret, made) = secrets.newest(project(1), NAME).await.unwrap().unwrap();
    assert_eq!(made.len(), 43, "256 bits");
    assert!(made.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    let again = secrets.plan_random(project(1), NAME).await.unwrap();
    assert_eq!((again.secret, again.value.is_none()), (secret, true));
}

#[tokio::test]
async fn a_secret_that_a_document_asks_for_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path()).await;
    let secret = SecretRef { name: "random/flow/web/spec/PW".into(), version: 1 };
    let hex = RandomShape { length: 33, encoding: Encoding::Hex };
    let (a, b) = tokio::join!(
        secrets.get_or_make(project(1), &secret, hex),
        secrets.get_or_make(project(1), &secret, hex)
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a, b, "two that ask at once get the same");
    assert!(a.len() == 33 && a.chars().all(|c| c.is_ascii_hexdigit()), "33 hexadecimal digits");
    let longer = RandomShape { length: 64, encoding: Encoding::Base64 };
    assert_eq!(secrets.get_or_make(project(1), &secret, longer).await.unwrap(), a, "what was made is kept");
    let other = secrets.get_or_make(project(2), &secret, longer).await.unwrap();
    assert!(other.len() == 64 && !other.contains('='));
    assert_ne!(secrets.get_or_make(project(3), &secret, longer).await.unwrap(), other);
}

#[tokio::test]
async fn a_plan_that_is_not_kept_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path()).await;
    drop(secrets.plan(project(1), NAME, value("one")).await.unwrap());
    assert!(secrets.newest(project(1), NAME).await.unwrap().is_none());
}

#[tokio::test]
async fn two_plans_for_the_same_version_do_not_overwrite_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path()).await;
    let mine = secrets.plan(project(1), NAME, value("mine")).await.unwrap();
    let theirs = secrets.plan(project(1), NAME, value("theirs")).await.unwrap();
    secrets.keep(project(1), &[mine]).await.unwrap();
    assert!(matches!(secrets.keep(project(1), &[theirs]).await, Err(SecretError::Conflict { .. })));
    assert_eq!(*secrets.newest(project(1), NAME).await.unwrap().unwrap().1, "mine");
}

#[tokio::test]
async fn nothing_in_the_database_shows_a_value() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path()).await;
    keep(&secrets, project(1), NAME, "a-canary-value").await;
    secrets.db.close().await;
    for file in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(14).any(|part| part == b"a-canary-value"), "{}", file.display());
            let hex = hex::encode("a-canary-value").into_bytes();
            assert!(!bytes.windows(hex.len()).any(|part| part == hex), "{}", file.display());
        }
    }
}

/// What somebody with the database alone could do: each time the read fails, and says nothing of a value.
#[tokio::test]
async fn rows_that_were_swapped_renamed_or_changed_do_not_open() {
    let attacks = [
        "UPDATE secrets SET ciphertext = (SELECT ciphertext FROM secrets b WHERE b.name = 'override/f/A'),
            nonce = (SELECT nonce FROM secrets b WHERE b.name = 'override/f/A') WHERE name LIKE 'addon/%'",
        "UPDATE secrets SET project = '00000000-0000-0000-0000-000000000002' WHERE name LIKE 'addon/%'",
        "UPDATE secrets SET name = CASE name WHEN 'override/f/A' THEN 'x' ELSE name END,
            version = version + 1 WHERE name LIKE 'addon/%'",
        "UPDATE secrets SET ciphertext = '00' || substr(ciphertext, 3) WHERE name LIKE 'addon/%'",
        "UPDATE secrets SET ciphertext = 'no hex' WHERE name LIKE 'addon/%'",
        "UPDATE secrets SET nonce = '00' || substr(nonce, 3) WHERE name LIKE 'addon/%'",
        "UPDATE secrets SET key_id = 'another' WHERE name LIKE 'addon/%'",
        "UPDATE secret_keys SET wrapped = '00' || substr(wrapped, 3)",
        "DELETE FROM secret_keys",
    ];
    for attack in attacks {
        let dir = tempfile::tempdir().unwrap();
        let secrets = open(dir.path()).await;
        keep(&secrets, project(1), NAME, "the-password").await;
        keep(&secrets, project(1), "override/f/A", "the-override").await;
        keep(&secrets, project(2), "override/f/A", "the-stranger").await;
        tamper(&secrets, attack).await;
        for (n, version) in [(1, 1), (1, 2), (2, 1)] {
            let secret = SecretRef { name: NAME.into(), version };
            let error = secrets.get(project(n), &secret).await.expect_err(attack).to_string();
            assert!(!error.contains("the-"), "{error}");
        }
    }
}

#[tokio::test]
async fn another_key_encryption_key_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = open(dir.path()).await;
    let secret = keep(&secrets, project(1), NAME, "one").await;
    drop(secrets);
    std::fs::write(dir.path().join("keys/kek"), "ab".repeat(32)).unwrap();
    let secrets = open(dir.path()).await;
    assert!(matches!(secrets.get(project(1), &secret).await, Err(SecretError::OtherKek { .. })));

    std::fs::remove_file(dir.path().join("keys/kek")).unwrap();
    let lost = Secrets::open(durable(dir.path()).await, &dir.path().join("keys"))
        .await
        .err()
        .expect("a lost key is not replaced");
    assert!(matches!(lost, OpenError::Kek(KekError::Lost { .. })));
}
