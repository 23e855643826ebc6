//! Letting a delivery run that is held because its commit comes from a fork.

use serde_json::json;
use shipway_eventing::DurableError;
use shipway_events::{
    Actor, DeliveryId,
    delivery::{Approval, Verdict},
};
use sqlx::AnyConnection;

use super::{
    Inbox, InboxError,
    decide::{Done, Group, Row},
    sql,
};
use crate::domain::push::short;

const STATE: &str = "SELECT state, verdicts FROM inbox WHERE delivery = $1";

const APPROVE: &str =
    "UPDATE inbox SET state = 'approved', verdicts = $2 WHERE delivery = $1 AND state = 'held'";

/// Later deliveries to the same hook that are about this pull request of a fork.
const HELD_LATER: &str = "
    SELECT delivery, verdicts FROM inbox
    WHERE state IN ('held', 'approved', 'matched') AND delivery > $1
      AND hook = (SELECT hook FROM inbox WHERE delivery = $1)
      AND verdicts LIKE $2 ORDER BY delivery LIMIT 100";

/// What somebody approves.
#[derive(Clone, Debug)]
pub(crate) struct Approving {
    pub delivery: DeliveryId,
    /// Who.
    pub by: Actor,
    /// Whether a token proves their name.
    pub is_proven: bool,
    /// Whether the runs may use secrets.
    pub secrets: bool,
    /// The commit that they looked at, if they say.
    pub head: Option<String>,
}

/// Why it is not approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotApproved {
    #[error("no delivery is called `{0}`; `shipway deliveries` lists them")]
    Unknown(String),
    #[error("delivery {delivery} is `{state}`: only one that is held can be approved")]
    NotHeld { delivery: DeliveryId, state: String },
    #[error("delivery {delivery} is held at commit {held}, not at {given}; look at it again")]
    OtherCommit { delivery: DeliveryId, held: String, given: String },
    #[error("{by} sent delivery {delivery} and may not approve it: another person has to")]
    IsSender { delivery: DeliveryId, by: String },
    #[error(
        "delivery {later} is of a newer commit of pull request #{number}: look at that one, and approve it"
    )]
    Superseded { number: u64, later: DeliveryId },
}

impl Inbox {
    /// Approves a delivery that is held; on return it is on disk, and its runs follow.
    pub(crate) async fn approve(&self, approving: Approving) -> Result<Result<(), NotApproved>, InboxError> {
        match self.writer.submit(Row::Approve(approving)).await? {
            Done::Written => {
                self.stored.notify_one();
                Ok(Ok(()))
            }
            Done::NotApproved(why) => Ok(Err(why)),
            _ => Err(DurableError::Closed),
        }
    }
}

impl Group {
    pub(super) async fn approve(
        &mut self,
        tx: &mut AnyConnection,
        approving: &Approving,
    ) -> Result<Done, sqlx::Error> {
        let Approving { delivery, by, is_proven, secrets, head } = approving;
        let id = delivery.to_string();
        let row: Option<(String, String)> = sqlx::query_as(STATE).bind(&id).fetch_optional(&mut *tx).await?;
        let Some((state, verdicts)) = row else {
            return Ok(Done::NotApproved(NotApproved::Unknown(id)));
        };
        let mut verdicts: Vec<Verdict> = sql::decoded(&verdicts);
        let held = verdicts.iter().find_map(|verdict| verdict.held.clone());
        let Some(held) = held.filter(|held| state == "held" || held.approval.is_some()) else {
            return Ok(Done::NotApproved(NotApproved::NotHeld { delivery: *delivery, state }));
        };
        if let Some(given) =
            head.as_ref().filter(|given| given.len() < 7 || !held.head.starts_with(given.as_str()))
        {
            let (delivery, held, given) = (*delivery, short(&held.head).to_owned(), given.clone());
            return Ok(Done::NotApproved(NotApproved::OtherCommit { delivery, held, given }));
        }
        if state != "held" {
            // It was approved before.
            return Ok(Done::Written);
        }
        let is_theirs = |verdict: &Verdict| {
            let sender = verdict.sender.as_ref().filter(|_| verdict.held.is_some());
            sender.is_some_and(|sender| Actor::Person(sender.clone()).is_same_person(by))
        };
        if *is_proven && verdicts.iter().any(is_theirs) {
            let (delivery, by) = (*delivery, by.name().to_owned());
            return Ok(Done::NotApproved(NotApproved::IsSender { delivery, by }));
        }
        if let Some(later) = superseded(tx, &id, held.pull_request, &held.head).await? {
            return Ok(Done::NotApproved(NotApproved::Superseded { number: held.pull_request, later }));
        }
        for verdict in &mut verdicts {
            if let Some(held) = &mut verdict.held {
                held.approval = Some(Approval { by: by.clone(), secrets: *secrets });
                verdict.matched = true;
                let with = if *secrets { "with" } else { "without" };
                verdict.reason = format!("approved by {} {with} secrets", by.name());
            }
        }
        sqlx::query(APPROVE).bind(&id).bind(json!(verdicts).to_string()).execute(tx).await?;
        Ok(Done::Written)
    }
}

/// A later delivery of the same pull request, at another commit.
async fn superseded(
    tx: &mut AnyConnection,
    delivery: &str,
    number: u64,
    head: &str,
) -> Result<Option<DeliveryId>, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(HELD_LATER)
        .bind(delivery)
        .bind(format!("%\"pullRequest\":{number},%"))
        .fetch_all(tx)
        .await?;
    Ok(rows.into_iter().find_map(|(id, verdicts)| {
        let verdicts: Vec<Verdict> = sql::decoded(&verdicts);
        let later = |verdict: &Verdict| {
            verdict.held.as_ref().is_some_and(|held| held.pull_request == number && held.head != head)
        };
        verdicts.iter().any(later).then(|| id.parse().ok()).flatten()
    }))
}
