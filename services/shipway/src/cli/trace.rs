//! `shipway trace`: where a digest comes from, and where it went.

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    TraceDigestReply, TraceDigestRequest, TracedApproval, TracedBuild, TracedRelease, TracedRun,
};

use super::{
    Client, Exit, Outcome, Paint, Style, age, flags::Common, out, output::out_json, short_commit,
    short_digest, short_id,
};

/// Arguments of `shipway trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The digest, or the first 8 digits of it or more.
    digest: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn trace(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = TraceDigestRequest { digest: args.digest };
    let reply = client.history().trace_digest(request).await?.into_inner();
    if args.common.json() {
        out_json(&json(&reply));
    } else {
        out(&lines(&reply, Timestamp::now(), Paint::stdout()).join("\n"));
    }
    Ok(Exit::Ok)
}

/// The story of a digest, from the delivery on.
fn lines(reply: &TraceDigestReply, now: Timestamp, paint: Paint) -> Vec<String> {
    let mut lines = vec![paint.on(&reply.digest, Style::Strong)];
    for build in &reply.builds {
        let what = format!("built by {} of commit {}", build.service, short_commit(&build.commit));
        let branch = if build.branch.is_empty() { String::new() } else { format!(" on {}", build.branch) };
        lines.push(format!("{what}{branch}, {}", ago(&build.at, now, paint)));
        lines.extend(run(build.run.as_ref(), now, paint));
    }
    if reply.builds.is_empty() {
        lines.push("built by nothing that is known here".to_owned());
    }
    if reply.more {
        lines.push(paint.on("…", Style::Quiet));
    }
    for release in &reply.releases {
        let place = match release.stage.as_str() {
            "" => release.project.clone(),
            stage => stage.to_owned(),
        };
        let place = paint.on(&format!("{place} {}", release.resource), Style::Strong);
        let until = match release.until.as_str() {
            "" => paint.on("runs there now", Style::Good),
            until => format!("until {}, then {}", ago(until, now, paint), short_digest(&release.replaced_by)),
        };
        lines.push(format!("released to {place} {}: {until}", ago(&release.from, now, paint)));
        lines.extend(run(release.run.as_ref(), now, paint));
    }
    if reply.releases.is_empty() {
        lines.push("released nowhere".to_owned());
    }
    lines
}

/// The run that did it, who let it, and what it follows from.
fn run(run: Option<&TracedRun>, now: Timestamp, paint: Paint) -> Vec<String> {
    let Some(run) = run else { return Vec::new() };
    let by = if run.author.is_empty() { String::new() } else { format!(" by {}", run.author) };
    let mut lines = vec![format!(
        "  run {} {} {} {}{}",
        paint.on(short_id(&run.id), Style::Quiet),
        run.path,
        run.name,
        paint.on(&run.status, Style::of_status(&run.status)),
        paint.on(&format!(", {}{by}", run.origin), Style::Quiet),
    )];
    for TracedApproval { node, by, at, reason, rejected } in &run.approvals {
        let verb = if *rejected { "rejected" } else { "approved" };
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        lines.push(format!("  {verb} by {by} at {node} {}{reason}", ago(at, now, paint)));
    }
    if let Some(delivery) = &run.delivery {
        let sender = match delivery.sender.as_str() {
            "" => String::new(),
            sender => format!(" by {sender}"),
        };
        lines.push(format!(
            "  delivery {} {}{sender} {}",
            paint.on(short_id(&delivery.id), Style::Quiet),
            delivery.summary,
            ago(&delivery.at, now, paint),
        ));
    }
    lines
}

fn ago(at: &str, now: Timestamp, paint: Paint) -> String {
    paint.on(&format!("{} ago", age(at, now)), Style::Quiet)
}

fn json(reply: &TraceDigestReply) -> Value {
    let build = |build: &TracedBuild| {
        json!({
            "project": build.project,
            "build": build.build,
            "service": build.service,
            "commit": build.commit,
            "branch": build.branch,
            "at": build.at,
            "run": build.run.as_ref().map(run_json),
        })
    };
    let release = |release: &TracedRelease| {
        json!({
            "project": release.project,
            "stage": release.stage,
            "resource": release.resource,
            "from": release.from,
            "until": release.until,
            "replacedBy": release.replaced_by,
            "run": release.run.as_ref().map(run_json),
        })
    };
    json!({
        "digest": reply.digest,
        "builds": reply.builds.iter().map(build).collect::<Vec<_>>(),
        "releases": reply.releases.iter().map(release).collect::<Vec<_>>(),
        "more": reply.more,
    })
}

fn run_json(run: &TracedRun) -> Value {
    let approval = |it: &TracedApproval| json!({"node": it.node, "by": it.by, "at": it.at, "reason": it.reason, "rejected": it.rejected});
    json!({
        "id": run.id,
        "path": run.path,
        "name": run.name,
        "status": run.status,
        "origin": run.origin,
        "author": run.author,
        "createdAt": run.created_at,
        "parent": run.parent,
        "delivery": run.delivery.as_ref().map(|delivery| json!({
            "id": delivery.id,
            "summary": delivery.summary,
            "at": delivery.at,
            "sender": delivery.sender,
        })),
        "approvals": run.approvals.iter().map(approval).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::TracedDelivery;

    use super::*;

    #[test]
    fn a_trace_tells_the_story_from_the_push_to_where_it_runs() {
        let run = |path: &str, origin: &str, author: &str| TracedRun {
            id: "01934f2e-8c1a-7000-8000-000000000001".to_owned(),
            path: path.to_owned(),
            name: "calm-otter".to_owned(),
            status: "success".to_owned(),
            origin: origin.to_owned(),
            author: author.to_owned(),
            ..TracedRun::default()
        };
        let delivery = TracedDelivery {
            id: "01934f2e-0000-7000-8000-000000000002".to_owned(),
            summary: "push of 3f2a91c to main".to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            sender: "ada".to_owned(),
        };
        let approval = TracedApproval {
            node: "gate".to_owned(),
            by: "grace".to_owned(),
            at: "2026-01-01T00:03:00Z".to_owned(),
            reason: "fine".to_owned(),
            rejected: false,
        };
        let release = |stage: &str, from: &str, until: &str, run| TracedRelease {
            stage: stage.to_owned(),
            resource: "shop-web".to_owned(),
            from: from.to_owned(),
            until: until.to_owned(),
            replaced_by: "sha256:cdcdcdcdcdcdcdcd".to_owned(),
            run: Some(run),
            ..TracedRelease::default()
        };
        let built = TracedRun { delivery: Some(delivery), ..run("shop/development", "git", "ada") };
        let approved = TracedRun { approvals: vec![approval], ..run("shop/production", "manual", "grace") };
        let reply = TraceDigestReply {
            digest: "sha256:abab".to_owned(),
            builds: vec![TracedBuild {
                service: "shop-build".to_owned(),
                commit: "3f2a91c0ffee".to_owned(),
                branch: "main".to_owned(),
                at: "2026-01-01T00:01:00Z".to_owned(),
                run: Some(built.clone()),
                ..TracedBuild::default()
            }],
            releases: vec![
                release("shop/Development", "2026-01-01T00:02:00Z", "2026-01-01T00:08:00Z", built),
                release("shop/Production", "2026-01-01T00:04:00Z", "", approved),
            ],
            more: false,
        };
        let expected = "\
sha256:abab
built by shop-build of commit 3f2a91c0 on main, 9m ago
  run 01934f2e-8c1a shop/development calm-otter success, git by ada
  delivery 01934f2e-0000 push of 3f2a91c to main by ada 10m ago
released to shop/Development shop-web 8m ago: until 2m ago, then cdcdcdcdcdcd
  run 01934f2e-8c1a shop/development calm-otter success, git by ada
  delivery 01934f2e-0000 push of 3f2a91c to main by ada 10m ago
released to shop/Production shop-web 6m ago: runs there now
  run 01934f2e-8c1a shop/production calm-otter success, manual by grace
  approved by grace at gate 7m ago: fine";
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        assert_eq!(lines(&reply, now, Paint::none()).join("\n"), expected);
    }
}
