//! What lists are asked for, and which runs each of it means.

use shipway_contracts::v1::ListRunsRequest;
use shipway_events::{RunStatus, run::Origin};

use crate::made::{Histories, Made, Row, project};

type Fits = Box<dyn Fn(&Row, &Made) -> bool>;

/// What is asked for, and which runs it means.
pub(super) struct Filter {
    pub(super) name: &'static str,
    pub(super) request: ListRunsRequest,
    pub(super) fits: Fits,
}

impl Filter {
    fn new(
        name: &'static str,
        request: ListRunsRequest,
        fits: impl Fn(&Row, &Made) -> bool + 'static,
    ) -> Self {
        Self { name, request, fits: Box::new(fits) }
    }
}

pub(super) fn filters(histories: &Histories) -> Vec<Filter> {
    let nothing = ListRunsRequest::default;
    let text = str::to_owned;
    let (since, until) = histories.between();
    let commit = histories.some(|run| !run.commit.is_empty()).commit;
    let branch = histories.some(|run| run.branch.starts_with("feature")).branch;
    vec![
        Filter::new("all", nothing(), |_, _| true),
        Filter::new("status", ListRunsRequest { status: text("failure"), ..nothing() }, |_, run| {
            run.status == RunStatus::Failure
        }),
        Filter::new("rare status", ListRunsRequest { status: text("skipped"), ..nothing() }, |_, run| {
            run.status == RunStatus::Skipped
        }),
        Filter::new("live status", ListRunsRequest { status: text("running"), ..nothing() }, |_, run| {
            run.status == RunStatus::Running
        }),
        Filter::new("open", ListRunsRequest { concluded: Some(false), ..nothing() }, |_, run| {
            run.status == RunStatus::Running
        }),
        Filter::new("concluded", ListRunsRequest { concluded: Some(true), ..nothing() }, |_, run| {
            run.status != RunStatus::Running
        }),
        Filter::new("project", ListRunsRequest { project: project(1).to_string(), ..nothing() }, |_, run| {
            run.project == project(1)
        }),
        Filter::new(
            "small project",
            ListRunsRequest { project: project(3).to_string(), ..nothing() },
            |_, run| run.project == project(3),
        ),
        Filter::new("pipeline", ListRunsRequest { pipeline: text("shop-07"), ..nothing() }, |_, run| {
            run.pipeline == "shop-07"
        }),
        Filter::new("stage", ListRunsRequest { stage: text("Production"), ..nothing() }, |_, run| {
            run.stage == "production"
        }),
        Filter::new("flow", ListRunsRequest { flow: text("shop-07/production"), ..nothing() }, |_, run| {
            run.path == "shop-07/production"
        }),
        Filter::new("branch", ListRunsRequest { branch: text("main"), ..nothing() }, |_, run| {
            run.branch == "main"
        }),
        Filter::new("rare branch", ListRunsRequest { branch: branch.clone(), ..nothing() }, move |_, run| {
            run.branch == branch
        }),
        Filter::new("commit", ListRunsRequest { commit: text(&commit[..20]), ..nothing() }, move |_, run| {
            run.commit == commit
        }),
        Filter::new("author", ListRunsRequest { author: text("grace"), ..nothing() }, |_, run| {
            run.author == "grace"
        }),
        Filter::new("origin", ListRunsRequest { origin: text("schedule"), ..nothing() }, |_, run| {
            run.origin == Origin::Schedule
        }),
        Filter::new(
            "time",
            ListRunsRequest { since: since.to_string(), until: until.to_string(), ..nothing() },
            move |row, _| (since..=until).contains(&row.at),
        ),
        Filter::new("name", ListRunsRequest { text: text("HOTFIX FÜR 50%"), ..nothing() }, |_, run| {
            run.name.contains("Hotfix")
        }),
        Filter::new(
            "several",
            ListRunsRequest {
                project: project(1).to_string(),
                stage: text("staging"),
                branch: text("main"),
                status: text("failure"),
                since: since.to_string(),
                ..nothing()
            },
            move |row, run| {
                let (stage, branch) = (run.stage, run.branch.as_str());
                run.project == project(1)
                    && (stage, branch, run.status) == ("staging", "main", RunStatus::Failure)
                    && row.at >= since
            },
        ),
    ]
}
