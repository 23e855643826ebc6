//! How a service reaches another: over the network, or straight into it in the same process.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tonic::body::Body;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A way to a gRPC service. Generated clients take it; they do not know which way it is.
#[derive(Clone, Debug)]
pub struct Channel(BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>);

impl Channel {
    /// Over the network, to whichever of several addresses answers; each call carries the current span.
    pub(crate) fn over(targets: crate::Targets) -> Self {
        let traced = targets.map_request(|mut request: http::Request<Body>| {
            crate::trace::inject(request.headers_mut());
            request
        });
        Self(BoxCloneSyncService::new(traced))
    }

    /// Straight into a generated server in this process: no socket, the same encoding.
    pub fn local<S>(server: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(server.map_err(|never| match never {})))
    }
}

/// Where a [`Channel`] that was handed out early leads once its service has started.
#[derive(Clone, Debug)]
pub struct Door(Arc<OnceLock<Channel>>);

impl Door {
    /// Opens the way. Only the first call counts.
    pub fn open(&self, channel: Channel) {
        // Two services behind one door would be a mistake of the caller's; the first stays.
        let _ = self.0.set(channel);
    }
}

impl Channel {
    /// A way that is opened later: for two services of one process that need each other. Until then calls are
    /// answered with `unavailable`.
    #[must_use]
    pub fn later() -> (Self, Door) {
        let door = Door(Arc::default());
        let way = door.0.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let channel = way.get().cloned();
            async move {
                match channel {
                    Some(channel) => channel.oneshot(request).await,
                    None => Err(tonic::Status::unavailable("the service is starting").into()),
                }
            }
        });
        (Self(BoxCloneSyncService::new(service)), door)
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}
