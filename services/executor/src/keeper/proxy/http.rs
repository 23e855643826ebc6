//! HTTP/1 at layer 7: a client's connection lives on while instances come and go behind it.

use std::{
    io::{self, BufReader, Read, Write},
    net::{IpAddr, Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{
    body::{self, CopyError},
    head::{self, Framing, Refusal, RequestHead, ResponseHead},
    tunnel,
};
use crate::keeper::routes::{Endpoint, Pick, Routes};

/// An idle client connection is closed after this.
const IDLE: Duration = Duration::from_secs(75);
/// A body up to this size is held, so that it can be sent again to another instance.
const REPLAYABLE: u64 = 64 << 10;
/// So many instances are tried for one request.
const TRIES: usize = 4;

/// Serves one client until it goes or has to.
pub(super) fn serve(client: TcpStream, peer: IpAddr, port: &str, routes: &Routes) {
    let Ok(read_side) = client.try_clone() else { return };
    let mut exchange =
        Exchange { reader: BufReader::with_capacity(16 << 10, read_side), writer: client, peer };
    loop {
        let _ = exchange.writer.set_read_timeout(Some(IDLE));
        match exchange.next(port, routes) {
            Ok(Next::Request) if !routes.is_closed() => {}
            Ok(Next::Tunnel(upstream, pick)) => {
                let _ = tunnel::join(exchange.reader, upstream);
                drop(pick);
                return;
            }
            Ok(Next::Request | Next::Close) | Err(_) => {
                close(&exchange.writer);
                return;
            }
        }
    }
}

/// Ends a connection so that the client still gets what was written: what it sent unread would otherwise
/// reset it.
fn close(client: &TcpStream) {
    let _ = client.shutdown(Shutdown::Write);
    let _ = client.set_read_timeout(Some(Duration::from_millis(500)));
    let mut client = client;
    let mut buffer = [0; 4096];
    for _ in 0..64 {
        if !matches!(client.read(&mut buffer), Ok(count) if count > 0) {
            return;
        }
    }
}

enum Next {
    Request,
    Close,
    Tunnel(BufReader<TcpStream>, Pick),
}

/// How one try at an instance went.
enum Try {
    Answered(Next),
    Upgraded(BufReader<TcpStream>),
    /// No byte of an answer came. `sent`: the instance may have acted on the request.
    Failed {
        sent: bool,
        why: io::Error,
    },
}

struct Exchange {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    peer: IpAddr,
}

impl Exchange {
    fn next(&mut self, port: &str, routes: &Routes) -> io::Result<Next> {
        let bytes = match head::read(&mut self.reader) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Next::Close),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return self.refuse(431, "the head of the request is over 64 KiB");
            }
            Err(error) => return Err(error),
        };
        let request = match head::parse_request(&bytes) {
            Ok(request) => request,
            Err(Refusal::Status(status, why)) => return self.refuse(status, why),
        };
        self.writer.set_read_timeout(None)?;
        if request.expects_continue && request.framing != Framing::None {
            self.writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let held = match request.framing {
            Framing::Length(length) if length <= REPLAYABLE => {
                let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
                self.reader.read_exact(&mut body)?;
                Some(body)
            }
            Framing::None => Some(Vec::new()),
            _ => None,
        };
        self.answer(&request, held.as_deref(), port, routes)
    }

    fn answer(
        &mut self,
        request: &RequestHead,
        held: Option<&[u8]>,
        port: &str,
        routes: &Routes,
    ) -> io::Result<Next> {
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut last = None;
        for _ in 0..TRIES {
            let Some(pick) = routes.pick(port, &tried) else { break };
            // A used connection may close under the request: only what may be sent twice goes there.
            let idle = if request.is_idempotent() && held.is_some() { pick.reuse() } else { None };
            if let Some(connection) = idle {
                match self.attempt(request, held, connection, &pick)? {
                    Try::Answered(next) => return Ok(next),
                    Try::Upgraded(upstream) => return Ok(Next::Tunnel(upstream, pick)),
                    Try::Failed { .. } => pick.endpoint.close_idle(),
                }
            }
            let connected = match pick.connect() {
                Ok(connection) => self.attempt(request, held, connection, &pick)?,
                Err(why) => Try::Failed { sent: false, why },
            };
            match connected {
                Try::Answered(next) => return Ok(next),
                Try::Upgraded(upstream) => return Ok(Next::Tunnel(upstream, pick)),
                Try::Failed { sent, why } => {
                    last = Some(why);
                    if sent && !(request.is_idempotent() && held.is_some()) {
                        return self.refuse(502, "the instance ended while it worked on the request");
                    }
                    tried.push(Arc::clone(&pick.endpoint));
                }
            }
        }
        match last {
            Some(_) => self.refuse(502, "no instance answered"),
            None => self.refuse(503, "no instance is running"),
        }
    }

    /// Sends the request on one connection and passes the answer back. An error is the client's.
    fn attempt(
        &mut self,
        request: &RequestHead,
        held: Option<&[u8]>,
        mut upstream: BufReader<TcpStream>,
        pick: &Pick,
    ) -> io::Result<Try> {
        let mut first = request.forward(self.peer);
        if let Some(body) = held {
            first.extend_from_slice(body);
            if let Err(why) = upstream.get_ref().write_all(&first) {
                return Ok(Try::Failed { sent: true, why });
            }
            return respond(&self.writer, request, &mut upstream, None)
                .map(|done| Self::settle(done, upstream, pick));
        }
        if let Err(why) = upstream.get_ref().write_all(&first) {
            return Ok(Try::Failed { sent: true, why });
        }
        // A big body goes up while the answer may already come down.
        let mut up = upstream.get_ref().try_clone()?;
        let (reader, writer) = (&mut self.reader, self.writer.try_clone()?);
        let stop = upstream.get_ref().try_clone()?;
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                let sent = body::copy(reader, &mut up, request.framing);
                if matches!(sent, Err(CopyError::Read(_))) {
                    // The client went: the instance must not take what came for the whole.
                    let _ = up.shutdown(Shutdown::Both);
                }
                sent.is_ok()
            });
            let client = writer.try_clone()?;
            let done = respond(&writer, request, &mut upstream, Some(&|| sender.is_finished()));
            if !sender.is_finished() {
                // Answered before it had all: neither connection can be used again.
                let _ = stop.shutdown(Shutdown::Both);
                let _ = client.shutdown(Shutdown::Read);
            }
            let sent = sender.join().unwrap_or(false);
            match done? {
                Done::Answered { .. } if !sent => Ok(Try::Answered(Next::Close)),
                done => Ok(Self::settle(done, upstream, pick)),
            }
        })
    }

    fn settle(done: Done, upstream: BufReader<TcpStream>, pick: &Pick) -> Try {
        match done {
            Done::Failed(why) => Try::Failed { sent: true, why },
            Done::Upgraded => Try::Upgraded(upstream),
            Done::Answered { client, instance } => {
                if instance {
                    pick.give_back(upstream);
                }
                Try::Answered(if client { Next::Request } else { Next::Close })
            }
        }
    }

    fn refuse(&mut self, status: u16, why: &str) -> io::Result<Next> {
        let reason = match status {
            400 => "Bad Request",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            _ => "Service Unavailable",
        };
        let text = format!("Shipway: {why}.\n");
        write!(
            self.writer,
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )?;
        Ok(Next::Close)
    }
}

/// How an answer went.
enum Done {
    /// Passed on; whether the two connections can be used again.
    Answered { client: bool, instance: bool },
    /// The connection is a tunnel now.
    Upgraded,
    /// No byte of an answer came.
    Failed(io::Error),
}

fn respond(
    mut client: &TcpStream,
    request: &RequestHead,
    upstream: &mut BufReader<TcpStream>,
    sent: Option<&dyn Fn() -> bool>,
) -> io::Result<Done> {
    let to_head = request.method == "HEAD";
    let mut begun = false;
    loop {
        let bytes = match head::read(upstream) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if begun => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(None) => return Ok(Done::Failed(io::ErrorKind::UnexpectedEof.into())),
            Err(why) if begun => return Err(why),
            Err(why) => return Ok(Done::Failed(why)),
        };
        let response = match head::parse_response(&bytes, to_head) {
            Ok(response) => response,
            Err(why) => return Ok(Done::Failed(why)),
        };
        if response.status == 101 {
            client.write_all(&response.forward(true, request.minor, None))?;
            return Ok(Done::Upgraded);
        }
        if response.status < 200 {
            // 100 was said by the proxy itself; the others are for the client, if it knows them.
            if response.status != 100 && request.minor == 1 {
                client.write_all(&response.forward(true, request.minor, None))?;
                begun = true;
            }
            continue;
        }
        return pass_on(client, request, &response, &bytes, upstream, sent);
    }
}

fn pass_on(
    mut client: &TcpStream,
    request: &RequestHead,
    response: &ResponseHead,
    bytes: &[u8],
    upstream: &mut BufReader<TcpStream>,
    sent: Option<&dyn Fn() -> bool>,
) -> io::Result<Done> {
    let whole = sent.is_none_or(|sent| sent());
    let keep = request.keep_alive && response.framing != Framing::UntilClose && whole;
    let length = (response.framing == Framing::None).then(|| head::declared_length(bytes)).flatten();
    client.write_all(&response.forward(keep, request.minor, length))?;
    match body::copy(upstream, &mut client, response.framing) {
        Ok(()) => {
            Ok(Done::Answered { client: keep, instance: response.keep_alive && response.minor == 1 && whole })
        }
        Err(CopyError::Read(error) | CopyError::Write(error)) => Err(error),
    }
}
