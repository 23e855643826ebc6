//! Whether the process lives, and whether it may be given work: `/healthz`, `/readyz` and gRPC's health service.
//!
//! Alive is who answers at all. Ready is who can do now what it is asked: every check holds within a second, and
//! the process has not been asked to stop.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::metrics;

/// How long a check may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often gRPC's health service and the metric are brought up to date.
const EVERY: Duration = Duration::from_secs(1);

type Look = dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync;

/// What has to hold for a process to be ready. Clones are the same.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    draining: CancellationToken,
    checks: Mutex<Vec<(&'static str, Arc<Look>)>>,
    ready: AtomicBool,
}

/// How the checks stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The process has been asked to stop.
    pub draining: bool,
    /// Each check by its name, with what is wrong if something is.
    pub checks: Vec<(&'static str, Result<(), String>)>,
}

impl Health {
    /// Ready as long as `draining` is not cancelled; checks are added with [`Health::check`].
    #[must_use]
    pub fn new(draining: CancellationToken) -> Self {
        let inner = Arc::new(Inner { draining, checks: Mutex::default(), ready: AtomicBool::new(false) });
        let weak = Arc::downgrade(&inner);
        metrics::READY.observe(move |seen| {
            seen.value(f64::from(u8::from(weak.upgrade()?.ready.load(Ordering::Relaxed))), &[]);
            Some(())
        });
        Self(inner)
    }

    /// Adds a check. It answers what is wrong, for people; one that takes longer than a second has failed.
    pub fn check<F>(&self, name: &'static str, look: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.lock().push((name, Arc::new(move || Box::pin(look()))));
    }

    /// Makes all checks, side by side.
    pub async fn look(&self) -> Report {
        let checks = self.lock().clone();
        let mut looking = JoinSet::new();
        for (index, (name, look)) in checks.into_iter().enumerate() {
            looking.spawn(async move {
                let held = timeout(PATIENCE, look()).await;
                (index, name, held.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}"))))
            });
        }
        let mut checks = Vec::with_capacity(looking.len());
        while let Some(looked) = looking.join_next().await {
            checks.push(looked.unwrap_or((usize::MAX, "checks", Err("a check panicked".to_owned()))));
        }
        checks.sort_by_key(|(index, ..)| *index);
        let checks = checks.into_iter().map(|(_, name, held)| (name, held)).collect();
        let report = Report { draining: self.0.draining.is_cancelled(), checks };
        self.0.ready.store(report.ready(), Ordering::Relaxed);
        report
    }

    /// `/healthz` and `/readyz`.
    pub(crate) fn router(&self) -> Router {
        let health = self.clone();
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(move || async move { health.look().await.into_response() }))
    }

    /// Keeps gRPC's health service in step, until the process has stopped; at once when it begins to drain.
    pub(crate) async fn tell(
        self,
        reporter: HealthReporter,
        names: Vec<&'static str>,
        stopping: CancellationToken,
    ) {
        loop {
            let ready = self.look().await.ready();
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            // The empty name is the whole process.
            for name in names.iter().copied().chain([""]) {
                reporter.set_service_status(name, status).await;
            }
            let draining = self.0.draining.is_cancelled();
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.0.draining.cancelled(), if !draining => {}
                () = stopping.cancelled(), if draining => return,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Arc<Look>)>> {
        // The list is whole after every change of it.
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    /// Whether the process may be given work.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.draining && self.checks.iter().all(|(_, held)| held.is_ok())
    }
}

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        let status = if self.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let checks: Map<String, Value> = self
            .checks
            .iter()
            .map(|(name, held)| {
                let said = match held {
                    Ok(()) => json!({ "ok": true }),
                    Err(reason) => json!({ "ok": false, "reason": reason }),
                };
                ((*name).to_owned(), said)
            })
            .collect();
        let body = json!({ "ready": self.ready(), "draining": self.draining, "checks": checks });
        (status, Json(body)).into_response()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.lock().iter().map(|(name, _)| *name).collect();
        f.debug_struct("Health").field("checks", &names).finish_non_exhaustive()
    }
}
