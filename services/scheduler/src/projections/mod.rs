//! The scheduler's read tables. One file each, and this list.

mod deployed;
mod insight;
mod places;
mod rollbacks;
mod runs;

use std::sync::Arc;

use shipway_eventing::feed::Projection;

/// Every read model of the scheduler. Targets have places where there may be several hosts.
pub(crate) fn all(placing: bool) -> Vec<Arc<dyn Projection>> {
    let mut all: Vec<Arc<dyn Projection>> = vec![
        Arc::new(runs::Runs),
        Arc::new(deployed::Deployed),
        Arc::new(rollbacks::Rollbacks),
        Arc::new(insight::Insight),
    ];
    if placing {
        all.push(Arc::new(places::Places));
    }
    all
}

/// Their names, to wait for.
pub(crate) const fn names(placing: bool) -> &'static [&'static str] {
    match placing {
        true => &["runs", "deployed", "rollbacks", "insight", "places"],
        false => &["runs", "deployed", "rollbacks", "insight"],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, json};
    use shipway_events::{
        Cause, CommandId, ConcurrencyPolicy, Fence, FlowId, Meta, PipelineId, ProjectId, RawEvent,
        ResourceId, RunId, RunStatus, StreamEvent, StreamName, Timestamp,
        plan::{Artifact, Plan},
        run::{
            Aborting, Admitted, Effect, Ended, Event, NodeEndedLater, NodeStarted, NodeSucceeded, Origin,
            Rollback, Started,
        },
    };
    use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
    use uuid::Uuid;

    use super::*;

    fn uuid(n: u128) -> Uuid {
        Uuid::from_u128(0x7000_8000_0000_0000_0000 | n)
    }

    fn started(n: u128, sha: &str, rollback: Option<Rollback>) -> Event {
        Event::Started(Started {
            run: RunId::new(uuid(n)),
            project: ProjectId::new(uuid(1)),
            pipeline: (!n.is_multiple_of(3)).then(|| PipelineId::new(uuid(2))),
            flow: FlowId::new(uuid(3)),
            path: "shop/production".to_owned(),
            flow_version: 4,
            name: format!("Calm-Otter-{n}"),
            description: "a release".to_owned(),
            origin: Origin::Git,
            author: None,
            parent: None,
            policy: ConcurrencyPolicy::Queue,
            rollback,
            plan: Plan {
                triggers: Map::from_iter([("app".to_owned(), json!({"branch": "main", "sha": sha}))]),
                ..Plan::default()
            },
        })
    }

    fn artifact(commit: &str) -> Artifact {
        let text = str::to_owned;
        Artifact {
            digest: text("sha256:d"),
            build: text(commit),
            service: text("web"),
            commit: text(commit),
            branch: text("b"),
        }
    }

    /// What happens to a run, by its number.
    fn history(n: u128) -> Vec<Event> {
        let fence = Fence::new(0, 7);
        let released = || Effect::Released {
            target: ResourceId::new(uuid(5 + n % 2)),
            slug: "web".to_owned(),
            artifact: artifact("c2"),
        };
        let built = Effect::Built { artifact: artifact("c1"), authored: Some(Timestamp::from_micros(3)) };
        let rollback = (n % 4 == 1).then(|| Rollback {
            of: Some(RunId::new(uuid(n - 1))),
            to: None,
            at: Timestamp::from_micros(5),
            flow_version: None,
            left: BTreeMap::new(),
            holds: false,
        });
        let ended = |status| Event::Ended(Ended { status, reason: Some("so".to_owned()), by: None });
        let succeeded = |effects| {
            Event::NodeSucceeded(NodeSucceeded { node: 1, fence: Some(fence), outputs: Map::new(), effects })
        };
        let mut events = vec![
            started(n, if n.is_multiple_of(2) { "" } else { "abc" }, rollback),
            Event::Admitted(Admitted {}),
        ];
        events.push(Event::NodeStarted(NodeStarted { node: 2, fence, outputs: Map::new() }));
        events.push(succeeded(vec![built]));
        if n % 5 == 2 {
            events.push(Event::Aborting(Aborting { reason: "enough".to_owned(), by: None }));
            events.push(ended(RunStatus::Aborted));
        } else {
            events.push(succeeded(vec![released()]));
            if n % 5 != 3 {
                events.push(ended(RunStatus::Success));
            }
        }
        events.push(Event::NodeEndedLater(NodeEndedLater {
            node: 2,
            fence,
            effects: vec![released()],
            error: None,
        }));
        events
    }

    /// All tables after these events, so many at a time.
    async fn made(
        projection: &dyn Projection,
        events: &[RawEvent],
        at_once: usize,
    ) -> BTreeMap<String, Vec<String>> {
        sqlx::any::install_default_drivers();
        let mut tables = AnyConnection::connect("sqlite::memory:").await.unwrap();
        for statement in projection.schema() {
            sqlx::raw_sql(*statement).execute(&mut tables).await.unwrap();
        }
        for events in events.chunks(at_once) {
            projection.apply(&mut tables, events).await.unwrap();
        }
        let mut all = BTreeMap::new();
        for table in projection.tables() {
            let columns: Vec<String> = sqlx::query(AssertSqlSafe(format!("PRAGMA table_info({table})")))
                .fetch_all(&mut tables)
                .await
                .unwrap()
                .iter()
                .map(|row| row.get("name"))
                .collect();
            let select = format!("SELECT {} FROM {table}", columns.join(" || '|' || "));
            let mut rows: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&mut tables).await.unwrap();
            rows.sort();
            all.insert((*table).to_owned(), rows);
        }
        all
    }

    #[tokio::test]
    async fn however_many_events_come_together_the_tables_are_the_same() {
        let (mut events, mut versions) = (Vec::new(), BTreeMap::new());
        // Of a few runs at a time, one after the other.
        for group in 0..12_u128 {
            let histories: Vec<_> = (group * 4..group * 4 + 4).map(|n| (n, history(100 + n))).collect();
            for step in 0..8 {
                for (n, history) in &histories {
                    let Some(event) = history.get(step) else { continue };
                    let new = event.encode();
                    let version = versions.entry(*n).or_insert(0);
                    *version += 1;
                    events.push(RawEvent {
                        position: events.len() as u64 + 1,
                        stream: StreamName::run(RunId::new(uuid(100 + n))),
                        version: *version,
                        kind: new.kind.to_owned(),
                        schema: new.schema,
                        data: new.data,
                        command: CommandId::new(uuid(9)),
                        meta: Meta { actor: crate::run::book::system(), cause: Cause::Request, trace: None },
                        at: Timestamp::from_micros(1_000 + events.len() as i64),
                    });
                }
            }
        }
        for projection in all(false) {
            let one = made(&*projection, &events, 1).await;
            for at_once in [3, 40, events.len()] {
                assert_eq!(made(&*projection, &events, at_once).await, one, "{}", projection.name());
            }
            assert!(one.values().any(|rows| rows.len() > 10), "{}: {one:?}", projection.name());
        }
    }
}
