//! One port: gRPC with reflection and health, and HTTP beside it, with `/healthz`, `/readyz` and `/metrics`.

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::{Guard, Health, connections, metrics, requests};

/// What Prometheus calls its text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Gathers what a process serves, then serves it.
#[derive(Debug)]
pub struct Server {
    grpc: RoutesBuilder,
    http: Router,
    reporter: HealthReporter,
    health: Health,
    names: Vec<&'static str>,
    guard: Option<Guard>,
}

/// Why the port could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The reflection service did not take the descriptors.
    #[error("preparing gRPC reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
}

impl Server {
    /// A server with health and metrics and nothing else; ready until it is told otherwise.
    #[must_use]
    pub fn new() -> Self {
        let (reporter, service) = tonic_health::server::health_reporter();
        let mut grpc = Routes::builder();
        grpc.add_service(service);
        let health = Health::new(CancellationToken::new());
        Self { grpc, http: Router::new(), reporter, health, names: Vec::new(), guard: None }
    }

    /// Says by these checks whether it is ready.
    #[must_use]
    pub fn health(self, health: Health) -> Self {
        Self { health, ..self }
    }

    /// Counts its connections: strangers reach it.
    #[must_use]
    pub fn guard(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// Adds a gRPC service.
    #[must_use]
    pub fn grpc<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Error = std::convert::Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.grpc.add_service(service);
        self
    }

    /// Adds HTTP routes.
    #[must_use]
    pub fn http(mut self, router: Router) -> Self {
        self.http = self.http.merge(router);
        self
    }

    /// Serves until `stopping`, then lets open requests finish.
    ///
    /// # Errors
    /// If the descriptors are broken.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        stopping: CancellationToken,
    ) -> Result<(), ServeError> {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(shipway_contracts::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(ServeError::Reflection)?;
        self.grpc.add_service(reflection);
        tokio::spawn(self.health.clone().tell(self.reporter, self.names, stopping.clone()));
        let app = self
            .http
            .merge(self.health.router())
            .route("/metrics", get(|| async { ([(CONTENT_TYPE, TEXT)], metrics::text()) }))
            .merge(self.grpc.routes().into_axum_router())
            .layer(axum::middleware::from_fn(requests::measured));
        connections::serve(listener, app, self.guard, stopping).await;
        Ok(())
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}
