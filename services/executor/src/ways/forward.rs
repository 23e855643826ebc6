//! Listening and forwarding.

use std::{
    collections::BTreeMap,
    io::{self, BufReader},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::net::sockopt;

use super::protocol::Route;
use crate::keeper::join;

/// How often a port that something else has is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a connection waits for a target that moves.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one try takes at most.
const CONNECT: Duration = Duration::from_secs(5);

/// All routes.
#[derive(Debug, Default)]
pub(super) struct Table {
    routes: Mutex<BTreeMap<SocketAddr, Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// Where new connections go.
    to: Arc<Mutex<(String, u16)>>,
    /// Set when it is not to listen any more; none while it does not.
    closed: Option<Arc<AtomicBool>>,
}

impl Table {
    /// Forwards these and no others. What is open stays open, also when it leads elsewhere from now on.
    pub(super) fn set(&self, routes: Vec<Route>) {
        let mut table = self.lock();
        let wanted: BTreeMap<SocketAddr, (String, u16)> =
            routes.into_iter().map(|route| (route.listen, (route.host, route.port))).collect();
        table.retain(|listen, entry| {
            let keep = wanted.contains_key(listen);
            if !keep {
                entry.close(*listen);
            }
            keep
        });
        for (listen, to) in wanted {
            let entry = table.entry(listen).or_insert_with(|| Entry { to: Arc::default(), closed: None });
            *entry.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
        }
        open(&mut table);
    }

    /// Closes these ports, and forgets what led there.
    pub(super) fn release(&self, ports: &[u16]) {
        self.lock().retain(|listen, entry| {
            let keep = !ports.contains(&listen.port());
            if !keep {
                entry.close(*listen);
            }
            keep
        });
    }

    /// What should be open and is not.
    pub(super) fn closed(&self) -> Vec<SocketAddr> {
        self.lock().iter().filter(|(_, entry)| entry.closed.is_none()).map(|(listen, _)| *listen).collect()
    }

    /// Opens again and again what could not be opened.
    pub(super) fn keep_open(&self) {
        loop {
            thread::sleep(AGAIN);
            open(&mut self.lock());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Entry>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn close(&mut self, listen: SocketAddr) {
        if let Some(closed) = self.closed.take() {
            closed.store(true, Ordering::SeqCst);
            // Wakes its thread, which then sees that it is closed, and is waited for: the port is free after this.
            let _ = TcpStream::connect_timeout(&listen, Duration::from_millis(100));
            let until = Instant::now() + Duration::from_secs(1);
            while Arc::strong_count(&closed) > 1 && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn open(table: &mut BTreeMap<SocketAddr, Entry>) {
    for (listen, entry) in table.iter_mut().filter(|(_, entry)| entry.closed.is_none()) {
        let Ok(socket) = TcpListener::bind(listen) else { continue };
        let closed = Arc::new(AtomicBool::new(false));
        let (to, told) = (Arc::clone(&entry.to), Arc::clone(&closed));
        entry.closed = Some(closed);
        thread::spawn(move || {
            accept(&socket, &to, &told);
            // In this order: who waits for the flag finds the port free.
            drop(socket);
            drop(told);
        });
    }
}

fn accept(socket: &TcpListener, to: &Arc<Mutex<(String, u16)>>, closed: &AtomicBool) {
    loop {
        let accepted = socket.accept();
        if closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok((client, _)) = accepted else {
            // Out of descriptors: the next one may go.
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let to = Arc::clone(to);
        let serve = move || {
            let _ = client.set_nodelay(true);
            if let Ok(upstream) = connect(&to) {
                let _ = join(BufReader::new(client), BufReader::new(upstream));
            }
        };
        if thread::Builder::new().stack_size(128 << 10).spawn(serve).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A host that loses its power or its cable says nothing: after so much silence it is asked whether it is there.
const QUIET: Duration = Duration::from_secs(10);
/// How often it is asked.
const ASK: Duration = Duration::from_secs(5);
/// How often without an answer, until the connection is over. Together less than the lease of the host's executor.
const ASKED: u32 = 3;

/// Has a connection end when its other side is gone, whether bytes are on their way or not.
fn end_with_host(upstream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(upstream, true)?;
    sockopt::set_tcp_keepidle(upstream, QUIET)?;
    sockopt::set_tcp_keepintvl(upstream, ASK)?;
    sockopt::set_tcp_keepcnt(upstream, ASKED)?;
    let all = (QUIET + ASK * ASKED).as_millis();
    sockopt::set_tcp_user_timeout(upstream, u32::try_from(all).unwrap_or(u32::MAX))?;
    Ok(())
}

/// Connects to where the route leads now. A target that moves is waited for a little.
fn connect(to: &Mutex<(String, u16)>) -> io::Result<TcpStream> {
    let until = Instant::now() + PATIENCE;
    loop {
        let (host, port) = to.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let connected = (host.as_str(), port).to_socket_addrs().and_then(|mut addresses| {
            let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
            TcpStream::connect_timeout(&address, CONNECT)
        });
        match connected {
            Ok(upstream) => {
                upstream.set_nodelay(true)?;
                end_with_host(&upstream)?;
                return Ok(upstream);
            }
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_asks_whether_its_other_side_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = connect(&Mutex::new((address.ip().to_string(), address.port()))).unwrap();
        assert!(sockopt::socket_keepalive(&upstream).unwrap());
        let quiet = sockopt::tcp_keepidle(&upstream).unwrap();
        let all =
            quiet + sockopt::tcp_keepintvl(&upstream).unwrap() * sockopt::tcp_keepcnt(&upstream).unwrap();
        assert!(all < Duration::from_secs(30), "{all:?}");
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&upstream).unwrap()), all.as_millis());
    }
}
