//! What a run's task writes, under which id.

use shipway_contracts::{Code, Error};
use shipway_eventing::{
    failing,
    log::{AppendError, Expected, Item, Write},
};
use shipway_events::{
    CommandId, ExecutorId, Meta, Position, ResourceId, StreamEvent, StreamName, Version, run,
};
use shipway_service_kit::current_trace;
use uuid::Uuid;

use super::{Actor, Asked};

impl Actor {
    /// Whether another scheduler has written to the run, which can be only where there are several.
    pub(super) async fn is_behind(&self) -> bool {
        let shared = &self.book.shared;
        if shared.cluster.together().is_none() {
            return false;
        }
        // If the log cannot be asked, nothing is known for certain.
        let newer = shared.log.read_stream(&StreamName::run(self.run), self.version, 1).await;
        newer.map_or(true, |newer| !newer.is_empty())
    }

    /// The trace in which the run began, as the log has it. Nothing is read where nothing is traced.
    pub(super) async fn began_in(&mut self) -> Option<String> {
        current_trace()?;
        if self.began.is_none() {
            let first = self.book.shared.log.read_stream(&StreamName::run(self.run), 0, 1).await;
            // If it cannot be read now, it is looked for at the next occasion.
            self.began = first.ok().and_then(|first| Some(first.into_iter().next()?.meta.trace));
        }
        self.began.clone().flatten()
    }

    /// Appends what was decided: where it begins and the version that it reaches; nothing if the log has something under
    /// the id `once` already.
    pub(super) async fn append(
        &self,
        events: &[run::Event],
        once: Option<CommandId>,
        meta: Meta,
        places: &[(ResourceId, ExecutorId)],
        others: impl Iterator<Item = Write>,
    ) -> Result<Option<(Position, Version)>, AppendError> {
        let shared = &self.book.shared;
        let expected = if self.version == 0 { Expected::New } else { Expected::Version(self.version) };
        let mut writes = Vec::new();
        if !events.is_empty() {
            let events = events.iter().map(StreamEvent::encode).collect();
            writes.push(Write { stream: StreamName::run(self.run), expected, events });
        }
        writes.extend(others);
        writes.extend(places.iter().map(|place| self.place_write(events, *place)));
        let command = match events.first() {
            // Starting the same run twice is the same command.
            Some(run::Event::Started(_)) => CommandId::new(self.run.uuid()),
            _ => once.unwrap_or_else(|| CommandId::new(Uuid::now_v7())),
        };
        let append = shared.log.append(Item { command, meta, writes });
        let appended = failing!("scheduler.append", append.await)?;
        if once.is_some() && appended.duplicate {
            return Ok(None);
        }
        Ok(Some((appended.first, self.version + events.len() as Version)))
    }
}

/// Commands that are decided and written together. One with an id is written under it, and so by itself.
pub(super) fn together(commands: Vec<Asked>) -> Vec<Vec<Asked>> {
    let mut groups: Vec<Vec<Asked>> = Vec::new();
    for asked in commands {
        match groups.last_mut() {
            Some(group) if asked.id.is_none() && group.iter().all(|other| other.id.is_none()) => {
                group.push(asked);
            }
            _ => groups.push(vec![asked]),
        }
    }
    // What is due is looked at even if nobody asks anything.
    if groups.is_empty() {
        groups.push(Vec::new());
    }
    groups
}

/// Tells whoever gives a command again that it is done already. Who stopped waiting does not need the answer.
pub(super) fn came_before(commands: Vec<Asked>) {
    for asked in commands {
        let _ = asked.reply.send(Err(Error::new(Code::Conflict, "it was asked the same before")));
    }
}
