//! `shipway insight`: how often stages get something new, how long that takes, how often it goes wrong, where the time goes.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shipway_contracts::v1::{
    GetInsightReply, GetInsightRequest, InsightBucket, InsightEntry, InsightMetric, Page, StageInsight,
};

use super::{
    Client, Exit, Failure, Outcome, Paint, Table, flags::Common, hint, out, output::out_json, short_id, talk,
    time,
};

/// Bars of a line of figures, the lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The states that the time goes to, in their order.
const STATES: [&str; 6] = ["queue", "approval", "held", "build", "wait", "running"];

/// Arguments of `shipway insight`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The project; the only one there is when absent.
    project: Option<String>,
    /// This pipeline only.
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// This stage only.
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// From here: a span like `30d`, or a time.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Up to here: a time. Now when absent.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Shows releases also by `day` or by `week`.
    #[arg(long, value_name = "PART", value_parser = ["day", "week"])]
    by: Option<String>,
    /// The events behind a figure: `releases`, `lead`, `failures`, `restore`, `queue`, `approval`, `held`, `build`, `wait` or
    /// `running`.
    #[arg(long, value_name = "FIGURE")]
    events: Option<String>,
    /// Of these events, so many.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20, requires = "events")]
    limit: u32,
    /// Those after the ones that were shown: as the hint under them says.
    #[arg(long, value_name = "NEXT", requires = "events")]
    after: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn insight(args: Args) -> Outcome {
    let now = Timestamp::now();
    let since = match time::parse_span(&args.since) {
        Some(span) => now.checked_sub(span).map_err(|error| Failure::usage(error.to_string()))?,
        None => time::parse(&args.since, now)?,
    };
    let until = args.until.map(|text| time::parse(&text, now)).transpose()?;
    let client = Client::connect(&args.common.place).await?;
    let request = GetInsightRequest {
        project: args.project.unwrap_or_default(),
        pipeline: args.pipeline.unwrap_or_default(),
        stage: args.stage.unwrap_or_default(),
        since: since.to_string(),
        until: until.map(|until| until.to_string()).unwrap_or_default(),
        by: args.by.unwrap_or_default(),
        metric: args.events.clone().unwrap_or_default(),
        page: Some(Page { after: args.after.unwrap_or_default(), limit: args.limit }),
    };
    let reply = client.history().get_insight(request).await?.into_inner();
    if args.common.json() {
        out_json(&json(&reply));
        return Ok(Exit::Ok);
    }
    if reply.cut {
        talk("there were more runs than are looked at: the oldest are left out");
    }
    match args.events {
        _ if reply.stages.is_empty() => talk("no run of a stage has ended in that time"),
        Some(_) => events(&reply, now),
        None => {
            out(&figures(&reply, Paint::stdout()).join("\n"));
            hint("`--events failures` shows what a figure is made of");
        }
    }
    Ok(Exit::Ok)
}

fn figures(reply: &GetInsightReply, paint: Paint) -> Vec<String> {
    let mut table = Table::new(&["STAGE", "RELEASES", "A DAY", "LEAD", "P90", "FAILED", "RESTORED IN", ""]);
    for stage in &reply.stages {
        let metric = |name: &str| of(stage, name);
        let (releases, lead, failures, restore) =
            (metric("releases"), metric("lead"), metric("failures"), metric("restore"));
        table.row([
            &format!("{}/{}", stage.pipeline, stage.stage),
            &releases.count.to_string(),
            &format!("{:.1}", releases.per_day),
            &median(&lead),
            &some(&lead, lead.p90_us),
            &share(&failures),
            &median(&restore),
            &sparkline(&releases.buckets),
        ]);
    }
    let mut lines = table.lines(paint);
    lines.push(String::new());
    let mut table = Table::new(&["STAGE", "QUEUE", "APPROVAL", "HELD", "BUILD", "WAIT", "RUNNING"]);
    for stage in &reply.stages {
        let [queue, approval, held, build, wait, running] = STATES.map(|state| {
            let metric = of(stage, state);
            some(&metric, metric.median_us)
        });
        let name = format!("{}/{}", stage.pipeline, stage.stage);
        table.row([&name, &queue, &approval, &held, &build, &wait, &running]);
    }
    lines.extend(table.lines(paint));
    lines
        .push("times are medians of releases; in brackets of how many events, where that differs".to_owned());
    lines
}

/// What a figure is made of, the newest first.
fn events(reply: &GetInsightReply, now: Timestamp) {
    let mut table = Table::new(&["STAGE", "RUN", "EVENT", "AGE", "TOOK", ""]);
    let mut next = None;
    for stage in &reply.stages {
        for metric in &stage.metrics {
            next = next.or(Some(&metric.next).filter(|next| !next.is_empty()));
            for entry in &metric.entries {
                let InsightEntry { run, position, at, took_us, note } = entry;
                table.row([
                    &format!("{}/{}", stage.pipeline, stage.stage),
                    short_id(run),
                    &position.to_string(),
                    &time::age(at, now),
                    &length(*took_us),
                    note,
                ]);
            }
        }
    }
    if table.is_empty() {
        return talk("there are none in that time");
    }
    out(&table.text(Paint::stdout()));
    match next {
        Some(next) => hint(&format!("--after {next}")),
        None => hint("shipway show <run>"),
    }
}

fn of(stage: &StageInsight, name: &str) -> InsightMetric {
    stage.metrics.iter().find(|metric| metric.name == name).cloned().unwrap_or_default()
}

/// A median with its number: `3h (12)`.
fn median(metric: &InsightMetric) -> String {
    match metric.count {
        0 => "-".to_owned(),
        count => format!("{} ({count})", length(metric.median_us)),
    }
}

fn some(metric: &InsightMetric, us: i64) -> String {
    if metric.count == 0 { "-".to_owned() } else { length(us) }
}

/// `2 of 10 (20 %)`.
fn share(metric: &InsightMetric) -> String {
    match metric.of.unwrap_or_default() {
        0 => "-".to_owned(),
        of => format!("{} of {of} ({} %)", metric.count, (metric.count * 100 + of / 2) / of),
    }
}

fn length(us: i64) -> String {
    time::length(SignedDuration::from_micros(us))
}

/// One bar for each part of the time: the highest is the most.
fn sparkline(buckets: &[InsightBucket]) -> String {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
    let bar = |count: u64| {
        let step = usize::try_from(count * 7 / most).unwrap_or(7);
        BARS[step.min(7)]
    };
    buckets.iter().map(|bucket| if bucket.count == 0 { ' ' } else { bar(bucket.count) }).collect()
}

fn json(reply: &GetInsightReply) -> Value {
    let bucket = |bucket: &InsightBucket| json!({"since": bucket.since, "count": bucket.count, "medianUs": bucket.median_us});
    let entry = |entry: &InsightEntry| {
        json!({
            "run": entry.run, "position": entry.position, "at": entry.at, "tookUs": entry.took_us,
            "note": Some(&entry.note).filter(|note| !note.is_empty()),
        })
    };
    let metric = |metric: &InsightMetric| {
        json!({
            "name": metric.name, "count": metric.count, "of": metric.of, "perDay": metric.per_day,
            "medianUs": metric.median_us, "p90Us": metric.p90_us, "totalUs": metric.total_us,
            "buckets": metric.buckets.iter().map(bucket).collect::<Vec<_>>(),
            "events": metric.entries.iter().map(entry).collect::<Vec<_>>(),
            "next": Some(&metric.next).filter(|next| !next.is_empty()),
        })
    };
    let stage = |stage: &StageInsight| {
        json!({
            "project": stage.project, "pipeline": stage.pipeline, "stage": stage.stage,
            "metrics": stage.metrics.iter().map(metric).collect::<Vec<_>>(),
        })
    };
    json!({
        "since": reply.since, "until": reply.until, "cut": reply.cut,
        "stages": reply.stages.iter().map(stage).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, count: u64, median_s: i64) -> InsightMetric {
        let (name, median_us) = (name.to_owned(), median_s * 1_000_000);
        InsightMetric { name, count, median_us, p90_us: 2 * median_us, ..InsightMetric::default() }
    }

    #[test]
    fn figures_are_read_in_two_tables() {
        let buckets = [0, 1, 8].map(|count| InsightBucket { count, ..InsightBucket::default() });
        let stage = StageInsight {
            project: "shop".to_owned(),
            pipeline: "shop".to_owned(),
            stage: "production".to_owned(),
            metrics: vec![
                InsightMetric { buckets: buckets.into(), per_day: 0.3, ..metric("releases", 9, 60) },
                metric("lead", 4, 7_200),
                InsightMetric { of: Some(10), ..metric("failures", 2, 0) },
                metric("build", 9, 30),
            ],
        };
        let reply = GetInsightReply { stages: vec![stage], ..GetInsightReply::default() };
        let lines = figures(&reply, Paint::none());
        let words = |n: usize| lines[n].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(1), "shop/production 9 0.3 2h (4) 4h 2 of 10 (20 %) - ▁█");
        assert_eq!(words(4), "shop/production - - - 30s - -");
    }
}
