//! Connections to PostgreSQL, used again.

use std::{
    sync::{Condvar, Mutex},
    time::{Duration, Instant},
};

use postgres::{Client, Config, NoTls};

use crate::Error;

/// One connection, for programs that need no more.
pub fn connect(url: &str) -> Result<Client, Error> {
    let mut config: Config = url.parse()?;
    config.connect_timeout(Duration::from_secs(5)).application_name("shop");
    config.connect(NoTls).map_err(|error| format!("connecting to the database: {error}").into())
}

/// At most so many connections at once.
const MOST: usize = 8;

/// Connections that wait for their next use.
pub struct Pool {
    url: String,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<(Client, Instant)>,
    used: usize,
}

impl Pool {
    pub fn new(url: String) -> Self {
        Self { url, state: Mutex::default(), returned: Condvar::new() }
    }

    /// Does something with a connection that works.
    pub fn with<T>(&self, work: impl FnOnce(&mut Client) -> Result<T, Error>) -> Result<T, Error> {
        let slot = Slot::take(self)?;
        let mut client = match slot.idle {
            Some(client) => client,
            None => connect(&self.url)?,
        };
        let result = work(&mut client);
        if !client.is_closed() {
            self.lock().idle.push((client, Instant::now()));
        }
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }
}

/// The right to hold a connection.
struct Slot<'a> {
    idle: Option<Client>,
    _held: Held<'a>,
}

struct Held<'a>(&'a Pool);

impl<'a> Slot<'a> {
    fn take(pool: &'a Pool) -> Result<Self, Error> {
        let (mut state, late) = pool
            .returned
            .wait_timeout_while(pool.lock(), Duration::from_secs(5), |state| state.used >= MOST)
            .expect("no thread panics with the lock");
        if late.timed_out() {
            return Err("every database connection has been busy for five seconds".into());
        }
        state.used += 1;
        let idle = state.idle.pop();
        drop(state);
        let held = Held(pool);
        // A connection that has rested may be dead without knowing.
        let idle = idle.and_then(|(mut client, since)| {
            let rested = since.elapsed() > Duration::from_secs(1);
            (!rested || client.is_valid(Duration::from_secs(2)).is_ok()).then_some(client)
        });
        Ok(Self { idle, _held: held })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lock().used -= 1;
        self.0.returned.notify_one();
    }
}
