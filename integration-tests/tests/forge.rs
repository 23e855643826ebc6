//! Commit statuses and comments on pull requests, said to a strict double of every host; and to the real host where
//! the environment has an account of it:
//!
//! - `SHIPWAY_FORGE_<HOST>_TOKEN`: the token; nothing is said to that host without it. `<HOST>` is `GITHUB`, `GITLAB`,
//!   `GITEA`, `FORGEJO`, `BITBUCKET`, `BITBUCKET_DC` or `AZURE`.
//! - `SHIPWAY_FORGE_<HOST>_REPOSITORY`: the repository's address; a status and a comment are left in it.
//! - `SHIPWAY_FORGE_<HOST>_COMMIT` and `SHIPWAY_FORGE_<HOST>_PULL_REQUEST`: a whole commit id and the number of an open
//!   pull request in it.
//! - `SHIPWAY_FORGE_<HOST>_LOGIN` and `SHIPWAY_FORGE_<HOST>_API`, where they are needed.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::{env, time::Duration};

use shipway_forge::{Account, Client, HostKind, Outbound, Pull, Put, State, Status};
use shipway_integration_tests::forge::{COMMIT, Double, Kind, LOGIN, PULL, Reply, TOKEN};
use zeroize::Zeroizing;

/// Where things are said: the same for a double and a real host.
struct Subject {
    account: Account,
    repository: String,
    commit: String,
    pull: Pull,
    double: Option<Double>,
}

const DOUBLES: [(Kind, HostKind); 7] = [
    (Kind::GitHub, HostKind::GitHub),
    (Kind::GitLab, HostKind::GitLab),
    (Kind::Gitea, HostKind::Gitea),
    (Kind::Gitea, HostKind::Forgejo),
    (Kind::Bitbucket, HostKind::Bitbucket),
    (Kind::BitbucketDataCenter, HostKind::BitbucketDataCenter),
    (Kind::Azure, HostKind::Azure),
];

fn client() -> Client {
    Client::new(Outbound::new(true).unwrap())
}

fn account(kind: HostKind, host: &str, api: Option<&str>, login: &str, token: &str) -> Account {
    Account::new(kind, host, api, login, Zeroizing::new(token.to_owned())).unwrap()
}

async fn double(kind: Kind, of: HostKind) -> Subject {
    let double = Double::start(kind).await.unwrap();
    let account = account(of, &double.host(), Some(&double.api()), "", TOKEN);
    let (repository, commit) = (double.repository(), COMMIT.to_owned());
    Subject { account, repository, commit, pull: Pull(PULL), double: Some(double) }
}

async fn doubles() -> Vec<Subject> {
    let mut all = Vec::new();
    for (kind, of) in DOUBLES {
        all.push(double(kind, of).await);
    }
    all
}

/// The real hosts that the environment has accounts of.
fn real() -> Vec<Subject> {
    let of = |kind: HostKind| {
        let host = kind.word().to_uppercase().replace('-', "_");
        let given = |name: &str| env::var(format!("SHIPWAY_FORGE_{host}_{name}")).ok();
        let token = given("TOKEN")?;
        let want = |name: &str| {
            given(name).unwrap_or_else(|| panic!("SHIPWAY_FORGE_{host}_{name} is to be given with the token"))
        };
        let repository = want("REPOSITORY");
        let authority = repository.split('/').nth(2).unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let account =
            account(kind, authority, given("API").as_deref(), &given("LOGIN").unwrap_or_default(), &token);
        let pull = Pull(want("PULL_REQUEST").parse().unwrap());
        Some(Subject { account, commit: want("COMMIT"), pull, repository, double: None })
    };
    HostKind::ALL.into_iter().filter_map(of).collect()
}

fn status(state: State, description: &str) -> Status {
    Status {
        state,
        context: "shipway/shop/development".to_owned(),
        description: description.to_owned(),
        target: Some("https://shipway.example.org/runs/1".to_owned()),
    }
}

/// What every host has to do.
async fn says_everything(client: &Client, subject: &Subject) {
    let Subject { account, repository, commit, pull, .. } = subject;
    let long = "ä".repeat(400);
    for (state, description) in [
        (State::Pending, "it goes on"),
        // Said again, as after a crash.
        (State::Pending, "it goes on"),
        (State::Failure, long.as_str()),
        (State::Pending, "again"),
        (State::Aborted, "stopped by somebody"),
        (State::Skipped, "did not run: another did"),
        (State::Success, "all 3 nodes went well"),
    ] {
        let said = client.set_status(account, repository, commit, &status(state, description)).await;
        said.unwrap_or_else(|refused| panic!("{account:?}, {state:?}: {refused}"));
    }
    let unknown = client.set_status(account, repository, &"a1".repeat(20), &status(State::Success, "")).await;
    let unknown = unknown.unwrap_err();
    assert!(!unknown.transient && unknown.message.contains("setting the commit status on"), "{unknown}");

    let key = format!("{}/3", uuid::Uuid::now_v7());
    for (text, wanted) in [
        ("Preview: https://pr-7.example.org\n\n- `one`", Put::Added),
        ("Preview: https://pr-7.example.org\n\n- `one`", Put::Same),
        ("Preview: https://pr-7.example.org is **gone**", Put::Changed),
    ] {
        let put = client.put_comment(account, repository, *pull, &key, text).await;
        assert_eq!(put.unwrap_or_else(|refused| panic!("{account:?}: {refused}")), wanted, "{account:?}");
    }
    let nowhere = client.put_comment(account, repository, Pull(987_654), &key, "x").await.unwrap_err();
    assert!(!nowhere.transient, "{nowhere}");
}

#[tokio::test]
async fn every_host_is_told_of_commits_and_pull_requests() {
    let client = client();
    for subject in doubles().await {
        let double = subject.double.as_ref().unwrap();
        double.chatter(230);
        says_everything(&client, &subject).await;
        let held = double.held();
        let words: Vec<&str> = held.statuses.iter().map(|row| row.state.as_str()).collect();
        let (going, good) = (words[0], words[words.len() - 1]);
        assert!(["pending", "running", "INPROGRESS"].contains(&going), "{words:?}");
        assert!(["success", "succeeded", "SUCCESSFUL"].contains(&good), "{words:?}");
        assert!(
            held.statuses.iter().all(|row| row.context == "shipway/shop/development"),
            "{:?}",
            held.statuses
        );
        let last = held.statuses.last().unwrap();
        assert_eq!(last.description, "all 3 nodes went well");
        assert_eq!(last.target.as_deref(), Some("https://shipway.example.org/runs/1"));
        assert!(held.statuses.iter().any(|row| row.description.ends_with('…')), "{:?}", held.statuses);
        let own: Vec<_> = held.comments.iter().filter(|row| row.text.contains("Preview:")).collect();
        assert_eq!((own.len(), held.comments.len()), (1, 231), "{:?}", subject.account);
        assert!(own[0].text.ends_with("is **gone**"), "{own:?}");
        assert!(held.asked.iter().all(|asked| asked.headers["user-agent"].starts_with("shipway/")));
    }
    let real = real();
    if real.is_empty() {
        println!("no SHIPWAY_FORGE_<HOST>_TOKEN in the environment: only the doubles were told");
    }
    for subject in real {
        println!("telling {:?}", subject.account);
        says_everything(&client, &subject).await;
    }
}

#[tokio::test]
async fn a_token_of_nobody_is_said_in_words() {
    for (kind, of) in DOUBLES {
        let double = Double::start(kind).await.unwrap();
        let account = account(of, &double.host(), Some(&double.api()), "", "s3cret-wrong");
        let said =
            client().set_status(&account, &double.repository(), COMMIT, &status(State::Success, "")).await;
        let refused = said.unwrap_err();
        assert!(!refused.transient && refused.message.contains("401"), "{refused}");
        assert!(
            refused.message.contains("give it a new one") && !refused.message.contains("s3cret"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_login_goes_with_the_token_where_a_host_wants_one() {
    let double = Double::start(Kind::Bitbucket).await.unwrap();
    for login in [LOGIN, "x-token-auth"] {
        let account = account(HostKind::Bitbucket, &double.host(), Some(&double.api()), login, TOKEN);
        let said =
            client().set_status(&account, &double.repository(), COMMIT, &status(State::Success, "")).await;
        said.unwrap();
    }
    let authorizations: Vec<String> =
        double.held().asked.iter().map(|asked| asked.headers["authorization"].clone()).collect();
    assert!(authorizations[0].starts_with("Basic ") && authorizations[1].starts_with("Bearer "));
}

#[tokio::test]
async fn limits_and_faults_are_told_from_refusals() {
    let subject = double(Kind::GitHub, HostKind::GitHub).await;
    let double = subject.double.as_ref().unwrap();
    let say = async || {
        let said = status(State::Success, "");
        client().set_status(&subject.account, &subject.repository, COMMIT, &said).await
    };
    let words = serde_json::json!({ "message": "You have exceeded a secondary rate limit." });
    double.answer(Reply::new(403, words.clone()).with("retry-after", 61));
    let limited = say().await.unwrap_err();
    assert_eq!(limited.retry_after, Some(Duration::from_secs(61)));
    assert!(limited.transient && limited.message.contains("secondary rate limit"), "{limited}");

    double.answer(Reply::new(403, serde_json::json!({ "message": "Resource not accessible" })));
    let forbidden = say().await.unwrap_err();
    assert!(!forbidden.transient && forbidden.message.contains("Commit statuses"), "{forbidden}");

    double.answer(Reply::new(502, serde_json::Value::Null));
    assert!(say().await.unwrap_err().transient);

    let nowhere = account(HostKind::GitHub, "127.0.0.1:9", Some("http://127.0.0.1:9/api/v3"), "", TOKEN);
    let (client, success) = (client(), status(State::Success, ""));
    let away =
        client.set_status(&nowhere, "http://127.0.0.1:9/acme/api", COMMIT, &success).await.unwrap_err();
    assert!(away.transient && away.message.contains("could not be connected to"), "{away}");
}

#[tokio::test]
async fn a_token_goes_to_its_host_alone() {
    let subject = double(Kind::Gitea, HostKind::Gitea).await;
    let double = subject.double.as_ref().unwrap();
    let other = Double::start(Kind::Gitea).await.unwrap();
    let say = async |repository: &str| {
        client().set_status(&subject.account, repository, COMMIT, &status(State::Success, "")).await
    };

    // A repository that was renamed is found under its new name, at the same address.
    let renamed = format!("{}/repos/acme/api/statuses/{COMMIT}", double.api());
    double.answer(Reply::new(307, serde_json::Value::Null).with("location", renamed));
    say(&subject.repository).await.unwrap();
    assert_eq!(double.held().statuses.len(), 1);

    let away = format!("{}/repos/acme/api/statuses/{COMMIT}", other.api());
    double.answer(Reply::new(307, serde_json::Value::Null).with("location", away));
    let refused = say(&subject.repository).await.unwrap_err();
    assert!(!refused.transient && refused.message.contains("must not go"), "{refused}");

    let circle = format!("{}/repos/acme/api/statuses/{COMMIT}", double.api());
    for _ in 0..4 {
        double.answer(Reply::new(307, serde_json::Value::Null).with("location", &circle));
    }
    assert!(say(&subject.repository).await.unwrap_err().message.contains("circle"));

    let elsewhere = say(&other.repository()).await.unwrap_err();
    assert!(
        elsewhere.message.contains(&other.host()) && elsewhere.message.contains(&double.host()),
        "{elsewhere}"
    );
    assert!(other.held().asked.is_empty());
}

#[tokio::test]
async fn a_comment_that_is_too_long_is_not_sent() {
    let subject = double(Kind::Bitbucket, HostKind::Bitbucket).await;
    let long = "x".repeat(40_000);
    let put = client().put_comment(&subject.account, &subject.repository, subject.pull, "run/1", &long).await;
    assert!(put.unwrap_err().message.contains("takes 32768"));
    assert!(subject.double.unwrap().held().asked.is_empty());
}
