//! A proxy between a NATS client and its server that can lose, double and swap messages, change words in them, or let
//! nothing through while all connections stay open.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};

/// How many of a hundred messages suffer what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Lost.
    pub lost: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Sent after the next one.
    pub swapped: u64,
}

/// A proxy on a port of 127.0.0.1. Dropped, it takes no new connections and closes those that it has.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    faults: Faults,
    /// These words become those, as long as they.
    changed: Option<(&'static str, &'static str)>,
    held: AtomicBool,
    ended: AtomicBool,
    chance: AtomicU64,
    /// How many messages suffered something.
    harmed: AtomicU64,
}

impl Proxy {
    /// Starts a proxy to a port of 127.0.0.1. The same seed draws the same chances.
    ///
    /// # Errors
    /// If there is no port for it.
    pub fn start(to: u16, faults: Faults, seed: u64) -> Result<Self> {
        Self::start_as(to, faults, None, seed)
    }

    /// Starts one that loses nothing, and changes words in what is sent into others of the same length: the server gets
    /// another request than its client has made, as one that does not know a setting does.
    ///
    /// # Errors
    /// If there is no port for it.
    pub fn changing(to: u16, words: &'static str, into: &'static str) -> Result<Self> {
        anyhow::ensure!(words.len() == into.len(), "what is changed keeps its length");
        Self::start_as(to, Faults::default(), Some((words, into)), 0)
    }

    fn start_as(
        to: u16,
        faults: Faults,
        changed: Option<(&'static str, &'static str)>,
        seed: u64,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
        let port = listener.local_addr().context("listening")?.port();
        let shared = Arc::new(Shared {
            faults,
            changed,
            held: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            chance: AtomicU64::new(seed | 1),
            harmed: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { continue };
                // A server that is away closes the connection, as it would itself.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", to)) {
                    connect(&accepting, &client, &server);
                }
            }
        });
        Ok(Self { port, shared })
    }

    /// The URL for the client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Lets nothing through, both ways, on old connections and new ones; or again everything that comes from now on.
    pub fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::Release);
    }

    /// How many messages were lost, doubled, swapped or changed.
    #[must_use]
    pub fn harmed(&self) -> u64 {
        self.shared.harmed.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Its listener sees that it has ended.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn connect(shared: &Arc<Shared>, client: &TcpStream, server: &TcpStream) {
    for (from, to) in [(client, server), (server, client)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // Either side may end it.
            drop(pump(&shared, &from, &to));
            drop(from.shutdown(Shutdown::Both));
            drop(to.shutdown(Shutdown::Both));
        });
    }
}

fn pump(shared: &Shared, mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
    from.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut buffer = Vec::new();
    let mut part = [0; 64 * 1024];
    let mut put_off: Option<Vec<u8>> = None;
    while !shared.ended.load(Ordering::Acquire) {
        match from.read(&mut part) {
            Ok(0) => return Ok(()),
            // What comes while nothing gets through is gone.
            Ok(_) if shared.held.load(Ordering::Acquire) => {}
            Ok(read) => buffer.extend_from_slice(&part[..read]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        while let Some((length, is_message)) = frame(&buffer) {
            let mut frame: Vec<u8> = buffer.drain(..length).collect();
            shared.change(&mut frame);
            let fate = if is_message { shared.draw() } else { Fate::Sent };
            match fate {
                Fate::Lost => continue,
                Fate::Swapped if put_off.is_none() => {
                    put_off = Some(frame);
                    continue;
                }
                Fate::Doubled => to.write_all(&frame)?,
                Fate::Sent | Fate::Swapped => {}
            }
            to.write_all(&frame)?;
            if let Some(earlier) = put_off.take() {
                to.write_all(&earlier)?;
            }
        }
    }
    Ok(())
}

enum Fate {
    Sent,
    Lost,
    Doubled,
    Swapped,
}

impl Shared {
    fn change(&self, frame: &mut [u8]) {
        let Some((words, into)) = self.changed else { return };
        let words = words.as_bytes();
        for at in 0..(frame.len() + 1).saturating_sub(words.len()) {
            let part = &mut frame[at..at + words.len()];
            if part == words {
                part.copy_from_slice(into.as_bytes());
                self.harmed.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn draw(&self) -> Fate {
        let step = |state: u64| {
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let state = self.chance.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some(step(state)));
        let drawn = (state.unwrap_or_default() >> 33) % 100;
        let Faults { lost, doubled, swapped } = self.faults;
        let fate = match drawn {
            drawn if drawn < lost => Fate::Lost,
            drawn if drawn < lost + doubled => Fate::Doubled,
            drawn if drawn < lost + doubled + swapped => Fate::Swapped,
            _ => return Fate::Sent,
        };
        self.harmed.fetch_add(1, Ordering::AcqRel);
        fate
    }
}

/// The length of the first whole frame of NATS' protocol, and whether it is a message.
fn frame(buffer: &[u8]) -> Option<(usize, bool)> {
    let line = buffer.windows(2).position(|two| two == b"\r\n")?;
    let text = String::from_utf8_lossy(&buffer[..line]);
    let mut words = text.split_ascii_whitespace();
    let operation = words.next().unwrap_or_default().to_ascii_uppercase();
    if !matches!(operation.as_str(), "MSG" | "HMSG" | "PUB" | "HPUB") {
        return Some((line + 2, false));
    }
    let payload: usize = words.next_back()?.parse().ok()?;
    let length = line + 2 + payload + 2;
    (buffer.len() >= length).then_some((length, true))
}
