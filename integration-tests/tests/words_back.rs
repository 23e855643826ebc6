//! What a Git host hears of the runs that its pushes and pull requests started: the status of the commit, and a comment
//! on the pull request. From a whole Shipway with linked accounts to a strict double of each host.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use shipway_integration_tests::{
    forge::{COMMIT, Double, Kind, LOGIN, PULL, Reply, TOKEN},
    shipway::{Shipway, http, wait},
};

/// A host: whose double it is, the account's kind, who sends its deliveries, and its words for the ends of a run. A
/// repository of Bitbucket Cloud or Azure DevOps is at an address that everybody knows; at a double's, Shipway's own
/// helper sends, which speaks like GitHub.
struct Host {
    kind: Kind,
    account: &'static str,
    sender: &'static str,
    went_well: &'static str,
    failed: &'static str,
}

const HOSTS: [Host; 6] = [
    host(Kind::GitHub, "github", "github", "success", "failure"),
    host(Kind::GitLab, "gitlab", "gitlab", "success", "failed"),
    host(Kind::Gitea, "gitea", "gitea", "success", "failure"),
    host(Kind::Bitbucket, "bitbucket", "github", "SUCCESSFUL", "FAILED"),
    host(Kind::BitbucketDataCenter, "bitbucket-dc", "bitbucket-dc", "SUCCESSFUL", "FAILED"),
    host(Kind::Azure, "azure", "github", "succeeded", "failed"),
];

const fn host(
    kind: Kind,
    account: &'static str,
    sender: &'static str,
    went_well: &'static str,
    failed: &'static str,
) -> Host {
    Host { kind, account, sender, went_well, failed }
}

/// A host with its double, its repository's hook, and the runs that its deliveries started.
struct Told {
    host: &'static Host,
    double: Double,
    hook: Value,
    runs: Vec<String>,
}

/// A project with a flow that a pull request starts and that comments on it, one that a push starts and that fails, one
/// that is told to be silent, and a build service that builds by itself: it fails, because a double has no code.
fn project(name: &str, repository: &str) -> String {
    let stage = |stage: &str, rules: &str, steps: &str| {
        format!(
            r#"
    - name: {stage}
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          triggers:
            - {{ref: app, vcsService: self-hosted, selfHostedVcsId: {name}, repoUrl: "{repository}", {rules}}}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:{steps}"#
        )
    };
    let comment = format!(
        r#"
                - kind: Message
                  ref: tell
                  spec:
                    kind: VCS
                    spec:
                      vcsService: self-hosted
                      selfHostedVcsId: {name}
                      repoUrl: "${{triggers.app.repoUrl}}"
                      pullRequestId: "${{triggers.app.pullRequestId}}"
                      message: "Preview of ${{triggers.app.sha}} is **ready**""#
    );
    let fails = r#"
                - {kind: Noop, ref: break, spec: {fail: "no luck"}}"#;
    let quiet = r#"
                - {kind: Noop, ref: quiet, spec: {}}"#;
    let builds = format!(
        "kind: BuildService\nspec:\n  name: {name}-build\n  projectId: {name}\n  vcsData: {{projectUrl: \"{repository}\", \
         projectType: self-hosted, selfHostedVcsId: {name}}}\n  buildConfiguration: {{branchRestrictions: [main]}}\n  \
         buildSettings: {{command: {{run: \"true\", include: [README]}}}}"
    );
    format!(
        "kind: Project\nspec: {{name: {name}, region: local}}\n---\n{builds}\n---\nkind: Pipeline\nspec:\n  name: {name}\n  projectId: \
         {name}\n  stages:{}{}{}",
        stage("Development", "branchRestrictions: [], prRestrictions: ['feature/*']", &comment),
        stage("Staging", "branchRestrictions: [main], prRestrictions: []", fails),
        stage("Production", "branchRestrictions: [main], prRestrictions: [], commitStatus: false", quiet),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_host_hears_what_became_of_its_pushes_and_pull_requests() {
    let arguments = ["--reconcile", "0", "--public-address", "https://shipway.example.org"];
    let shipway = Shipway::up_with("words-back", &arguments).unwrap();
    let mut doubles = Vec::new();
    for host in &HOSTS {
        let double = Double::start(host.kind).await.unwrap();
        let name = host.account;
        let (at, api) = (double.host(), double.api());
        let mut add = vec!["account", "add", name, "--kind", name, "--host", &at, "--api", &api];
        if host.kind == Kind::Bitbucket {
            add.extend(["--login", LOGIN]);
        }
        shipway.feed(&add, TOKEN).unwrap();
        let file = shipway.data().join(format!("{name}.yaml"));
        std::fs::write(&file, project(name, &double.repository())).unwrap();
        let applied = shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
        let hook = applied["hooks"][0].clone();
        // A push to `main` and a pull request of another branch, both of the commit that doubles have.
        let mut runs = send(host, &hook, &push(host.sender, &double.repository(), COMMIT), "push").await;
        runs.extend(send(host, &hook, &pull_request(host.sender, &double.repository()), "pull").await);
        doubles.push(Told { host, double, hook, runs });
    }
    for Told { host, double, runs, .. } in &doubles {
        let name = host.account;
        assert_eq!(runs.len(), 4, "{name}: {runs:?}");
        for run in runs {
            shipway.ended(run).unwrap();
        }
        let last = |path: &str| {
            let (held, context) = (double.held(), format!("shipway/{path}"));
            held.statuses.iter().rev().find(|row| row.context.ends_with(&context)).cloned()
        };
        let of = |stage: &str| format!("{name}/{stage}");
        let builds = format!("build/{name}/{name}-build");
        wait(&format!("the statuses at {name}"), || {
            let state = |path: &str| last(path).map(|row| row.state).unwrap_or_default();
            let failed = [of("staging"), builds.clone()].iter().all(|path| state(path) == host.failed);
            Ok((state(&of("development")) == host.went_well && failed).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}: {:#?}", double.held().statuses));
        let failed = last(&of("staging")).unwrap();
        assert!(failed.description.contains("failed"), "{name}: {failed:?}");
        // They lead to the page that is there, to the run on it.
        let target = failed.target.unwrap();
        let run = target.strip_prefix("https://shipway.example.org/#").unwrap();
        assert!(runs.iter().any(|started| started == run), "{name}: {target}");
        assert_eq!(last(&of("production")), None, "{name}");
        let comments: Vec<String> = double.held().comments.iter().map(|row| row.text.clone()).collect();
        let wanted = format!("Preview of {COMMIT} is **ready**");
        assert!(comments.len() == 1 && comments[0].contains(&wanted), "{name}: {comments:?}");
    }

    let shown = shipway.shipway(&["events"]).unwrap() + &shipway.said();
    assert!(!shown.contains(TOKEN), "the token shows in events or in what Shipway says");
    what_became_of_it_is_shown(&shipway, &doubles[0]);
    a_host_that_refuses_is_shown_with_its_words(&shipway, &doubles[0]).await;
    an_account_says_who_it_is_and_what_it_sees(&shipway);
}

/// `shipway show` of a run that its host heard of, and of one that was told to be silent.
fn what_became_of_it_is_shown(shipway: &Shipway, Told { runs, .. }: &Told) {
    let told: Vec<Value> = runs
        .iter()
        .map(|run| {
            wait("what the host was told", || {
                let told = shipway.json(&["show", run])?["commitStatus"].clone();
                Ok((told["outcome"] != "open").then_some(told))
            })
            .unwrap()
        })
        .collect();
    let outcomes: Vec<&str> = told.iter().map(|told| told["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "said").count(), 3, "{told:?}");
    let silent = told.iter().find(|told| told["outcome"] == "silent").unwrap();
    assert!(silent["note"].as_str().unwrap().contains("commitStatus"), "{silent}");
    assert_eq!(silent["commit"], COMMIT);
}

/// A status that its host does not take is given up at once where trying again is of no use, and that is shown.
async fn a_host_that_refuses_is_shown_with_its_words(shipway: &Shipway, told: &Told) {
    let Told { host, double, hook, .. } = told;
    // The whole double is out of order, so that whatever is asked next is answered so.
    for _ in 0..4 {
        double
            .answer(Reply::new(403, json!({"message": "Resource not accessible by personal access token"})));
    }
    let other = "5".repeat(40);
    let started = send(host, hook, &push(host.sender, &double.repository(), &other), "push").await;
    let run =
        started.iter().find(|run| shipway.json(&["show", run]).unwrap()["path"] == "github/staging").unwrap();
    let given_up = wait("the end of trying", || {
        let told = shipway.json(&["show", run])?["commitStatus"].clone();
        Ok((told["outcome"] == "given up" && told["state"] == "failure").then_some(told))
    })
    .unwrap();
    let note = given_up["note"].as_str().unwrap();
    assert!(note.contains("403") && note.contains("Resource not accessible"), "{note}");
    let page = shipway.shipway(&["show", run]).unwrap();
    assert!(page.contains("commit 55555555 did not get the status failure"), "{page}");
}

/// `shipway account test` and `shipway account repositories`.
fn an_account_says_who_it_is_and_what_it_sees(shipway: &Shipway) {
    let tested = shipway.json(&["account", "test", "gitlab"]).unwrap();
    assert_eq!((&tested["ok"], &tested["login"]), (&json!(true), &json!(LOGIN)), "{tested}");
    assert!(tested["scopes"].as_array().unwrap().contains(&json!("api")), "{tested}");
    let all = shipway.json(&["account", "repositories", "gitlab"]).unwrap();
    assert_eq!((all["repositories"].as_array().unwrap().len(), &all["more"]), (130, &json!(false)));
    let some =
        shipway.json(&["account", "repositories", "bitbucket", "--owner", "acme", "--limit", "7"]).unwrap();
    assert_eq!((some["repositories"].as_array().unwrap().len(), &some["more"]), (7, &json!(true)));
    assert_eq!(some["repositories"][6]["name"], "acme/r006");
    let refused = shipway.attempt(&["account", "repositories", "azure"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("--owner"), "{said}");
}

async fn send(host: &Host, hook: &Value, body: &Value, what: &str) -> Vec<String> {
    let addresses = hook["addresses"].as_array().unwrap();
    let address = addresses.iter().find(|address| address["sender"] == host.sender).unwrap();
    let (secret, body) = (hook["secret"].as_str().unwrap(), body.to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex = hex::encode(mac.finalize().into_bytes());
    let is_push = what == "push";
    let headers: [(&str, String); 2] = match host.sender {
        "gitlab" => [
            ("x-gitlab-event", if is_push { "Push Hook" } else { "Merge Request Hook" }.to_owned()),
            ("x-gitlab-token", secret.to_owned()),
        ],
        "gitea" => [
            ("x-gitea-event", if is_push { "push" } else { "pull_request" }.to_owned()),
            ("x-gitea-signature", hex),
        ],
        "bitbucket-dc" => [
            ("x-event-key", if is_push { "repo:refs_changed" } else { "pr:opened" }.to_owned()),
            ("x-hub-signature", format!("sha256={hex}")),
        ],
        _ => [
            ("x-github-event", if is_push { "push" } else { "pull_request" }.to_owned()),
            ("x-hub-signature-256", format!("sha256={hex}")),
        ],
    };
    let mut request =
        http().post(address["url"].as_str().unwrap()).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202, "{} {what}", host.account);
    let answer: Value = answer.json().await.unwrap();
    answer["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

/// The parts of a push's payload that its reader looks at.
fn push(sender: &str, repository: &str, commit: &str) -> Value {
    let before = "1".repeat(40);
    match sender {
        "gitlab" => json!({
            "object_kind": "push", "ref": "refs/heads/main", "before": before, "after": commit,
            "checkout_sha": commit, "user_username": "ada", "commits": [{"id": commit, "message": "a change"}],
            "project": {"id": 1, "git_http_url": repository, "web_url": repository.trim_end_matches(".git")},
        }),
        "bitbucket-dc" => json!({
            "eventKey": "repo:refs_changed", "actor": {"name": "ada"}, "repository": bitbucket_dc(repository),
            "changes": [{
                "ref": {"id": "refs/heads/main"}, "fromHash": before, "toHash": commit, "type": "UPDATE",
            }],
            "commits": [{"id": commit, "message": "a change"}], "toCommit": {"id": commit, "message": "a change"},
        }),
        _ => json!({
            "ref": "refs/heads/main", "before": before, "after": commit, "created": false, "deleted": false,
            "forced": false, "commits": [{"id": commit, "message": "a change"}],
            "head_commit": {"id": commit, "message": "a change"},
            "repository": {"id": 1, "clone_url": repository, "html_url": repository}, "sender": {"login": "ada"},
        }),
    }
}

/// The same of a pull request that was opened.
fn pull_request(sender: &str, repository: &str) -> Value {
    let (source, target) = ("feature/cart", "main");
    match sender {
        "gitlab" => {
            let project = json!({"id": 1, "git_http_url": repository});
            json!({
                "object_kind": "merge_request", "user": {"username": "ada"}, "project": project, "labels": [],
                "object_attributes": {
                    "iid": PULL, "title": "A cart", "action": "open", "source_branch": source,
                    "target_branch": target, "source_project_id": 1, "target_project_id": 1, "source": project,
                    "last_commit": {"id": COMMIT, "message": "a change"}, "draft": false,
                },
                "changes": {},
            })
        }
        "bitbucket-dc" => {
            let end = |branch: &str| {
                json!({
                    "id": format!("refs/heads/{branch}"), "latestCommit": COMMIT,
                    "repository": bitbucket_dc(repository),
                })
            };
            json!({
                "eventKey": "pr:opened", "actor": {"name": "ada"},
                "pullRequest": {
                    "id": PULL, "title": "A cart", "draft": false, "fromRef": end(source), "toRef": end(target),
                },
            })
        }
        _ => {
            let of = json!({"id": 1, "clone_url": repository, "html_url": repository});
            let end = |branch: &str| json!({"ref": branch, "sha": COMMIT, "repo": of});
            json!({
                "action": "opened", "number": PULL, "repository": of, "sender": {"login": "ada"},
                "pull_request": {
                    "number": PULL, "title": "A cart", "draft": false, "merged": false, "labels": [],
                    "head": end(source), "base": end(target),
                },
            })
        }
    }
}

fn bitbucket_dc(repository: &str) -> Value {
    json!({"id": 1, "slug": "api", "links": {"clone": [{"href": repository, "name": "http"}], "self": []}})
}
