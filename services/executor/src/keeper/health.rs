//! One try of one health check.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::protocol::{Check, Probe};
use crate::{os::children::Children, sandbox::Sandbox};

/// Where and how the programs of checks run.
pub(super) struct Place<'a> {
    pub(super) children: &'a Children,
    pub(super) sandbox: &'a Sandbox,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) ports: &'a BTreeMap<String, u16>,
}

/// Tries it; the error says what was seen, in words.
pub(super) fn try_once(check: &Check, place: &Place<'_>) -> Result<(), String> {
    let timeout = Duration::from_millis(check.timeout_ms.max(1));
    match &check.probe {
        Probe::Http { port, path } => {
            let address = address(place, port)?;
            http(address, path, timeout).map_err(|seen| format!("GET {path} on its port `{port}` {seen}"))
        }
        Probe::Tcp { port } => {
            let address = address(place, port)?;
            let connected = TcpStream::connect_timeout(&address, timeout);
            connected.map(drop).map_err(|error| format!("its port `{port}` {}", refusal(&error, timeout)))
        }
        Probe::Program { words } => program(words, place, timeout),
    }
}

fn address(place: &Place<'_>, port: &str) -> Result<SocketAddr, String> {
    let found = place.ports.get(port).ok_or_else(|| format!("there is no port named `{port}`"))?;
    Ok((Ipv4Addr::LOCALHOST, *found).into())
}

fn refusal(error: &io::Error, timeout: Duration) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused the connection".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("did not answer within {} ms", timeout.as_millis())
        }
        _ => format!("failed: {error}"),
    }
}

fn http(address: SocketAddr, path: &str, timeout: Duration) -> Result<(), String> {
    let until = Instant::now() + timeout;
    let ask = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_write_timeout(Some(timeout))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: shipway-health\r\nconnection: close\r\n\r\n"
        )?;
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        while head.len() < 4096 && !head.contains(&b'\n') {
            let left = until.saturating_duration_since(Instant::now());
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match stream.read(&mut buffer)? {
                0 => break,
                count => head.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(head)
    };
    let head = ask().map_err(|error| refusal(&error, timeout))?;
    let line = String::from_utf8_lossy(&head);
    let status: Option<u16> = line.split(' ').nth(1).and_then(|status| status.trim().get(..3)?.parse().ok());
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("answered {status}")),
        None if head.is_empty() => Err("closed the connection without an answer".to_owned()),
        None => Err("answered something that is not HTTP".to_owned()),
    }
}

fn program(words: &[String], place: &Place<'_>, timeout: Duration) -> Result<(), String> {
    let mut command = place.sandbox.command(words, place.environment);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let pid = place.children.spawn(&mut command).map_err(|error| format!("`{}`: {error}", words[0]))?;
    let end = place.children.wait(pid, timeout).unwrap_or_else(|| {
        place.children.signal(pid, Signal::KILL);
        place
            .children
            .wait(pid, Duration::from_secs(5))
            .unwrap_or(crate::os::children::Exit { code: None, signal: Some(9) })
    });
    place.children.forget(pid);
    if end.is_success() { Ok(()) } else { Err(format!("`{}` {end}", words[0])) }
}
