//! Deliveries that only their repository can tell about, with real repositories.

use serde_json::json;
use shipway_contracts::v1;

use crate::support::*;

crate::on_both! {
    what_was_changed_is_asked_of_git,
    a_delivery_waits_over_a_restart_until_its_repository_answers,
    a_push_waits_for_an_older_one_of_its_branch,
    a_replay_waits_for_the_repository_and_counts_whatever_came_before,
    a_forced_push_back_waits_while_the_repository_does_not_answer,
}

pub(crate) fn by_path(repository: &str, paths: &[&str], allow: bool) -> v1::TriggerRecord {
    trigger(&json!({"kind": "git", "ref": "app", "repoUrl": repository,
        "branchRestrictions": ["*"], "prRestrictions": ["*"], "pathIgnoreRules": paths, "isAllowList": allow}))
}

pub(crate) fn home(repository: &str, triggers: Vec<v1::TriggerRecord>) -> Home {
    let home = Home::default();
    home.change(|reply| {
        reply.hooks.push(git_hook(HOOK, repository));
        reply.triggers = triggers;
    });
    home
}

impl Git {
    /// Writes files and pushes them to a branch; the commit.
    pub(crate) fn files(&self, branch: &str, files: &[&str]) -> String {
        for file in files {
            self.write(file, &format!("{branch} {}", uuid::Uuid::now_v7()));
        }
        self.git(&["add", "-A"]);
        let commit = self.commit(&format!("Change {files:?}"));
        self.git(&["push", "-q", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        commit
    }
}

pub(crate) async fn one(world: &World, id: &str) -> v1::Delivery {
    world.list("", 100).await.deliveries.into_iter().find(|found| found.id == id).unwrap()
}

/// Waits until the delivery is judged.
pub(crate) async fn judged(world: &World, answer: &Answer) -> v1::Delivery {
    let id = answer.json()["delivery"].as_str().unwrap().to_owned();
    for _ in 0..3000 {
        let delivery = one(world, &id).await;
        if !matches!(delivery.state.as_str(), "waiting" | "stored" | "approved") {
            return delivery;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{:?} was never judged", one(world, &id).await);
}

pub(crate) async fn deliver(world: &World, body: &str) -> Answer {
    send(&world.router(), delivery(body, &uuid::Uuid::now_v7().to_string())).await
}

pub(crate) fn forced(body: &str) -> String {
    body.replace("\"forced\":false", "\"forced\":true")
}

async fn what_was_changed_is_asked_of_git(place: Place) {
    let git = Git::new(place.path());
    let address = git.address();
    let first = git.files("main", &["src/a", "docs/a"]);
    let home = home(&address, vec![by_path(&address, &["docs/**", "*.md"], false)]);
    let world = World::start(&place, &home, config()).await;

    let docs = git.files("main", &["docs/a", "docs/b", "x.md"]);
    let answer = deliver(&world, &push_body(&address, "main", &first, &docs)).await;
    assert_eq!(answer.runs(), 0);
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.ends_with("waits for the repository: which files were changed, only Git can tell"),
        "{message}"
    );
    let delivery = judged(&world, &answer).await;
    let verdict = &delivery.verdicts[0];
    assert_eq!((delivery.state.as_str(), verdict.matched), ("unmatched", false));
    assert_eq!(verdict.reason, "path rules `docs/**` (2 files), `*.md` (1 file) excluded all 3 files");
    assert_eq!(verdict.rules.last().unwrap().outcome, "failed");

    // A file that is renamed counts by both names.
    git.git(&["mv", "src/a", "docs/moved"]);
    let moved = git.files("main", &[]);
    let answer = deliver(&world, &push_body(&address, "main", &docs, &moved)).await;
    let delivery = judged(&world, &answer).await;
    assert_eq!(delivery.state, "matched", "{:?}", delivery.verdicts);
    assert!(!delivery.verdicts[0].run.is_empty());

    // A new branch is compared with the default branch, and one that was forced with where it parted from the old one.
    let new = git.files("topic", &["docs/only"]);
    let answer = deliver(&world, &push_body(&address, "topic", ZERO, &new)).await;
    assert!(
        judged(&world, &answer).await.verdicts[0].reason.contains("excluded the only changed file docs/only")
    );
    git.git(&["reset", "-q", "--hard", &moved]);
    let other = git.files("topic", &["src/b", "docs/c"]);
    let answer = deliver(&world, &forced(&push_body(&address, "topic", &new, &other))).await;
    let delivery = judged(&world, &answer).await;
    assert_eq!(
        delivery.verdicts[0].rules.last().unwrap().words,
        "no path rule excludes 1 of 2 files, src/b is one"
    );
    assert_eq!(delivery.state, "matched");
    // What was there before is gone altogether.
    let answer = deliver(&world, &forced(&push_body(&address, "topic", &commit(77), &other))).await;
    assert_eq!(judged(&world, &answer).await.verdicts[0].rules.last().unwrap().outcome, "passed");
    world.end().await;
}

async fn a_delivery_waits_over_a_restart_until_its_repository_answers(place: Place) {
    let git = Git::new(place.path());
    let address = git.address();
    let first = git.files("main", &["src/a"]);
    let second = git.files("main", &["src/b"]);
    let home = home(&address, vec![by_path(&address, &["src/**"], true)]);
    let away = place.path().join("away.git");
    std::fs::rename(&git.bare, &away).unwrap();
    let world = World::start(&place, &home, config()).await;
    let body = push_body(&address, "main", &first, &second);
    let answer = send(&world.router(), delivery(&body, "d-1")).await;
    assert_eq!(answer.runs(), 0);
    let id = answer.json()["delivery"].as_str().unwrap().to_owned();
    let waits = async |world: &World| loop {
        let delivery = one(world, &id).await;
        assert_eq!(delivery.state, "waiting");
        let waiting = delivery.waiting.unwrap();
        if waiting.tries > 0 {
            assert!(!waiting.last_error.is_empty() && waiting.since.starts_with("20"), "{waiting:?}");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    waits(&world).await;
    assert_eq!(
        send(&world.router(), delivery(&body, "d-1")).await.text,
        answer.text,
        "the same for a repeat"
    );
    assert!(world.matched().await.is_empty());
    world.end().await;

    let world = World::start(&place, &home, config()).await;
    waits(&world).await;
    std::fs::rename(&away, &git.bare).unwrap();
    let delivery = judged(&world, &answer).await;
    assert_eq!((delivery.state.as_str(), delivery.waiting), ("matched", None));
    assert_eq!(world.matched_are(1).await[0].verdicts[0].values["sha"], second.as_str());
    // The repeat hears of the run now.
    assert_eq!(send(&world.router(), self::delivery(&body, "d-1")).await.runs(), 1);
    world.end().await;
}

async fn a_push_waits_for_an_older_one_of_its_branch(place: Place) {
    let git = Git::new(place.path());
    let address = git.address();
    let first = git.files("main", &["src/a"]);
    // Only what comes to `main` is judged by its files.
    let mut by_files = by_path(&address, &["src/**"], true);
    by_files.trigger_json =
        by_files.trigger_json.replace("\"branchRestrictions\":[\"*\"]", "\"branchRestrictions\":[\"main\"]");
    let home = home(&address, vec![by_files.clone()]);
    let away = place.path().join("away.git");
    std::fs::rename(&git.bare, &away).unwrap();
    let world = World::start(&place, &home, config()).await;
    let answer = deliver(&world, &push_body(&address, "main", ZERO, &first)).await;
    // From now on nothing has to be asked: what comes after it waits all the same, on this branch alone.
    home.change(|reply| reply.triggers = vec![on_push("all", &address, &["*"], false)]);
    world.touch_project().await;
    let next = deliver(&world, &push_body(&address, "main", &first, &commit(8))).await;
    assert_eq!(next.runs(), 0);
    assert!(next.text.contains("an older delivery of refs/heads/main is judged first"), "{}", next.text);
    let aside = deliver(&world, &push_body(&address, "topic", ZERO, &commit(9))).await;
    assert_eq!(aside.runs(), 1);
    home.change(|reply| reply.triggers.push(by_files));
    world.touch_project().await;
    std::fs::rename(&away, &git.bare).unwrap();
    // The second is of a commit that the repository does not have: it may still come.
    assert_eq!(judged(&world, &answer).await.state, "matched");
    let id = next.json()["delivery"].as_str().unwrap().to_owned();
    loop {
        let waiting = one(&world, &id).await.waiting.unwrap();
        if waiting.last_error.contains("no commit 0000000") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(world.matched_are(2).await.len(), 2);
    world.end().await;
}

/// A repository that is away, with whatever waits for it, keeps nobody else's deliveries from being judged.
#[tokio::test]
async fn a_repository_that_does_not_answer_keeps_nobody_else_waiting() {
    const DEAD: &str = "99999999-2222-4333-8444-555555555555";
    let place = Place::sqlite();
    let git = Git::new(place.path());
    let address = git.address();
    let first = git.files("main", &["src/a"]);
    let second = git.files("main", &["src/b"]);
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}/shop.git", silent.local_addr().unwrap());
    let by_files = [&address, &dead].map(|address| by_path(address, &["src/**"], true));
    let home = home(&address, by_files.to_vec());
    home.change(|reply| reply.hooks.push(git_hook(DEAD, &dead)));
    let ask_time = std::time::Duration::from_secs(120);
    let world = World::start(&place, &home, shipway_triggers::Config { ask_time, ..config() }).await;
    for branch in ["one", "two", "three"] {
        let body = push_body(&dead, branch, &commit(1), &commit(2));
        let answer = send(&world.router(), delivery_to(DEAD, &body, branch)).await;
        assert!(answer.text.contains("waits for the repository"), "{}", answer.text);
    }
    // More than are looked at together, older than all others, and none of them to be asked about soon.
    let mut tx = world.durable.begin().await.unwrap();
    for (table, columns, values) in [
        (
            "inbox",
            "delivery, hook, key, body, received_at, headers, sealed, state, summary, verdicts",
            "id, hook, id, body, received_at, headers, sealed, state, summary, verdicts",
        ),
        (
            "waiting",
            "delivery, repository, refs, source, event, since, tries, next_try_at",
            "id, repository, refs, source, event, since, 9, 9000000000000000",
        ),
    ] {
        let copies = format!(
            "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1200),
                c AS (SELECT printf('00000000-0000-7000-8000-%012d', x) AS id FROM n)
             INSERT INTO {table} ({columns})
             SELECT {values} FROM c, (SELECT * FROM {table} ORDER BY delivery DESC LIMIT 1)"
        );
        sqlx::query(sqlx::AssertSqlSafe(copies)).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let answer = deliver(&world, &push_body(&address, "main", &first, &second)).await;
    assert_eq!(judged(&world, &answer).await.state, "matched");
    world.end().await;
}

async fn a_replay_waits_for_the_repository_and_counts_whatever_came_before(place: Place) {
    let git = Git::new(place.path());
    let address = git.address();
    let first = git.files("main", &["src/a"]);
    let second = git.files("main", &["src/b"]);
    let home = home(&address, vec![by_path(&address, &["src/**"], true)]);
    let world = World::start(&place, &home, config()).await;
    let answer = deliver(&world, &push_body(&address, "main", &first, &second)).await;
    let original = judged(&world, &answer).await;
    assert_eq!(original.state, "matched");

    let away = place.path().join("away.git");
    std::fs::rename(&git.bare, &away).unwrap();
    let replay = async |dry_run: bool| {
        let request = v1::ReplayDeliveriesRequest {
            command: uuid::Uuid::now_v7().to_string(),
            deliveries: vec![original.id.clone()],
            dry_run,
            ..v1::ReplayDeliveriesRequest::default()
        };
        let reply = world.api().replay_deliveries(request).await.unwrap().into_inner();
        reply.replayed.into_iter().next().unwrap().delivery.unwrap()
    };
    let dry = replay(true).await;
    assert_eq!((dry.state.as_str(), dry.id.as_str()), ("waiting", ""));
    let again = replay(false).await;
    assert_eq!((again.state.as_str(), &again.replay_of), ("waiting", &original.id));
    assert!(again.waiting.is_some() && again.verdicts[0].run.is_empty(), "{again:?}");

    std::fs::rename(&away, &git.bare).unwrap();
    let matched = world.matched_are(2).await;
    assert_eq!(matched[1].verdicts[0].values["sha"], second.as_str());
    assert_eq!(one(&world, &again.id).await.state, "matched");
    // It took nothing from the branch: what comes next is judged as ever.
    let third = git.files("main", &["src/c"]);
    let answer = deliver(&world, &push_body(&address, "main", &second, &third)).await;
    assert_eq!(judged(&world, &answer).await.state, "matched");
    world.end().await;
}

/// The body of a forced push back is byte-equal to that of the first time: a private repository without a login does not
/// tell it from a replay.
async fn a_forced_push_back_waits_while_the_repository_does_not_answer(place: Place) {
    let git = Git::new(place.path());
    let address = git.address();
    let (a, b, c) = (git.push("A"), git.commit("B"), git.commit("C"));
    let home = home(&address, vec![on_push("all", &address, &["*"], false)]);
    let world = World::start(&place, &home, config()).await;
    let force = |to: &str| git.git(&["push", "-q", "--force", "origin", &format!("{to}:refs/heads/main")]);
    let away = place.path().join("away.git");
    let waits = "whether this is that push again, or a forced push back, only the repository can tell";
    let to_b = push_body(&address, "main", &a, &b);
    assert_eq!(deliver(&world, &to_b).await.runs(), 1);
    assert_eq!(deliver(&world, &push_body(&address, "main", &b, &a)).await.runs(), 1);

    force(&b);
    std::fs::rename(&git.bare, &away).unwrap();
    let back = deliver(&world, &to_b).await;
    assert!(back.runs() == 0 && back.text.contains(waits), "{}", back.text);
    std::fs::rename(&away, &git.bare).unwrap();
    assert_eq!(judged(&world, &back).await.state, "matched");

    force(&c);
    assert_eq!(deliver(&world, &push_body(&address, "main", &b, &c)).await.runs(), 1);
    std::fs::rename(&git.bare, &away).unwrap();
    let replay = deliver(&world, &to_b).await;
    assert!(replay.runs() == 0 && replay.text.contains(waits), "{}", replay.text);
    // Nothing of the branch waits for what may be a replay.
    assert_eq!(deliver(&world, &push_body(&address, "main", &c, &commit(9))).await.runs(), 1);
    std::fs::rename(&away, &git.bare).unwrap();
    let replay = judged(&world, &replay).await;
    assert_eq!((replay.state.as_str(), replay.verdicts[0].matched), ("unmatched", false));
    assert!(replay.verdicts[0].reason.ends_with("told of this push before"), "{replay:?}");
    let matched = world.matched_are(5).await;
    let commits: Vec<_> = matched.iter().map(|m| m.verdicts[0].values["sha"].as_str().unwrap()).collect();
    assert_eq!(commits, [&b, &a, &b, &c, &commit(9)]);
    world.end().await;
}
