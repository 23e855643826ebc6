//! A program outside of Shipway that follows its events: how to use a durable consumer without ever missing an event.
//!
//! ```text
//! consume nats://127.0.0.1:4222 <the log's id> <a file for the position> [<the consumer's name>]
//! ```
//!
//! It prints a line per event: position, type, stream, data. Four rules make it right, whatever happens to NATS:
//!
//! 1. It keeps the position of the last event that it handled, together with the effect, and acks afterwards. A message
//!    with a position up to that is a repetition.
//! 2. A message says which position comes before it. If that is not the last one handled, some did not come (the store
//!    was lost, or they grew too old): they are read from Shipway with `ReadEvents` (`shipway.v1.Events`: `after`,
//!    `limit`), then it goes on. Here that is only printed: `gap <first> <last>`.
//! 3. A higher generation says that Shipway was restored from a backup: what it had handled after the position before
//!    that message was never so.
//! 4. A consumer or a stream that is gone is made anew; thanks to rule 1 it may begin at the first message there is.
//!    After a lost store Shipway itself deletes consumers that were further than the stream is, for they would
//!    silently pass over new messages.

use std::{error::Error, path::Path, time::Duration};

use async_nats::jetstream::{
    Context, Message,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use futures::StreamExt;
use shipway_eventing::nats::names::{self, Names, cloud};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(log), Some(file)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: consume <NATS URL> <the log's id> <file for the position> [<consumer>]".into());
    };
    let consumer = arguments.next().unwrap_or_else(|| "consume-example".to_owned());
    let client = async_nats::ConnectOptions::new().retry_on_initial_connect().connect(url).await?;
    let jetstream = async_nats::jetstream::new(client);
    let mut place = Place::load(Path::new(&file))?;
    loop {
        // Ends when the consumer, the stream or the server is gone.
        if let Err(error) =
            follow(&jetstream, &Names::of(&log), &consumer, &mut place, Path::new(&file)).await
        {
            eprintln!("consume: {error}; trying again");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn follow(
    jetstream: &Context,
    names: &Names,
    name: &str,
    place: &mut Place,
    file: &Path,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 256,
        // One subject: servers before 2.10 silently ignore a list. For runs only: `names.events_of("run")`.
        filter_subject: names.all_events(),
        ..pull::Config::default()
    };
    let stream = jetstream.get_stream(names.events_stream()).await?;
    let consumer: PullConsumer = stream.get_or_create_consumer(name, config.clone()).await?;
    // A consumer of the name may have been there before, with other settings.
    if consumer.cached_info().config.filter_subject != config.filter_subject {
        return Err(format!("the consumer {name} has another filter; delete it").into());
    }
    let heartbeat = Duration::from_secs(1);
    let mut messages =
        consumer.stream().heartbeat(heartbeat).expires(Duration::from_secs(10)).messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        handle(&message, place)?;
        // In a real program in the transaction of the effect.
        place.save(file)?;
        message.ack().await?;
    }
    Ok(())
}

fn handle(message: &Message, place: &mut Place) -> Result<(), Box<dyn Error + Send + Sync>> {
    let header = |name: &str| -> Result<&str, String> {
        let headers = message.headers.as_ref();
        let value = headers.and_then(|headers| headers.get(name)).map(async_nats::HeaderValue::as_str);
        value.ok_or_else(|| format!("a message has no {name}"))
    };
    let position: u64 = header(names::POSITION)?.parse()?;
    let previous: u64 = header(names::PREVIOUS)?.parse()?;
    let generation: u32 = header(names::GENERATION)?.parse()?;
    if generation > place.generation {
        place.generation = generation;
        place.position = place.position.min(previous);
    }
    if generation < place.generation || position <= place.position {
        return Ok(());
    }
    if previous > place.position {
        println!("gap {} {previous}", place.position + 1);
    }
    let data = match header(names::DATA) {
        // The event's data is not in the message: over 256 KiB, or erased. `ReadEvents` has it, if anybody has.
        Ok(what) => format!("({what})"),
        Err(_) => String::from_utf8_lossy(&message.payload).into_owned(),
    };
    println!("{position} {} {} {data}", header(cloud::TYPE)?, header(cloud::SUBJECT)?);
    place.position = position;
    Ok(())
}

/// How far this program is.
#[derive(Default)]
struct Place {
    position: u64,
    generation: u32,
}

impl Place {
    fn load(file: &Path) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        let (position, generation) =
            text.trim().split_once(' ').ok_or("the file does not hold a position")?;
        Ok(Self { position: position.parse()?, generation: generation.parse()? })
    }

    /// All of it or nothing, also if the program dies meanwhile.
    fn save(&self, file: &Path) -> std::io::Result<()> {
        let beside = file.with_extension("new");
        std::fs::write(&beside, format!("{} {}\n", self.position, self.generation))?;
        std::fs::rename(beside, file)
    }
}
