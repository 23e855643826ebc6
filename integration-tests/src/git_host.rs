//! A Git host on this machine: `git http-backend` behind a small server that asks for a login, as real hosts are.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host; it stops when it is dropped.
#[derive(Debug)]
pub struct GitHost {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    /// What the header says after `Basic `.
    login: String,
    away: AtomicBool,
    stopped: AtomicBool,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

impl GitHost {
    /// Serves the repositories below `root` to who logs in as `login`, `user:password` in base64.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(root: &Path, login: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the Git host")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            login: login.to_owned(),
            away: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // A client that goes away in the middle is its own business.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Ok(Self { port, shared })
    }

    /// The address of a repository, with a login in front of it if one is given: `user:password`.
    #[must_use]
    pub fn address(&self, login: Option<&str>, repository: &str) -> String {
        let login = login.map(|login| format!("{login}@")).unwrap_or_default();
        format!("http://{login}127.0.0.1:{}/{repository}", self.port)
    }

    /// Answers 503 from now on, or not any more.
    pub fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// How many requests were answered by Git, and how many had the wrong login or none.
    #[must_use]
    pub fn asked(&self) -> (usize, usize) {
        (self.shared.answered.load(Ordering::SeqCst), self.shared.refused.load(Ordering::SeqCst))
    }
}

impl Drop for GitHost {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// One request's head.
#[derive(Default)]
struct Head {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn read(lines: &mut impl std::io::BufRead) -> Result<Self> {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { bail!("no request: {line}") };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            ..Self::default()
        };
        loop {
            line.clear();
            lines.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    head.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => return Ok(head),
            }
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn body(&self, lines: &mut impl std::io::BufRead) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") != "chunked" {
            let length = self.header("content-length").parse().unwrap_or(0);
            lines.take(length).read_to_end(&mut body)?;
            return Ok(body);
        }
        loop {
            let mut size = String::new();
            lines.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).context("the size of a chunk")?;
            lines.take(size).read_to_end(&mut body)?;
            lines.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.try_clone()?);
        let head = Head::read(&mut lines)?;
        if head.header("expect").eq_ignore_ascii_case("100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = head.body(&mut lines)?;
        if self.away.load(Ordering::SeqCst) {
            return answer(&mut stream, "503 Service Unavailable", "", b"");
        }
        if head.header("authorization") != format!("Basic {}", self.login) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return answer(&mut stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n", b"");
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        let said = self.git(&head, &body)?;
        let end = said.windows(4).position(|part| part == b"\r\n\r\n").context("the end of the head")?;
        let (mut status, mut headers) = ("200 OK".to_owned(), String::new());
        for line in String::from_utf8_lossy(&said[..end]).lines() {
            match line.strip_prefix("Status: ") {
                Some(other) => other.clone_into(&mut status),
                None => headers.push_str(&format!("{line}\r\n")),
            }
        }
        answer(&mut stream, &status, &headers, &said[end + 4..])
    }

    /// Asks `git http-backend`, as a web server does.
    fn git(&self, head: &Head, body: &[u8]) -> Result<Vec<u8>> {
        let mut git = Command::new("git");
        git.arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_PROTOCOL", head.header("git-protocol"))
            .env("REQUEST_METHOD", &head.method)
            .env("PATH_INFO", &head.path)
            .env("QUERY_STRING", &head.query)
            .env("CONTENT_TYPE", head.header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", head.header("content-encoding"))
            .env("REMOTE_USER", "test");
        let mut child =
            git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("git http-backend")?;
        let mut stdin = child.stdin.take().context("its input")?;
        let sent = body.to_vec();
        let feed = thread::spawn(move || stdin.write_all(&sent));
        let mut said = Vec::new();
        child.stdout.take().context("its output")?.read_to_end(&mut said)?;
        child.wait()?;
        // It may not want to read all of it.
        drop(feed.join());
        Ok(said)
    }
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    Ok(())
}
