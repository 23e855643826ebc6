//! Where consumers get events from: the log's tail, read once per process however many consumers there are; with NATS
//! also the stream of events, so that what others append is mostly not read at all.

use std::sync::Arc;

use shipway_events::{Position, RawEvent};
use tokio::sync::watch;

use super::{
    Consumer, Form, Projection, Reaction, Recent, Standing,
    progress::{Consumers, Progress},
    projection, reaction,
};
use crate::{
    durable::{Durable, DurableError},
    failing,
    leadership::Leadership,
    log::{Log, ReadError, Stored},
    nats::{Following, Nats},
    views::{Views, ViewsError},
};

/// The feed of one log. Clones share what was read.
#[derive(Clone)]
pub struct Feed {
    log: Arc<dyn Log>,
    recent: Arc<Recent>,
    leadership: Leadership,
    following: Option<Arc<Following>>,
    consumers: Consumers,
}

impl Feed {
    /// The feed of this log. What other processes append it learns by looking at the log.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Self {
        let (leadership, consumers) = (Leadership::always(), Consumers::default());
        Self { log, recent: Arc::default(), leadership, following: None, consumers }
    }

    /// The feed of this log, which learns over NATS what other processes append, and tells them what this one does.
    /// While NATS is away it looks at the log more often; nothing else changes. One feed per process: its clones share
    /// what came.
    #[must_use]
    pub fn over_nats(log: Arc<dyn Log>, nats: &Nats) -> Self {
        let recent = Arc::new(Recent::relayed());
        let following = Some(Arc::new(Following::start(nats, &log, &recent)));
        Self { log, recent, leadership: Leadership::always(), following, consumers: Consumers::default() }
    }

    /// The same feed for consumers of which only one process' may run: those that are started from this value work
    /// while this process leads, and stand by while another does.
    #[must_use]
    pub fn with_leadership(mut self, leadership: Leadership) -> Self {
        self.leadership = leadership;
        self
    }

    /// Starts a projection: while this process leads, it builds its read model up to the log's end and keeps it there.
    ///
    /// # Errors
    /// If its tables cannot be made.
    pub async fn project(
        &self,
        views: &Views,
        projection: Arc<dyn Projection>,
    ) -> Result<Consumer, ViewsError> {
        // Queries need the tables whoever fills them.
        views.prepare(&*projection).await?;
        let run = projection::Run::new(self.clone(), views.clone(), projection);
        Ok(Consumer::spawn(move |stop| Box::pin(run.all(stop))))
    }

    /// Starts a reaction: while this process leads, it goes on where its checkpoint is; a new one at the start of the
    /// log.
    ///
    /// # Errors
    /// If its checkpoint cannot be read.
    pub async fn react(
        &self,
        durable: &Durable,
        reaction: Arc<dyn Reaction>,
    ) -> Result<Consumer, DurableError> {
        reaction::checkpoint(durable, reaction.name()).await?;
        let (feed, durable) = (self.clone(), durable.clone());
        Ok(Consumer::spawn(move |stop| Box::pin(reaction::run(feed, durable, reaction, stop))))
    }

    /// The end of the log as far as it is known here; changes with every commit.
    #[must_use]
    pub fn tail(&self) -> watch::Receiver<Position> {
        self.log.tail()
    }

    /// How far each consumer of this feed is that works here, in the order in which they began.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        self.consumers().standing(&*self.log)
    }

    /// The consumers of this feed, for whoever looks at them without keeping the log open.
    #[must_use]
    pub fn consumers(&self) -> Consumers {
        self.consumers.clone()
    }

    /// A consumer begins to work.
    pub(super) fn begin(&self, name: &'static str, form: Form) -> Arc<Progress> {
        self.consumers.begin(name, form)
    }

    /// The log that this is the feed of.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Whether this process runs the consumers that are started from this value.
    #[must_use]
    pub const fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// The events after a position, oldest first, gapless, at most `limit`.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<RawEvent>>, ReadError> {
        failing!("feed.read", self.recent.read(&*self.log, after, limit).await)
    }

    pub(crate) const fn following(&self) -> Option<&Arc<Following>> {
        self.following.as_ref()
    }

    /// The rows after a position, for the relay; consumers then need not read them again.
    pub(crate) async fn rows(&self, after: Position, limit: usize) -> Result<Vec<Stored>, ReadError> {
        let rows = failing!("feed.rows", self.recent.rows(&*self.log, after, limit).await)?;
        if let Some(last) = rows.last() {
            self.log.heard(last.position);
        }
        Ok(rows)
    }
}
