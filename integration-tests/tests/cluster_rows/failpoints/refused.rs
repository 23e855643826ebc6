//! What somebody is refused for is in the log: not what was decided a moment before in the same breath, and then not
//! written.

use serde_json::json;
use shipway_contracts::v1::{AbortRunRequest, GetRunRequest, StartRunRequest, runs_client::RunsClient};
use shipway_integration_tests::failpoints::Installation;
use tonic::Code;
use uuid::Uuid;

/// How often a scheduler tries to write what it decided before it says that it cannot.
const TRIES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_for_what_the_log_did_not_take() {
    let mut installation = Installation::one("refused").unwrap();
    let gate = json!({"kind": "Approval", "ref": "gate", "spec": {"amount": 1}, "timeoutDuration": 3600});
    let document = json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [gate]}},
    });
    let run = Uuid::now_v7().to_string();
    let mut runs = RunsClient::connect(installation.url()).await.unwrap();
    let request = StartRunRequest {
        command: run.clone(),
        document_json: document.to_string(),
        ..StartRunRequest::default()
    };
    let started = runs.start_run(request).await.unwrap().into_inner();
    assert_eq!(started.problems, []);

    // A look makes the run's task pause, so that both commands are decided together; then nothing is written.
    let pauses = (1..=4).map(|nth| format!("scheduler.decide=delay@{nth}"));
    let failures = (1..=TRIES).map(|nth| format!("scheduler.append.before=error@{nth}"));
    installation.arm("up", &pauses.chain(failures).collect::<Vec<_>>().join(";")).unwrap();
    installation.wait_ready("up").unwrap();
    let mut runs = RunsClient::connect(installation.url()).await.unwrap();
    runs.get_run(GetRunRequest { run: run.clone() }).await.unwrap();
    let client = runs.clone();
    let abort = || {
        // With an id of its own each would be decided by itself.
        let request =
            AbortRunRequest { run: run.clone(), reason: "a test".to_owned(), ..AbortRunRequest::default() };
        let mut runs = client.clone();
        async move { runs.abort_run(request).await.map(|run| run.into_inner().status).map_err(|it| it.code()) }
    };
    let (one, other) = tokio::join!(abort(), abort());
    assert_eq!((one, other), (Err(Code::Unavailable), Err(Code::Unavailable)));
    assert!(installation.has_fired("up").unwrap());

    let status = runs.get_run(GetRunRequest { run: run.clone() }).await.unwrap().into_inner().status;
    assert_eq!(status, "approval_wait", "nobody has stopped it");
    assert_eq!(abort().await, Ok("aborted".to_owned()));
    assert_eq!(abort().await, Err(Code::FailedPrecondition));
    assert_eq!(installation.ends(), 0);
}
