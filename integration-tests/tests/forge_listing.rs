//! Who an account is and which repositories it sees, asked of a strict double of every host; and of the real host where
//! the environment has an account of it: `SHIPWAY_FORGE_<HOST>_TOKEN`, with `_API`, `_LOGIN`, `_REPOSITORY` (whose host
//! is the account's) and `_OWNER` where they are needed. `<HOST>` is `GITHUB`, `GITLAB`, `GITEA`, `FORGEJO`,
//! `BITBUCKET`, `BITBUCKET_DC` or `AZURE`.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::env;

use shipway_forge::{Account, Client, HostKind, Listed, Outbound};
use shipway_integration_tests::forge::{Double, Kind, LOGIN, REPOSITORIES, Reply, SCOPES, TOKEN};
use zeroize::Zeroizing;

const DOUBLES: [(Kind, HostKind, &str); 7] = [
    (Kind::GitHub, HostKind::GitHub, ""),
    (Kind::GitLab, HostKind::GitLab, ""),
    (Kind::Gitea, HostKind::Gitea, ""),
    (Kind::Gitea, HostKind::Forgejo, ""),
    (Kind::Bitbucket, HostKind::Bitbucket, "acme"),
    (Kind::BitbucketDataCenter, HostKind::BitbucketDataCenter, ""),
    (Kind::Azure, HostKind::Azure, "acme"),
];

fn client() -> Client {
    Client::new(Outbound::new(true).unwrap())
}

fn account(kind: HostKind, host: &str, api: Option<&str>, login: &str, token: &str) -> Account {
    Account::new(kind, host, api, login, Zeroizing::new(token.to_owned())).unwrap()
}

/// Every page.
async fn all(client: &Client, account: &Account, owner: &str, size: usize) -> Vec<Listed> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.repositories(account, owner, &after, size).await.unwrap();
        assert!(page.repositories.len() <= size || account.kind() == HostKind::Azure);
        all.extend(page.repositories);
        if page.next.is_empty() {
            return all;
        }
        after = page.next;
    }
}

#[tokio::test]
async fn every_host_says_who_the_account_is_and_lists_its_repositories_page_by_page() {
    let client = client();
    for (kind, of, owner) in DOUBLES {
        let double = Double::start(kind).await.unwrap();
        let account = account(of, &double.host(), Some(&double.api()), "", TOKEN);
        let who = client.who(&account).await.unwrap();
        match of {
            HostKind::Azure => assert_eq!(who, None),
            HostKind::GitHub | HostKind::GitLab | HostKind::Bitbucket => {
                let who = who.unwrap();
                assert_eq!((&*who.login, who.scopes), (LOGIN, SCOPES.map(str::to_owned).to_vec()), "{of}");
            }
            _ => assert_eq!(who.unwrap().login, LOGIN, "{of}"),
        }
        for size in [100, 30] {
            let all = all(&client, &account, owner, size).await;
            assert_eq!(all.len(), REPOSITORIES, "{of}");
            let last = all.last().unwrap();
            assert!(last.name.ends_with("/r129") && !last.private && all[0].private, "{of} {last:?}");
            let plain =
                last.url.starts_with("https://") && !last.url.contains('@') && last.url.contains("r129");
            assert!(plain, "{of} {last:?}");
            assert!(last.default_branch == "main" || of == HostKind::BitbucketDataCenter, "{of} {last:?}");
        }
        let elsewhere = client.repositories(&account, "nobody", "", 100).await;
        assert!(elsewhere.is_err() || elsewhere.unwrap().repositories.is_empty(), "{of}");
    }
}

#[tokio::test]
async fn what_a_host_refuses_is_said_with_its_reason() {
    let client = client();
    for (kind, of, owner) in DOUBLES {
        let double = Double::start(kind).await.unwrap();
        let wrong = account(of, &double.host(), Some(&double.api()), "", "wrong-t0ken");
        let refused = client.repositories(&wrong, owner, "", 10).await.unwrap_err();
        assert!(
            refused.message.contains("401") && !refused.message.contains("wrong-t0ken"),
            "{of} {refused}"
        );
        let account = account(of, &double.host(), Some(&double.api()), "", TOKEN);
        assert!(client.repositories(&account, owner, "x", 10).await.is_err(), "{of}");
        if !owner.is_empty() {
            let refused = client.repositories(&account, "", "", 10).await.unwrap_err();
            assert!(refused.message.contains("--owner"), "{refused}");
        }
        let thief = Double::start(kind).await.unwrap();
        double.answer(Reply::new(302, serde_json::Value::Null).with("location", thief.api()));
        let refused = client.repositories(&account, owner, "", 10).await.unwrap_err();
        assert!(
            refused.message.contains("another address") && thief.held().asked.is_empty(),
            "{of} {refused}"
        );
    }
}

#[tokio::test]
async fn the_real_hosts_of_the_environment_list_as_the_doubles_do() {
    let client = client();
    for of in HostKind::ALL {
        let host = of.word().to_uppercase().replace('-', "_");
        let given = |name: &str| env::var(format!("SHIPWAY_FORGE_{host}_{name}")).unwrap_or_default();
        let token = given("TOKEN");
        if token.is_empty() {
            continue;
        }
        let repository = given("REPOSITORY");
        let authority =
            repository.split('/').nth(2).and_then(|place| place.rsplit('@').next()).unwrap_or_default();
        let api = given("API");
        let api = Some(api.as_str()).filter(|api| !api.is_empty());
        let account = account(of, authority, api, &given("LOGIN"), &token);
        if let Some(who) = client.who(&account).await.unwrap() {
            println!("{of}: {who:?}");
        }
        let page = client.repositories(&account, &given("OWNER"), "", 10).await.unwrap();
        assert!(page.repositories.iter().all(|one| one.url.starts_with("https://")), "{page:?}");
    }
}
