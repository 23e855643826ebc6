//! `shipway addon`: what a person can do for an addon whose host is lost, or into which a backup was put.

use std::io::{self, BufRead, IsTerminal};

use clap::Subcommand;
use jiff::Timestamp;
use shipway_contracts::v1::{DecideKeptRequest, MoveAddonReply, MoveAddonRequest};
use uuid::Uuid;

use super::{
    Client, Exit, Failure, Outcome, flags::Common, hint, json as shown, out, output::out_json, short_id,
    surely::surely, talk, watch,
};

/// Verbs of `shipway addon`.
#[derive(Debug, Subcommand)]
pub(crate) enum Addon {
    /// Restores an addon whose host is lost on another, from a backup. What was written since the backup is lost.
    Move(MoveArgs),
    /// Lets go of what an addon was before a backup was put into it.
    Confirm(KeptArgs),
    /// Puts back what an addon was before a backup was put into it; what it is now is kept then.
    Revert(KeptArgs),
}

/// Arguments of `shipway addon confirm` and `revert`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeptArgs {
    /// The addon's id.
    addon: String,
    /// Follows the run until it ends; the exit code says how.
    #[arg(short, long)]
    watch: bool,
    /// Its project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `shipway addon move`.
#[derive(Debug, clap::Args)]
pub(crate) struct MoveArgs {
    /// The addon's id.
    addon: String,
    /// The backup: its id, or `latest`.
    #[arg(long, value_name = "BACKUP", default_value = "latest")]
    backup: String,
    /// Does it without asking.
    #[arg(short, long)]
    yes: bool,
    /// Says what would be done and lost, and does nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Its project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn addon(verb: Addon) -> Outcome {
    match verb {
        Addon::Move(args) => move_away(args).await,
        Addon::Confirm(args) => kept(args, false).await,
        Addon::Revert(args) => kept(args, true).await,
    }
}

/// Decides about what a restore has kept, by a run.
async fn kept(args: KeptArgs, put_back: bool) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = DecideKeptRequest {
        command: Uuid::now_v7().to_string(),
        project: client.the_project(args.project.as_deref()).await?,
        addon: args.addon.clone(),
        put_back,
    };
    let run = client.rollbacks().decide_kept(request).await?.into_inner().run;
    if args.watch {
        return watch::follow(&client, &run, args.common.json()).await;
    }
    match args.common.json() {
        true => out_json(&serde_json::json!({ "run": run })),
        false => out(&run),
    }
    hint(&format!("shipway watch {}", short_id(&run)));
    Ok(Exit::Ok)
}

async fn move_away(args: MoveArgs) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let mut request = MoveAddonRequest {
        command: Uuid::now_v7().to_string(),
        project: client.the_project(args.project.as_deref()).await?,
        addon: args.addon.clone(),
        backup: args.backup.clone(),
        dry_run: true,
    };
    let plan = surely(async || client.runs().move_addon(request.clone()).await).await?;
    talk(&loss(&args.addon, &plan));
    if args.dry_run {
        if args.common.json() {
            out_json(&shown::addon_move(&plan));
        }
        hint("the same command with --yes instead of --dry-run");
        return Ok(Exit::Ok);
    }
    if !args.yes && !agreed()? {
        return Err(Failure::usage("nothing was done").help("say --yes, or bring the lost host back"));
    }
    // What was agreed to, whatever was backed up meanwhile.
    (request.backup, request.dry_run) = (plan.backup, false);
    let reply = surely(async || client.runs().move_addon(request.clone()).await).await?;
    if args.common.json() {
        out_json(&shown::addon_move(&reply));
    } else {
        out(&format!("{} goes to {} by run {}", args.addon, reply.to_host, short_id(&reply.run)));
    }
    hint(&format!("shipway watch {}", short_id(&reply.run)));
    Ok(Exit::Ok)
}

/// What is done and what it costs, in words.
fn loss(addon: &str, plan: &MoveAddonReply) -> String {
    let window = match (plan.backup_began_at.parse::<Timestamp>(), plan.lost_since.parse::<Timestamp>()) {
        (Ok(began), Ok(lost)) => {
            let minutes = lost.duration_since(began).as_secs().max(0) / 60;
            format!(" ({} h {} min up to the loss of the host)", minutes / 60, minutes % 60)
        }
        _ => String::new(),
    };
    format!(
        "{addon} was on host {}; it is made anew on host {} from backup {}.\nWhat was written to it since {}{window} is \
         lost, and what is on the lost host is let go of when that host comes back.",
        plan.from_host, plan.to_host, plan.backup, plan.backup_began_at
    )
}

/// Asks whoever sits there. Nobody there has not agreed.
fn agreed() -> Result<bool, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    eprint!("Go on? [y/N] ");
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_what_is_lost_is_said() {
        let plan = MoveAddonReply {
            from_host: "10.0.0.2".to_owned(),
            to_host: "10.0.0.3".to_owned(),
            backup: "bk-1".to_owned(),
            backup_began_at: "2026-01-01T00:00:00Z".to_owned(),
            lost_since: "2026-01-01T03:02:10Z".to_owned(),
            ..MoveAddonReply::default()
        };
        let told = loss("shop-db", &plan);
        assert!(told.contains("since 2026-01-01T00:00:00Z (3 h 2 min up to the loss"), "{told}");
        assert!(told.contains("on host 10.0.0.3 from backup bk-1"), "{told}");
    }
}
