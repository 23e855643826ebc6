//! The public side of a service: ports that stay open over roll-outs.

mod body;
mod head;
mod http;
mod tunnel;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use shipway_nodes::workload::Port;

use super::routes::Routes;

pub(crate) use tunnel::join;

/// The open public ports.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: Mutex<Vec<Arc<Listener>>>,
}

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    /// Which of the instances' ports it leads to; a roll-out may rename it.
    port: Mutex<Port>,
    closed: AtomicBool,
}

impl Listeners {
    /// Opens those of `ports` that are not open yet. On an error none of them stays open.
    pub(super) fn open(
        &self,
        listen: IpAddr,
        ports: &[Port],
        routes: &Arc<Routes>,
    ) -> Result<(), (u16, io::Error)> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::new();
        for (address, port) in addresses(listen, ports) {
            if let Some(known) = open.iter().find(|known| known.address == address) {
                *known.port.lock().unwrap_or_else(PoisonError::into_inner) = port.clone();
                continue;
            }
            // The standard library sets SO_REUSEADDR: connections of an earlier keeper do not hold the port.
            let socket = TcpListener::bind(address).map_err(|error| (port.public, error))?;
            let listener = Arc::new(Listener {
                address,
                port: Mutex::new(port.clone()),
                closed: AtomicBool::new(false),
            });
            fresh.push((listener, socket));
        }
        for (listener, socket) in fresh {
            open.push(Arc::clone(&listener));
            let routes = Arc::clone(routes);
            thread::spawn(move || accept(&socket, &listener, &routes));
        }
        Ok(())
    }

    /// Closes all that are not among `ports`.
    pub(super) fn keep(&self, listen: IpAddr, ports: &[Port]) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|listener| {
            let wanted = addresses(listen, ports).any(|(address, _)| address == listener.address);
            if !wanted {
                listener.closed.store(true, Ordering::SeqCst);
                // Wakes its thread, which then sees that it is closed.
                let _ = TcpStream::connect_timeout(&listener.address, Duration::from_millis(100));
            }
            wanted
        });
    }
}

/// Where ports are opened: on the host's address, for others, and on the machine's own, where its instances look.
fn addresses(listen: IpAddr, ports: &[Port]) -> impl Iterator<Item = (SocketAddr, &Port)> {
    let own = IpAddr::from(Ipv4Addr::LOCALHOST);
    let both = listen != own && !listen.is_unspecified();
    ports.iter().flat_map(move |port| {
        let places = std::iter::once(listen).chain(both.then_some(own));
        places.map(move |address| (SocketAddr::new(address, port.public), port))
    })
}

fn accept(socket: &TcpListener, listener: &Arc<Listener>, routes: &Arc<Routes>) {
    loop {
        let accepted = socket.accept();
        if listener.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok((client, peer)) = accepted else {
            // Out of descriptors: the next one may go.
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let routes = Arc::clone(routes);
        let listener = Arc::clone(listener);
        let serve = move || {
            let _ = client.set_nodelay(true);
            let port = listener.port.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if port.http {
                http::serve(client, peer.ip(), &port.name, &routes);
            } else {
                tunnel::serve(client, &port.name, &routes);
            }
        };
        if thread::Builder::new().stack_size(256 << 10).spawn(serve).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}
