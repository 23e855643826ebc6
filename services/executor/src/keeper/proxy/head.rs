//! Heads of HTTP/1 messages: read, understood, and written anew. What is passed on is what was understood, so
//! that no two readers of a message can disagree on where it ends.

use std::{
    io::{self, BufRead},
    net::IpAddr,
};

/// A longer head is refused.
const LIMIT: usize = 64 << 10;
const HEADERS: usize = 128;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The connection's end.
    UntilClose,
}

/// A request's head, without what concerns one connection only.
#[derive(Clone, Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    target: String,
    pub(super) minor: u8,
    headers: Vec<(String, Vec<u8>)>,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) upgrade: Option<Vec<u8>>,
}

/// A response's head, likewise.
#[derive(Clone, Debug)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    reason: String,
    pub(super) minor: u8,
    headers: Vec<(String, Vec<u8>)>,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    upgrade: Option<Vec<u8>>,
}

/// Why a head cannot be taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Answered with this status and text.
    Status(u16, &'static str),
}

/// Reads the bytes of a head. `None`: the connection ended before its first byte.
pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let mut used = 0;
        let mut whole = false;
        for byte in bytes {
            used += 1;
            // Empty lines before a request are to be ignored.
            if head.is_empty() && matches!(byte, b'\r' | b'\n') {
                continue;
            }
            head.push(*byte);
            if *byte == b'\n' && (head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")) {
                whole = true;
                break;
            }
        }
        from.consume(used);
        if whole {
            return Ok(Some(head));
        }
        if head.len() > LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "head over 64 KiB"));
        }
    }
}

/// Understands a request's head.
pub(super) fn parse_request(bytes: &[u8]) -> Result<RequestHead, Refusal> {
    let mut space = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut space);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::Status(431, "too many headers")),
        _ => return Err(Refusal::Status(400, "not an HTTP/1 request")),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Status(400, "not an HTTP/1 request"));
    };
    let common = Common::of(request.headers, minor)?;
    let framing = match (common.chunked, common.length) {
        (true, Some(_)) => return Err(Refusal::Status(400, "both Transfer-Encoding and Content-Length")),
        (true, None) if minor == 0 => return Err(Refusal::Status(400, "chunks in HTTP/1.0")),
        (true, None) => Framing::Chunked,
        (false, Some(0) | None) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
    };
    if method == "CONNECT" {
        return Err(Refusal::Status(405, "CONNECT is not for this proxy"));
    }
    let expects_continue = minor == 1
        && request.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("expect") && header.value.eq_ignore_ascii_case(b"100-continue")
        });
    Ok(RequestHead {
        method: method.to_owned(),
        target: target.to_owned(),
        minor,
        headers: common.headers,
        framing,
        keep_alive: common.keep_alive,
        expects_continue,
        upgrade: common.upgrade,
    })
}

/// Understands a response's head.
pub(super) fn parse_response(bytes: &[u8], to_head: bool) -> io::Result<ResponseHead> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut space = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut space);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err(invalid("not an HTTP/1 response")),
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(invalid("not an HTTP/1 response"));
    };
    let common = Common::of(response.headers, minor).map_err(|Refusal::Status(_, what)| invalid(what))?;
    let framing = if to_head || status < 200 || status == 204 || status == 304 {
        Framing::None
    } else if common.chunked {
        Framing::Chunked
    } else {
        common.length.map_or(Framing::UntilClose, Framing::Length)
    };
    Ok(ResponseHead {
        status,
        reason: response.reason.unwrap_or_default().to_owned(),
        minor,
        headers: common.headers,
        framing,
        keep_alive: common.keep_alive && framing != Framing::UntilClose,
        upgrade: common.upgrade,
    })
}

impl RequestHead {
    /// Whether doing it twice is doing it once.
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE")
    }

    /// The head for the instance.
    pub(super) fn forward(&self, client: IpAddr) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.{}\r\n", self.method, self.target, self.minor).into_bytes();
        let mut before: Vec<u8> = Vec::new();
        let mut has = (false, false);
        for (name, value) in &self.headers {
            if name.eq_ignore_ascii_case("x-forwarded-for") {
                if !before.is_empty() {
                    before.extend_from_slice(b", ");
                }
                before.extend_from_slice(value);
                continue;
            }
            has.0 |= name.eq_ignore_ascii_case("x-forwarded-proto");
            has.1 |= name.eq_ignore_ascii_case("x-forwarded-host");
            if !name.eq_ignore_ascii_case("expect") {
                header(&mut out, name, value);
            }
        }
        if !before.is_empty() {
            before.extend_from_slice(b", ");
        }
        before.extend_from_slice(client.to_string().as_bytes());
        header(&mut out, "X-Forwarded-For", &before);
        if !has.0 {
            header(&mut out, "X-Forwarded-Proto", b"http");
        }
        if let Some((_, host)) = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"))
            && !has.1
        {
            header(&mut out, "X-Forwarded-Host", host);
        }
        frame(&mut out, self.framing);
        match &self.upgrade {
            Some(protocol) => {
                header(&mut out, "Connection", b"Upgrade");
                header(&mut out, "Upgrade", protocol);
            }
            None if self.minor == 0 => header(&mut out, "Connection", b"close"),
            None => {}
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

impl ResponseHead {
    /// The head for the client. `length` keeps a `Content-Length` that describes no body (HEAD, 304).
    pub(super) fn forward(&self, keep_alive: bool, client_minor: u8, length: Option<u64>) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).into_bytes();
        for (name, value) in &self.headers {
            header(&mut out, name, value);
        }
        match (self.framing, length) {
            (Framing::None, Some(length)) => {
                header(&mut out, "Content-Length", length.to_string().as_bytes())
            }
            (Framing::Length(0), _) => header(&mut out, "Content-Length", b"0"),
            (framing, _) => frame(&mut out, framing),
        }
        match &self.upgrade {
            Some(protocol) if self.status == 101 => {
                header(&mut out, "Connection", b"Upgrade");
                header(&mut out, "Upgrade", protocol);
            }
            _ if self.status < 200 => {}
            _ if !keep_alive => header(&mut out, "Connection", b"close"),
            _ if client_minor == 0 => header(&mut out, "Connection", b"keep-alive"),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// What both kinds of head have, without the headers that concern one connection.
struct Common {
    headers: Vec<(String, Vec<u8>)>,
    chunked: bool,
    length: Option<u64>,
    keep_alive: bool,
    upgrade: Option<Vec<u8>>,
}

impl Common {
    fn of(all: &[httparse::Header<'_>], minor: u8) -> Result<Self, Refusal> {
        let mut common =
            Self { headers: Vec::new(), chunked: false, length: None, keep_alive: minor == 1, upgrade: None };
        let mut listed = Vec::new();
        let mut upgrade = None;
        for entry in all {
            let text = String::from_utf8_lossy(entry.value);
            match entry.name.to_ascii_lowercase().as_str() {
                "connection" => {
                    for token in text.split(',').map(|token| token.trim().to_ascii_lowercase()) {
                        match token.as_str() {
                            "close" => common.keep_alive = false,
                            "keep-alive" if minor == 0 => common.keep_alive = true,
                            _ => listed.push(token),
                        }
                    }
                }
                "transfer-encoding" => {
                    if common.chunked || !text.trim().eq_ignore_ascii_case("chunked") {
                        return Err(Refusal::Status(501, "a Transfer-Encoding other than chunked"));
                    }
                    common.chunked = true;
                }
                "content-length" => {
                    let digits = text.trim();
                    let length = Some(digits)
                        .filter(|digits| {
                            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
                        })
                        .and_then(|digits| digits.parse().ok())
                        .ok_or(Refusal::Status(400, "Content-Length is not a number"))?;
                    if common.length.is_some_and(|known| known != length) {
                        return Err(Refusal::Status(400, "two values of Content-Length"));
                    }
                    common.length = Some(length);
                }
                "upgrade" => upgrade = Some(entry.value.to_vec()),
                "keep-alive" | "proxy-connection" | "te" => {}
                _ => common.headers.push((entry.name.to_owned(), entry.value.to_vec())),
            }
        }
        common.headers.retain(|(name, _)| !listed.iter().any(|token| token.eq_ignore_ascii_case(name)));
        common.upgrade = upgrade.filter(|_| listed.iter().any(|token| token == "upgrade"));
        Ok(common)
    }
}

/// The `Content-Length` of a response's bytes, wanted even where no body follows.
pub(super) fn declared_length(bytes: &[u8]) -> Option<u64> {
    let mut space = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut space);
    response.parse(bytes).ok()?;
    let entry = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    std::str::from_utf8(entry.value).ok()?.trim().parse().ok()
}

fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn frame(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => header(out, "Content-Length", length.to_string().as_bytes()),
        Framing::Chunked => header(out, "Transfer-Encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
}
