//! The HTTP front: what a browser and a probe finds at Shipway's address.

mod page;
mod settings;

pub use settings::Settings;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
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

/// The routes: `/` for people.
pub fn router(deps: Deps) -> Router {
    Router::new().route("/", get(home)).with_state(Arc::new(deps))
}

/// Whether the scheduler answers: without it there is nothing to show.
///
/// # Errors
/// Why it does not, for people.
pub async fn answers(runs: Channel) -> Result<(), String> {
    let page = Some(Page { limit: 1, ..Page::default() });
    let request = ListRunsRequest { page, ..ListRunsRequest::default() };
    match RunsClient::new(runs).list_runs(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(format!("the scheduler does not answer: {}", status.message())),
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
