//! The body of a request: raw, whole, not too large, not too slow.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::{Ingress, reply::Refusal};
use crate::limits::{Held, OpenOne};

/// How long a sender may take for its whole body.
const BODY_TIME: Duration = Duration::from_secs(15);

/// After so long a body has to come at a rate.
const GRACE: Duration = Duration::from_secs(2);

/// The rate, in bytes a second.
const SLOWEST: f64 = 16.0 * 1024.0;

/// The largest piece of a body that is taken as room before it has come.
const AHEAD: usize = 64 * 1024;

/// A body with what it takes: room, and a place among its source's open deliveries.
struct Whole {
    bytes: Bytes,
    _room: Held,
    _open: Option<OpenOne>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Ingress {
    /// The headers and the whole body, if it is not too large, not compressed and comes in time.
    pub(super) async fn body(&self, request: Request<Body>) -> Result<(HeaderMap, Bytes), Refusal> {
        let start = Instant::now();
        let headers = request.headers();
        // What a few bytes unpack to is nobody's to decide but the sender's.
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Refusal::media("send the body without Content-Encoding"));
        }
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.max_body as u64) {
            return Err(Refusal::too_large(self.max_body));
        }
        let open = match self.source(&request) {
            Some(source) => Some(self.open.one(source).ok_or_else(Refusal::many_open)?),
            None => None,
        };
        let mut room = self.memory.none();
        let ahead = usize::try_from(announced.unwrap_or(0)).unwrap_or(AHEAD).min(AHEAD);
        let mut whole = BytesMut::with_capacity(ahead);
        let (head, mut body) = request.into_parts();
        loop {
            let deadline = start + patience(whole.len());
            let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
                Err(_) => return Err(Refusal::slow()),
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(Refusal::bad("the body ended before its time")),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > self.max_body {
                return Err(Refusal::too_large(self.max_body));
            }
            if !room.more(data.len()) {
                return Err(Refusal::full());
            }
            whole.extend_from_slice(&data);
        }
        let whole = Bytes::from_owner(Whole { bytes: whole.freeze(), _room: room, _open: open });
        Ok((head.headers, whole))
    }

    /// Who sends: the other end of the connection, or whom a proxy that is trusted names.
    fn source(&self, request: &Request<Body>) -> Option<IpAddr> {
        let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
        let trusted = |address: &IpAddr| {
            let address = address.to_canonical();
            self.proxies.iter().any(|proxies| proxies.contains(&address))
        };
        let peer = peer.ip();
        if !trusted(&peer) {
            return Some(peer);
        }
        // Each proxy adds whom it was asked by to the end; what stands before the last stranger is the stranger's word.
        let named =
            request.headers().get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let mut named: Vec<_> = named.flat_map(|value| value.split(',')).map(str::trim).collect();
        named.reverse();
        named.into_iter().map_while(|name| name.parse().ok()).find(|address| !trusted(address))
    }
}

/// How long after its beginning a body with so many bytes may take for the next ones.
fn patience(bytes: usize) -> Duration {
    (GRACE + Duration::from_secs_f64(bytes as f64 / SLOWEST)).min(BODY_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_a_moment_then_a_rate_then_an_end() {
        assert_eq!(patience(0), GRACE);
        assert_eq!(patience(16 * 1024), GRACE + Duration::from_secs(1));
        assert_eq!(patience(160 * 1024), GRACE + Duration::from_secs(10));
        assert_eq!(patience(25 << 20), BODY_TIME);
    }
}
