//! `shipway state`: what ran where at a time, and what is different at two.

use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{Artifact, DiffStatesReply, DiffStatesRequest, GetStateRequest, StateChange};

use super::{
    Client, Exit, Failure, Outcome, Paint, Style, Table, flags::Common, json as shown, out, output::out_json,
    short_commit, short_digest, short_id, status::row, talk, time::parse,
};

/// Arguments of `shipway state`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// At that time: 2026-01-31T17:00:00Z, or `2h ago`.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// What is different from one time to another; `now` is one, too.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], conflicts_with = "at")]
    diff: Option<Vec<String>>,
    /// Only this project.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn state(args: Args) -> Outcome {
    if let Some([from, to]) = args.diff.as_deref() {
        return diff(&args, from, to).await;
    }
    let at = args.at.as_deref().map(|text| parse(text, Timestamp::now())).transpose()?;
    let client = Client::connect(&args.common.place).await?;
    let request = GetStateRequest {
        at: at.map(|at| at.to_string()).unwrap_or_default(),
        project: args.project.unwrap_or_default(),
    };
    let reply = client.runs().get_state(request).await?.into_inner();
    if args.common.json() {
        out_json(&json!({
            "deployed": reply.deployed.iter().map(shown::deployed).collect::<Vec<_>>(),
            "position": reply.position,
            "at": reply.at,
        }));
    } else if reply.deployed.is_empty() {
        talk("nothing was released by then");
    } else {
        let mut table =
            Table::new(&["STAGE", "RESOURCE", "STATUS", "DIGEST", "COMMIT", "RUN", "AGE", "ADDRESS"]);
        let now = reply.at.parse().unwrap_or_else(|_| Timestamp::now());
        for deployed in &reply.deployed {
            row(&mut table, &deployed.stage, &deployed.resource, Some(deployed), now);
        }
        out(&table.text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

async fn diff(args: &Args, from: &str, to: &str) -> Outcome {
    let now = Timestamp::now();
    let time = |text: &str| match text {
        "now" => Ok::<_, Failure>(String::new()),
        text => Ok(parse(text, now)?.to_string()),
    };
    let request = DiffStatesRequest {
        from: time(from)?,
        to: time(to)?,
        project: args.project.clone().unwrap_or_default(),
    };
    let client = Client::connect(&args.common.place).await?;
    let reply = client.history().diff_states(request).await?.into_inner();
    if args.common.json() {
        out_json(&json(&reply));
    } else if reply.changes.is_empty() {
        talk(&format!("the same ran at {} and at {}", reply.from, reply.to));
    } else {
        out(&table(&reply.changes).text(Paint::stdout()));
    }
    Ok(Exit::Ok)
}

fn table(changes: &[StateChange]) -> Table {
    let mut table = Table::new(&["STAGE", "RESOURCE", "FROM", "TO", "COMMITS", "RUN", "RELEASED"]);
    let digest = |artifact: Option<&Artifact>| match artifact {
        Some(artifact) => short_digest(&artifact.digest).to_owned(),
        None => "–".to_owned(),
    };
    let commit = |artifact: Option<&Artifact>| match artifact {
        Some(artifact) if !artifact.commit.is_empty() => short_commit(&artifact.commit).to_owned(),
        _ => "–".to_owned(),
    };
    for change in changes {
        let (from, to) = (change.from.as_ref(), change.to.as_ref());
        table.styled([
            (change.stage.clone(), Style::Strong),
            (change.resource.clone(), Style::Plain),
            (digest(from), Style::Quiet),
            (digest(to), Style::Accent),
            (format!("{} → {}", commit(from), commit(to)), Style::Plain),
            (short_id(&change.run).to_owned(), Style::Quiet),
            (change.released_at.clone(), Style::Quiet),
        ]);
    }
    table
}

fn json(reply: &DiffStatesReply) -> Value {
    let change = |change: &StateChange| {
        json!({
            "project": change.project,
            "stage": change.stage,
            "resource": change.resource,
            "kind": change.kind,
            "from": shown::artifact(change.from.as_ref()),
            "to": shown::artifact(change.to.as_ref()),
            "run": change.run,
            "releasedAt": change.released_at,
        })
    };
    json!({
        "from": reply.from,
        "to": reply.to,
        "changes": reply.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_is_a_table() {
        let artifact = |digest: &str, commit: &str| {
            let (digest, commit) = (format!("sha256:{}", digest.repeat(32)), commit.repeat(20));
            Some(Artifact { digest, commit, ..Artifact::default() })
        };
        let change = |resource: &str, from, to| StateChange {
            stage: "shop/Production".to_owned(),
            resource: resource.to_owned(),
            from,
            to,
            run: "01934f2e-8c1a-7000-8000-000000000001".to_owned(),
            released_at: "2026-01-01T00:00:00Z".to_owned(),
            ..StateChange::default()
        };
        let changes = [
            change("shop-web", artifact("ab", "01"), artifact("cd", "02")),
            change("shop-job", None, artifact("ef", "03")),
        ];
        let expected = "\
STAGE            RESOURCE  FROM          TO            COMMITS              RUN            RELEASED
shop/Production  shop-web  abababababab  cdcdcdcdcdcd  01010101 → 02020202  01934f2e-8c1a  2026-01-01T00:00:00Z
shop/Production  shop-job  –             efefefefefef  – → 03030303         01934f2e-8c1a  2026-01-01T00:00:00Z";
        assert_eq!(table(&changes).text(Paint::none()), expected);
    }
}
