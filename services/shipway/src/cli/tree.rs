//! A run as a tree of its nodes.

use jiff::Timestamp;
use serde_json::{Map, Value};
use shipway_contracts::v1::{Node, Run};

use super::{
    Paint, Style, short_id,
    time::{clock, lasted},
};

/// The lines of a run: what it is, then its nodes in order, each under its workflow.
pub(crate) fn tree(run: &Run, now: Timestamp, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = vec![head(run, now, paint)];
    lines.extend(asked(run).into_iter().map(|line| paint.on(&cut(&line, width), Style::Quiet)));
    lines.extend(rollbacks(run).into_iter().map(|line| paint.on(&line, Style::Quiet)));
    if let Some(root) = run.nodes.iter().find(|node| node.parent < 0) {
        children(run, root, "", now, width, paint, &mut lines);
    }
    if !run.reason.is_empty() {
        lines.push(paint.on(&format!("  {}", run.reason), Style::of_status(&run.status)));
    }
    if matches!(run.status.as_str(), "aborting" | "aborted") {
        lines.push(match run.applied.is_empty() {
            true => "  nothing was applied before it".to_owned(),
            false => "  applied before it, and not taken back:".to_owned(),
        });
        lines.extend(run.applied.iter().map(|applied| cut(&format!("    {applied}"), width)));
    }
    lines
}

/// What people said about it, which run it repeats, and what it has otherwise than its flow's document says.
fn asked(run: &Run) -> Vec<String> {
    let mut lines: Vec<String> = run.description.lines().map(|line| format!("  {line}")).collect();
    if !run.again.is_empty() {
        lines.push(format!("  run {} again, version {} of the flow", short_id(&run.again), run.flow_version));
    }
    let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
    for (reference, fields) in object(&run.fields_json) {
        for (field, value) in fields.as_object().into_iter().flatten() {
            lines.push(format!("  set for this run: {reference}.{} = {value}", field.replace('/', ".")));
        }
    }
    for (target, release) in object(&run.releases_json) {
        lines.push(format!("  released for this run: {target} = {release}"));
    }
    lines
}

/// What it goes back to, if it is a rollback; and which rollbacks there were of it.
fn rollbacks(run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(rollback) = &run.rollback {
        let of = match rollback.of.as_str() {
            "" => String::new(),
            of => format!(" of run {}", short_id(of)),
        };
        let to = match rollback.to.as_str() {
            "" => rollback.at.clone(),
            to => format!("run {}", short_id(to)),
        };
        lines.push(format!("  rollback{of} to {to}"));
    }
    for made in &run.rollbacks {
        let what = if made.undid { "undone" } else { "gone back to" };
        lines.push(format!("  {what} by the rollback {}, {}", short_id(&made.run), made.at));
    }
    lines
}

fn head(run: &Run, now: Timestamp, paint: Paint) -> String {
    let name = if run.name.is_empty() { String::new() } else { format!("  {}", run.name) };
    format!(
        "{}{name}  {}  {}  {}",
        paint.on(&run.path, Style::Strong),
        paint.on(short_id(&run.id), Style::Quiet),
        paint.on(&run.status, Style::of_status(&run.status)),
        paint.on(&lasted(&run.created_at, &run.ended_at, now), Style::Quiet),
    )
}

fn children(
    run: &Run,
    parent: &Node,
    indent: &str,
    now: Timestamp,
    width: usize,
    paint: Paint,
    lines: &mut Vec<String>,
) {
    let inside: Vec<_> =
        run.nodes.iter().filter(|node| i64::from(node.parent) == i64::from(parent.index)).collect();
    for (place, node) in inside.iter().enumerate() {
        let last = place + 1 == inside.len();
        let branch = if last { "└ " } else { "├ " };
        lines.push(line(node, &format!("{indent}{branch}"), now, width, paint));
        let deeper = format!("{indent}{}", if last { "  " } else { "│ " });
        if let Some(message) = detail(node) {
            for part in message.lines() {
                let text = format!("{deeper}    {part}");
                let style = if node.error_message.is_empty() { Style::Quiet } else { Style::Bad };
                lines.push(paint.on(&cut(&text, width), style));
            }
        }
        children(run, node, &deeper, now, width, paint, lines);
    }
}

fn line(node: &Node, branch: &str, now: Timestamp, width: usize, paint: Paint) -> String {
    let style = Style::of_status(&node.status);
    let symbol = symbol(&node.status);
    let title = format!("{:<22} {:<12}", node.r#ref, node.kind);
    let time = lasted(&node.started_at, &node.ended_at, now);
    let tries = tries(node.attempt, node.max_attempts);
    let tail = format!("{} {}{tries}", node.status, time).trim_end().to_owned();
    let used = branch.chars().count() + title.chars().count() + tail.chars().count() + 6;
    let summary = cut(&node.summary, width.saturating_sub(used).max(8));
    let gap = if summary.is_empty() { String::new() } else { format!("{summary}  ") };
    format!(
        "{}{} {} {}{}",
        paint.on(branch, Style::Quiet),
        paint.on(symbol, style),
        title,
        gap,
        paint.on(&tail, style)
    )
}

/// Which attempt it is, once it is not the first. What was lost with an executor counts, but not against a rule; and a node
/// without a rule has no number that it could reach.
fn tries(attempt: u32, most: u32) -> String {
    match attempt {
        0 | 1 => String::new(),
        _ if attempt <= most => format!(" attempt {attempt}/{most}"),
        _ => format!(" attempt {attempt}"),
    }
}

/// What there is to say below a node's line: its error, what came after, or what it waits for.
fn detail(node: &Node) -> Option<String> {
    let terminal = matches!(node.status.as_str(), "success" | "skipped" | "aborted");
    if !node.error_message.is_empty() && !terminal {
        Some(node.error_message.clone())
    } else if !node.later.is_empty() {
        Some(node.later.clone())
    } else if !node.waiting_for.is_empty() && !terminal {
        Some(node.waiting_for.clone())
    } else {
        None
    }
}

/// What changed in a run from one look to the next: one line each, for logs and pipes.
pub(crate) fn changes(before: Option<&Run>, run: &Run, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for node in run.nodes.iter().filter(|node| node.kind != "Workflow") {
        let old = before.and_then(|run| run.nodes.iter().find(|old| old.index == node.index));
        let same = old.is_some_and(|old| old.status == node.status && old.attempt == node.attempt);
        let quiet = matches!(node.status.as_str(), "pending" | "ready");
        if !same && !quiet {
            lines.push(change(node, paint));
        }
    }
    if before.is_none_or(|before| before.status != run.status) && run.concluded {
        lines.push(format!(
            "{} {} {}{}",
            clock(&run.ended_at),
            paint.on(&run.path, Style::Strong),
            paint.on(&run.status, Style::of_status(&run.status)),
            if run.reason.is_empty() { String::new() } else { format!(": {}", run.reason) }
        ));
    }
    lines
}

fn change(node: &Node, paint: Paint) -> String {
    let at = if node.ended_at.is_empty() { &node.started_at } else { &node.ended_at };
    let mut text = format!(
        "{} {} {:<22} {:<9} {}",
        clock(at),
        paint.on(symbol(&node.status), Style::of_status(&node.status)),
        node.r#ref,
        paint.on(&node.status, Style::of_status(&node.status)),
        node.summary,
    );
    if let Some(detail) = detail(node) {
        text.push_str(&format!("\n    {}", detail.replace('\n', "\n    ")));
    }
    text.trim_end().to_owned()
}

fn symbol(status: &str) -> &'static str {
    match status {
        "success" => "✓",
        "failure" => "✗",
        "running" => "●",
        "waiting" | "approval_wait" => "…",
        "retrying" => "↻",
        "skipped" => "–",
        "aborted" | "aborting" => "■",
        "unknown" => "?",
        _ => "○",
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_counted_against_a_rule_only() {
        let said = [(1, 3), (2, 3), (4, 3), (3, 0), (0, 0)].map(|(attempt, most)| tries(attempt, most));
        assert_eq!(said, ["", " attempt 2/3", " attempt 4", " attempt 3", ""]);
    }

    fn node(index: u32, parent: i32, reference: &str, kind: &str, status: &str) -> Node {
        Node {
            index,
            parent,
            r#ref: reference.to_owned(),
            kind: kind.to_owned(),
            status: status.to_owned(),
            max_attempts: 3,
            attempt: 1,
            ..Node::default()
        }
    }

    fn run() -> Run {
        let mut build = node(1, 0, "build", "Build", "success");
        build.started_at = "2026-01-01T00:00:00Z".to_owned();
        build.ended_at = "2026-01-01T00:00:41Z".to_owned();
        build.summary = "shop-build main".to_owned();
        let mut deploy = node(3, 2, "deploy", "Release", "failure");
        deploy.started_at = "2026-01-01T00:00:41Z".to_owned();
        deploy.ended_at = "2026-01-01T00:00:50Z".to_owned();
        deploy.attempt = 2;
        deploy.error_message = "not healthy within 30 s\nlast line of the log".to_owned();
        Run {
            id: "01934f2e-8c1a-7000-8000-000000000001".to_owned(),
            path: "shop/development".to_owned(),
            name: "calm-otter".to_owned(),
            status: "failure".to_owned(),
            concluded: true,
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            ended_at: "2026-01-01T00:00:50Z".to_owned(),
            nodes: vec![
                node(0, -1, "root", "Workflow", "failure"),
                build,
                node(2, 0, "both", "Workflow", "failure"),
                deploy,
                node(4, 0, "smoke", "JobRun", "pending"),
            ],
            ..Run::default()
        }
    }

    #[test]
    fn nodes_stand_under_their_workflow_with_their_errors() {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let expected = "\
shop/development  calm-otter  01934f2e-8c1a  failure  50s
├ ✓ build                  Build        shop-build main  success 41s
├ ✗ both                   Workflow     failure
│ └ ✗ deploy                 Release      failure 9.0s attempt 2/3
│       not healthy within 30 s
│       last line of the log
└ ○ smoke                  JobRun       pending";
        assert_eq!(tree(&run(), now, 110, Paint::none()).join("\n"), expected);
    }

    #[test]
    fn an_aborted_run_says_what_it_has_changed() {
        let (now, paint) = ("2026-01-01T01:00:00Z".parse().unwrap(), Paint::none());
        let mut aborted = Run { status: "aborted".to_owned(), reason: "wrong commit".to_owned(), ..run() };
        let last = |run: &Run, n: usize| {
            let mut lines = tree(run, now, 110, paint);
            lines.split_off(lines.len() - n)
        };
        assert_eq!(last(&aborted, 2), ["  wrong commit", "  nothing was applied before it"]);
        aborted.applied = vec!["deploy: released `web` with build b-1 of commit 1234567".to_owned()];
        assert_eq!(
            last(&aborted, 2),
            [
                "  applied before it, and not taken back:",
                "    deploy: released `web` with build b-1 of commit 1234567"
            ]
        );
    }

    #[test]
    fn only_what_changed_is_told() {
        let after = run();
        let mut before = after.clone();
        before.status = "running".to_owned();
        before.concluded = false;
        before.nodes[3].status = "running".to_owned();
        let told = changes(Some(&before), &after, Paint::none());
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("✗ deploy"), "{told:?}");
        assert!(told[0].contains("not healthy within 30 s"), "{told:?}");
        assert!(told[1].contains("shop/development failure"), "{told:?}");
        assert!(changes(Some(&after), &after, Paint::none()).is_empty());
    }
}
