//! The port: the one asked for, or the next free one.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use tokio::net::TcpListener;

/// How many ports after a taken one are tried.
const TRIES: u16 = 100;

/// Listens on `port`, or on the next free one after it; 0 takes any. Tells which port was taken.
pub(crate) async fn listen(address: IpAddr, port: u16) -> anyhow::Result<(TcpListener, Option<u16>)> {
    for next in 0..TRIES {
        let Some(candidate) = port.checked_add(next) else { break };
        match TcpListener::bind(SocketAddr::new(address, candidate)).await {
            Ok(listener) => return Ok((listener, (next > 0).then_some(port))),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("listening on {address}:{candidate}")),
        }
    }
    bail!(
        "no free port on {address} from {port} to {}; name another with --port",
        port.saturating_add(TRIES - 1)
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_leads_to_the_next_free_one() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (first, taken) = listen(address, 0).await.unwrap();
        assert_eq!(taken, None);
        let port = first.local_addr().unwrap().port();
        let (second, taken) = listen(address, port).await.unwrap();
        assert_eq!(taken, Some(port));
        assert!(second.local_addr().unwrap().port() > port);
    }
}
