//! Publishing, until something is not as it should be.

use std::{collections::VecDeque, time::Duration};

use async_nats::{
    header,
    jetstream::{
        context::{PublishAckFuture, PublishErrorKind},
        publish::PublishAck,
    },
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use shipway_events::Position;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Epoch, IN_FLIGHT, MAX_MESSAGE, Place, Stop, Work};
use crate::{failing, failpoint, log::Stored};

/// How often the stream is compared with what it should be.
const COMPARE: Duration = Duration::from_secs(5);

/// How old the row may be while events are published. What an old one costs is nothing while the stream is there.
const SAVE: Duration = Duration::from_millis(500);

/// Events that come within this time after others were read are read together.
const GATHER: Duration = Duration::from_millis(2);

type Answer = Result<PublishAck, async_nats::jetstream::context::PublishError>;

struct Flow<'a> {
    work: &'a Work,
    place: &'a mut Place,
    /// Read and not yet sent.
    waiting: VecDeque<Stored>,
    /// Sent and not yet confirmed, oldest first.
    on_the_way: FuturesOrdered<BoxFuture<'static, (u64, Position, Answer)>>,
    /// Whether a message was confirmed since the stream was looked at: then the place is right.
    confirmed: bool,
    /// What was read last.
    read_to: Position,
}

impl Work {
    pub(super) async fn publish(&self, epoch: Epoch, place: &mut Place) -> Stop {
        let read_to = place.position;
        let flow = Flow {
            work: self,
            place,
            waiting: VecDeque::new(),
            on_the_way: FuturesOrdered::new(),
            confirmed: false,
            read_to,
        };
        self.status.send_modify(|status| status.publishes = true);
        match flow.run(epoch).await {
            Ok(never) => match never {},
            Err(stop) => stop,
        }
    }
}

impl Flow<'_> {
    async fn run(mut self, epoch: Epoch) -> Result<std::convert::Infallible, Stop> {
        let work = self.work;
        let mut tail = work.feed.tail();
        let mut told = work.feed.following().map(|following| following.told.announced.subscribe());
        let times = work.nats.connected().await;
        let mut compare = tokio::time::interval_at(Instant::now() + COMPARE, COMPARE);
        compare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = self.place.clone();
        let mut save_at = Instant::now() + SAVE;
        let mut more = true;
        let mut read_at = Instant::now();
        loop {
            if more && self.waiting.is_empty() {
                tokio::time::sleep_until(read_at).await;
                more = self.read().await?;
                read_at = Instant::now() + GATHER;
            }
            self.send().await?;
            let heard = async {
                match &mut told {
                    Some(told) => told.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = work.nats.interrupted(times) => {
                    return Err(Stop::LookAgain("the connection was lost".to_owned()));
                }
                Some((sequence, position, answer)) = self.on_the_way.next() => {
                    failpoint!("nats.ack", return Err(Stop::LookAgain("an ack was lost".to_owned())));
                    self.confirm(sequence, position, answer)?;
                }
                changed = tail.changed() => {
                    if changed.is_err() {
                        return Err(Stop::LookAgain("the log is closed".to_owned()));
                    }
                    more |= *tail.borrow_and_update() > self.read_to;
                }
                true = heard => more = true,
                _ = compare.tick() => self.compare().await?,
                () = tokio::time::sleep_until(save_at), if saved != *self.place => {
                    if !work.rows.save(epoch, self.place, true).await? {
                        return Err(Stop::Superseded);
                    }
                    saved = self.place.clone();
                    save_at = Instant::now() + SAVE;
                }
            }
        }
    }

    /// Reads what comes next; whether there may be more.
    async fn read(&mut self) -> Result<bool, Stop> {
        let feed = &self.work.feed;
        let rows = feed.rows(self.read_to, IN_FLIGHT).await?;
        let Some(last) = rows.last().map(|row| row.position) else { return Ok(false) };
        self.read_to = last;
        self.waiting.extend(rows);
        Ok(last < *feed.tail().borrow())
    }

    /// Sends what may be on the way.
    async fn send(&mut self) -> Result<(), Stop> {
        let work = self.work;
        let context = work.nats.jetstream();
        let room = if self.confirmed { IN_FLIGHT } else { 1 };
        let largest = work.nats.client().max_payload().min(MAX_MESSAGE);
        while self.on_the_way.len() < room
            && let Some(row) = self.waiting.pop_front()
        {
            let position = row.position;
            let expected = self.place.sequence + self.on_the_way.len() as u64;
            let (log, generation) = (&work.origin.log_id, work.origin.generation);
            let id = format!("{log}-{generation}.{}-{position}", self.place.generation);
            let mut message = work.origin.message(row, &id, largest);
            message.headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, expected.to_string());
            let publish = async_nats::jetstream::message::PublishMessage::build()
                .headers(message.headers)
                .payload(message.data);
            let send = async {
                let sent = context.send_publish(message.subject, publish).await;
                sent.map_err(|error| Stop::LookAgain(super::chain(&error)))
            };
            let ack: PublishAckFuture =
                failing!("nats.publish", |why| Stop::LookAgain(why.into()), send.await)?;
            let answer = async move { (expected + 1, position, ack.await) };
            self.on_the_way.push_back(answer.boxed());
        }
        Ok(())
    }

    fn confirm(&mut self, sequence: u64, position: Position, answer: Answer) -> Result<(), Stop> {
        let ack = match answer {
            Ok(ack) => ack,
            Err(error) => {
                if error.kind() == PublishErrorKind::WrongLastSequence {
                    self.work.status.send_modify(|status| status.refused += 1);
                    // Either another relay leads, or an operator has touched the stream: the lease tells.
                    self.work.leadership.doubt();
                    return Err(Stop::Refused(super::chain(&error)));
                }
                return Err(Stop::LookAgain(super::chain(&error)));
            }
        };
        if ack.sequence != sequence {
            return Err(Stop::LookAgain(format!(
                "a message is at {} of the stream where {sequence} was expected",
                ack.sequence
            )));
        }
        self.confirmed = true;
        self.place.sequence = sequence;
        self.place.position = position;
        self.work.status.send_modify(|status| status.position = position);
        Ok(())
    }

    /// Finds what happened to the stream without a publish that would tell.
    async fn compare(&mut self) -> Result<(), Stop> {
        let name = self.work.origin.names.events_stream();
        let stream = self.work.nats.jetstream().get_stream(name).await;
        let stream = stream.map_err(|error| Stop::LookAgain(super::chain(&error)))?;
        let info = stream.cached_info();
        let last = info.state.last_sequence;
        let at_most = self.place.sequence + self.on_the_way.len() as u64;
        if info.created.to_string() != self.place.created || last < self.place.sequence || last > at_most {
            return Err(Stop::LookAgain("the stream is not what was published".to_owned()));
        }
        Ok(())
    }
}
