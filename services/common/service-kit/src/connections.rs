//! The port's connections: how long one may take to say what it wants, and how many there may be.
//!
//! A connection that has asked for something is held by whoever answers it. Until then, and between two requests, it
//! costs a stranger nothing: so it has 5 s for a request's head, and a port that strangers reach counts it
//! ([`Guard`]).

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    serve::Listener,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// How long a request's head may take.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(5);

/// How many bytes a request's head may have.
const HEAD_BYTES: u32 = 32 * 1024;

/// How many requests a connection may have open at once. It may also take back so many at once that have not been looked
/// at yet: a load balancer whose client goes away does that, and other clients' calls on the connection go on.
const STREAMS: u32 = 256;

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How soon a connection whose first bytes do not say enough yet is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How many connections a port takes that strangers reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Connections in all; further ones are closed at once.
    pub connections: usize,
    /// Connections from one address that have not asked for anything yet.
    pub silent: usize,
    /// Addresses that speak for many others: the limit for one address is not for them.
    pub proxies: Vec<IpNet>,
}

impl Default for Guard {
    fn default() -> Self {
        let proxies =
            vec![IpAddr::from(Ipv4Addr::LOCALHOST).into(), IpAddr::from(Ipv6Addr::LOCALHOST).into()];
        Self { connections: 2_048, silent: 64, proxies }
    }
}

/// Serves until `stopping`, then lets open requests finish.
pub(crate) async fn serve(
    mut listener: TcpListener,
    app: Router,
    guard: Option<Guard>,
    stopping: CancellationToken,
) {
    let counted = guard.map(Counted::new);
    let open = TaskTracker::new();
    loop {
        // It deals with errors of accepting itself: a process without descriptors waits a moment.
        let (stream, from) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = stopping.cancelled() => break,
        };
        let seat = match &counted {
            Some(counted) => match counted.take(from.ip()) {
                Some(seat) => Some(seat),
                None => continue,
            },
            None => None,
        };
        // Without it a small answer waits up to 40 ms for the client's acknowledgement of the one before.
        drop(stream.set_nodelay(true));
        open.spawn(connection(stream, from, app.clone(), seat, stopping.clone()));
    }
    drop(listener);
    open.close();
    open.wait().await;
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    app: Router,
    seat: Option<Seat>,
    stopping: CancellationToken,
) {
    let speaks = tokio::select! {
        speaks = tokio::time::timeout(HEAD_TIME, speaks(&stream)) => speaks,
        () = stopping.cancelled() => return,
    };
    let Ok(Some(speaks)) = speaks else { return };
    let seat = seat.map(Arc::new);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let builder = match speaks {
        Speaks::Http1 => {
            let mut builder = builder.http1_only();
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD_BYTES as usize);
            builder
        }
        Speaks::Http2 => {
            builder
                .http2()
                .enable_connect_protocol()
                .max_header_list_size(HEAD_BYTES)
                .max_concurrent_streams(STREAMS)
                .max_pending_accept_reset_streams(Some(STREAMS as usize));
            if let Some(seat) = &seat {
                seat.has_asked();
            }
            builder.http2_only()
        }
    };
    let service = service_fn(|request: hyper::Request<Incoming>| {
        if let Some(seat) = &seat {
            seat.has_asked();
        }
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        let app = app.clone();
        async move { Ok::<_, Infallible>(app.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut served = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        ended = served.as_mut() => drop(ended),
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            drop(served.as_mut().await);
        }
    }
}

/// What a connection's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
}

/// Looks at the first bytes without taking them; none if the connection ends before they say enough.
async fn speaks(stream: &TcpStream) -> Option<Speaks> {
    let mut first = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await.ok().filter(|length| *length > 0)?;
        if first[..length] != PREFACE[..length] {
            return Some(Speaks::Http1);
        }
        if length == PREFACE.len() {
            return Some(Speaks::Http2);
        }
        // There is something to read all the time: waiting for that would not wait.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The connections of a guarded port.
#[derive(Clone, Debug)]
struct Counted {
    guard: Arc<Guard>,
    now: Arc<Mutex<Now>>,
}

#[derive(Debug, Default)]
struct Now {
    open: usize,
    silent: HashMap<IpAddr, usize>,
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
struct Seat {
    of: Counted,
    /// The address that it still counts for as one that has not asked for anything.
    silent: Mutex<Option<IpAddr>>,
}

impl Counted {
    fn new(guard: Guard) -> Self {
        Self { guard: Arc::new(guard), now: Arc::default() }
    }

    fn take(&self, from: IpAddr) -> Option<Seat> {
        let from = from.to_canonical();
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.open >= self.guard.connections {
            return None;
        }
        let silent = (!self.guard.proxies.iter().any(|proxies| proxies.contains(&from))).then_some(from);
        if let Some(from) = silent {
            let count = now.silent.entry(from).or_default();
            if *count >= self.guard.silent {
                return None;
            }
            *count += 1;
        }
        now.open += 1;
        Some(Seat { of: self.clone(), silent: Mutex::new(silent) })
    }
}

impl Seat {
    /// It does not count as silent from now on.
    fn has_asked(&self) {
        let Some(from) = self.silent.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let mut now = self.of.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = now.silent.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                now.silent.remove(&from);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.has_asked();
        self.of.now.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 9));

    #[test]
    fn silent_connections_are_limited_by_address_and_all_by_number() {
        let counted =
            Counted::new(Guard { connections: 6, silent: 2, proxies: vec!["10.1.0.0/16".parse().unwrap()] });
        let (first, second) = (counted.take(ONE).unwrap(), counted.take(ONE).unwrap());
        assert!(counted.take(ONE).is_none(), "a third silent one of an address");
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(counted.take(mapped).is_none(), "the same address, written as one of IPv6");
        let stranger = counted.take(OTHER).unwrap();
        first.has_asked();
        first.has_asked();
        let third = counted.take(ONE).unwrap();
        assert!(counted.take(ONE).is_none());
        let many: Vec<_> = (0..2).map(|_| counted.take(PROXY).unwrap()).collect();
        assert!(counted.take(PROXY).is_none(), "more than there may be in all");
        drop((first, second, third, stranger, many));
        let now = counted.now.lock().unwrap();
        assert!(now.open == 0 && now.silent.is_empty(), "{now:?}");
    }

    /// A frame of HTTP/2: its length, kind, flags and stream, then what it carries.
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags];
        [head.as_slice(), &stream.to_be_bytes(), payload].concat()
    }

    #[tokio::test]
    async fn requests_that_a_client_takes_back_end_nobody_elses_on_the_connection() {
        const HEADERS: u8 = 1;
        const RST_STREAM: u8 = 3;
        const SETTINGS: u8 = 4;
        const GOAWAY: u8 = 7;
        /// The end of a request's headers, and of the request.
        const END: u8 = 5;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let stopping = CancellationToken::new();
        let app = Router::new().route("/", axum::routing::get(async || "here"));
        let served = tokio::spawn(serve(listener, app, None, stopping.clone()));
        // GET / with the authority `x`, as HPACK writes it.
        let request = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
        let mut all = [PREFACE.as_slice(), &frame(SETTINGS, 0, 0, &[])].concat();
        let back = (0..100).map(|number| 2 * number + 1);
        for stream in back {
            all.extend(frame(HEADERS, END, stream, &request));
            all.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        all.extend(frame(HEADERS, END, 201, &request));
        let mut stream = TcpStream::connect(at).await.unwrap();
        // In one go: the server has them all before it looks at any.
        stream.write_all(&all).await.unwrap();
        let answered = loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match head[3] {
                GOAWAY => break false,
                HEADERS if of == 201 => break true,
                _ => {}
            }
        };
        assert!(answered, "the connection was ended");
        drop(stream);
        stopping.cancel();
        served.await.unwrap();
    }
}
