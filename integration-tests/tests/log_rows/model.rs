//! L-4: for any sequence of calls, the log answers what a list in memory would.

use std::{cell::Cell, collections::BTreeMap, sync::Arc, time::Instant};

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use shipway_eventing::{AppendError, Appended, Expected, Item, Log, Snapshot, Write};
use shipway_events::{RawEvent, StreamName};

use crate::given::{Given, command, event, meta, stream};

const CASES: u32 = 10_000;
const WORKERS: u32 = 8;

/// What may be asked of a log.
#[derive(Clone, Debug)]
enum Call {
    /// Streams by number, what is expected of each (relative to the truth), how many events each.
    Append(Vec<(u8, Guess, u8)>),
    /// The same item as some calls before.
    Again(u8),
    Read {
        stream: u8,
        after: u8,
        limit: u8,
    },
    Answer(u8),
    PutSnapshot {
        stream: u8,
        schema: u8,
        version: u8,
    },
    Snapshot {
        stream: u8,
        schema: u8,
    },
}

/// What a writer believes about a stream.
#[derive(Clone, Copy, Debug)]
enum Guess {
    Any,
    New,
    Right,
    Off(u8),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let guess = prop_oneof![
        3 => Just(Guess::Any),
        2 => Just(Guess::New),
        4 => Just(Guess::Right),
        1 => (1_u8..4).prop_map(Guess::Off),
    ];
    let writes = prop::collection::vec((0_u8..4, guess, 0_u8..4), 0..4);
    let call = prop_oneof![
        6 => writes.prop_map(Call::Append),
        2 => any::<u8>().prop_map(Call::Again),
        2 => (0_u8..5, 0_u8..12, 0_u8..8).prop_map(|(stream, after, limit)| Call::Read { stream, after, limit }),
        1 => any::<u8>().prop_map(Call::Answer),
        1 => (0_u8..5, 1_u8..3, 0_u8..9).prop_map(|(stream, schema, version)| Call::PutSnapshot { stream, schema, version }),
        1 => (0_u8..5, 1_u8..3).prop_map(|(stream, schema)| Call::Snapshot { stream, schema }),
    ];
    prop::collection::vec(call, 1..12)
}

/// Several workers at once, each with streams of its own, so that their calls meet in the same commits.
pub(crate) async fn the_log_is_what_a_list_would_be(given: &Given) {
    let begun = Instant::now();
    let runtime = tokio::runtime::Handle::current();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (log, runtime) = (Arc::clone(&given.log), runtime.clone());
            tokio::task::spawn_blocking(move || {
                let config =
                    Config { cases: CASES / WORKERS, failure_persistence: None, ..Config::default() };
                let (case, made) = (Cell::new(0), Cell::new(0));
                let result = TestRunner::new(config).run(&calls(), |calls| {
                    case.set(case.get() + 1);
                    made.set(made.get() + calls.len());
                    runtime.block_on(run(&*log, format!("run-{worker}-{}", case.get()), calls))
                });
                (case.get(), made.get(), result)
            })
        })
        .collect();
    let (mut cases, mut made, mut differences) = (0, 0, 0);
    for worker in workers {
        let (case, calls, result) = worker.await.unwrap();
        cases += case;
        made += calls;
        if let Err(error) = result {
            println!("{error}");
            differences += 1;
        }
    }
    let report = shipway_eventing::verify::verify(&*given.log).await.unwrap();
    println!(
        "ROW L-4 {} cases={cases} calls={made} events={} differences={differences} seconds={:.1}",
        given.name(),
        report.events,
        begun.elapsed().as_secs_f64()
    );
    assert_eq!((cases, differences, report.bad), (CASES, 0, None));
}

/// The list in memory.
#[derive(Default)]
struct Model {
    streams: BTreeMap<StreamName, Vec<RawEvent>>,
    /// Items with at least one try, and the answer of those that were applied.
    items: Vec<(Item, Option<Appended>)>,
    snapshots: BTreeMap<StreamName, (u32, Snapshot)>,
}

async fn run(log: &dyn Log, prefix: String, calls: Vec<Call>) -> Result<(), TestCaseError> {
    let name = |n: u8| stream(format!("{prefix}-{n}"));
    let mut model = Model::default();
    for call in calls {
        match call {
            Call::Append(writes) => {
                let item = model.item(&writes, name);
                model.append(log, item).await?;
            }
            Call::Again(n) if !model.items.is_empty() => {
                let item = model.items[usize::from(n) % model.items.len()].0.clone();
                model.append(log, item).await?;
            }
            Call::Answer(n) if !model.items.is_empty() => {
                let (item, answer) = &model.items[usize::from(n) % model.items.len()];
                let known = log.command_result(item.command).await.unwrap();
                prop_assert_eq!(known, answer.clone().map(|answer| Appended { duplicate: true, ..answer }));
            }
            Call::Again(_) | Call::Answer(_) => {}
            Call::Read { stream, after, limit } => {
                let (name, after, limit) = (name(stream), u64::from(after), usize::from(limit));
                let read = log.read_stream(&name, after, limit).await.unwrap();
                let all = model.streams.get(&name).map_or(&[][..], Vec::as_slice);
                let expected: Vec<_> =
                    all.iter().filter(|event| event.version > after).take(limit).cloned().collect();
                prop_assert_eq!(&read, &expected);
                if let Some(first) = read.first() {
                    let by_position = log.read(first.position - 1, 1).await.unwrap();
                    prop_assert_eq!(&by_position[0], first);
                }
            }
            Call::PutSnapshot { stream, schema, version } => {
                let (name, schema) = (name(stream), u32::from(schema));
                let snapshot = Snapshot { version: version.into(), state: vec![version; 9] };
                log.put_snapshot(&name, schema, snapshot.clone()).await.unwrap();
                model.put_snapshot(name, schema, snapshot);
            }
            Call::Snapshot { stream, schema } => {
                let kept = model.snapshots.get(&name(stream)).filter(|kept| kept.0 == u32::from(schema));
                let read = log.snapshot(&name(stream), schema.into()).await.unwrap();
                prop_assert_eq!(read.as_ref(), kept.map(|kept| &kept.1));
            }
        }
    }
    Ok(())
}

impl Model {
    fn version(&self, name: &StreamName) -> u64 {
        self.streams.get(name).map_or(0, |events| events.len() as u64)
    }

    fn item(&self, writes: &[(u8, Guess, u8)], name: impl Fn(u8) -> StreamName) -> Item {
        let writes = writes.iter().map(|(number, guess, events)| {
            let stream = name(*number);
            let version = self.version(&stream);
            let expected = match guess {
                Guess::Any => Expected::Any,
                Guess::New => Expected::New,
                Guess::Right => Expected::Version(version),
                Guess::Off(by) => Expected::Version(version + u64::from(*by)),
            };
            Write { stream, expected, events: (0..usize::from(*events)).map(event).collect() }
        });
        Item { command: command(), meta: meta(), writes: writes.collect() }
    }

    /// Appends to both and compares.
    async fn append(&mut self, log: &dyn Log, item: Item) -> Result<(), TestCaseError> {
        let outcome = log.append(item.clone()).await;
        let known = self
            .items
            .iter()
            .find(|(known, _)| known.command == item.command)
            .and_then(|(_, answer)| answer.clone());
        let empty = item.writes.is_empty() || item.writes.iter().any(|write| write.events.is_empty());
        let repeated = item
            .writes
            .iter()
            .enumerate()
            .find(|(n, write)| item.writes[..*n].iter().any(|before| before.stream == write.stream));
        let clash = item.writes.iter().find(|write| {
            write.expected.version().is_some_and(|version| version != self.version(&write.stream))
        });
        match outcome {
            Err(AppendError::Empty) => prop_assert!(empty),
            Err(AppendError::RepeatedStream(name)) => {
                prop_assert!(!empty);
                prop_assert_eq!(Some(&name), repeated.map(|(_, write)| &write.stream));
            }
            Err(AppendError::Conflict { stream, expected, actual }) => {
                prop_assert!(!empty && repeated.is_none() && known.is_none());
                let clash = clash.expect("the model sees no conflict");
                prop_assert_eq!((&stream, expected), (&clash.stream, clash.expected));
                prop_assert_eq!(actual, self.version(&stream));
                self.items.push((item, None));
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
            Ok(answer) => {
                prop_assert!(!empty && repeated.is_none());
                if let Some(known) = known {
                    prop_assert_eq!(answer, Appended { duplicate: true, ..known });
                    return Ok(());
                }
                prop_assert!(clash.is_none());
                self.apply(&item, &answer)?;
                self.items.retain(|(known, _)| known.command != item.command);
                self.items.push((item, Some(answer)));
            }
        }
        Ok(())
    }

    fn apply(&mut self, item: &Item, answer: &Appended) -> Result<(), TestCaseError> {
        prop_assert!(!answer.duplicate);
        let mut position = answer.first;
        let mut versions = Vec::new();
        for write in &item.writes {
            let events = self.streams.entry(write.stream.clone()).or_default();
            for new in &write.events {
                events.push(RawEvent {
                    position,
                    stream: write.stream.clone(),
                    version: events.len() as u64 + 1,
                    kind: new.kind.to_owned(),
                    schema: new.schema,
                    data: new.data.clone(),
                    command: item.command,
                    meta: item.meta.clone(),
                    at: answer.at,
                });
                position += 1;
            }
            versions.push((write.stream.clone(), events.len() as u64));
        }
        prop_assert_eq!((answer.last, &answer.versions), (position - 1, &versions));
        Ok(())
    }

    fn put_snapshot(&mut self, name: StreamName, schema: u32, snapshot: Snapshot) {
        if !self.streams.contains_key(&name) {
            return;
        }
        match self.snapshots.get_mut(&name) {
            Some(kept) if kept.0 == schema && kept.1.version >= snapshot.version => {}
            Some(kept) => *kept = (schema, snapshot),
            None => drop(self.snapshots.insert(name, (schema, snapshot))),
        }
    }
}
