//! A small HTTP/1.1 server: a thread per connection, kept alive, drained when asked to stop.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A request.
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
}

/// An answer: a status and JSON.
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// Answers requests.
pub type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// How often an idle connection looks whether it should close.
const LOOK: Duration = Duration::from_millis(100);
/// How long an idle connection stays open after the stop, for a request that is on its way.
const LINGER: Duration = Duration::from_millis(400);
/// How long connections have to finish after the stop.
const DRAIN: Duration = Duration::from_secs(20);
const HEAD_LIMIT: usize = 16 * 1024;
const BODY_LIMIT: usize = 64 * 1024;

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Stops a server from another thread.
#[derive(Clone)]
pub struct Stop {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    open: Mutex<usize>,
    closed: Condvar,
}

impl Server {
    pub fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, shared: Arc::default() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn stop(&self) -> Stop {
        Stop { address: self.address, shared: self.shared.clone() }
    }

    /// Serves until stopped, then until every request is answered. Whether all were.
    pub fn run(self, handler: Arc<Handler>) -> io::Result<bool> {
        while !self.shared.stopping.load(Ordering::SeqCst) {
            match self.listener.accept() {
                Ok((stream, _)) => self.connection(stream, &handler)?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        // Whoever is in the queue already has connected: they are served too.
        self.listener.set_nonblocking(true)?;
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(false)?;
            self.connection(stream, &handler)?;
        }
        drop(self.listener);
        let open = self.shared.open.lock().expect("no thread panics while counting");
        let (open, _) = self
            .shared
            .closed
            .wait_timeout_while(open, DRAIN, |open| *open > 0)
            .expect("no thread panics while counting");
        Ok(*open == 0)
    }

    fn connection(&self, stream: TcpStream, handler: &Arc<Handler>) -> io::Result<()> {
        let (shared, handler) = (self.shared.clone(), handler.clone());
        let counted = Counted::new(shared.clone());
        thread::Builder::new().stack_size(512 * 1024).spawn(move || {
            let _counted = counted;
            // A connection that breaks is its client's business.
            let _ = serve(stream, &shared, &*handler);
        })?;
        Ok(())
    }
}

impl Stop {
    /// No new connections; what is open finishes.
    pub fn now(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        *shared.open.lock().expect("no thread panics while counting") += 1;
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *self.0.open.lock().expect("no thread panics while counting") -= 1;
        self.0.closed.notify_all();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, handler: &Handler) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    let mut buffer = Vec::new();
    loop {
        let Some((request, keep)) = read(&mut stream, &mut buffer, shared)? else { return Ok(()) };
        let response = match request {
            Ok(request) => handler(&request),
            Err(status) => Response { status, body: "{}".to_owned() },
        };
        let keep = keep && response.status < 500 && !shared.stopping.load(Ordering::SeqCst);
        write(&mut stream, &response, keep)?;
        if !keep {
            return Ok(());
        }
    }
}

type Read1 = Option<(Result<Request, u16>, bool)>;

/// The next request of a connection; none when there is no more.
fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, shared: &Shared) -> io::Result<Read1> {
    let mut stopped = None;
    let mut idle = Instant::now();
    loop {
        match parse(buffer) {
            Parsed::Request(request, keep, length) => {
                buffer.drain(..length);
                return Ok(Some((Ok(request), keep)));
            }
            Parsed::Wrong(status) => return Ok(Some((Err(status), false))),
            Parsed::More => {}
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(None),
            Ok(count) => {
                buffer.extend_from_slice(&bytes[..count]);
                idle = Instant::now();
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if shared.stopping.load(Ordering::SeqCst) && buffer.is_empty() {
                    let since = *stopped.get_or_insert_with(Instant::now);
                    if since.elapsed() > LINGER {
                        return Ok(None);
                    }
                }
                if idle.elapsed() > Duration::from_secs(60) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

enum Parsed {
    Request(Request, bool, usize),
    Wrong(u16),
    More,
}

fn parse(buffer: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() > HEAD_LIMIT => return Parsed::Wrong(431),
        Ok(httparse::Status::Partial) => return Parsed::More,
        Err(_) => return Parsed::Wrong(400),
    };
    let header = |name: &str| {
        head.headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    if header("transfer-encoding").is_some() {
        return Parsed::Wrong(411);
    }
    let size = match header("content-length").map(|text| text.parse::<usize>()) {
        None => 0,
        Some(Ok(size)) if size <= BODY_LIMIT => size,
        Some(Ok(_)) => return Parsed::Wrong(413),
        Some(Err(_)) => return Parsed::Wrong(400),
    };
    if buffer.len() < length + size {
        return Parsed::More;
    }
    let keep = match header("connection").as_deref() {
        Some("close") => false,
        Some("keep-alive") => true,
        _ => head.version == Some(1),
    };
    let path = head.path.unwrap_or("/");
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.split('?').next().unwrap_or(path).to_owned(),
        body: buffer[length..length + size].to_vec(),
    };
    Parsed::Request(request, keep, length + size)
}

fn write(stream: &mut TcpStream, response: &Response, keep: bool) -> io::Result<()> {
    let text = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n{}",
        response.status,
        reason(response.status),
        response.body.len(),
        if keep { "keep-alive" } else { "close" },
        response.body
    );
    stream.write_all(text.as_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
