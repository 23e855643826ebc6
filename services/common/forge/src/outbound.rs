//! Requests to addresses that others chose: where private addresses are not allowed, only to what was checked.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Once,
};

use reqwest::{Client, Url, redirect::Policy};

/// Why nothing is sent to an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The name has no address, now.
    #[error("there is no address of {0}")]
    Unknown(String),
    /// This installation does not send there.
    #[error("{0} is a loopback or private address, and this installation does not send there")]
    Private(String),
    /// The client could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// How requests leave: no proxy of the environment, no redirect followed, and to private addresses only where that is
/// allowed.
#[derive(Clone, Debug)]
pub struct Outbound {
    http: Client,
    private_addresses: bool,
}

impl Outbound {
    /// How requests leave this process.
    ///
    /// # Errors
    /// If the HTTP client cannot be made.
    pub fn new(private_addresses: bool) -> Result<Self, reqwest::Error> {
        static CRYPTO: Once = Once::new();
        // Another part of the process may have chosen it before.
        CRYPTO.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let http = Client::builder().no_proxy().redirect(Policy::none()).build()?;
        Ok(Self { http, private_addresses })
    }

    /// A client for this address. Where private addresses are not allowed, it connects only to what was checked.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub async fn client(&self, address: &Url) -> Result<Client, AddressError> {
        if self.private_addresses {
            return Ok(self.http.clone());
        }
        let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = address.port_or_known_default().unwrap_or(443);
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let found: Vec<SocketAddr> = found.map_err(|_| AddressError::Unknown(host.clone()))?.collect();
        if found.is_empty() || found.iter().any(|found| !is_global(found.ip())) {
            return Err(AddressError::Private(host));
        }
        let client = Client::builder().no_proxy().redirect(Policy::none()).resolve_to_addrs(&host, &found);
        Ok(client.build()?)
    }
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // Only 2000::/3 is global, and in it 6to4 and Teredo carry other addresses.
            let carried = first == 0x2002 || (first == 0x2001 && v6.segments()[1] < 0x200);
            first & 0xe000 == 0x2000 && !carried
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_out_there_is_not_global() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_global(text.parse().unwrap()), "{text}");
        }
        assert!(
            is_global("93.184.216.34".parse().unwrap()) && is_global("2606:2800:220:1::1".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn private_addresses_are_refused_where_they_are_not_allowed() {
        let url: Url = "http://127.0.0.1:9/".parse().unwrap();
        let refused = Outbound::new(false).unwrap().client(&url).await.unwrap_err();
        assert!(matches!(refused, AddressError::Private(_)), "{refused}");
        assert!(Outbound::new(true).unwrap().client(&url).await.is_ok());
    }
}
