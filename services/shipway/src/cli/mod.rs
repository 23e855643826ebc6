//! The command line client: one file per group of verbs.
//!
//! Standard output is data, standard error is talk. Exit codes: 0 ok, 1 failed, 2 usage, 3 aborted,
//! 4 not allowed, 5 waiting for a person, 6 the plan has moved.

mod account;
mod addon;
mod admin;
mod apply;
mod ask;
mod backup;
mod client;
mod color;
mod commit_status;
mod compare;
mod config;
mod database;
mod deliveries;
mod diff;
mod events;
mod explain;
mod failure;
mod flags;
mod flow;
mod fmt;
mod freeze;
mod hold;
pub(crate) mod hook;
mod insight;
mod json;
mod judge;
mod lint;
mod logs;
mod otherwise;
mod output;
mod plan;
pub(crate) mod problems;
mod replay;
mod resume;
mod rollback;
mod run;
mod runs;
mod schedules;
mod schema;
mod settle;
mod show;
mod state;
mod status;
mod surely;
mod table;
mod time;
mod token;
mod trace;
mod tree;
mod watch;
mod why;

pub(crate) use client::{Client, data_folder};
pub(crate) use color::{Paint, Style};
pub(crate) use failure::{Exit, Failure, Outcome};
pub(crate) use flags::Place;
pub(crate) use output::{hint, out, talk};
pub(crate) use table::Table;
pub(crate) use time::{age, short_commit, short_digest, short_id};
pub(crate) use tree::tree;
pub(crate) use watch::until_end;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{bench, demo, lsp, up};

const AFTER: &str = "\
Flows are named <pipeline>/<stage>: shop/production. Runs are named by id, by the beginning of one
(8 characters or more), or as @latest and @failed.

Exit codes: 0 ok, 1 failed, 2 usage, 3 aborted, 4 not allowed, 5 waiting for a person,
6 the plan has moved.";

/// Release flows you run yourself.
#[derive(Debug, Parser)]
#[command(name = "shipway", version, after_help = AFTER, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start Shipway here: one process, everything in one data folder.
    Up(up::UpArgs),
    /// Stop Shipway and all that it runs on this machine.
    Down(up::DownArgs),
    /// Run one service of a distributed Shipway.
    #[command(hide = true)]
    Serve(up::ServeArgs),
    /// Check and show the settings of a distributed Shipway's services.
    #[command(subcommand)]
    Config(config::Config),
    /// Make or change what files declare; never deletes.
    Apply(apply::Args),
    /// Tell all that is wrong with documents, before anything is published or run.
    Lint(lint::Args),
    /// Bring documents into their usual form.
    Fmt(fmt::Args),
    /// Show what is different in a document, by its nodes.
    Diff(diff::Args),
    /// Serve an editor on standard input and output: the language server protocol.
    Lsp,
    /// What is deployed where, pipeline by pipeline.
    Status(status::StatusArgs),
    /// Say what a run of a flow would do, and start nothing.
    Plan(plan::Args),
    /// Start a flow.
    Run(run::RunArgs),
    /// Start a run again: the same version of its flow, with the same arguments.
    Rerun(run::RerunArgs),
    /// Call a run something else, or say something else about it.
    Describe(run::DescribeArgs),
    /// List runs, newest first.
    Runs(runs::Args),
    /// Show a run with its nodes, as it is or as it was.
    Show(show::Args),
    /// Follow a run until it ends.
    Watch(watch::Args),
    /// Print the logs of a run's nodes.
    Logs(logs::Args),
    /// Abort a run.
    Abort(run::AbortArgs),
    /// Approve a node that waits for it.
    Approve(judge::JudgeArgs),
    /// Reject a node that waits for approval: it fails.
    Reject(judge::JudgeArgs),
    /// Say why a run, node, stage, digest or push does not go on, and what to do.
    Why(why::Args),
    /// Say what became of a node of which nobody could know it.
    Resolve(settle::ResolveArgs),
    /// Try a node now that waits for its next attempt; of a run that has ended, go on from it.
    Retry(settle::RetryArgs),
    /// Go on where a run that has ended stopped, in a run of its own.
    Resume(resume::ResumeArgs),
    /// Go on after a node of a run that has ended, without running it.
    Skip(resume::SkipArgs),
    /// Go back to what ran in a stage before, databases included.
    Rollback(rollback::Args),
    /// Hold runs that have not begun: a project's, a pipeline's or a stage's, once or by a calendar.
    Freeze(freeze::FreezeArgs),
    /// Let nothing more begin, in runs that go on too, and say what is in flight.
    StopTheLine(freeze::StopArgs),
    /// Lift a freeze, or let one run pass.
    Unfreeze(freeze::UnfreezeArgs),
    /// List freezes.
    Freezes(freeze::FreezesArgs),
    /// Hold some artifacts back from a stage: a digest and what came before it, old versions, what contains a commit.
    Hold(hold::HoldArgs),
    /// End a hold, or let one run release what is held.
    Unhold(hold::UnholdArgs),
    /// List holds, and what is marked bad.
    Holds(hold::HoldsArgs),
    /// Mark what a run has released, or a digest, as bad: it goes no further.
    Bad(hold::BadArgs),
    /// Take a bad mark back.
    Good(hold::GoodArgs),
    /// Read the event log.
    Events(events::EventsArgs),
    /// What ran where, now or at a time; or what is different at two times.
    State(state::Args),
    /// Where a digest comes from, and where it went.
    Trace(trace::Args),
    /// What is different in two runs.
    Compare(compare::Args),
    /// How often stages get something new, how long it takes, how often it goes wrong, and where the time goes.
    Insight(insight::Args),
    /// Prove that the log is whole.
    Verify(events::VerifyArgs),
    /// Copy everything into one file, while all goes on.
    Backup(backup::BackupArgs),
    /// Bring a backup back, into an empty data folder or an empty database.
    Restore(backup::RestoreArgs),
    /// Look after the database of a distributed Shipway.
    #[command(subcommand)]
    Database(database::Database),
    /// List webhook deliveries and what came of them.
    Deliveries(deliveries::DeliveriesArgs),
    /// Judge deliveries once more, for real or as a test.
    Replay(replay::Args),
    /// List flows that start by themselves, when they did and when they will.
    Schedules(schedules::SchedulesArgs),
    /// List the addresses to paste into a Git host's webhook settings.
    Hooks(deliveries::HooksArgs),
    /// Let a flow's triggers start nothing for a while.
    #[command(subcommand)]
    Flow(flow::Flow),
    /// Set a flow's argument, outside its document.
    #[command(subcommand)]
    Override(admin::Override),
    /// Take resources out of stages.
    #[command(subcommand)]
    Member(admin::Member),
    /// Look after pipelines.
    #[command(subcommand)]
    Pipeline(admin::Pipeline),
    /// Link accounts at Git hosts, and look into their repositories.
    #[command(subcommand)]
    Account(account::Account),
    /// Give people tokens, with which they prove who they are.
    #[command(subcommand)]
    Token(token::Token),
    /// Look after addons.
    #[command(subcommand)]
    Addon(addon::Addon),
    /// Print the JSON Schema of a type of document, for editors.
    Schema(schema::SchemaArgs),
    /// List projects.
    Projects(admin::ProjectsArgs),
    /// Make a plain Git repository a sender of pushes.
    #[command(subcommand)]
    Hook(hook::Hook),
    /// Bring a small shop from its first commit to production, in a Shipway that runs already.
    Demo(demo::Args),
    /// Measure Shipway on this machine; one JSON line a figure.
    #[command(hide = true)]
    Bench(bench::BenchArgs),
    /// What Shipway starts for every service and addon.
    #[command(hide = true)]
    Keeper { folder: std::path::PathBuf },
    /// What Shipway starts for every build, job and command.
    #[command(hide = true)]
    Shim { folder: std::path::PathBuf },
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let verb = match Cli::try_parse() {
        Ok(cli) => cli.verb,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match verb {
        Verb::Up(args) => own(up::up(args)),
        Verb::Down(args) => own(up::down(args)),
        Verb::Serve(args) => own(up::serve(args)),
        Verb::Bench(args) => own(bench::main(args)),
        Verb::Keeper { folder } => up::keeper(&folder),
        Verb::Shim { folder } => up::shim(&folder),
        Verb::Restore(args) => report(backup::restore(args)),
        Verb::Config(verb) => report(config::config(verb)),
        Verb::Fmt(args) => report(fmt::fmt(&args)),
        Verb::Schema(args) => report(schema::schema(&args)),
        Verb::Lsp => own(lsp::serve().map(|()| ExitCode::SUCCESS)),
        verb => report(block_on(talk_to_server(verb))),
    }
}

async fn talk_to_server(verb: Verb) -> Outcome {
    match verb {
        Verb::Apply(args) => apply::apply(args).await,
        Verb::Lint(args) => lint::lint(args).await,
        Verb::Diff(args) => diff::diff(args).await,
        Verb::Status(args) => status::status(args).await,
        Verb::State(args) => state::state(args).await,
        Verb::Trace(args) => trace::trace(args).await,
        Verb::Compare(args) => compare::compare(args).await,
        Verb::Insight(args) => insight::insight(args).await,
        Verb::Plan(args) => plan::plan(args).await,
        Verb::Run(args) => run::run(args).await,
        Verb::Rerun(args) => run::rerun(args).await,
        Verb::Describe(args) => run::describe(args).await,
        Verb::Runs(args) => runs::runs(args).await,
        Verb::Show(args) => show::show(args).await,
        Verb::Abort(args) => run::abort(args).await,
        Verb::Approve(args) => judge::approve(args).await,
        Verb::Reject(args) => judge::reject(args).await,
        Verb::Why(args) => why::why(args).await,
        Verb::Resolve(args) => settle::resolve(args).await,
        Verb::Retry(args) => settle::retry(args).await,
        Verb::Resume(args) => resume::resume(args).await,
        Verb::Skip(args) => resume::skip(args).await,
        Verb::Rollback(args) => rollback::rollback(args).await,
        Verb::Freeze(args) => freeze::freeze(args).await,
        Verb::StopTheLine(args) => freeze::stop_the_line(args).await,
        Verb::Unfreeze(args) => freeze::unfreeze(args).await,
        Verb::Freezes(args) => freeze::freezes(args).await,
        Verb::Hold(args) => hold::hold(args).await,
        Verb::Unhold(args) => hold::unhold(args).await,
        Verb::Holds(args) => hold::holds(args).await,
        Verb::Bad(args) => hold::bad(args).await,
        Verb::Good(args) => hold::good(args).await,
        Verb::Watch(args) => watch::watch(args).await,
        Verb::Logs(args) => logs::logs(args).await,
        Verb::Events(args) => events::events(args).await,
        Verb::Verify(args) => events::verify(args).await,
        Verb::Backup(args) => backup::backup(args).await,
        Verb::Database(verb) => database::database(verb).await,
        Verb::Deliveries(args) => deliveries::deliveries(args).await,
        Verb::Replay(args) => replay::replay(args).await,
        Verb::Schedules(args) => schedules::schedules(args).await,
        Verb::Hooks(args) => deliveries::hooks(args).await,
        Verb::Flow(verb) => flow::flow(verb).await,
        Verb::Override(verb) => admin::set_override(verb).await,
        Verb::Member(verb) => admin::member(verb).await,
        Verb::Pipeline(verb) => admin::pipeline(verb).await,
        Verb::Account(verb) => account::account(verb).await,
        Verb::Token(verb) => token::token(verb).await,
        Verb::Addon(verb) => addon::addon(verb).await,
        Verb::Projects(args) => admin::projects(args).await,
        Verb::Hook(verb) => hook::hook(verb).await,
        Verb::Demo(args) => demo::main(args).await,
        Verb::Up(_)
        | Verb::Down(_)
        | Verb::Serve(_)
        | Verb::Bench(_)
        | Verb::Restore(_)
        | Verb::Config(_)
        | Verb::Fmt(_)
        | Verb::Schema(_)
        | Verb::Lsp
        | Verb::Keeper { .. }
        | Verb::Shim { .. } => unreachable!("handled before a runtime exists"),
    }
}

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("starting the client: {error}")))?;
    runtime.block_on(work)
}

fn own(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| report(Err(Failure::new(format!("{error:#}")))))
}

fn report(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_is_described() {
        for verb in Cli::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{} has no description", verb.get_name());
        }
    }

    #[test]
    fn usual_lines_parse() {
        for line in [
            "up --demo --data x",
            "apply -f shop.yaml -f - --dry-run -p REGION=eu",
            "lint shop.yaml - --as release-flow -o json",
            "lint flow.yaml --flow shop/staging",
            "lint --explain ref.unknown",
            "fmt --check a.yaml b.json",
            "diff a.yaml b.yaml -o json",
            "diff --flow shop/staging --from 1 next.yaml --exit-code",
            "lsp",
            "status -w",
            "run shop/production -w -p NOTIFY_URL=http://x --name 1.9 -m hotfix",
            "plan shop/production -p NOTIFY_URL=http://x -o json",
            "run shop/production --plan sha256:0",
            "runs -o json",
            "runs shop/production --status failure --branch main --by ada --since 2026-01-01T00:00:00Z -n 5 --after 77",
            "runs --open --pipeline shop --stage production --commit 3f2a91c --origin git --name fix",
            "show @latest",
            "show @latest --at 12 -o json",
            "show 01934f2e-8c1a --at 2026-01-01T00:00:00Z --status failure -n 100 --after 7-100",
            "logs @failed migrate -f",
            "approve @latest gate --reason fine --plan sha256:0",
            "reject @latest -r no",
            "why @latest gate -o json",
            "why shop/production",
            "why sha256:0123456789ab",
            "why push abc1234",
            "resolve @latest migrate --happened",
            "resolve @latest --failed -r nothing-came-of-it",
            "retry 01934f2e build",
            "resume @failed --from deploy --set deploy.data.replicas=2 --dry-run",
            "resume 01934f2e -w -o json",
            "skip @failed migrate -r done-by-hand",
            "rollback shop/production --plan -o json",
            "rollback shop/production --to 01934f2e-8c1a --restore db=keep --with-flow -r broken --no-hold --yes -w",
            "rollback shop/production --to sha256:0123abcd --exact --plan=sha256:0 --yes",
            "events -f --after 10 --stream org",
            "state --at 2026-01-01T00:00:00Z",
            "state --diff 2026-01-01T00:00:00Z now --project shop",
            "trace sha256:0123456789ab -o json",
            "compare @latest @failed",
            "insight",
            "insight shop --pipeline shop --stage production --since 90d --by week -o json",
            "insight shop --events failures -n 50 --after 20",
            "backup -f x.tar.zst --with-keys",
            "restore x.tar.zst --data y",
            "database migrate --url postgres://owner@h/d",
            "restore x.tar.zst --database postgres://h/d --blobs s3://b/p --keys k",
            "deliveries",
            "deliveries --flow shop/staging --state unmatched --since 2026-01-01T00:00:00Z -n 50",
            "deliveries show 01934f2e-8c1a --body",
            "replay 01934f2e-8c1a 01934f2e-8c1b --dry-run",
            "replay --since 2026-01-01T00:00:00Z --flow shop/staging",
            "flow pause shop/production -m moving",
            "flow resume shop/production",
            "override set shop/staging TOKEN --plain",
            "member remove shop-web --dry-run",
            "pipeline delete shop",
            "account add acme --kind gitea --host git.example.org:3000 --credential-file token",
            "account commits https://github.com/acme/api --ref main --account acme -o json",
            "freeze shop/production --until 2026-12-31T00:00:00Z -r holidays --name xmas",
            "freeze shop --every @weekend --for 64h --zone Europe/Berlin",
            "stop-the-line shop/* -r outage",
            "unfreeze xmas --project shop",
            "unfreeze --run @latest -r fix",
            "freezes -o json",
            "hold shop/production --digest sha256:0123456789ab --until 2026-12-31T00:00:00Z -m rolled-back",
            "hold shop/* --below 1.9.0 -m old --name old",
            "hold shop/production --commit 3f2a91c -r breaks",
            "hold shop/production --run @latest -m broken -o json",
            "unhold old --project shop",
            "unhold --run @latest -m fix",
            "holds -o json",
            "bad @latest -m loses-orders",
            "good sha256:0123456789ab -m it-was-the-database",
            "run shop/production --despite-hold fix",
            "rollback shop/production --yes --despite-hold fix",
            "token create --name release-lead --role approver --role admin --to token -o json",
            "token list --token-file token",
            "token revoke release-lead",
            "token whoami",
            "addon move shop-db --backup latest --yes --project shop",
            "addon confirm shop-db --project shop",
            "addon revert shop-db -w -o json",
            "hook post-receive --config hooks/shipway.json",
            "deliveries -n 5",
            "deliveries explain --provider github --event push payload.json --flow flow.json -o json",
            "hook rotate 0190aaaa --stdin -o json",
            "hook retire 0190aaaa --all",
            "serve scheduler --config scheduler.toml --set server.listen=0.0.0.0:7401",
            "config check --service triggers -o json",
            "config show executor --set executor.labels=gpu",
            "config default console",
            "schedules -n 5 -o json",
            "schema",
            "schema release-flow",
            "keeper x",
        ] {
            let words = std::iter::once("shipway").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
