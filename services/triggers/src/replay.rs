//! A delivery is judged once more because a person wants it: by the triggers as they are now, for real or as a test.
//!
//! A replay is a delivery of its own. Its key names the first one and the command, so that the same command does it once;
//! no head of a branch is moved by it, and what was known before does not keep it from counting: a person decided.

use bytes::Bytes;
use shipway_contracts::v1;
use shipway_events::{DeliveryId, Timestamp};

use crate::{
    http::Ingress,
    inbox::{InboxError, Incoming, Outcome, StoredRow},
    parcel::{Kept, Parcel, Way, about, flow_request},
};

/// Who wants it, and how.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The command's id.
    pub command: uuid::Uuid,
    /// Who, as the log names them.
    pub by: String,
    /// Whether nothing is to change.
    pub dry_run: bool,
}

/// Judges a delivery once more.
///
/// # Errors
/// If the inbox cannot be read or written. Why a delivery cannot be judged is in the answer.
pub(crate) async fn replay(
    ingress: &Ingress,
    row: &StoredRow,
    asked: &Asked,
) -> Result<v1::Replayed, InboxError> {
    let original = row.listed().id;
    let refused = |problem: String| v1::Replayed { original: original.clone(), delivery: None, problem };
    let (parcel, first) = match parcel(ingress, row, asked).await? {
        Ok(known) => known,
        Err(problem) => return Ok(refused(problem)),
    };
    let target = match ingress.target(&parcel.way).await {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(refused("its hook is no longer".to_owned())),
        Err(refusal) => return Ok(refused(refusal.message().to_owned())),
    };
    let incoming = Incoming::again(&ingress.sealer, &parcel, first, asked.command);
    let incoming = match ingress.judge_as(incoming, &parcel, &target) {
        Ok(incoming) => incoming.counted_anyway(),
        Err(refusal) => return Ok(refused(refusal.message().to_owned())),
    };
    let delivery = if asked.dry_run {
        incoming.shown()
    } else {
        match ingress.inbox.accept(std::sync::Arc::new(incoming)).await? {
            Outcome::Kept(kept) => match ingress.inbox.find(&kept.delivery.to_string()).await? {
                (Some(row), _) => row.listed(),
                (None, _) => return Ok(refused("it was forgotten meanwhile".to_owned())),
            },
            Outcome::AskFirst => return Ok(refused("the inbox did not take it".to_owned())),
        }
    };
    Ok(v1::Replayed { original, delivery: Some(delivery), problem: String::new() })
}

/// Whether it came to a flow's own address.
pub(crate) fn is_flow(row: &StoredRow) -> bool {
    Kept::parse(&row.headers).get(about::PATH).is_some_and(|path| path.starts_with("/hooks/flow/"))
}

/// What was sealed of a delivery, opened; of a repeat, of the first one; or why it cannot be.
pub(crate) async fn opened(ingress: &Ingress, row: &StoredRow) -> Result<Result<Bytes, String>, InboxError> {
    Ok(first(ingress, row).await?.and_then(|row| open(ingress, &row)))
}

fn open(ingress: &Ingress, row: &StoredRow) -> Result<Bytes, String> {
    let opened = ingress.sealer.unseal(row.key.as_bytes(), &row.sealed);
    opened.map(Bytes::from).map_err(|error| error.to_string())
}

/// The row with the body.
async fn first(ingress: &Ingress, row: &StoredRow) -> Result<Result<StoredRow, String>, InboxError> {
    let Some(original) = row.original().filter(|_| row.sealed.is_empty()) else { return Ok(Ok(row.clone())) };
    let (found, _) = ingress.inbox.find(&original.to_string()).await?;
    Ok(found.ok_or_else(|| format!("it repeats delivery {original}, which was forgotten")))
}

/// The delivery as if it came just now, and the id of the one that it is of.
async fn parcel(
    ingress: &Ingress,
    row: &StoredRow,
    asked: &Asked,
) -> Result<Result<(Parcel, DeliveryId), String>, InboxError> {
    let row = match first(ingress, row).await? {
        Ok(row) => row,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(rebuilt(ingress, &row, asked, ingress.log.now()))
}

fn rebuilt(
    ingress: &Ingress,
    row: &StoredRow,
    asked: &Asked,
    at: Timestamp,
) -> Result<(Parcel, DeliveryId), String> {
    let (Some(hook), Some(original)) = (row.hook(), row.delivery()) else {
        return Err(
            "nobody sent it: it was found by asking the repository; run the flow by hand instead".to_owned()
        );
    };
    let mut headers = Kept::parse(&row.headers);
    let path = headers.get(about::PATH).unwrap_or_default().to_owned();
    let whole = open(ingress, row)?;
    let (way, body) = if is_flow(row) {
        let (method, query, body) = flow_request(&whole).ok_or("what was stored of it is no request")?;
        (Way::Flow { hook, trigger: row.first_trigger(), method, query }, body)
    } else {
        let source = path.split('/').nth(2).unwrap_or("github").to_owned();
        (Way::Git { source, hook }, whole)
    };
    headers.put(about::VERIFIED, &format!("{} asked for it once more", asked.by));
    let delivery = DeliveryId::new(uuid::Uuid::now_v7());
    let trace = shipway_service_kit::current_trace();
    let key = original.to_string();
    Ok((Parcel { delivery, at, way, key, headers, trace, body }, original))
}
