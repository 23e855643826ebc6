//! What people ask of a run that goes on: done once for each command, and answered the same when it comes again.

use shipway_contracts::{Error, id};
use shipway_engine::Command;
use shipway_events::{CommandId, Meta, RunId, StreamName};
use uuid::Uuid;

use crate::{
    policies::changes::{unread, was_another},
    service::Shared,
};

impl Shared {
    /// Gives a run a command of a person's, or says why there is none. Whoever did not hear the answer gives it again: it
    /// is not done twice, nor refused for what it has brought about itself.
    ///
    /// `command` is the command's id; empty if it cannot be given again. `kinds` are those of the event that it begins
    /// with; none if that may be any.
    pub(crate) async fn ask_once(
        &self,
        run: RunId,
        command: &str,
        kinds: &[&str],
        wanted: Result<Command, Error>,
        meta: Meta,
    ) -> Result<(), Error> {
        let once = match command {
            "" => None,
            text => Some(CommandId::new(id::<Uuid>("command", text)?)),
        };
        let refused = match wanted {
            Ok(wanted) => match self.book.command_once(run, once, wanted, meta).await {
                Ok(_) => return Ok(()),
                Err(refused) => refused,
            },
            Err(refused) => refused,
        };
        let Some(once) = once else { return Err(refused) };
        let Some(done) = self.log.command_result(once).await.map_err(unread)? else { return Err(refused) };
        let first = self.log.read(done.first - 1, 1).await.map_err(unread)?.into_iter().next();
        let is_it = first.is_some_and(|event| {
            event.stream == StreamName::run(run) && (kinds.is_empty() || kinds.contains(&event.kind.as_str()))
        });
        if is_it { Ok(()) } else { Err(was_another(once)) }
    }
}
