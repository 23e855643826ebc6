//! Figures of stages are what a recount of the raw events says, whatever happened.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

#[path = "insight/recount.rs"]
mod recount;
#[expect(dead_code, reason = "it is another test that starts flows")]
mod shop;
#[path = "insight/story.rs"]
mod story;

use shipway_contracts::v1::{GetInsightRequest, InsightMetric, Page};

use self::story::Story;

/// Histories that are made up; more of them on a quiet machine.
fn histories() -> u64 {
    if std::env::var_os("SHIPWAY_FULL").is_some() { 200 } else { 9 }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_i_1_every_figure_equals_a_recount_of_the_raw_events() {
    let (mut figures, mut events) = (0, 0);
    for seed in 1..=histories() {
        let mut story = Story::new(seed).await;
        story.happens().await;
        let told = story.insight(GetInsightRequest::default()).await.unwrap();
        let log = story.log().await;
        events += log.len();
        let recount = recount::stages(&log);
        let mut seen = Vec::new();
        for stage in &told.stages {
            for metric in &stage.metrics {
                let key = (stage.stage.clone(), metric.name.clone());
                let wanted = recount.get(&key).cloned().unwrap_or_default();
                assert_eq!(
                    found(&mut story, &stage.stage, metric).await,
                    wanted.entries,
                    "seed {seed}: {key:?}"
                );
                assert_eq!(metric.of, wanted.of, "seed {seed}: {key:?}");
                assert_eq!(metric.count, wanted.entries.len() as u64, "seed {seed}: {key:?}");
                let mut took: Vec<i64> = wanted.entries.iter().map(|entry| entry.2).collect();
                took.sort_unstable();
                assert_eq!(metric.total_us, took.iter().sum::<i64>(), "seed {seed}: {key:?}");
                // The median by counting: no more than half are less, and no more than half are more.
                let less = took.iter().filter(|took| **took < metric.median_us).count();
                let more = took.iter().filter(|took| **took > metric.median_us).count();
                assert!(less * 2 <= took.len() && more * 2 <= took.len(), "seed {seed}: {key:?}");
                figures += 1;
                seen.push(key);
            }
        }
        let left_out: Vec<_> =
            recount.iter().filter(|(key, all)| !seen.contains(key) && !all.entries.is_empty()).collect();
        assert!(left_out.is_empty(), "seed {seed}: {left_out:?}");
        story.over().await;
    }
    println!("ROW I-1 {} histories, {events} events: {figures} figures, 0 differ", histories());
}

/// All events of a figure as run, position and time, oldest first, asked for page by page.
async fn found(story: &mut Story, stage: &str, metric: &InsightMetric) -> Vec<(String, u64, i64)> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let request = GetInsightRequest {
            stage: stage.to_owned(),
            metric: metric.name.clone(),
            page: Some(Page { after: after.clone(), limit: 3 }),
            ..GetInsightRequest::default()
        };
        let reply = story.insight(request).await.unwrap();
        let page = &reply.stages[0].metrics[0];
        all.extend(page.entries.iter().map(|entry| (entry.run.clone(), entry.position, entry.took_us)));
        if page.next.is_empty() {
            break;
        }
        after.clone_from(&page.next);
    }
    all.reverse();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_answer_is_refused_with_the_field() {
    let mut story = Story::new(1).await;
    story.happens().await;
    for (wanted, request) in [
        ("field `since`", GetInsightRequest { since: "monday".to_owned(), ..GetInsightRequest::default() }),
        ("field `by`", GetInsightRequest { by: "hour".to_owned(), ..GetInsightRequest::default() }),
        ("field `metric`", GetInsightRequest { metric: "speed".to_owned(), ..GetInsightRequest::default() }),
    ] {
        let refused = story.insight(request).await.unwrap_err();
        assert!(refused.message().contains(wanted), "{wanted}: {refused}");
    }
    let by = GetInsightRequest { by: "day".to_owned(), ..GetInsightRequest::default() };
    let told = story.insight(by).await.unwrap();
    for metric in told.stages.iter().flat_map(|stage| &stage.metrics) {
        assert_eq!(metric.buckets.len(), 30);
        assert_eq!(metric.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), metric.count);
    }
    story.over().await;
}
