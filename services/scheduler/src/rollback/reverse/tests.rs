//! Given what runs recorded, when somebody goes back, then these steps.

use super::*;

fn artifact(version: u32) -> Artifact {
    Artifact {
        digest: format!("sha256:{version}"),
        build: format!("b-{version}"),
        service: "build".to_owned(),
        commit: format!("{version}{version}{version}{version}{version}{version}{version}{version}"),
        branch: "main".to_owned(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A service of the stage that had one version and has another since a time.
fn service(then: Option<u32>, now: Option<u32>, since: i64) -> Member {
    Member {
        is_here: true,
        now: now.map(|now| (artifact(now), at(since))),
        then: then.map(artifact),
        ..Member::default()
    }
}

fn job(then: Option<u32>, now: Option<u32>, since: i64) -> Member {
    Member { is_job: true, ..service(then, now, since) }
}

fn using(addon: &str, member: Member) -> Member {
    Member { uses: [addon.to_owned()].into(), ..member }
}

fn done(seconds: i64, node: &str, what: What) -> Done {
    Done { path: "shop/prod".to_owned(), node: node.to_owned(), is_here: true, at: at(seconds), what }
}

fn facts(members: &[(&str, Member)], all: &[Done]) -> Facts {
    Facts {
        members: members.iter().map(|(slug, member)| ((*slug).to_owned(), member.clone())).collect(),
        done: all.to_vec(),
        ..Facts::default()
    }
}

fn with_backup(mut facts: Facts, addon: &str, backup: &str, choice: Option<bool>) -> Facts {
    let backup = Backup { id: backup.to_owned(), began: at(1) };
    facts.backups.insert(addon.to_owned(), backup.clone());
    if let Some(restore) = choice {
        let choice = if restore { Choice::Restore(backup) } else { Choice::Keep };
        facts.choices.insert(addon.to_owned(), choice);
    }
    facts
}

fn words(steps: &[Step]) -> String {
    let word = |step: &Step| match step {
        Step::Stop(service) => format!("stop {service}"),
        Step::Restore { addon, backup } => format!("restore {addon} {backup}"),
        Step::StartAgain { service, artifact } => format!("or {service} {}", artifact.build),
        Step::Release { target, is_job, artifact } => {
            format!("{} {target} {}", if *is_job { "job" } else { "release" }, artifact.build)
        }
    };
    steps.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn migrated() -> Facts {
    let web = using("db", service(Some(1), Some(2), 30));
    let migrate = using("db", job(Some(1), Some(2), 10));
    facts(&[("web", web), ("migrate", migrate)], &[done(20, "migrate", What::Ran("migrate".to_owned()))])
}

#[test]
fn the_way_back_is_made_from_what_was_done() {
    let cases = [
        ("nothing to do", facts(&[("web", service(Some(1), Some(1), 5))], &[]), ""),
        ("one service", facts(&[("web", service(Some(1), Some(2), 5))], &[]), "release web b-1"),
        (
            "two services, the one that came last goes first",
            facts(&[("api", service(Some(1), Some(2), 5)), ("web", service(Some(1), Some(2), 6))], &[]),
            "release web b-1, release api b-1",
        ),
        (
            "one of two has not changed",
            facts(&[("api", service(Some(1), Some(1), 5)), ("web", service(Some(1), Some(2), 6))], &[]),
            "release web b-1",
        ),
        (
            "one that does not run any more",
            facts(&[("web", service(Some(1), None, 0))], &[]),
            "release web b-1",
        ),
        ("a service that is new since then", facts(&[("web", service(None, Some(2), 5))], &[]), ""),
        (
            "the same, exactly",
            Facts { exact: true, ..facts(&[("web", service(None, Some(2), 5))], &[]) },
            "stop web",
        ),
        ("a migration without a backup", migrated(), "release web b-1, job migrate b-1"),
        (
            "a migration with a backup, and nobody has decided",
            with_backup(migrated(), "db", "bk-1", None),
            "release web b-1, job migrate b-1",
        ),
        (
            "its content stays",
            with_backup(migrated(), "db", "bk-1", Some(false)),
            "release web b-1, job migrate b-1",
        ),
        (
            "its backup comes back, and what meets that is stopped",
            with_backup(migrated(), "db", "bk-1", Some(true)),
            "stop web, restore db bk-1, or web b-2, release web b-1, job migrate b-1",
        ),
    ];
    for (name, facts, expected) in cases {
        assert_eq!(words(&reverse(&facts).steps), expected, "{name}");
    }
}

#[test]
fn a_service_of_another_stage_that_uses_the_addon_comes_up_as_it_was() {
    let mut facts = with_backup(migrated(), "db", "bk-1", Some(true));
    let other = using("db", Member { is_here: false, ..service(None, Some(3), 40) });
    facts.members.insert("public".to_owned(), other);
    let back = reverse(&facts);
    assert_eq!(
        words(&back.steps),
        "stop public, stop web, restore db bk-1, or public b-3, or web b-2, release public b-3, release web b-1, job \
         migrate b-1"
    );
    assert_eq!(back.left.keys().collect::<Vec<_>>(), ["migrate", "web"], "nothing of another stage is left");
    assert_eq!(
        back.warnings,
        [
            "`public` is of another stage and uses `db`: it is stopped while that is restored, and stays at commit 3333333"
        ]
    );
}

#[test]
fn what_changed_an_addon_is_asked_about_or_said() {
    let [asked] = &reverse(&with_backup(migrated(), "db", "bk-1", None)).changed[..] else { panic!() };
    assert_eq!((asked.by.as_str(), &asked.choice), ("`migrate` of shop/prod ran `migrate`", &None));
    assert_eq!(asked.backup.as_ref().map(|backup| backup.id.as_str()), Some("bk-1"));
    let without = reverse(&migrated());
    assert_eq!(without.changed[0].backup, None);
    assert_eq!(
        without.warnings,
        [
            "the content of `db` stays as it is: `migrate` of shop/prod ran `migrate`, and no backup was made before that"
        ]
    );
    let kept = reverse(&with_backup(migrated(), "db", "bk-1", Some(false)));
    assert_eq!(kept.warnings, ["the content of `db` stays as it is: `migrate` of shop/prod ran `migrate`"]);
}

#[test]
fn of_two_migrations_the_first_says_which_backup_is_old_enough() {
    let mut facts = migrated();
    facts.done.push(done(50, "again", What::Ran("migrate".to_owned())));
    let (first, by) = &changes(&facts)["db"];
    assert_eq!((*first, by.len()), (at(20), 2));
    // A rollback that restored changed the content too: its own rollback asks again.
    facts.done = vec![done(60, "restore-db", What::Restored("db".to_owned()))];
    assert_eq!(
        changes(&facts)["db"],
        (at(60), vec!["`restore-db` of shop/prod restored it".to_owned()]),
        "a rollback of a rollback"
    );
}

#[test]
fn what_is_not_taken_back_is_said() {
    let members = [("web", service(Some(1), Some(2), 5)), ("new", service(None, Some(2), 6))];
    let mut facts = facts(
        &members,
        &[
            done(1, "seed", What::Executed("web".to_owned())),
            done(2, "tell", What::Other("sent a message")),
            done(3, "smoke", What::Ran("smoke".to_owned())),
            Done { is_here: false, ..done(4, "other", What::Executed("web".to_owned())) },
        ],
    );
    facts.gone = vec!["old".to_owned()];
    assert_eq!(
        reverse(&facts).warnings,
        [
            "`new` ran nothing then, and goes on running: --exact stops it",
            "`old` ran then and is not in the stage any more: apply it again to have it back",
            "`seed` of shop/prod executed a command in `web`: what that did is not taken back",
            "`tell` of shop/prod sent a message: that is not taken back",
            "`smoke` of shop/prod ran the job `smoke`: what that did is not taken back",
        ]
    );
    facts.exact = true;
    facts.cut = true;
    assert!(
        reverse(&facts).warnings[0]
            .starts_with("more than 200 runs began since then: what the older ones did")
    );
    assert!(reverse(&facts).warnings.contains(&"`new` ran nothing then: it is stopped".to_owned()));
}
