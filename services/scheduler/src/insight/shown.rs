//! Figures as the API shows them.

use shipway_contracts::{
    Error,
    v1::{GetInsightReply, GetInsightRequest, InsightBucket, InsightEntry, InsightMetric, StageInsight},
};
use shipway_events::Timestamp;

use super::metrics::{Entry, Metric, StageFigures, percentile};

/// A day, in microseconds.
const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// So many events of a figure come with it where nobody asks for more.
const FIRST: usize = 20;
/// The most that come at once.
const MOST: usize = 500;
/// So many parts of the time are told apart at most.
const BUCKETS: i64 = 400;

/// The answer: of one figure, if one is asked for, a page of its events.
pub(super) fn reply(
    request: &GetInsightRequest,
    project: &str,
    found: Vec<StageFigures>,
    from: Timestamp,
    until: Timestamp,
    cut: bool,
) -> Result<GetInsightReply, Error> {
    let width = match request.by.as_str() {
        "" => 0,
        "day" => DAY,
        "week" => 7 * DAY,
        other => {
            return Err(Error::bad_request(format!("field `by`: `{other}` is neither `day` nor `week`")));
        }
    };
    let (begin, end) = (from.micros(), until.micros());
    if width > 0 && (end - begin) / width >= BUCKETS {
        return Err(Error::bad_request(format!("field `by`: at most {BUCKETS} parts; ask about less time")));
    }
    let page = request.page.clone().unwrap_or_default();
    let after: usize = match page.after.as_str() {
        "" => 0,
        text => text.parse().map_err(|_| Error::bad_request("field `page.after`: not of an answer"))?,
    };
    let limit = match usize::try_from(page.limit) {
        Ok(0) | Err(_) => FIRST,
        Ok(limit) => limit.min(MOST),
    };
    let mut stages = Vec::new();
    for StageFigures { pipeline, stage, metrics } in found {
        let wanted =
            metrics.into_iter().filter(|metric| request.metric.is_empty() || metric.name == request.metric);
        let shown: Vec<InsightMetric> =
            wanted.map(|metric| figure(metric, (begin, end, width), after, limit)).collect();
        if shown.is_empty() {
            return Err(Error::bad_request(format!(
                "field `metric`: there is no figure `{}`; there are releases, lead, failures, restore, queue, approval, \
                 held, build, wait and running",
                request.metric
            )));
        }
        stages.push(StageInsight { project: project.to_owned(), pipeline, stage, metrics: shown });
    }
    Ok(GetInsightReply { stages, since: from.to_string(), until: until.to_string(), cut })
}

fn figure(metric: Metric, (begin, end, width): (i64, i64, i64), after: usize, limit: usize) -> InsightMetric {
    let Metric { name, entries, of } = metric;
    let mut took: Vec<i64> = entries.iter().map(|entry| entry.took).collect();
    took.sort_unstable();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut buckets = Vec::new();
    let mut at = begin;
    while width > 0 && at < end {
        let inside = entries.iter().filter(|entry| (at..at + width).contains(&entry.at));
        let mut took: Vec<i64> = inside.map(|entry| entry.took).collect();
        took.sort_unstable();
        buckets.push(InsightBucket {
            since: Timestamp::from_micros(at).to_string(),
            count: count(took.len()),
            median_us: percentile(&took, 50),
        });
        at += width;
    }
    // The newest first: who looks for a reason looks there.
    let shown = entries.iter().rev().skip(after).take(limit).map(shown).collect();
    let next = after + limit;
    InsightMetric {
        count: count(entries.len()),
        of: of.map(count),
        per_day: 1e6 * 86_400.0 * entries.len() as f64 / (end - begin) as f64,
        median_us: percentile(&took, 50),
        p90_us: percentile(&took, 90),
        total_us: took.iter().sum(),
        buckets,
        entries: shown,
        next: if next < entries.len() { next.to_string() } else { String::new() },
        name,
    }
}

fn shown(entry: &Entry) -> InsightEntry {
    InsightEntry {
        run: entry.run.clone(),
        position: entry.position.cast_unsigned(),
        at: Timestamp::from_micros(entry.at).to_string(),
        took_us: entry.took,
        note: entry.note.to_owned(),
    }
}
