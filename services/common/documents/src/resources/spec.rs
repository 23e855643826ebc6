//! Reads parts of a resource's spec that more than one place needs.

use serde_json::Value;

/// A port of a service, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name; `p01` for the first without one.
    pub name: String,
    /// The port that the reference's containers listen on; here it names the port in health checks.
    pub internal: u16,
    /// Whether it is reachable from outside the project.
    pub public: bool,
    /// What is spoken on it.
    pub protocol: Protocol,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, proxied request by request.
    Http,
    /// HTTP/2 or anything else over TCP, proxied as bytes.
    Tcp,
    /// Not run by this version.
    Udp,
}

/// The ports of a service's `spec`, in order.
#[must_use]
pub fn ports(spec: &Value) -> Vec<Port> {
    let list = spec.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let port = |(n, port): (usize, &Value)| Port {
        name: port
            .get("name")
            .and_then(Value::as_str)
            .map_or_else(|| format!("p{:02}", n + 1), str::to_owned),
        internal: port
            .get("internalPort")
            .and_then(Value::as_u64)
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or_default(),
        public: port.get("public").and_then(Value::as_bool).unwrap_or_default(),
        protocol: match port.get("protocol").and_then(Value::as_str) {
            None | Some("HTTP") => Protocol::Http,
            Some("UDP") => Protocol::Udp,
            Some(_) => Protocol::Tcp,
        },
    };
    list.iter().enumerate().map(port).collect()
}
