//! The HTTP front: what a browser and a probe finds at Shipway's address.

mod page;
mod settings;

pub use settings::Settings;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use shipway_contracts::{
    Channel, until_answered,
    v1::{GetStateRequest, ListRunsRequest, Page, runs_client::RunsClient},
};

/// How long a page waits for a scheduler: of several, one may be going away while it is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same where somebody wants to know at once whether there is one.
const SOON: Duration = Duration::from_secs(1);

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
    match until_answered(SOON, || async { RunsClient::new(runs.clone()).list_runs(newest(1)).await }).await {
        Ok(_) => Ok(()),
        Err(status) => Err(format!("the scheduler does not answer: {}", status.message())),
    }
}

fn newest(limit: u32) -> ListRunsRequest {
    ListRunsRequest { page: Some(Page { limit, ..Page::default() }), ..ListRunsRequest::default() }
}

async fn home(State(deps): State<Arc<Deps>>) -> Response {
    let runs = || RunsClient::new(deps.runs.clone());
    let state = until_answered(PATIENCE, || async { runs().get_state(GetStateRequest::default()).await });
    let list = until_answered(PATIENCE, || async { runs().list_runs(newest(20)).await });
    match (state.await, list.await) {
        (Ok(state), Ok(list)) => {
            Html(page::render(deps.version, &state.deployed, &list.runs)).into_response()
        }
        (Err(status), _) | (_, Err(status)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("Shipway is starting: {}\n", status.message()))
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http_body_util::{BodyExt as _, Full};
    use tonic::{Status, body::Body};

    use super::*;

    /// A scheduler that goes away the first times that it is asked, and then has nothing.
    fn away(times: u32) -> Channel {
        let asked = Arc::new(AtomicU32::new(0));
        Channel::local(tower::service_fn(move |_: http::Request<Body>| {
            let answer = if asked.fetch_add(1, Ordering::Relaxed) < times {
                Status::unavailable("it goes away").into_http()
            } else {
                let mut end = http::HeaderMap::new();
                end.insert("grpc-status", 0.into());
                let empty = Full::from(&[0_u8; 5][..]).with_trailers(async { Some(Ok(end)) });
                let answer = http::Response::builder().header("content-type", "application/grpc");
                answer.body(Body::new(empty)).unwrap()
            };
            async { Ok(answer) }
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_outlives_a_scheduler_that_goes_away() {
        for (times, status) in
            [(0, StatusCode::OK), (3, StatusCode::OK), (1000, StatusCode::SERVICE_UNAVAILABLE)]
        {
            let deps = Deps { runs: away(times), version: "1" };
            assert_eq!(home(State(Arc::new(deps))).await.status(), status, "{times}");
        }
        assert_eq!(answers(away(1)).await, Ok(()));
        assert!(answers(away(1000)).await.is_err());
    }
}
