//! Real deliveries, which are not in this repository: `scripts/test --payloads <folder>` says where they are. What
//! each becomes is in `golden/real.json`, texts of people by their length only.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use shipway_events::Timestamp;
use shipway_triggers::{
    domain::{
        push::Delivered,
        sources::{Source, named},
    },
    signature::Secrets,
};

/// File, source and event.
const FILES: &[(&str, &str, &str)] = &[
    ("github-push-normal", "github", "push"),
    ("github-push-new-branch", "github", "push"),
    ("github-push-deleted-branch", "github", "push"),
    ("github-push-tag", "github", "push"),
    ("github-pr-opened", "github", "pull_request"),
    ("github-pr-synchronize", "github", "pull_request"),
    ("github-pr-merged", "github", "pull_request"),
    ("github-pr-opened-fork", "github", "pull_request"),
    ("gitlab-push", "gitlab", "Push Hook"),
    ("gitlab-tag-push", "gitlab", "Tag Push Hook"),
    ("gitlab-mr-opened", "gitlab", "Merge Request Hook"),
    ("gitlab-mr-merged", "gitlab", "Merge Request Hook"),
    ("gitea-push", "gitea", "push"),
    ("gitea-pr-opened-fork", "gitea", "pull_request"),
    ("bitbucket-push-multiple-changes", "bitbucket", "repo:push"),
    ("bitbucket-push-signed", "bitbucket", "repo:push"),
    ("bitbucket-pr-created-fork", "bitbucket", "pullrequest:created"),
];

/// The folder, or none: then it is said aloud.
fn folder() -> Option<PathBuf> {
    let folder = env::var_os("SHIPWAY_PAYLOADS").filter(|folder| !folder.is_empty());
    if folder.is_none() {
        println!("SKIPPED: no real payloads are given; `scripts/test --payloads <folder>` names them");
    }
    folder.map(PathBuf::from)
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(format!("{name}.json"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn delivered(source: &Source, event: &str, body: &[u8], name: &str) -> Delivered {
    (source.read)(event, body).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn row_w_1_real_payloads_become_what_they_should() {
    let Some(folder) = folder() else {
        println!("ROW W-1 real payloads: skipped, none are given");
        return;
    };
    let mut all = Map::new();
    for (name, source, event) in FILES {
        let delivered = delivered(named(source).unwrap(), event, &read(&folder, name), name);
        if let Delivered::Pushes(pushes) = &delivered {
            assert!(pushes.iter().all(|push| push.deleted != push.target().is_some()), "{name}");
        }
        let said = json!({"summary": delivered.summary(), "delivered": impersonal(json!(delivered))});
        all.insert((*name).to_owned(), said);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/real.json");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&all).unwrap())).unwrap();
    }
    let golden: Map<String, Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(golden.keys().eq(all.keys()), "{:?}", golden.keys());
    for (name, said) in &all {
        assert_eq!(golden[name], *said, "{name}");
    }
    println!("ROW W-1 {} real payloads read exactly", all.len());
}

/// What people wrote and are called, by its length.
fn impersonal(value: Value) -> Value {
    let text = |key: &str| ["message", "title", "sender"].contains(&key);
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(said) if text(&key) => (key, json!(said.chars().count())),
                other => (key, impersonal(other)),
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(impersonal).collect(),
        other => other,
    }
}

/// A real body with its real signature.
#[test]
fn row_w_2_a_real_signature_of_bitbucket() {
    let Some(folder) = folder() else { return };
    let body = read(&folder, "bitbucket-push-signed");
    let scheme = named("bitbucket").unwrap().scheme;
    let fits = |end: &str, body: &[u8]| {
        let signature = format!("sha256=f205c729821c6954aff2afe72b965c34015b4baf96ea8ddc2cc44999c014a0{end}");
        let mut headers = HeaderMap::new();
        headers.insert("x-hub-signature", signature.parse().unwrap());
        let secrets = Secrets::new(["Gkvl$k$wyNpQAF42".to_owned()]);
        scheme.verify(&secrets, &headers, body, Timestamp::from_micros(0))
    };
    assert!(fits("35", &body));
    assert!(!fits("36", &body));
    assert!(!fits("35", &body[1..]));
    println!("ROW W-2 a real signed body of Bitbucket passes, and a digit more does not");
}
