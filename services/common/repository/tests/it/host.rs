//! A host of one repository, by http on this machine: it gives files as they are, as the oldest Git hosts do, and
//! remembers what it was asked.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

/// What the host answers.
#[derive(Clone)]
pub(crate) enum Answer {
    /// The repository's files, to who logs in so.
    Files { folder: PathBuf, login: String },
    /// The way to another place.
    Elsewhere(String),
    /// Nothing at all.
    Silence,
}

pub(crate) struct Host {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub(crate) fn new(answer: Answer) -> Self {
        Self::looking(answer, || {})
    }

    /// A host that does something at each question.
    pub(crate) fn looking(answer: Answer, look: impl Fn() + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let Some(request) = request(&stream) else { continue };
                seen.lock().unwrap().push(request.clone());
                look();
                if matches!(answer, Answer::Silence) {
                    kept.push(stream);
                } else {
                    let _ = respond(stream, &answer, &request);
                }
            }
        });
        Self { port, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/team/repo", self.port)
    }

    /// The requests so far, heads only.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &TcpStream) -> Option<String> {
    let mut head = String::new();
    let mut lines = BufReader::new(stream);
    loop {
        let before = head.len();
        lines.read_line(&mut head).ok()?;
        if head.len() - before <= 2 {
            return Some(head);
        }
    }
}

fn respond(mut stream: TcpStream, answer: &Answer, request: &str) -> std::io::Result<()> {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut send = |status: &str, more: &str, body: &[u8]| {
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")?;
        stream.write_all(body)
    };
    match answer {
        Answer::Silence => Ok(()),
        Answer::Elsewhere(to) => send("301 Moved", &format!("Location: {to}{path}\r\n"), b""),
        Answer::Files { login, .. } if !request.contains(&format!("Authorization: Basic {login}\r\n")) => {
            send("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")
        }
        Answer::Files { folder, .. } => {
            let file = path.split('?').next().unwrap_or_default().trim_start_matches("/team/repo/");
            match fs::read(Path::new(folder).join(file)) {
                Ok(bytes) => send("200 OK", "Content-Type: text/plain\r\n", &bytes),
                Err(_) => send("404 Not Found", "", b""),
            }
        }
    }
}
