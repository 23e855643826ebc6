//! `shipway status`: what runs where.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use shipway_contracts::v1::{
    Deployed, GetStateReply, GetStateRequest, ListPipelinesRequest, ListRunsRequest, Page, Pipeline, Run,
    Stage,
};

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, age,
    flags::Common,
    json as shown, out,
    output::{Screen, live, out_json, out_json_line},
    short_commit, short_digest, short_id,
};

/// Arguments of `shipway status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Only this pipeline.
    pipeline: Option<String>,
    /// Goes on showing it.
    #[arg(short, long)]
    watch: bool,
    /// Only this project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Between two looks of `status -w`.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn status(args: StatusArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let mut screen = Screen::default();
    let mut last = String::new();
    loop {
        let board = match look(&client, &args).await {
            Ok(board) => board,
            // Whoever goes on looking sees how far it is.
            Err(failure) if args.watch && failure.passes => {
                if args.common.json() {
                    eprintln!("{failure}");
                } else if live() {
                    screen.draw(&[failure.to_string()]);
                } else {
                    out(&failure.to_string());
                }
                if pause().await { continue } else { return Ok(Exit::Ok) }
            }
            Err(failure) => return Err(failure),
        };
        if args.common.json() {
            let value = board.json();
            let text = value.to_string();
            if text != last {
                last = text;
                if args.watch { out_json_line(&value) } else { out_json(&value) }
            }
        } else {
            let lines = board.lines(Timestamp::now(), Paint::stdout());
            if args.watch && live() {
                screen.draw(&lines);
            } else if lines.join("\n") != last {
                last = lines.join("\n");
                out(&last);
            }
        }
        if !args.watch {
            return Ok(Exit::Ok);
        }
        if !pause().await {
            return Ok(Exit::Ok);
        }
    }
}

/// Waits until it is time to look again; false if somebody has seen enough.
async fn pause() -> bool {
    tokio::select! {
        () = tokio::time::sleep(LOOK) => true,
        _ = tokio::signal::ctrl_c() => false,
    }
}

/// What `status` shows.
#[derive(Debug)]
pub(crate) struct Board {
    pipelines: Vec<Pipeline>,
    state: GetStateReply,
    active: Vec<Run>,
}

async fn look(client: &Client, args: &StatusArgs) -> Result<Board, Failure> {
    let mut pipelines = Vec::new();
    for project in client.all_projects().await? {
        if args.project.as_ref().is_some_and(|wanted| *wanted != project.slug) {
            continue;
        }
        let request = ListPipelinesRequest { project: project.slug, page: Some(full_page()) };
        pipelines.extend(client.pipelines().list_pipelines(request).await?.into_inner().pipelines);
    }
    if let Some(wanted) = &args.pipeline {
        pipelines.retain(|pipeline| pipeline.slug == *wanted);
        if pipelines.is_empty() {
            return Err(Failure::new(format!("no pipeline is called `{wanted}`"))
                .help("`shipway status` shows all pipelines"));
        }
    }
    let request = GetStateRequest { at: String::new(), project: args.project.clone().unwrap_or_default() };
    let state = client.runs().get_state(request).await?.into_inner();
    let request =
        ListRunsRequest { page: Some(full_page()), concluded: Some(false), ..ListRunsRequest::default() };
    let runs = client.runs().list_runs(request).await?.into_inner().runs;
    Ok(Board { pipelines, state, active: runs })
}

fn full_page() -> Page {
    Page { after: String::new(), limit: 500 }
}

impl Board {
    fn lines(&self, now: Timestamp, paint: Paint) -> Vec<String> {
        let mut lines = Vec::new();
        for pipeline in &self.pipelines {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            let project = format!("project {}", pipeline.project);
            lines.push(format!(
                "{}  {}",
                paint.on(&pipeline.slug, Style::Strong),
                paint.on(&project, Style::Quiet)
            ));
            lines.extend(self.pipeline(pipeline, now).lines(paint));
            lines.extend(following(pipeline, paint));
            lines.extend(self.help(pipeline, paint));
        }
        if lines.is_empty() {
            lines.push("no pipeline yet: `shipway apply -f <file>` makes one".to_owned());
        }
        for run in &self.active {
            let why = if run.reason.is_empty() { String::new() } else { format!(": {}", run.reason) };
            lines.push(format!(
                "{} {} {} {} {}{why}",
                paint.on(&run.status, Style::of_status(&run.status)),
                run.path,
                run.name,
                short_id(&run.id),
                age(&run.created_at, now)
            ));
        }
        lines
    }

    fn pipeline(&self, pipeline: &Pipeline, now: Timestamp) -> Table {
        let mut table =
            Table::new(&["STAGE", "RESOURCE", "STATUS", "DIGEST", "COMMIT", "RUN", "AGE", "ADDRESS"]);
        for stage in &pipeline.stages {
            let mut name = stage.name.as_str();
            for member in &stage.members {
                let found = self.deployed(pipeline, stage, &member.slug);
                row(&mut table, name, &member.slug, found, now);
                name = "";
            }
            if stage.members.is_empty() {
                row(&mut table, name, "", None, now);
            }
        }
        table
    }

    /// What can be done for what is not as it should be.
    fn help(&self, pipeline: &Pipeline, paint: Paint) -> Vec<String> {
        let members = pipeline.stages.iter().flat_map(|stage| stage.members.iter().map(move |m| (stage, m)));
        let found = members.filter_map(|(stage, member)| self.deployed(pipeline, stage, &member.slug));
        let troubled = found.filter(|deployed| !deployed.help.is_empty());
        troubled
            .map(|deployed| {
                format!("{} {}: {}", paint.on("help:", Style::Accent), deployed.resource, deployed.help)
            })
            .collect()
    }

    fn deployed(&self, pipeline: &Pipeline, _stage: &Stage, slug: &str) -> Option<&Deployed> {
        self.state
            .deployed
            .iter()
            .find(|deployed| deployed.resource == slug && deployed.project == pipeline.project)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "pipelines": self.pipelines.iter().map(shown::pipeline).collect::<Vec<_>>(),
            "deployed": self.state.deployed.iter().map(shown::deployed).collect::<Vec<_>>(),
            "active": self.active.iter().map(shown::run).collect::<Vec<_>>(),
            "position": self.state.position,
        })
    }
}

/// Who takes builds by itself, and who did until somebody released something there.
fn following(pipeline: &Pipeline, paint: Paint) -> Vec<String> {
    let members = pipeline.stages.iter().flat_map(|stage| &stage.members);
    members
        .filter_map(|member| {
            let said = match (member.follows.split_once('/'), member.stopped_following.as_str()) {
                (Some((service, branch)), _) => {
                    format!("takes the newest build of {service}, branch {branch}")
                }
                (None, "") => return None,
                (None, run) => {
                    format!("takes no builds by itself since run {} released there", short_id(run))
                }
            };
            Some(format!("{} {said}", paint.on(&format!("{}:", member.slug), Style::Quiet)))
        })
        .collect()
}

/// A row of what a resource has.
pub(crate) fn row(
    table: &mut Table,
    stage: &str,
    resource: &str,
    deployed: Option<&Deployed>,
    now: Timestamp,
) {
    let nothing = Deployed { status: "–".to_owned(), ..Deployed::default() };
    let deployed = deployed.unwrap_or(&nothing);
    let artifact = deployed.artifact.clone().unwrap_or_default();
    let status = if deployed.status.is_empty() { "released" } else { &deployed.status };
    let quiet = |text: &str| (text.to_owned(), Style::Quiet);
    let plain = |text: &str| (text.to_owned(), Style::Plain);
    table.styled([
        (stage.to_owned(), Style::Strong),
        plain(resource),
        (status.to_owned(), Style::of_status(status)),
        plain(short_digest(&artifact.digest)),
        plain(short_commit(&artifact.commit)),
        quiet(short_id(&deployed.run)),
        quiet(&age(&deployed.released_at, now)),
        plain(&deployed.addresses.join(" ")),
    ]);
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::{Artifact, Member};

    use super::*;

    fn member(slug: &str, kind: &str) -> Member {
        Member { slug: slug.to_owned(), kind: kind.to_owned(), ..Member::default() }
    }

    fn stage(name: &str, members: Vec<Member>) -> Stage {
        Stage { name: name.to_owned(), members, ..Stage::default() }
    }

    #[test]
    fn the_board_names_stage_resource_and_what_runs_there() {
        let pipeline = Pipeline {
            slug: "shop".to_owned(),
            project: "shop".to_owned(),
            stages: vec![
                stage("Development", vec![member("shop-web-dev", "service"), member("shop-db-dev", "addon")]),
                stage("Production", vec![]),
            ],
            ..Pipeline::default()
        };
        let deployed = Deployed {
            project: "shop".to_owned(),
            stage: "shop/Development".to_owned(),
            resource: "shop-web-dev".to_owned(),
            artifact: Some(Artifact {
                digest: format!("sha256:{}", "ab".repeat(32)),
                commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                ..Artifact::default()
            }),
            run: "01934f2e-8c1a-7000-8000-000000000001".to_owned(),
            released_at: "2026-01-01T00:00:00Z".to_owned(),
            status: "running 2/2".to_owned(),
            addresses: vec!["http://127.0.0.1:7501".to_owned()],
            kind: "service".to_owned(),
            ..Deployed::default()
        };
        let state = GetStateReply { deployed: vec![deployed], ..GetStateReply::default() };
        let mut board = Board { pipelines: vec![pipeline], state, active: vec![] };
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let expected = "\
shop  project shop
STAGE        RESOURCE      STATUS       DIGEST        COMMIT    RUN            AGE  ADDRESS
Development  shop-web-dev  running 2/2  abababababab  01234567  01934f2e-8c1a  5m   http://127.0.0.1:7501
             shop-db-dev   –
Production                 –";
        assert_eq!(board.lines(now, Paint::none()).join("\n"), expected);

        let members = |board: &mut Board| std::mem::take(&mut board.pipelines[0].stages[0].members);
        let of = |follows: &str, run: &str| {
            let (follows, stopped_following) = (follows.to_owned(), run.to_owned());
            vec![Member { follows, stopped_following, ..member("shop-web-dev", "service") }]
        };
        let before = members(&mut board);
        for (follows, run, said) in [
            ("shop-build/main", "", "takes the newest build of shop-build, branch main"),
            (
                "",
                "01934f2e-8c1a-7000-8000-000000000001",
                "takes no builds by itself since run 01934f2e-8c1a released there",
            ),
        ] {
            board.pipelines[0].stages[0].members = of(follows, run);
            let told = board.lines(now, Paint::none());
            assert_eq!(told.last(), Some(&format!("shop-web-dev: {said}")));
        }
        board.pipelines[0].stages[0].members = before;

        board.state.deployed[0].help = "its move failed".to_owned();
        let told = board.lines(now, Paint::none());
        assert_eq!(told.last().map(String::as_str), Some("help: shop-web-dev: its move failed"));
    }
}
