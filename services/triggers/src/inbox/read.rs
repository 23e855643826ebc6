//! What is asked of the inbox: lists, single deliveries, what can be judged once more.

use shipway_contracts::v1;
use shipway_events::{
    DeliveryId, HookId, Timestamp,
    delivery::{Held, RuleVerdict, Verdict},
};
use sqlx::FromRow;

use super::{Inbox, InboxError, failed, first_id, sql};

/// Above every id: ids are hex digits and dashes.
const ABOVE: &str = "g";

/// A day, in microseconds.
const DAY: i64 = 24 * 3_600 * 1_000_000;

/// How the key of a replay begins.
pub(super) const REPLAY: &str = "replay/";

/// Which deliveries; what is empty does not choose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub hook: String,
    pub flow: String,
    pub state: String,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub text: String,
}

/// In which order, and what of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All, newest first.
    NewestFirst,
    /// Those that a hook brought, without repeats and replays, oldest first.
    FirstOnes,
}

impl Filter {
    /// Whether it chooses nothing.
    pub(crate) fn is_empty(&self) -> bool {
        let texts = [&self.hook, &self.flow, &self.state, &self.text];
        texts.iter().all(|text| text.is_empty()) && self.since.is_none() && self.until.is_none()
    }
}

/// A whole row.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Row {
    delivery: String,
    hook: Option<String>,
    pub key: String,
    /// SHA-256 of the body, in hex.
    pub body: String,
    received_at: i64,
    /// As JSON.
    pub headers: String,
    pub sealed: Vec<u8>,
    original: Option<String>,
    state: String,
    summary: String,
    verdicts: String,
    #[sqlx(flatten)]
    waits: Waits,
}

impl Row {
    pub(crate) fn delivery(&self) -> Option<DeliveryId> {
        self.delivery.parse().ok()
    }

    pub(crate) fn hook(&self) -> Option<HookId> {
        self.hook.as_ref()?.parse().ok()
    }

    /// The delivery that it repeats, which has the body if this one has none.
    pub(crate) fn original(&self) -> Option<DeliveryId> {
        self.original.as_ref()?.parse().ok()
    }

    /// The ref of the trigger that was asked first.
    pub(crate) fn first_trigger(&self) -> Option<String> {
        let verdicts: Vec<Verdict> = sql::decoded(&self.verdicts);
        verdicts.into_iter().next().map(|verdict| verdict.trigger)
    }

    /// As it is listed.
    pub(crate) fn listed(&self) -> v1::Delivery {
        let listed = Listed {
            delivery: self.delivery.clone(),
            hook: self.hook.clone(),
            key: self.key.clone(),
            received_at: self.received_at,
            state: self.state.clone(),
            summary: self.summary.clone(),
            verdicts: self.verdicts.clone(),
            original: self.original.clone(),
            waits: self.waits.clone(),
        };
        listed.shown()
    }
}

#[derive(FromRow)]
struct Listed {
    delivery: String,
    hook: Option<String>,
    key: String,
    received_at: i64,
    state: String,
    summary: String,
    verdicts: String,
    original: Option<String>,
    #[sqlx(flatten)]
    waits: Waits,
}

/// Of a delivery that waits for its repository: since when, and what was tried.
#[derive(Clone, Debug, FromRow)]
struct Waits {
    since: Option<i64>,
    tries: Option<i64>,
    next_try_at: Option<i64>,
    last_error: Option<String>,
}

impl Waits {
    fn shown(self) -> Option<v1::Waiting> {
        let at = |micros: i64| Timestamp::from_micros(micros).to_string();
        Some(v1::Waiting {
            since: at(self.since?),
            tries: self.tries.and_then(|tries| tries.try_into().ok()).unwrap_or_default(),
            next_try: self.next_try_at.map(at).unwrap_or_default(),
            last_error: self.last_error.unwrap_or_default(),
        })
    }
}

impl Listed {
    fn shown(self) -> v1::Delivery {
        let verdicts: Vec<Verdict> = sql::decoded(&self.verdicts);
        let replay_of = self.key.strip_prefix(REPLAY).and_then(|rest| rest.split('/').next());
        let summary = match &self.original {
            Some(original) => format!("{} (the same as delivery {original})", self.summary),
            None => self.summary,
        };
        v1::Delivery {
            verdicts: shown_verdicts(self.delivery.parse().ok(), verdicts),
            replay_of: replay_of.unwrap_or_default().to_owned(),
            id: self.delivery,
            hook: self.hook.unwrap_or_default(),
            received_at: Timestamp::from_micros(self.received_at).to_string(),
            state: self.state,
            summary,
            original: self.original.unwrap_or_default(),
            of: String::new(),
            waiting: self.waits.shown(),
        }
    }
}

/// Verdicts as they are shown; runs have ids if the delivery has one.
pub(crate) fn shown_verdicts(delivery: Option<DeliveryId>, verdicts: Vec<Verdict>) -> Vec<v1::Verdict> {
    let shown = |verdict: Verdict| v1::Verdict {
        run: delivery.and_then(|id| verdict.run(id)).map(|run| run.to_string()).unwrap_or_default(),
        flow: verdict.flow.to_string(),
        path: verdict.path,
        trigger: verdict.trigger,
        matched: verdict.matched,
        reason: verdict.reason,
        rules: verdict.rules.into_iter().map(rule).collect(),
        held: verdict.held.map(held),
    };
    verdicts.into_iter().map(shown).collect()
}

fn rule(rule: RuleVerdict) -> v1::RuleVerdict {
    v1::RuleVerdict { rule: rule.rule, outcome: rule.outcome.as_str().to_owned(), words: rule.words }
}

fn held(held: Held) -> v1::HeldCommit {
    let Held { pull_request, head, approval } = held;
    let (by, secrets) = approval.map_or((String::new(), false), |by| (by.by.name().to_owned(), by.secrets));
    v1::HeldCommit { pull_request, head, approved_by: by, with_secrets: secrets }
}

impl Inbox {
    /// Deliveries that a filter chooses, from the one after `after` on (empty: from the first).
    pub(crate) async fn list(
        &self,
        kind: Kind,
        filter: &Filter,
        after: &str,
        limit: u32,
    ) -> Result<Vec<v1::Delivery>, InboxError> {
        // Ids find the rows fast, but have the time of the machine that gave them.
        let moved = |at: Timestamp, by: i64| first_id(Timestamp::from_micros(at.micros().saturating_add(by)));
        let mut from = filter.since.map(|at| moved(at, -DAY)).unwrap_or_default();
        let mut below = filter.until.map_or_else(|| ABOVE.to_owned(), |at| moved(at, DAY));
        let query = match kind {
            Kind::NewestFirst => {
                if !after.is_empty() && after < below.as_str() {
                    after.clone_into(&mut below);
                }
                sql::NEWEST_FIRST
            }
            Kind::FirstOnes => {
                // Above it: with a character more.
                if after >= from.as_str() && !after.is_empty() {
                    from = format!("{after}-");
                }
                sql::FIRST_ONES
            }
        };
        let path = match filter.flow.as_str() {
            "" => String::new(),
            flow => format!("%\"path\":{}%", escaped(&serde_json::json!(flow).to_string())),
        };
        let text = match filter.text.as_str() {
            "" => String::new(),
            text => format!("%{}%", escaped(&text.to_lowercase())),
        };
        let rows: Vec<Listed> = sqlx::query_as(query)
            .bind(from)
            .bind(below)
            .bind(&filter.hook)
            .bind(&filter.state)
            .bind(path)
            .bind(text)
            .bind(i64::from(limit))
            .bind(filter.since.map_or(i64::MIN, Timestamp::micros))
            .bind(filter.until.map_or(i64::MAX, Timestamp::micros))
            .fetch_all(self.durable.pool())
            .await
            .map_err(failed("listing deliveries"))?;
        Ok(rows.into_iter().map(Listed::shown).collect())
    }

    /// The delivery whose id begins so: none, one, or the first of several, which is told by the second.
    pub(crate) async fn find(&self, beginning: &str) -> Result<(Option<Row>, bool), InboxError> {
        let rows: Vec<Row> = sqlx::query_as(sql::BY_BEGINNING)
            .bind(beginning)
            .bind(format!("{beginning}{ABOVE}"))
            .fetch_all(self.durable.pool())
            .await
            .map_err(failed("looking for a delivery"))?;
        let several = rows.len() > 1;
        Ok((rows.into_iter().next(), several))
    }

    /// The deliveries by which a person had this one judged once more.
    pub(crate) async fn replays(&self, delivery: DeliveryId) -> Result<Vec<String>, InboxError> {
        sqlx::query_scalar(sql::REPLAYS)
            .bind(delivery.to_string())
            .bind(format!("{REPLAY}{delivery}/%"))
            .fetch_all(self.durable.pool())
            .await
            .map_err(failed("looking for replays"))
    }
}

/// A text without the signs that stand for others in a pattern.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_patterns_stand_for_themselves() {
        assert_eq!(escaped(r"50%_a\b"), r"50\%\_a\\b");
    }

    #[test]
    fn a_filter_that_chooses_nothing_says_so() {
        assert!(Filter::default().is_empty());
        assert!(!Filter { text: "x".to_owned(), ..Filter::default() }.is_empty());
        assert!(!Filter { since: Some(Timestamp::from_micros(0)), ..Filter::default() }.is_empty());
    }
}
