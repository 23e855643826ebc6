//! The HTTP front: what a browser and a probe find at Shipway's address.

mod page;
mod settings;

pub use settings::Settings;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use shipway_contracts::{
    Channel,
    v1::{GetStateRequest, ListRunsRequest, Page, runs_client::RunsClient},
};

/// What the front needs.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The way to the scheduler's runs.
    pub runs: Channel,
    /// Shipway's version, for people.
    pub version: &'static str,
}

/// The routes: `/` for people, `/healthz` and `/readyz` for probes.
pub fn router(deps: Deps) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::new(deps))
}

/// Ready is who can answer what runs where: the log, the views and the executor are all in that answer.
async fn ready(State(deps): State<Arc<Deps>>) -> Response {
    let mut runs = RunsClient::new(deps.runs.clone());
    match runs.get_state(GetStateRequest::default()).await {
        Ok(state) => Json(json!({"ready": true, "position": state.into_inner().position})).into_response(),
        Err(status) => {
            let body = Json(json!({"ready": false, "reason": status.message()}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn home(State(deps): State<Arc<Deps>>) -> Response {
    let mut runs = RunsClient::new(deps.runs.clone());
    let state = runs.get_state(GetStateRequest::default()).await;
    let list = runs
        .list_runs(ListRunsRequest {
            page: Some(Page { limit: 20, ..Page::default() }),
            ..ListRunsRequest::default()
        })
        .await;
    match (state, list) {
        (Ok(state), Ok(list)) => {
            Html(page::render(deps.version, &state.into_inner().deployed, &list.into_inner().runs))
                .into_response()
        }
        (Err(status), _) | (_, Err(status)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("Shipway is starting: {}\n", status.message()))
                .into_response()
        }
    }
}
