//! Pushes to a real repository, served over smart HTTP to who logs in, with every combination of rules.

use serde_json::{Value, json};
use shipway_contracts::v1;

use crate::{
    git_host::GitHost,
    pull_requests::{pull_request, tell},
    support::*,
    waiting::{deliver, forced, home, judged},
};

/// `shipway:hunter2` in base64.
const LOGIN: &str = "c2hpcHdheTpodW50ZXIy";

/// A trigger, and what it should make of a push by what the test knows of it.
struct Rule {
    name: String,
    branches: &'static [&'static str],
    flags: bool,
    paths: &'static [&'static str],
    allow: bool,
}

/// A push as the test made it.
struct Made {
    what: &'static str,
    branch: &'static str,
    body: String,
    flagged: bool,
    files: Vec<&'static str>,
}

impl Rule {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for branches in [&["main"][..], &["*"], &["feature/*", "x"], &[]] {
            for flags in [false, true] {
                for (paths, allow) in [
                    (&[][..], false),
                    (&["docs/"][..], false),
                    (&["docs/**", "*.md"], false),
                    (&["src/**"], true),
                    (&["*", "!*.md"], false),
                ] {
                    let name = format!("t{}", all.len());
                    all.push(Self { name, branches, flags, paths, allow });
                }
            }
        }
        all
    }

    /// The trigger with its patterns in this list.
    fn record(&self, repository: &str, list: &str) -> v1::TriggerRecord {
        trigger(&json!({"kind": "git", "ref": self.name, "repoUrl": repository,
            list: self.branches, "ciIgnoreFlagsEnabled": self.flags,
            "pathIgnoreRules": self.paths, "isAllowList": self.allow}))
    }

    fn fits(&self, push: &Made) -> bool {
        let branch = match self.branches {
            ["main"] => push.branch == "main",
            ["*"] => true,
            ["feature/*", "x"] => push.branch.starts_with("feature/"),
            _ => false,
        };
        let docs = |file: &&str| file.starts_with("docs/");
        let src = |file: &&str| file.starts_with("src/");
        let counts = |file: &&str| match self.paths {
            [] => true,
            ["docs/"] => !docs(file),
            ["docs/**", "*.md"] => !docs(file) && !file.ends_with(".md"),
            // Nothing in a folder can be taken back.
            ["*", "!*.md"] => file.ends_with(".md") && !file.contains('/'),
            _ => src(file),
        };
        let files = self.paths.is_empty() || push.files.iter().any(counts);
        branch && !(self.flags && push.flagged) && files
    }
}

/// The pushes, one after the other, each made when the one before was judged.
struct Pushes<'g> {
    git: &'g Git,
    /// The repository as deliveries name it.
    address: String,
}

impl Pushes<'_> {
    /// Commits one set of files after the other and pushes them all at once.
    fn push(
        &self,
        what: &'static str,
        branch: &'static str,
        before: Option<&str>,
        commits: &[(&str, &[&'static str])],
    ) -> Made {
        for (message, files) in commits {
            for file in *files {
                self.git.write(file, &uuid::Uuid::now_v7().to_string());
            }
            self.git.git(&["add", "-A"]);
            self.git.commit(message);
        }
        self.made(what, branch, before, commits)
    }

    fn made(
        &self,
        what: &'static str,
        branch: &'static str,
        before: Option<&str>,
        commits: &[(&str, &[&'static str])],
    ) -> Made {
        self.git.git(&["push", "-q", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        let after = self.head();
        // As a host that cuts its list: the newest commit alone.
        let mut body: Value =
            serde_json::from_str(&push_body(&self.address, branch, before.unwrap_or(ZERO), &after)).unwrap();
        let messages: Vec<_> =
            self.git.git(&["log", "-1", "--format=%B"]).lines().map(str::to_owned).collect();
        body["head_commit"]["message"] = json!(messages.join("\n"));
        body["commits"] = json!(vec![body["head_commit"].clone(); 100]);
        Made {
            what,
            branch,
            body: body.to_string(),
            flagged: commits.iter().any(|(message, _)| message.contains("[skip ci]")),
            files: commits.iter().flat_map(|(_, files)| files.iter().copied()).collect(),
        }
    }

    fn head(&self) -> String {
        self.git.git(&["rev-parse", "HEAD"])
    }
}

#[tokio::test]
async fn pushes_with_every_combination_of_rules_over_smart_http() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    run(&git.bare, &["config", "uploadpack.allowFilter", "true"]);
    let host = GitHost::start(place.path(), LOGIN).unwrap();
    let repository = host.address(Some("shipway:hunter2"), "shop.git");
    let rules = Rule::all();
    let home =
        home(&repository, rules.iter().map(|rule| rule.record(&repository, "branchRestrictions")).collect());
    let world = World::start(&place, &home, config()).await;
    let pushes = Pushes { git: &git, address: host.address(None, "shop") };
    let mut combinations = 0;
    let mut check = async |made: Made| {
        let answer = deliver(&world, &made.body).await;
        assert_eq!(answer.runs(), 0, "{}", answer.text);
        let delivery = judged(&world, &answer).await;
        assert_eq!(delivery.verdicts.len(), rules.len());
        for (rule, verdict) in rules.iter().zip(&delivery.verdicts) {
            assert_eq!(verdict.trigger, rule.name);
            let words =
                format!("{}: {} {:?} {:?}: {verdict:?}", made.what, made.branch, made.files, rule.paths);
            assert_eq!(verdict.matched, rule.fits(&made), "{words}");
            assert!(
                !verdict.rules.is_empty() && verdict.rules.iter().all(|rule| rule.outcome != "open"),
                "{words}"
            );
            combinations += 1;
        }
    };

    let root = pushes.push("the first of all", "main", None, &[("First", &["src/a", "docs/a", "x.md"])]);
    check(root).await;
    let first = pushes.head();
    check(pushes.push("docs", "main", Some(&first), &[("Docs", &["docs/a", "docs/b"])])).await;
    let second = pushes.head();
    check(pushes.push(
        "flagged, not the newest",
        "main",
        Some(&second),
        &[("Half [skip ci]", &["src/a"]), ("Whole", &["docs/a"])],
    ))
    .await;
    let third = pushes.head();
    check(pushes.push("text at the top", "main", Some(&third), &[("Text", &["x.md", "docs/c.md"])])).await;

    // A new branch: what differs from the default branch.
    git.git(&["checkout", "-q", "-b", "feature/a"]);
    check(pushes.push("a new branch", "feature/a", None, &[("New", &["src/new"]), ("More", &["docs/new"])]))
        .await;
    let new = pushes.head();
    // Forced: what differs from where it parted from what was there.
    git.git(&["reset", "-q", "--hard", &third]);
    let mut other = pushes.push("forced", "feature/a", Some(&new), &[("Other", &["docs/other"])]);
    other.body = forced(&other.body);
    check(other).await;
    let other = pushes.head();
    // Renamed from one folder to another: by both names.
    git.git(&["mv", "src/a", "docs/was-src"]);
    git.commit("Move");
    check(pushes.made("a rename", "feature/a", Some(&other), &[("Move", &["src/a", "docs/was-src"])])).await;
    let moved = pushes.head();
    // A merge brings what the other branch had, with its messages.
    git.git(&["checkout", "-q", "-b", "side", &third]);
    git.write("src/side", "x");
    git.git(&["add", "-A"]);
    git.commit("Side [skip ci]");
    git.git(&["checkout", "-q", "feature/a"]);
    // Git would take the move for one of the whole folder, and ask about the file that is new in it.
    git.git(&["-c", "merge.directoryRenames=false", "merge", "-q", "--no-ff", "-m", "Merge", "side"]);
    check(pushes.made("a merge", "feature/a", Some(&moved), &[("Side [skip ci]", &["src/side"])])).await;
    let (answered, refused) = host.asked();
    assert!(answered > 0, "the host was never asked");
    println!("{combinations} combinations of pushes and rules over smart HTTP with a login, all right");
    println!("{answered} requests answered, {refused} asked for the login first");
    world.end().await;
}

/// A commit: its message and the files that it changes.
type Change<'a> = (&'a str, &'a [&'static str]);

/// A pull request: its branch, the ref that its commits are under, the fork that it comes from, its commits.
type Case<'a> = (&'static str, &'a str, Option<&'a str>, &'a [Change<'a>]);

/// Pull requests of the repository's own branches, and of forks by each of the refs under which hosts keep their commits.
#[tokio::test]
async fn pull_requests_for_real_refs_with_every_combination_of_rules_over_smart_http() {
    let place = Place::sqlite();
    let git = Git::new(place.path());
    run(&git.bare, &["config", "uploadpack.allowFilter", "true"]);
    let host = GitHost::start(place.path(), LOGIN).unwrap();
    let repository = host.address(Some("shipway:hunter2"), "shop.git");
    let rules = Rule::all();
    let records = rules.iter().map(|rule| rule.record(&repository, "prRestrictions")).collect();
    let world = World::start(&place, &home(&repository, records), config()).await;
    let address = host.address(None, "shop");
    git.files("main", &["src/a", "docs/a", "x.md"]);
    let parted = git.git(&["rev-parse", "HEAD"]);
    // The target has moved on: what came to it is none of the pull request's.
    git.files("main", &["src/later", "docs/later", "later.md"]);
    let fork = Some("https://github.com/mallory/shop");
    let cases: [Case<'_>; 5] = [
        (
            "feature/a",
            "refs/heads/feature/a",
            None,
            &[("Half [skip ci]", &["src/x"]), ("Whole", &["docs/x"])],
        ),
        ("fix", "refs/heads/fix", None, &[("Half", &["docs/x"]), ("Whole [skip ci]", &["docs/y.md"])]),
        ("feature/b", "refs/pull/7/head", fork, &[("Theirs", &["src/theirs"])]),
        ("main", "refs/merge-requests/7/head", fork, &[("Theirs", &["docs/theirs"])]),
        ("other", "refs/pull-requests/7/from", fork, &[("Theirs [skip ci]", &["src/t", "theirs.md"])]),
    ];
    let mut combinations = 0;
    for (source, reference, of, commits) in cases {
        git.git(&["checkout", "-q", "--detach", &parted]);
        for (message, files) in commits {
            for file in *files {
                git.write(file, &uuid::Uuid::now_v7().to_string());
            }
            git.git(&["add", "-A"]);
            git.commit(message);
        }
        git.git(&["push", "-q", "--force", "origin", &format!("HEAD:{reference}")]);
        let head = git.git(&["rev-parse", "HEAD"]);
        let answer = tell(&world, &pull_request(&address, "opened", &head, source, of)).await;
        let delivery = judged(&world, &answer).await;
        let made = Made {
            what: "a pull request",
            branch: source,
            body: String::new(),
            // Its newest commit decides.
            flagged: commits.last().is_some_and(|(message, _)| message.contains("[skip ci]")),
            files: commits.iter().flat_map(|(_, files)| files.iter().copied()).collect(),
        };
        for (rule, verdict) in rules.iter().zip(&delivery.verdicts) {
            let words = format!("{reference} {:?} {:?}: {verdict:?}", rule.branches, rule.paths);
            let wanted = rule.fits(&made);
            // One of a fork that fits is held, and nothing else of it is.
            assert_eq!(verdict.matched, wanted && of.is_none(), "{words}");
            let held = verdict.held.as_ref().map(|held| held.head == head);
            assert_eq!(held, (wanted && of.is_some()).then_some(true), "{words}");
            combinations += 1;
        }
        git.git(&["push", "-q", "origin", &format!(":{reference}")]);
    }
    println!(
        "{combinations} combinations of pull requests and rules over smart HTTP with a login, all right"
    );
    world.end().await;
}
