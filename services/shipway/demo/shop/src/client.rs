//! Asks another shop over HTTP.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use serde_json::Value;

use crate::Error;

/// One request on a connection of its own: the status and the JSON that came back.
pub fn ask(base: &str, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), Error> {
    let place = base.strip_prefix("http://").ok_or("the address has to begin with http://")?;
    let place = place.split('/').next().unwrap_or(place);
    let with_port = if place.contains(':') { place.to_owned() } else { format!("{place}:80") };
    let address = with_port.to_socket_addrs()?.next().ok_or("the address has no host")?;
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let text = body.map(Value::to_string).unwrap_or_default();
    let length = text.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {place}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begin) = head.parse(&answer)? else {
        return Err("the answer ended early".into());
    };
    let value = serde_json::from_slice(&answer[begin..]).unwrap_or(Value::Null);
    Ok((head.code.unwrap_or(0), value))
}
