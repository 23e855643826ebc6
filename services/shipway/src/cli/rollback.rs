//! `shipway rollback`: back to what ran in a stage before.

use std::io::{self, BufRead, Write};

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{
    DataChoice, PlanRollbackReply, RollbackRequest, StartRollbackReply, StartRollbackRequest, StartRunReply,
};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, ask,
    flags::{Common, pair},
    hint, json as shown, out,
    output::out_json,
    plan,
    problems::{self, Sources},
    short_id,
    surely::surely,
    talk, time, watch,
};

/// What is said of an addon whose content stays.
const KEEP: &str = "keep";

/// Arguments of `shipway rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stage's flow: `shop/production`.
    flow: String,
    /// To when: a run (an id or the beginning of one), a digest (`sha256:…`), or a time (`2h ago`, `yesterday 17:00`). The
    /// last good release before the one that runs now when absent.
    #[arg(long, value_name = "RUN|DIGEST|TIME")]
    to: Option<String>,
    /// Says what it would do and starts nothing; with a hash it starts that plan and no other.
    #[arg(long, value_name = "HASH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    plan: Option<String>,
    /// Makes the version of the flow that ran then its newest one again.
    #[arg(long)]
    with_flow: bool,
    /// Of an addon whose content was changed since: the backup that is put into it, or `keep`; may be given several times.
    #[arg(long, value_name = "ADDON=BACKUP|keep", value_parser = pair)]
    restore: Vec<(String, String)>,
    /// Stops services that ran nothing then.
    #[arg(long)]
    exact: bool,
    /// Why: it is the description of the run.
    #[arg(short, long, visible_alias = "message", value_name = "TEXT")]
    reason: Option<String>,
    /// Lets automation release again at once what is left.
    #[arg(long)]
    no_hold: bool,
    /// Releases what is held, too, and says why. What is marked bad it does not.
    #[arg(long, value_name = "REASON")]
    despite_hold: Option<String>,
    /// Does it without asking.
    #[arg(short, long)]
    yes: bool,
    /// Follows the run until it ends; the exit code says how.
    #[arg(short, long)]
    watch: bool,
    /// The flow's project, where two have a pipeline of that name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn rollback(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let mut request = request(&args, Timestamp::now())?;
    let can_ask = ask::can_ask() && !args.common.json();
    let only_shows = args.plan.as_deref() == Some("");
    let mut reply = client.rollbacks().plan_rollback(request.clone()).await?.into_inner();
    if can_ask && !only_shows {
        let open: Vec<DataChoice> = open(&reply).cloned().collect();
        for choice in &open {
            let said = decide(choice, &mut io::stdin().lock(), &mut io::stderr())?;
            request.data.insert(choice.addon.clone(), said);
        }
        if !open.is_empty() {
            reply = client.rollbacks().plan_rollback(request.clone()).await?.into_inner();
        }
    }
    let planned = reply.plan.clone().unwrap_or_default();
    for problem in &planned.problems {
        talk(&problems::render(problem, &Sources::new(), Paint::stderr()));
    }
    if !planned.problems.is_empty() {
        return Err(Failure::usage(format!("{} cannot be rolled back like this", args.flow)));
    }
    if only_shows {
        match args.common.json() {
            true => out_json(&plan_json(&reply)),
            false => out(&words(&reply, Paint::stdout())),
        }
        if !planned.plan.is_empty() {
            hint(&format!("{} --plan={} --yes", command(&args, &request), planned.plan));
        }
        return Ok(Exit::Ok);
    }
    if let Some(choice) = open(&reply).next() {
        let DataChoice { addon, backup, changed, loss, .. } = choice;
        let problem = format!("`{addon}` was changed since ({changed}): {loss}");
        let help = format!("say --restore {addon}={backup} or --restore {addon}={KEEP}");
        return Err(Failure::usage(problem).help(&help));
    }
    if !args.common.json() {
        talk(&words(&reply, Paint::stderr()));
    }
    let agreed = args.yes || (can_ask && agreed()?);
    if !agreed {
        return Err(
            Failure::usage("nothing was done").help("say --yes; --plan only shows what would be done")
        );
    }
    start(&client, args, request, planned.plan).await
}

/// Starts what was shown, or the plan that was named; no other.
async fn start(client: &Client, args: Args, what: RollbackRequest, seen: String) -> Outcome {
    let request = StartRollbackRequest {
        command: Uuid::now_v7().to_string(),
        what: Some(what),
        plan: args.plan.clone().unwrap_or(seen),
        reason: args.reason.clone().unwrap_or_default(),
        no_hold: args.no_hold,
        despite_hold: args.despite_hold.clone().unwrap_or_default(),
    };
    let reply = surely(async || client.rollbacks().start_rollback(request.clone()).await).await?;
    let run = reply.run.clone().unwrap_or_default();
    if !run.plan.is_empty() {
        return Ok(moved(&args, &run));
    }
    for problem in &run.problems {
        talk(&problems::render(problem, &Sources::new(), Paint::stderr()));
    }
    if run.run.is_empty() {
        return Err(Failure::usage(format!("{} was not rolled back", args.flow)));
    }
    for warning in &reply.warnings {
        talk(&Paint::stderr().on(&format!("warning: {warning}"), Style::Busy));
    }
    if args.watch {
        talk(&format!("rolling {} back by run {}", run.path, run.run));
        return watch::follow(client, &run.run, args.common.json()).await;
    }
    match args.common.json() {
        true => out_json(&started_json(&reply)),
        false => out(&run.run),
    }
    hint(&format!("shipway watch {}", short_id(&run.run)));
    Ok(Exit::Ok)
}

/// It would do something else by now: what has moved.
fn moved(args: &Args, run: &StartRunReply) -> Exit {
    if args.common.json() {
        out_json(&json!({"run": null, "plan": run.plan, "moved": run.moved}));
    } else {
        talk(&format!("{} was not rolled back: what was planned is not what would be done now", args.flow));
        run.moved.iter().for_each(|line| out(line));
    }
    hint(&format!("the same command with --plan shows it as it is now: {}", run.plan));
    Exit::Moved
}

fn request(args: &Args, now: Timestamp) -> Result<RollbackRequest, Failure> {
    let mut request = RollbackRequest {
        flow: args.flow.clone(),
        project: args.project.clone().unwrap_or_default(),
        with_flow: args.with_flow,
        exact: args.exact,
        data: args.restore.iter().cloned().collect(),
        ..RollbackRequest::default()
    };
    match args.to.as_deref() {
        None => {}
        Some(to) if to.starts_with("sha256:") => request.digest = to.to_owned(),
        Some(to) if is_run(to) => request.run = to.to_owned(),
        Some(to) => request.at = time::parse(to, now)?.to_string(),
    }
    Ok(request)
}

/// Whether that names a run. No time is written in hex digits and hyphens alone, of which the first eight are digits.
fn is_run(text: &str) -> bool {
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    text.starts_with('@') || (text.len() >= 8 && text.chars().all(is_id) && !text[..8].contains('-'))
}

/// Addons of which nobody has decided.
fn open(reply: &PlanRollbackReply) -> impl Iterator<Item = &DataChoice> {
    reply.data.iter().filter(|choice| choice.chosen.is_empty() && !choice.backup.is_empty())
}

/// Asks what becomes of an addon's content.
fn decide(choice: &DataChoice, input: &mut dyn BufRead, talk: &mut dyn Write) -> Result<String, Failure> {
    let DataChoice { addon, changed, backup, loss, .. } = choice;
    writeln!(talk, "`{addon}` was changed since then: {changed}.\n{loss}.")?;
    loop {
        write!(talk, "Restore it from that backup, or keep it as it is? [restore/keep] ")?;
        talk.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err(
                Failure::usage("the input has ended").help("say --restore ADDON=BACKUP or ADDON=keep")
            );
        }
        match line.trim() {
            "restore" | "r" => return Ok(backup.clone()),
            "keep" | "k" => return Ok(KEEP.to_owned()),
            other => writeln!(talk, "`{other}` is neither `restore` nor `keep`")?,
        }
    }
}

fn agreed() -> Result<bool, Failure> {
    eprint!("Go on? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What it would do, in words.
fn words(reply: &PlanRollbackReply, paint: Paint) -> String {
    let planned = reply.plan.clone().unwrap_or_default();
    let rollback = reply.rollback.clone().unwrap_or_default();
    let mut lines = vec![format!(
        "{} goes back to {}{}",
        paint.on(&planned.path, Style::Strong),
        rollback.at,
        match rollback.to.as_str() {
            "" => String::new(),
            to => format!(", to run {}", short_id(to)),
        }
    )];
    if rollback.flow_version > 0 {
        lines.push(format!(
            "version {} of the flow becomes its newest again when that has ended well",
            rollback.flow_version
        ));
    }
    lines.push(plan::table(&planned.nodes).text(paint));
    for choice in &reply.data {
        let DataChoice { addon, changed, backup, chosen, loss, .. } = choice;
        let what = match (chosen.as_str(), backup.as_str()) {
            ("", "") => continue,
            ("", backup) => format!("{loss}: --restore {addon}={backup} or --restore {addon}={KEEP}"),
            (KEEP, _) => "it stays as it is".to_owned(),
            (chosen, _) => format!("it gets the backup {chosen}"),
        };
        lines.push(format!("data of `{addon}` ({changed}): {what}"));
    }
    if !planned.gates.is_empty() {
        lines.push("gates:".to_owned());
        lines.extend(planned.gates.iter().map(|gate| format!("  {gate}")));
    }
    let warnings = planned.warnings.iter();
    lines.extend(warnings.map(|warning| paint.on(&format!("warning: {warning}"), Style::Busy)));
    if !planned.plan.is_empty() {
        lines.push(format!("plan {}", planned.plan));
    }
    lines.join("\n")
}

/// The command that starts what was planned.
fn command(args: &Args, request: &RollbackRequest) -> String {
    let mut words = format!("shipway rollback {}", args.flow);
    if let Some(to) = &args.to {
        words.push_str(&format!(" --to '{to}'"));
    }
    let mut data: Vec<_> = request.data.iter().collect();
    data.sort();
    for (addon, said) in data {
        words.push_str(&format!(" --restore {addon}={said}"));
    }
    for (flag, given) in [("with-flow", args.with_flow), ("exact", args.exact), ("no-hold", args.no_hold)] {
        if given {
            words.push_str(&format!(" --{flag}"));
        }
    }
    if let Some(reason) = &args.despite_hold {
        words.push_str(&format!(" --despite-hold '{reason}'"));
    }
    words
}

fn plan_json(reply: &PlanRollbackReply) -> Value {
    let mut planned = plan::json(&reply.plan.clone().unwrap_or_default());
    planned["rollback"] = shown::rollback(reply.rollback.as_ref());
    planned["data"] = reply.data.iter().map(data_json).collect();
    planned
}

fn started_json(reply: &StartRollbackReply) -> Value {
    let run = reply.run.clone().unwrap_or_default();
    json!({
        "run": run.run,
        "status": run.status,
        "path": run.path,
        "name": run.name,
        "position": run.position,
        "rollback": shown::rollback(reply.rollback.as_ref()),
        "warnings": reply.warnings,
    })
}

fn data_json(choice: &DataChoice) -> Value {
    json!({
        "addon": choice.addon,
        "changed": choice.changed,
        "backup": choice.backup,
        "backupBeganAt": choice.backup_began_at,
        "chosen": choice.chosen,
        "loss": choice.loss,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shipway_contracts::v1::{PlanRunReply, Rollback};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::parse_from(["rollback"].iter().chain(line)).args
    }

    #[test]
    fn a_run_a_digest_and_a_time_are_told_apart() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let to = |to: &str| request(&args(&["shop/production", "--to", to]), now).unwrap();
        assert_eq!(to("sha256:0123abcd").digest, "sha256:0123abcd");
        for run in ["@latest", "01934f2e", "01934f2e-8c1a"] {
            assert_eq!(to(run).run, run);
        }
        assert_eq!(to("2h ago").at, "2026-01-01T22:00:00Z");
        assert_eq!(to("2026-01-01T00:00:00Z").at, "2026-01-01T00:00:00Z");
        let none = request(&args(&["shop/production"]), now).unwrap();
        assert_eq!((none.run, none.digest, none.at), (String::new(), String::new(), String::new()));
    }

    #[test]
    fn a_plan_is_shown_or_named() {
        assert_eq!(args(&["f"]).plan, None);
        assert_eq!(args(&["f", "--plan"]).plan.as_deref(), Some(""));
        assert_eq!(args(&["f", "--plan=sha256:1"]).plan.as_deref(), Some("sha256:1"));
    }

    fn choice() -> DataChoice {
        DataChoice {
            addon: "shop-db".to_owned(),
            changed: "`migrate` of shop/staging ran `shop-migrate`".to_owned(),
            backup: "bk-1".to_owned(),
            loss: "with the backup bk-1 what was written to `shop-db` since 03:02 (4 h 12 min) is lost"
                .to_owned(),
            ..DataChoice::default()
        }
    }

    #[test]
    fn who_is_asked_restores_or_keeps() {
        let decided = |typed: &str| {
            let mut talk = Vec::new();
            let said = decide(&choice(), &mut typed.as_bytes(), &mut talk);
            (said, String::from_utf8(talk).unwrap())
        };
        let (said, talk) = decided("what\nrestore\n");
        assert_eq!(said.unwrap(), "bk-1");
        assert!(talk.contains("since 03:02 (4 h 12 min) is lost") && talk.contains("neither"), "{talk}");
        assert_eq!(decided("keep\n").0.unwrap(), KEEP);
        assert_eq!(decided("").0.unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn what_it_would_do_is_said() {
        let planned = PlanRunReply { path: "shop/staging".to_owned(), ..PlanRunReply::default() };
        let rollback = Rollback { at: "2026-01-01T00:00:00Z".to_owned(), ..Rollback::default() };
        let reply = PlanRollbackReply { plan: Some(planned), rollback: Some(rollback), data: vec![choice()] };
        let told = words(&reply, Paint::none());
        assert!(told.starts_with("shop/staging goes back to 2026-01-01T00:00:00Z\n"), "{told}");
        assert!(told.contains("is lost: --restore shop-db=bk-1 or --restore shop-db=keep"), "{told}");
        let mut asked = request(&args(&["shop/staging"]), Timestamp::now()).unwrap();
        asked.data.insert("shop-db".to_owned(), KEEP.to_owned());
        let line = command(&args(&["shop/staging", "--exact", "--despite-hold", "we need it"]), &asked);
        let wanted =
            "shipway rollback shop/staging --restore shop-db=keep --exact --despite-hold 'we need it'";
        assert_eq!(line, wanted);
    }
}
