//! `up --demo`: a small shop from its first commit to production, and a second version while clients ask.

mod asking;
mod deployed;
mod files;
mod patience;
mod receiver;
mod repository;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use shipway_contracts::v1::{
    ApplyRequest, ListHooksRequest, ListRunsRequest, Page, Run, SourceFile, StartRunRequest,
};
use uuid::Uuid;

use crate::cli::{
    Client, Exit, Failure, Outcome, Paint, Place, Style, data_folder, hook, out, problems, until_end,
};
use asking::Asking;
use deployed::Deployment;
use files::Round;
use patience::{PATIENCE, patiently};
use receiver::Receiver;
use repository::Repository;

const DEVELOPMENT: &str = "shop/development";
const STAGING: &str = "shop/staging";
const PRODUCTION: &str = "shop/production";

/// Services that clients ask while a new version is rolled out.
const ASKED: [&str; 2] = ["shop-web-dev", "shop-web"];

/// Arguments of `shipway demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
}

/// The demo against a Shipway that runs already: on one machine, or many processes behind one address. The demo's
/// repository is in the data folder; executors must be able to read it.
pub(crate) async fn main(args: Args) -> Outcome {
    shipway_service_kit::install_crypto();
    let data = match (&args.place.server, &args.place.data) {
        // A Shipway elsewhere has no data folder here; what the demo makes lies where one would be.
        (Some(_), None) => PathBuf::from(".shipway"),
        _ => data_folder(&args.place)?,
    };
    let server = Client::connect(&args.place).await?.url;
    let shipway = std::env::current_exe()?;
    run(&server, &data, &shipway).await.map_err(|error| Failure::new(format!("{error:#}")))?;
    Ok(Exit::Ok)
}

/// Makes the demo project in the data folder (or goes on with it), brings a push to production and checks what
/// came of it. `server` is the address of the Shipway that runs, `shipway` this program's file.
///
/// # Errors
/// Names everything that is not as it should be.
pub(crate) async fn run(server: &str, data: &Path, shipway: &Path) -> anyhow::Result<()> {
    let folder = data.join("demo");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let place = Place { server: Some(server.to_owned()), ..Place::default() };
    let demo = Demo {
        client: Client::connect(&place).await?,
        repository: Repository::open(&folder)?,
        receiver: Receiver::start().await?,
    };
    title("The demo project: a shop in Rust with PostgreSQL");
    out(&format!("repository  {}", demo.repository.url()));
    demo.apply(&folder, shipway).await?;

    let mut wrong = Vec::new();
    let mut productions = 0;
    for round in Round::to_come(demo.repository.commits()?) {
        let asking = demo.asking().await?;
        let commit = demo.bring_to_production(&round).await?;
        productions += 1;
        let deployment = demo.settled().await?;
        title(&format!("What is deployed where, after {}", round.name()));
        out(&deployment.table().text(Paint::stdout()));
        wrong.extend(deployment.wrong(&commit, round.schema()).await);
        if let Some(asking) = asking {
            // The last roll-out is over; what follows it must be well too.
            asking.settle(100).await;
            let answers = asking.stop().await;
            out("");
            out(&answers.table().text(Paint::stdout()));
            wrong.extend(answers.wrong());
        }
    }
    let messages = demo.receiver.stop();
    out(&format!(
        "\nmessages of production: {} received, {} kept apart by their key",
        messages.all, messages.keys
    ));
    if messages.keys != productions {
        wrong.push(format!("{productions} production runs sent {} messages of their own", messages.keys));
    }
    ensure!(wrong.is_empty(), "the demo is not as it should be:\n  - {}", wrong.join("\n  - "));
    out(&good("all of it is true: promoted means identical, nobody was refused, every message arrived once"));
    Ok(())
}

/// Waits until a service answers: after a start on the same data folder it is on its way up.
async fn up_again(name: &str, address: &str) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    let client = reqwest::Client::new();
    loop {
        let answer = client.get(format!("{address}/version")).timeout(Duration::from_secs(2)).send().await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > until => {
                return Err(error)
                    .with_context(|| format!("{name} did not come up again within {PATIENCE:?}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

struct Demo {
    client: Client,
    repository: Repository,
    receiver: Receiver,
}

impl Demo {
    /// Declares the project and makes the repository tell its pushes.
    async fn apply(&self, folder: &Path, shipway: &Path) -> anyhow::Result<()> {
        let text = files::project(self.repository.url());
        let file = folder.join("shop.yaml");
        fs::write(&file, &text).with_context(|| format!("writing {}", file.display()))?;
        let name = file.display().to_string();
        let request = ApplyRequest {
            command: Uuid::now_v7().to_string(),
            files: vec![SourceFile { name: name.clone(), text: text.clone() }],
            ..ApplyRequest::default()
        };
        let reply = patiently(|| {
            let (mut projects, request) = (self.client.projects(), request.clone());
            async move { projects.apply(request).await }
        })
        .await?;
        if !reply.problems.is_empty() {
            let sources = [(name.clone(), text)].into();
            let all =
                reply.problems.iter().map(|problem| problems::render(problem, &sources, Paint::stderr()));
            bail!("{name} has problems:\n{}", all.collect::<String>());
        }
        out(&format!("project     {name}: {} things declared", reply.changes.len()));
        let made = reply.hooks.iter().find(|hook| hook.kind == "git" && !hook.secret.is_empty());
        match made {
            Some(made) => {
                let config = hook::Config {
                    url: format!("{}{}", self.client.url, made.path),
                    secret: made.secret.clone(),
                    repository: self.repository.url().to_owned(),
                };
                hook::install(self.repository.bare(), &config, shipway)?;
            }
            None => self.move_hook(shipway).await?,
        }
        Ok(())
    }

    /// The hook is from an earlier time: Shipway may listen elsewhere by now.
    async fn move_hook(&self, shipway: &Path) -> anyhow::Result<()> {
        let path = self.hook_path("git").await?;
        let file = self.repository.bare().join("hooks/shipway.json");
        let text = fs::read_to_string(&file).with_context(|| {
            format!(
                "reading {}: the webhook's secret was shown once and is not there; \
                 start the demo in a new data folder",
                file.display()
            )
        })?;
        let mut config: hook::Config =
            serde_json::from_str(&text).context("reading the hook's configuration")?;
        config.url = format!("{}{path}", self.client.url);
        Ok(hook::install(self.repository.bare(), &config, shipway)?)
    }

    async fn hook_path(&self, kind: &str) -> anyhow::Result<String> {
        let listed = patiently(|| {
            let mut projects = self.client.projects();
            async move { projects.list_hooks(ListHooksRequest { project: "shop".to_owned() }).await }
        })
        .await?;
        let found = listed.hooks.into_iter().find(|hook| hook.kind == kind);
        Ok(found.with_context(|| format!("the project has no webhook of kind `{kind}`"))?.path)
    }

    /// What is deployed, once all that runs has said how it is: an executor may be on its way up again.
    async fn settled(&self) -> anyhow::Result<Deployment> {
        let until = Instant::now() + PATIENCE;
        loop {
            let deployment = Deployment::look(&self.client).await?;
            if deployment.is_known() || Instant::now() > until {
                return Ok(deployment);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Starts asking what is deployed already; nothing in the first round.
    async fn asking(&self) -> anyhow::Result<Option<Asking>> {
        let deployment = Deployment::look(&self.client).await?;
        let addresses: Vec<_> =
            ASKED.iter().filter_map(|name| Some(((*name).to_owned(), deployment.address(name)?))).collect();
        for (name, address) in &addresses {
            if let Err(error) = up_again(name, address).await {
                let now = Deployment::look(&self.client).await?.table().text(Paint::stderr());
                return Err(error.context(format!("of what is deployed, not all runs:\n{now}")));
            }
        }
        Ok((!addresses.is_empty()).then(|| Asking::start(addresses)))
    }

    /// One round: commit, push, Development, Staging, Production. The commit that went through.
    async fn bring_to_production(&self, round: &Round) -> anyhow::Result<String> {
        let commit = self.repository.commit(round)?;
        title(&format!("{}: commit {}", capital(&round.name()), &commit[..8]));
        for line in self.repository.push()? {
            out(&format!("  {line}"));
        }
        let started = Instant::now();
        let development = self.wait_for_run(DEVELOPMENT, |run| run.triggers_json.contains(&commit)).await?;
        self.follow(&development).await?;

        let name = format!("demo {}", Uuid::now_v7().simple());
        self.call_staging(&name).await?;
        let staging = self.wait_for_run(STAGING, |run| run.name == name).await?;
        self.follow(&staging).await?;

        let request = StartRunRequest {
            command: Uuid::now_v7().to_string(),
            flow: PRODUCTION.to_owned(),
            description: format!("the demo's {}", round.name()),
            arguments_json: serde_json::json!({"NOTIFY_URL": self.receiver.url()}).to_string(),
            ..StartRunRequest::default()
        };
        let reply = patiently(|| {
            let (mut runs, request) = (self.client.runs(), request.clone());
            async move { runs.start_run(request).await }
        })
        .await?;
        if let Some(problem) = reply.problems.first() {
            bail!("{PRODUCTION} was not started: {} ({})", problem.message, problem.pointer);
        }
        self.follow(&reply.run).await?;
        out(&good(&format!("from the push to production in {:.1} s", started.elapsed().as_secs_f64())));
        Ok(commit)
    }

    async fn call_staging(&self, name: &str) -> anyhow::Result<()> {
        let url = format!("{}{}", self.client.url, self.hook_path("flow").await?);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::new();
        let until = Instant::now() + PATIENCE;
        loop {
            // The same key each time: however often it has to be said, one run starts.
            let answer = client
                .post(format!("{url}?name={}", name.replace(' ', "%20")))
                .header("idempotency-key", name)
                .timeout(Duration::from_secs(10))
                .send()
                .await;
            match answer {
                Ok(answer) if answer.status().as_u16() == 202 => return Ok(()),
                Ok(answer) if !answer.status().is_server_error() => {
                    bail!("the webhook of {STAGING} answered {}", answer.status());
                }
                answer if Instant::now() > until => {
                    let answer = answer.with_context(|| format!("calling the webhook of {STAGING}"))?;
                    bail!("the webhook of {STAGING} answered {}", answer.status());
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn wait_for_run(&self, flow: &str, wanted: impl Fn(&Run) -> bool) -> anyhow::Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let page = Some(Page { after: String::new(), limit: 20 });
            let request = ListRunsRequest { page, flow: flow.to_owned(), ..ListRunsRequest::default() };
            let listed = patiently(|| {
                let (mut runs, request) = (self.client.runs(), request.clone());
                async move { runs.list_runs(request).await }
            })
            .await?;
            if let Some(run) = listed.runs.into_iter().find(|run| wanted(run)) {
                return Ok(run.id);
            }
            ensure!(
                Instant::now() < until,
                "no run of {flow} came within {} s; `shipway deliveries` says what was delivered and why nothing \
                 started",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn follow(&self, run: &str) -> anyhow::Result<()> {
        out("");
        let run = until_end(&self.client, run, false).await?;
        ensure!(
            run.status == "success",
            "{} ended with {}{}; `shipway show {id}` and `shipway logs {id}` say more",
            run.path,
            run.status,
            if run.reason.is_empty() { String::new() } else { format!(": {}", run.reason) },
            id = run.id
        );
        Ok(())
    }
}

fn title(text: &str) {
    out(&format!("\n{}", Paint::stdout().on(text, Style::Strong)));
}

fn good(text: &str) -> String {
    Paint::stdout().on(&format!("✓ {text}"), Style::Good)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
