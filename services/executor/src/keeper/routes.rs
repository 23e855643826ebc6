//! Which instance gets the next request.

use std::{
    collections::BTreeMap,
    io::{self, BufReader},
    net::{Ipv4Addr, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Idle connections kept to one instance.
const IDLE: usize = 64;
/// How long a request waits for an instance that could take it.
const PATIENCE: Duration = Duration::from_secs(10);

/// One start of an instance, as the proxy sees it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Its private ports by name.
    pub(super) ports: BTreeMap<String, u16>,
    /// Its last checks were good.
    pub(super) healthy: AtomicBool,
    busy: AtomicUsize,
    idle: Mutex<Vec<(u16, BufReader<TcpStream>)>>,
}

impl Endpoint {
    pub(super) fn new(ports: BTreeMap<String, u16>) -> Arc<Self> {
        let idle = Mutex::new(Vec::new());
        Arc::new(Self { ports, healthy: AtomicBool::new(true), busy: AtomicUsize::new(0), idle })
    }

    /// Requests and tunnels that it is serving.
    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
    }

    /// Closes the connections that wait for a next request.
    pub(super) fn close_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The instances that get traffic.
#[derive(Debug, Default)]
pub(super) struct Routes {
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    endpoints: Vec<Arc<Endpoint>>,
    turn: usize,
    closed: bool,
}

impl Routes {
    /// From now on all traffic goes to these.
    pub(super) fn switch(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.lock().endpoints = endpoints;
        self.changed.notify_all();
    }

    /// One more instance gets traffic.
    pub(super) fn add(&self, endpoint: &Arc<Endpoint>) {
        self.lock().endpoints.push(Arc::clone(endpoint));
        self.changed.notify_all();
    }

    /// That instance gets none any more.
    pub(super) fn remove(&self, endpoint: &Arc<Endpoint>) {
        self.lock().endpoints.retain(|known| !Arc::ptr_eq(known, endpoint));
    }

    /// Nothing is served any more: who waits is told.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether nothing is served any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The least busy healthy instance, not one of `tried`; an ill one when there is no healthy one (better a
    /// doubtful answer than none). Waits a while when there is none at all.
    pub(super) fn pick(&self, port: &str, tried: &[Arc<Endpoint>]) -> Option<Pick> {
        let until = Instant::now() + PATIENCE;
        let mut table = self.lock();
        loop {
            if table.closed {
                return None;
            }
            table.turn = table.turn.wrapping_add(1);
            let (turn, count) = (table.turn, table.endpoints.len());
            let found = (0..count)
                .map(|step| &table.endpoints[(turn + step) % count])
                .filter(|endpoint| !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint)))
                .filter_map(|endpoint| Some((endpoint, *endpoint.ports.get(port)?)))
                .min_by_key(|(endpoint, _)| (!endpoint.healthy.load(Ordering::Relaxed), endpoint.busy()));
            if let Some((endpoint, port)) = found {
                // Counted under the lock: after a switch, what an old instance has to finish is known.
                endpoint.busy.fetch_add(1, Ordering::SeqCst);
                return Some(Pick { endpoint: Arc::clone(endpoint), port });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            table = self.changed.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A chosen instance, busy until this is dropped.
#[derive(Debug)]
pub(super) struct Pick {
    /// The instance.
    pub(super) endpoint: Arc<Endpoint>,
    port: u16,
}

impl Pick {
    /// A connection that has served before, if one is left that the instance has not closed.
    pub(super) fn reuse(&self) -> Option<BufReader<TcpStream>> {
        loop {
            let mut idle = self.endpoint.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let at = idle.iter().rposition(|(port, _)| *port == self.port)?;
            let (_, connection) = idle.swap_remove(at);
            drop(idle);
            let stream = connection.get_ref();
            // Nothing may be readable on an idle connection: bytes or an end mean that it is spent.
            let quiet = stream.set_nonblocking(true).is_ok()
                && matches!(stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
                && stream.set_nonblocking(false).is_ok();
            if quiet {
                return Some(connection);
            }
        }
    }

    /// A new connection.
    pub(super) fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        Ok(BufReader::with_capacity(16 << 10, stream))
    }

    /// Keeps a connection for the next request.
    pub(super) fn give_back(&self, connection: BufReader<TcpStream>) {
        let mut idle = self.endpoint.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE && connection.buffer().is_empty() {
            idle.push((self.port, connection));
        }
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.endpoint.busy.fetch_sub(1, Ordering::SeqCst);
    }
}
