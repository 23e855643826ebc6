//! Linked accounts: made, named by documents, handed to runs and to the receiver of deliveries; never shown.

use std::process::Command;

use serde_json::Value;
use shipway_contracts::v1::{
    Account, AddAccountReply, AddAccountRequest, CheckDocumentRequest, GetAccountRequest,
    ListAccountsRequest, ListCommitsRequest, ListReferencesRequest, Problem, RemoveAccountRequest,
    RenameAccountRequest, SourceFile, TestAccountRequest, problem::Severity,
};
use tonic::Code;

use crate::support::{Lab, SHOP, command};

const TOKEN: &str = "canary-of-the-account";
const REPOSITORY: &str = "https://git.example.org:3000/team/shop.git";

fn add(name: &str, credential: &str) -> AddAccountRequest {
    AddAccountRequest {
        command: command(),
        name: name.to_owned(),
        kind: "gitea".to_owned(),
        host: "Git.Example.org:3000".to_owned(),
        login: "bot".to_owned(),
        credential: credential.to_owned(),
        ..AddAccountRequest::default()
    }
}

async fn link(lab: &Lab, request: AddAccountRequest) -> Result<AddAccountReply, tonic::Status> {
    lab.accounts().add_account(request).await.map(tonic::Response::into_inner)
}

async fn listed(lab: &Lab) -> Vec<Account> {
    lab.accounts().list_accounts(ListAccountsRequest::default()).await.unwrap().into_inner().accounts
}

/// The shop, with its repository at a host, and the account that its documents name.
fn shop(named: &str) -> String {
    SHOP.replace("projectUrl: \"file:///srv/shop.git\"", &format!("projectUrl: \"{REPOSITORY}\", {named}"))
        .replace("repoUrl: \"file:///srv/shop.git\"", &format!("repoUrl: \"{REPOSITORY}\", {named}"))
}

#[tokio::test]
async fn an_account_is_linked_given_another_credential_renamed_and_removed() {
    let lab = Lab::new().await;
    let request = add("team", TOKEN);
    let made = link(&lab, request.clone()).await.unwrap();
    let account = made.account.clone().unwrap();
    assert_eq!(
        (&*account.name, &*account.kind, &*account.host, &*account.login, account.credential_version),
        ("team", "gitea", "git.example.org:3000", "bot", 1)
    );
    // The same command once more, and the same wish once more.
    assert_eq!(link(&lab, request).await.unwrap(), made);
    assert_eq!(link(&lab, add("team", TOKEN)).await.unwrap().position, 0);
    let replaced = link(&lab, add("team", "another-canary")).await.unwrap();
    assert!(replaced.replaced && replaced.account.unwrap().credential_version == 2);
    let elsewhere = AddAccountRequest { host: "evil.org".to_owned(), ..add("team", TOKEN) };
    assert_eq!(link(&lab, elsewhere).await.unwrap_err().code(), Code::AlreadyExists);

    let lab = lab.restarted().await;
    assert_eq!(listed(&lab).await.len(), 1);
    let rename =
        RenameAccountRequest { command: command(), account: account.id.clone(), name: "crew".to_owned() };
    assert_eq!(
        lab.accounts().rename_account(rename).await.unwrap().into_inner().account.unwrap().name,
        "crew"
    );
    let get = |name: &str| GetAccountRequest { account: name.to_owned() };
    let missing = lab.accounts().get_account(get("crw")).await.unwrap_err();
    assert_eq!(
        (missing.code(), missing.message()),
        (Code::NotFound, "there is no account `crw`. Did you mean `crew`?")
    );
    let remove = RemoveAccountRequest { command: command(), account: "crew".to_owned() };
    lab.accounts().remove_account(remove.clone()).await.unwrap();
    lab.accounts().remove_account(remove).await.unwrap();
    assert_eq!(listed(&lab).await, []);
    let events = lab.events().await;
    assert!(events.iter().all(|event| !event.data.contains("canary")), "a credential is in an event");
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_with_what_to_do() {
    let lab = Lab::new().await;
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
    for (request, part) in [
        (AddAccountRequest { kind: "svn".to_owned(), ..add("team", TOKEN) }, "it is one of `github`"),
        (AddAccountRequest { host: String::new(), ..add("team", TOKEN) }, "say where it is"),
        (AddAccountRequest { host: "h/x".to_owned(), ..add("team", TOKEN) }, "`h/x` is no host"),
        (AddAccountRequest { api: "http://h/api".to_owned(), ..add("team", TOKEN) }, "no address of an API"),
        (AddAccountRequest { login: "a:b".to_owned(), ..add("team", TOKEN) }, "no colon"),
        (add("a b", TOKEN), "cannot be an account's name"),
        (add("team", "short"), "6 characters"),
        (add("team", "with a space"), "no spaces"),
        (add("team", key), "ssh-keyscan git.example.org:3000"),
        (
            AddAccountRequest { known_hosts: "h ssh-rsa A".to_owned(), ..add("team", TOKEN) },
            "this is a token",
        ),
    ] {
        let refused = link(&lab, request).await.unwrap_err();
        assert!(refused.code() == Code::InvalidArgument && refused.message().contains(part), "{refused:?}");
    }
    assert_eq!(listed(&lab).await, []);
    let with_hosts =
        AddAccountRequest { known_hosts: "git.example.org ssh-rsa A".to_owned(), ..add("team", key) };
    assert_eq!(link(&lab, with_hosts).await.unwrap().account.unwrap().credential, "ssh-key");
}

#[tokio::test]
async fn documents_name_accounts_that_are_linked_for_their_host() {
    let lab = Lab::new().await;
    let reply = lab.apply(&shop("accountLogin: team")).await;
    let found: Vec<_> = reply
        .problems
        .iter()
        .map(|problem| (&*problem.message, problem.help.as_str(), problem.line))
        .collect();
    let help = "link one for git.example.org:3000: `shipway account add team --host git.example.org:3000`";
    assert_eq!(
        found,
        [("no linked account is called `team`", help, 10), ("no linked account is called `team`", help, 61)]
    );
    link(&lab, add("team", TOKEN)).await.unwrap();
    let reply = lab.apply(&shop("accountLogin: teem")).await;
    assert!(
        reply.problems.iter().all(|problem| problem.help == "did you mean `team`?"),
        "{:?}",
        reply.problems
    );
    let elsewhere = shop("accountLogin: team").replace("git.example.org:3000", "evil.org");
    let reply = lab.apply(&elsewhere).await;
    assert!(
        reply.problems[0].message.contains("the account `team` is for git.example.org:3000"),
        "{reply:?}"
    );
    for named in ["accountLogin: BOT", "vcsLinkId: team", "selfHostedVcsId: team"] {
        lab.applied(&shop(named)).await;
    }
    let shown = lab.accounts().get_account(GetAccountRequest { account: "team".to_owned() }).await.unwrap();
    assert_eq!(shown.into_inner().named_by, ["shop: shop-builder", "shop: shop/development"]);
    let remove = RemoveAccountRequest { command: command(), account: "team".to_owned() };
    let refused = lab.accounts().remove_account(remove).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("shop: shop/development"), "{refused:?}");
}

/// `shipway lint --flow` says of a flow what `shipway apply` would say.
#[tokio::test]
async fn a_flow_that_is_checked_names_the_accounts_that_cannot_be() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let check = async |named: &str| {
        let text = format!(
            "triggers:\n  - ref: app\n    vcsService: self-hosted\n    repoUrl: {REPOSITORY}\n{named}    \
             branchRestrictions: [main]\nspec:\n  kind: Workflow\n  spec:\n    type: sequential\n    steps:\n      - kind: \
             Noop\n        ref: noop\n        spec: {{}}\n"
        );
        let file = SourceFile { name: "flow.yaml".to_owned(), text };
        let flow = "shop/development".to_owned();
        let request = CheckDocumentRequest { file: Some(file), flow, ..CheckDocumentRequest::default() };
        let found = lab.pipelines().check_document(request).await.unwrap().into_inner().problems;
        let shown = |one: Problem| (one.severity(), one.line, one.message, one.help);
        found.into_iter().map(shown).collect::<Vec<_>>()
    };
    let found = check("    accountLogin: team\n").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].0, found[0].1, found[0].2.as_str()),
        (Severity::Error, 5, "no linked account is called `team`")
    );
    link(&lab, add("team", TOKEN)).await.unwrap();
    assert_eq!(check("    accountLogin: team\n").await, []);
    assert_eq!(check("").await, [], "there is only one that fits");
    link(&lab, add("other", "another-canary")).await.unwrap();
    let found = check("").await;
    assert_eq!((found.len(), found[0].0), (1, Severity::Warning), "{found:?}");
    assert!(
        found[0].2.contains("several linked accounts fit") && found[0].3.contains("`other`"),
        "{found:?}"
    );
    let found = check("    accountLogin: bot\n").await;
    assert_eq!((found.len(), found[0].0), (1, Severity::Error), "{found:?}");
    assert!(found[0].2.contains("several linked accounts at"), "{found:?}");
    // Publishing says the same.
    let reply = lab.apply(&shop("accountLogin: bot")).await;
    assert!(reply.problems[0].message.contains("several linked accounts at"), "{reply:?}");
    let reply = lab.apply(&shop("accountLogin: ''")).await;
    assert!(reply.problems.iter().any(|problem| problem.message.contains("none is taken")), "{reply:?}");
}

#[tokio::test]
async fn runs_and_the_receiver_of_deliveries_get_the_login_for_the_repository() {
    let lab = Lab::new().await;
    lab.applied(&shop("vcsLinkId: \"\"")).await;
    let login = |reply: &shipway_contracts::v1::FlowForRunReply| {
        let builder = reply.resources.iter().find(|resource| resource.slug == "shop-builder").unwrap();
        serde_json::from_str::<Value>(&builder.json).unwrap()["login"].clone()
    };
    assert_eq!(login(&lab.flow("shop/development").await.unwrap()), Value::Null);
    // The only one that fits the host is used without being named.
    let id = link(&lab, add("team", TOKEN)).await.unwrap().account.unwrap().id;
    let pinned = login(&lab.flow("shop/development").await.unwrap());
    assert_eq!((&pinned["account"], &pinned["host"]), (&"team".into(), &"git.example.org:3000".into()));
    assert_eq!(pinned["secret"]["$secret"], format!("account/{id}/git.example.org:3000@1"));
    assert!(!pinned.to_string().contains(TOKEN));
    let hooks = lab.hooks().await;
    let hook = hooks.hooks.iter().find(|hook| hook.kind == "git").unwrap();
    let given = hook.login.as_ref().unwrap();
    assert_eq!((&*given.host, &*given.login, &*given.secret), ("git.example.org:3000", "bot", TOKEN));
    // Of two that fit neither is.
    link(&lab, add("other", "another-canary")).await.unwrap();
    assert_eq!(login(&lab.flow("shop/development").await.unwrap()), Value::Null);
    assert!(lab.hooks().await.hooks.iter().all(|hook| hook.login.is_none()));
}

#[tokio::test]
async fn a_build_service_without_a_flow_names_its_account_and_who_sends() {
    let lab = Lab::new().await;
    for name in ["team", "other"] {
        link(&lab, AddAccountRequest { kind: "gitlab".to_owned(), ..add(name, TOKEN) }).await.unwrap();
    }
    let document = format!(
        "
kind: Project
ref: project
spec: {{ name: Shop }}
---
kind: BuildService
ref: builder
spec:
  name: builder
  vcsData: {{ projectUrl: \"{REPOSITORY}\", projectType: gitlab, accountLogin: team }}
  buildConfiguration: {{ branchRestrictions: [main] }}
"
    );
    lab.applied(&document).await;
    let hooks = lab.hooks().await;
    let [hook] = hooks.hooks.as_slice() else { panic!("one repository has one address: {hooks:?}") };
    assert_eq!(hook.sources, ["gitlab"]);
    assert_eq!(hook.login.as_ref().unwrap().login, "bot");
    let flow = lab.flow(&hooks.triggers[0].flow).await.unwrap();
    let builder: Value = serde_json::from_str(&flow.resources[0].json).unwrap();
    assert_eq!(builder["login"]["account"], "team");
}

#[tokio::test]
async fn repositories_are_looked_into_by_git_alone() {
    let lab = Lab::new().await;
    let folder = tempfile::tempdir().unwrap();
    let git = |words: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(words)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["commit", "-q", "--allow-empty", "-m", "First"]);
    git(&["tag", "v1"]);
    git(&["commit", "-q", "--allow-empty", "-m", "Second"]);
    let repository = folder.path().to_str().unwrap().to_owned();
    let of = || ListReferencesRequest { account: String::new(), repository: repository.clone() };
    let all = lab.accounts().list_references(of()).await.unwrap().into_inner();
    assert_eq!((all.branches.len(), &*all.tags[0].name, &*all.head), (1, "v1", "main"));
    let commits = |reference: &str| ListCommitsRequest {
        repository: repository.clone(),
        reference: reference.to_owned(),
        ..ListCommitsRequest::default()
    };
    let newest = lab.accounts().list_commits(commits("")).await.unwrap().into_inner().commits;
    assert_eq!(newest.iter().map(|commit| &*commit.message).collect::<Vec<_>>(), ["Second", "First"]);
    assert!(newest[0].id == all.branches[0].commit && newest[0].written_at.ends_with('Z'));
    let tagged = lab.accounts().list_commits(commits("refs/tags/v1")).await.unwrap().into_inner().commits;
    assert_eq!(tagged.len(), 1);
    for bad in ["--output=x", "a..b", "refs/remotes/x"] {
        assert_eq!(
            lab.accounts().list_commits(commits(bad)).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    // A credential is not sent to a repository that is not its host's.
    link(&lab, add("team", TOKEN)).await.unwrap();
    let with = ListReferencesRequest { account: "team".to_owned(), ..of() };
    let refused = lab.accounts().list_references(with).await.unwrap_err();
    assert!(refused.message().contains("it is sent to no other host"), "{refused:?}");
    let test = |repository: &str| TestAccountRequest {
        account: "team".to_owned(),
        repository: repository.to_owned(),
    };
    let tested = lab.accounts().test_account(test(&repository)).await.unwrap().into_inner();
    // Its host is asked who it is, and the repository is not asked with it.
    let said: Vec<_> = tested.checks.iter().map(|check| (&*check.what, check.ok)).collect();
    assert_eq!(said, [("api", false), ("repository", false)], "{tested:?}");
    assert!(tested.checks[1].said.contains("no other host"), "{tested:?}");
}
