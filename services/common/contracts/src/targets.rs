//! A way over the network to a service that answers at several addresses, which come and go.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tonic::{Code, body::Body, transport::Endpoint};
use tower::{Service, ServiceExt};

use crate::Channel;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// A peer that says nothing on an open connection for so long is asked whether it is there…
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// … and is taken for gone if it does not answer for so long.
const ANSWER: Duration = Duration::from_secs(3);

/// The addresses behind a [`Channel`]. Clones are the same addresses.
///
/// A call goes to the address that answered the last one of the same gRPC service. After one that could not be
/// reached, that is going away or that does not serve the service, the next call goes to the next address: whoever
/// repeats a call that was `unavailable` gets to all of them.
#[derive(Clone, Default)]
pub struct Targets(Arc<RwLock<Inner>>);

#[derive(Default)]
struct Inner {
    addresses: Vec<(String, tonic::transport::Channel)>,
    /// By gRPC service, the address that is asked first.
    first: HashMap<String, usize>,
}

/// An address that no service can be reached at.
#[derive(Debug, thiserror::Error)]
#[error("`{address}` is no address of a service, as http://10.0.0.1:7400 would be")]
pub struct BadAddress {
    /// The address.
    address: String,
    /// Why.
    #[source]
    source: tonic::transport::Error,
}

impl Targets {
    /// These addresses, and the way to them.
    ///
    /// # Errors
    /// If one is no address.
    pub fn new(addresses: &[String]) -> Result<(Self, Channel), BadAddress> {
        let targets = Self::default();
        targets.set(addresses)?;
        let way = targets.clone();
        Ok((targets, Channel::over(way)))
    }

    /// Replaces the addresses; connections to those that stay go on.
    ///
    /// # Errors
    /// If one is no address; nothing is changed then.
    pub fn set(&self, addresses: &[String]) -> Result<(), BadAddress> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let same = inner.addresses.iter().map(|(address, _)| address).eq(addresses);
        if same {
            return Ok(());
        }
        let mut next = Vec::with_capacity(addresses.len());
        for address in addresses {
            let known = inner.addresses.iter().find(|(known, _)| known == address);
            let channel = match known {
                Some((_, channel)) => channel.clone(),
                None => connection(address)?,
            };
            next.push((address.clone(), channel));
        }
        inner.addresses = next;
        inner.first.clear();
        Ok(())
    }

    fn choose(&self, service: &str) -> Option<(usize, tonic::transport::Channel)> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let first = inner.first.get(service).copied().unwrap_or(0);
        let index = first.checked_rem(inner.addresses.len())?;
        Some((index, inner.addresses[index].1.clone()))
    }

    /// The next call to this service goes to another address.
    fn pass_on(&self, service: &str, from: usize) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.first.get(service).copied().unwrap_or(0) == from {
            let next = (from + 1).checked_rem(inner.addresses.len()).unwrap_or(0);
            inner.first.insert(service.to_owned(), next);
        }
    }
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(inner.addresses.iter().map(|(address, _)| address)).finish()
    }
}

/// A connection that is made when it is first used, and again whenever it broke.
fn connection(address: &str) -> Result<tonic::transport::Channel, BadAddress> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|source| BadAddress { address: address.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(ANSWER)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

impl Service<Request<Body>> for Targets {
    type Response = Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let targets = self.clone();
        Box::pin(async move {
            let service = request.uri().path().split('/').nth(1).unwrap_or_default().to_owned();
            let Some((index, channel)) = targets.choose(&service) else {
                return Err(
                    tonic::Status::unavailable(format!("no address of {service} is known yet")).into()
                );
            };
            match channel.oneshot(request).await {
                Ok(answer) => match refusal(&answer) {
                    None => Ok(answer.map(|body| told_whole(body, targets, service, index))),
                    Some(why) => {
                        targets.pass_on(&service, index);
                        Err(tonic::Status::unavailable(why).into())
                    }
                },
                Err(error) => {
                    targets.pass_on(&service, index);
                    Err(tonic::Status::unavailable(words(&error)).into())
                }
            }
        })
    }
}

/// An answer that breaks off in the middle says so as one that was never begun does: who gave it may have died, and
/// whoever hears of it, however far away, may ask again.
fn told_whole(body: Body, targets: Targets, service: String, index: usize) -> Body {
    Body::new(body.map_err(move |error| {
        targets.pass_on(&service, index);
        tonic::Status::unavailable(format!("the answer broke off: {}", words(&error)))
    }))
}

/// An error with its causes: a connection's own text says only that something failed.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// Whether a call failed because the other side could not be reached, or went away in the middle: repeated, it may
/// go better. A refusal that the other side has given is none.
#[must_use]
pub fn is_away(status: &tonic::Status) -> bool {
    use std::error::Error as _;
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => true,
        // These come from the connection, not from the other side, where there is a cause.
        Code::Unknown | Code::Internal => status.source().is_some(),
        _ => false,
    }
}

/// Why another address should be asked, if this one's answer says so before anything else.
fn refusal(answer: &Response<Body>) -> Option<String> {
    if !answer.status().is_success() {
        return Some(format!("the address answered {}", answer.status()));
    }
    let status = tonic::Status::from_header_map(answer.headers())?;
    match status.code() {
        Code::Unavailable => Some(status.message().to_owned()),
        Code::Unimplemented => Some("the address does not serve this; the next one is asked".to_owned()),
        _ => None,
    }
}
