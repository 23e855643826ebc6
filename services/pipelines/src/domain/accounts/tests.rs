use super::*;
use crate::secrets;

fn account(n: u128, name: &str, host: &str, login: &str, key: bool) -> Account {
    let id = AccountId::new(uuid::Uuid::from_u128(n));
    let secret = SecretRef { name: secret_name(id, host), version: 1 };
    let known_hosts = key.then(|| format!("{host} ssh-ed25519 AAAA"));
    Account {
        id,
        name: name.to_owned(),
        kind: HostKind::GitHub,
        host: host.to_owned(),
        api: None,
        login: login.to_owned(),
        credential: Credential { secret, known_hosts },
    }
}

fn all(list: &[Account]) -> Accounts {
    list.iter().map(|account| (account.id, account.clone())).collect()
}

fn after(accounts: &Accounts, command: &AccountCommand) -> Accounts {
    let mut now = accounts.clone();
    for event in decide_account(accounts, command).unwrap() {
        evolve_accounts(&mut now, &event);
    }
    now
}

fn mention(repository: &str, named: Option<(&'static str, &str)>) -> Mention {
    Mention {
        repository: repository.to_owned(),
        named: named.map(|(member, said)| (member, said.to_owned())),
    }
}

#[test]
fn an_account_is_linked_once_renamed_and_removed() {
    let acme = account(1, "acme", "github.com", "acme-bot", false);
    let now = after(&Accounts::new(), &AccountCommand::Link(acme.clone()));
    assert_eq!(now, all(std::slice::from_ref(&acme)));
    assert_eq!(decide_account(&now, &AccountCommand::Link(acme.clone())), Ok(Vec::new()));
    // Another value of the credential is a new version, and the same account, whatever id was made for it.
    let mut newer = Account { id: AccountId::new(uuid::Uuid::from_u128(9)), ..acme.clone() };
    newer.credential.secret.version = 2;
    let now = after(&now, &AccountCommand::Link(newer));
    assert_eq!((now.len(), now[&acme.id].credential.secret.version), (1, 2));
    let rename = AccountCommand::Rename { account: "acme".to_owned(), name: "bot".to_owned() };
    let now = after(&now, &rename);
    assert_eq!(now[&acme.id].name, "bot");
    assert!(matches!(decide_account(&now, &rename), Err(AccountRefusal::Missing { .. })));
    let now = after(&now, &AccountCommand::Remove { account: acme.id.to_string() });
    assert!(now.is_empty());
}

#[test]
fn an_accounts_host_never_changes() {
    let now = all(&[account(1, "acme", "github.com", "acme", false)]);
    for other in [
        account(2, "acme", "evil.org", "acme", false),
        account(2, "acme", "github.com", "acme", true),
        account(2, "acme", "github.com", "other", false),
        Account { api: Some("https://evil.org".into()), ..account(2, "acme", "github.com", "acme", false) },
    ] {
        let refused = decide_account(&now, &AccountCommand::Link(other)).unwrap_err();
        assert!(matches!(refused, AccountRefusal::Taken { .. }), "{refused}");
    }
}

#[test]
fn names_hosts_and_apis_are_such() {
    let link = |account: Account| decide_account(&Accounts::new(), &AccountCommand::Link(account));
    for name in ["", "a b", "a/b", "a@b", "-a", &"a".repeat(64)] {
        assert!(matches!(link(account(1, name, "h", "l", false)), Err(AccountRefusal::Name(_))), "{name}");
    }
    for host in ["", "h/x", "me@h", "h:443", "-h", "H", "h:x", "h h"] {
        assert!(matches!(link(account(1, "a", host, "l", false)), Err(AccountRefusal::Host(_))), "{host}");
    }
    assert!(link(account(1, "a", "h:8443", "l", false)).is_ok());
    for api in ["http://h/api", "ssh://h/api", "/srv", "https://me:pw@h/api", "h/api"] {
        let with = Account { api: Some(api.to_owned()), ..account(1, "a", "h", "l", false) };
        assert!(matches!(link(with), Err(AccountRefusal::Api(_))), "{api}");
    }
    let with = Account { api: Some("https://h/api/v1".to_owned()), ..account(1, "a", "h", "l", false) };
    assert!(link(with).is_ok());
}

#[test]
fn a_document_names_an_account_by_name_id_or_login_and_only_for_its_host() {
    let (one, two) =
        (account(1, "acme", "github.com", "bot", false), account(2, "own", "git.example.org", "me", false));
    let accounts = all(&[one.clone(), two.clone()]);
    let id = one.id.to_string();
    for named in [("accountLogin", "acme"), ("accountLogin", "BOT"), ("vcsLinkId", &*id)] {
        let found = resolve(&accounts, &mention("https://github.com/acme/api", Some(named)));
        assert_eq!(found, Ok(Some(&one)), "{named:?}");
    }
    let found = resolve(&accounts, &mention("https://git.example.org/x", Some(("selfHostedVcsId", "own"))));
    assert_eq!(found, Ok(Some(&two)));
    let wrong =
        resolve(&accounts, &mention("https://evil.org/x", Some(("accountLogin", "acme")))).unwrap_err();
    assert_eq!(
        wrong.message,
        "the account `acme` is for github.com by https, and the repository is https://evil.org/x"
    );
    let unknown =
        resolve(&accounts, &mention("https://github.com/x", Some(("accountLogin", "acmee")))).unwrap_err();
    assert_eq!((unknown.member, &*unknown.help), ("accountLogin", "did you mean `acme`?"));
    let none =
        resolve(&accounts, &mention("https://gitlab.com/x", Some(("accountLogin", "zz")))).unwrap_err();
    assert_eq!(none.help, "link one for gitlab.com: `shipway account add zz --host gitlab.com`");
}

#[test]
fn without_a_name_the_only_one_that_fits_is_used() {
    let (one, key) = (account(1, "a", "h", "x", false), account(2, "b", "h", "git", true));
    let accounts = all(&[one.clone(), key.clone()]);
    assert_eq!(resolve(&accounts, &mention("https://h/x", None)), Ok(Some(&one)));
    assert_eq!(resolve(&accounts, &mention("git@h:x", None)), Ok(Some(&key)));
    assert_eq!(resolve(&accounts, &mention("https://h:8443/x", None)), Ok(None));
    assert_eq!(resolve(&accounts, &mention("/srv/x", Some(("accountLogin", "nobody")))), Ok(None));
    let both = all(&[one, account(3, "c", "h", "y", false)]);
    assert_eq!(resolve(&both, &mention("https://h/x", None)), Ok(None));
    let same = all(&[account(1, "a", "h", "x", false), account(3, "c", "h", "x", false)]);
    let several = resolve(&same, &mention("https://h/x", Some(("accountLogin", "x")))).unwrap_err();
    assert!(several.help.contains("`a` and `c`"), "{several:?}");
}

#[test]
fn the_secret_is_bound_to_the_host() {
    let pinned = account(1, "a", "h:8443", "x", false).pinned();
    let names = shipway_documents::secret::secrets_in(&pinned.secret);
    let name = names.iter().next().unwrap();
    assert!(name.name.ends_with("/h:8443") && is_account_secret(name));
    assert_ne!(secrets::installation(), shipway_events::ProjectId::new(uuid::Uuid::now_v7()));
}
