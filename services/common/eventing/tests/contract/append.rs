//! Appending.

use std::{collections::HashSet, sync::Arc};

use shipway_eventing::{AppendError, Appended, Expected, Item, Write, verify::verify};

use crate::fixture::{Fixture, command, event, item, meta, stream};

pub(crate) async fn positions_are_gapless_and_streams_keep_their_own_versions(given: &Fixture) {
    let first = given.append("run-a", Expected::New, 2).await.unwrap();
    let second = given.append("run-b", Expected::New, 1).await.unwrap();
    let third = given.append("run-a", Expected::Version(2), 3).await.unwrap();
    let fourth = given.append("run-c", Expected::Any, 1).await.unwrap();
    let spans = [&first, &second, &third, &fourth].map(|answer| (answer.first, answer.last));
    assert_eq!(spans, [(1, 2), (3, 3), (4, 6), (7, 7)]);
    assert_eq!(third.versions, [(stream("run-a"), 5)]);
    assert!([&first, &second, &third, &fourth].iter().all(|answer| !answer.duplicate));
    let seen: Vec<_> =
        given.read_all().await.into_iter().map(|e| (e.position, e.stream.to_string(), e.version)).collect();
    let expected = [
        (1, "run-a".into(), 1),
        (2, "run-a".into(), 2),
        (3, "run-b".into(), 1),
        (4, "run-a".into(), 3),
        (5, "run-a".into(), 4),
        (6, "run-a".into(), 5),
        (7, "run-c".into(), 1),
    ];
    assert_eq!(seen, expected);
    let head = given.log.head().await.unwrap();
    assert_eq!((head.position, head.at), (7, fourth.at));
}

pub(crate) async fn a_wrong_version_is_a_conflict_that_names_what_is(given: &Fixture) {
    given.append("run-a", Expected::New, 2).await.unwrap();
    for wrong in [Expected::New, Expected::Version(1), Expected::Version(3)] {
        let refused = given.append("run-a", wrong, 1).await.unwrap_err();
        assert!(
            matches!(&refused, AppendError::Conflict { stream, expected, actual: 2 }
                if stream.as_str() == "run-a" && *expected == wrong),
            "{refused}"
        );
    }
    let absent = given.append("run-b", Expected::Version(4), 1).await.unwrap_err();
    assert!(matches!(absent, AppendError::Conflict { actual: 0, .. }));
    assert_eq!(given.log.head().await.unwrap().position, 2);
    // The same when this process has not seen the stream before.
    given.log.close().await;
    let log = given.again().await;
    let refused = log.append(item("run-a", Expected::New, 1)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { actual: 2, .. }), "{refused}");
    log.append(item("run-a", Expected::Version(2), 1)).await.unwrap();
    log.close().await;
}

pub(crate) async fn several_streams_move_together_or_not_at_all(given: &Fixture) {
    let writes = |lane, run| {
        let write = |name, expected, count| Write {
            stream: stream(name),
            expected,
            events: vec![event("{}"); count],
        };
        Item {
            command: command(),
            meta: meta(),
            writes: vec![write("lane-x", lane, 1), write("run-a", run, 2), write("lock-y", Expected::Any, 1)],
        }
    };
    let both = given.log.append(writes(Expected::New, Expected::New)).await.unwrap();
    assert_eq!((both.first, both.last), (1, 4));
    assert_eq!(both.versions, [(stream("lane-x"), 1), (stream("run-a"), 2), (stream("lock-y"), 1)]);
    let refused = given.log.append(writes(Expected::Version(1), Expected::New)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { stream, actual: 2, .. } if stream.as_str() == "run-a"));
    assert_eq!(given.read_all().await.len(), 4);
    let next = given.log.append(writes(Expected::Version(1), Expected::Version(2))).await.unwrap();
    assert_eq!((next.first, next.last), (5, 8));
    assert_eq!(next.versions, [(stream("lane-x"), 2), (stream("run-a"), 4), (stream("lock-y"), 2)]);
}

pub(crate) async fn a_known_command_gets_its_old_answer(given: &Fixture) {
    let write = |name| Write { stream: stream(name), expected: Expected::New, events: vec![event("{}"); 2] };
    let item = Item { command: command(), meta: meta(), writes: vec![write("run-b"), write("run-a")] };
    let answer = given.log.append(item.clone()).await.unwrap();
    given.append("run-a", Expected::Version(2), 5).await.unwrap();
    let old = Appended { duplicate: true, ..answer };
    assert_eq!(given.log.append(item.clone()).await.unwrap(), old);
    assert_eq!(given.log.command_result(item.command).await.unwrap(), Some(old.clone()));
    assert_eq!(given.log.command_result(command()).await.unwrap(), None);
    given.log.close().await;
    let log = given.again().await;
    assert_eq!(log.append(item).await.unwrap(), old);
    assert_eq!(log.head().await.unwrap().position, 9);
    log.close().await;
}

pub(crate) async fn the_same_command_many_times_at_once_is_applied_once(given: &Fixture) {
    for round in 0..20 {
        let item = item(&format!("run-{round}"), Expected::New, 2);
        let tries: Vec<_> = (0..8)
            .map(|_| {
                let (log, item) = (Arc::clone(&given.log), item.clone());
                tokio::spawn(async move { log.append(item).await.unwrap() })
            })
            .collect();
        let mut answers = HashSet::new();
        let mut applied = 0;
        for answer in tries {
            let answer = answer.await.unwrap();
            applied += u32::from(!answer.duplicate);
            answers.insert((answer.first, answer.last, answer.at));
        }
        assert_eq!((applied, answers.len()), (1, 1));
    }
    // A command that was refused is decided anew, also when its repetitions are in the same batch.
    given.append("run-x", Expected::New, 1).await.unwrap();
    let refused = item("run-x", Expected::New, 1);
    let outcomes = given.log.append_all(vec![refused.clone(), refused.clone(), refused]).await;
    assert!(outcomes.iter().all(|o| matches!(o, Err(AppendError::Conflict { actual: 1, .. }))));
    assert_eq!(given.log.head().await.unwrap().position, 41);
}

pub(crate) async fn what_can_never_be_appended_is_refused(given: &Fixture) {
    let none = Item { command: command(), meta: meta(), writes: vec![] };
    assert!(matches!(given.log.append(none).await, Err(AppendError::Empty)));
    assert!(matches!(given.append("run-a", Expected::Any, 0).await, Err(AppendError::Empty)));
    let half = Item {
        writes: vec![
            item("run-a", Expected::Any, 1).writes[0].clone(),
            item("run-b", Expected::Any, 0).writes[0].clone(),
        ],
        ..item("run-a", Expected::Any, 1)
    };
    assert!(matches!(given.log.append(half).await, Err(AppendError::Empty)));
    let write = item("run-a", Expected::Any, 1).writes.remove(0);
    let twice = Item { command: command(), meta: meta(), writes: vec![write.clone(), write] };
    assert!(
        matches!(given.log.append(twice).await, Err(AppendError::RepeatedStream(name)) if name.as_str() == "run-a")
    );
    let large = given.append("run-a", Expected::Any, 50_001).await;
    assert!(matches!(large, Err(AppendError::TooLarge { unit: "events", size: 50_001, .. })));
    let heavy =
        Item::one(command(), meta(), stream("run-a"), Expected::Any, vec![event("x".repeat(65 << 20))]);
    assert!(matches!(given.log.append(heavy).await, Err(AppendError::TooLarge { unit: "bytes", .. })));
    assert_eq!(given.log.head().await.unwrap().position, 0);
}

pub(crate) async fn items_handed_over_together_see_each_other_and_fail_alone(given: &Fixture) {
    let known = item("run-k", Expected::New, 1);
    given.log.append(known.clone()).await.unwrap();
    let outcomes = given
        .log
        .append_all(vec![
            item("run-a", Expected::New, 1),
            item("run-a", Expected::New, 1),
            item("run-b", Expected::New, 0),
            known,
            item("run-a", Expected::Version(1), 2),
            item("run-b", Expected::New, 1),
        ])
        .await;
    let brief: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(answer) if answer.duplicate => format!("old {}", answer.first),
            Ok(answer) => format!("{}-{}", answer.first, answer.last),
            Err(AppendError::Conflict { actual, .. }) => format!("conflict {actual}"),
            Err(error) => error.to_string().chars().take(27).collect(),
        })
        .collect();
    assert_eq!(brief, ["2-2", "conflict 1", "an append without events wa", "old 1", "3-4", "5-5"]);
    let stats = given.log.stats();
    assert_eq!((stats.items, stats.events, stats.retried), (4, 5, 0));
}

pub(crate) async fn many_writers_share_commits(given: &Fixture) {
    let writers: Vec<_> = (0..32)
        .map(|writer| {
            let log = Arc::clone(&given.log);
            tokio::spawn(async move {
                for version in 0..25 {
                    log.append(item(&format!("run-{writer}"), Expected::Version(version), 1)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let positions: Vec<_> = given.read_all().await.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=800).collect::<Vec<_>>());
    let stats = given.log.stats();
    assert_eq!((stats.items, stats.events), (800, 800));
    assert!(stats.commits < 400, "{stats:?}");
}

pub(crate) async fn a_large_item_goes_through_alone(given: &Fixture) {
    let items = vec![
        item("run-a", Expected::New, 1),
        item("run-b", Expected::New, 5_000),
        item("run-c", Expected::New, 1),
    ];
    let outcomes = given.log.append_all(items).await;
    let last: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().last).collect();
    assert_eq!(last, [1, 5_001, 5_002]);
    assert_eq!(given.log.stats().commits, 3);
    assert!(verify(&*given.log).await.unwrap().is_whole());
}

pub(crate) async fn a_log_goes_on_where_it_was(given: &Fixture) {
    let before = given.append("run-a", Expected::New, 2).await.unwrap();
    given.log.close().await;
    let log = given.again().await;
    assert_eq!(*log.tail().borrow(), 2);
    assert!(log.now() >= before.at);
    let after = log.append(item("run-b", Expected::New, 1)).await.unwrap();
    assert_eq!((after.first, after.at >= before.at, log.generation()), (3, true, 1));
    log.append(item("run-a", Expected::Version(2), 1)).await.unwrap();
    let report = verify(&*log).await.unwrap();
    assert_eq!((report.events, report.streams, report.bad), (4, 2, None));
    log.close().await;
}

pub(crate) async fn the_time_of_events_never_falls(given: &Fixture) {
    for round in 0..50 {
        given.append(&format!("run-{round}"), Expected::New, 2).await.unwrap();
    }
    let times: Vec<_> = given.read_all().await.iter().map(|event| event.at).collect();
    assert!(times.is_sorted());
    assert!(given.log.now() >= *times.last().unwrap());
    let mut last = given.log.now();
    for _ in 0..1_000 {
        let now = given.log.now();
        assert!(now >= last);
        last = now;
    }
}

pub(crate) async fn cut_connections_lose_and_double_nothing(given: &Fixture) {
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let log = Arc::clone(&given.log);
            tokio::spawn(async move {
                for version in 0..60 {
                    let item = item(&format!("run-{writer}"), Expected::Version(version), 1);
                    let mut tries = 0;
                    while let Err(error) = log.append(item.clone()).await {
                        assert!(error.is_transient() && tries < 50, "{error}");
                        tries += 1;
                    }
                }
            })
        })
        .collect();
    let url = given.url().unwrap();
    let (mut tail, mut cuts) = (given.log.tail(), 0);
    let mut cutter = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'shipway'")
            .execute(&mut cutter)
            .await
            .unwrap();
        // However slow the machine is, something gets through between two cuts.
        tail.mark_unchanged();
        while !writers.iter().all(tokio::task::JoinHandle::is_finished)
            && tokio::time::timeout(std::time::Duration::from_millis(30), tail.changed()).await.is_err()
        {
        }
        cuts += 1;
    }
    assert!(cuts > 3, "{cuts} cuts");
    for writer in writers {
        writer.await.unwrap();
    }
    let report = loop {
        // The readers' connections were cut too.
        if let Ok(report) = verify(&*given.log).await {
            break report;
        }
    };
    assert_eq!((report.events, report.streams, report.bad), (480, 8, None));
}
