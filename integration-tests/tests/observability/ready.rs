//! `/readyz` of real processes while what they need is away: it says which check fails, and they live on.

use std::time::Duration;

use serde_json::Value;
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::{PATIENCE, http},
};

/// The check of each service that fails without the database: executors and the console ask schedulers.
const WITHOUT_DATABASE: [(&str, &str); 5] = [
    ("pipelines-1", "log"),
    ("triggers-1", "log"),
    ("scheduler-1", "log"),
    ("executor-1", "scheduler"),
    ("console-1", "scheduler"),
];

/// What `/readyz` of a process says: the status, and the body.
async fn readiness(cluster: &mut Cluster, name: &str) -> (u16, Value) {
    let url = format!("http://{}/readyz", cluster.process(name).address());
    let answer = http().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Waits until a process says that it is not ready because of that check, and why.
async fn fails(cluster: &mut Cluster, name: &str, check: &str) -> String {
    let said = async {
        loop {
            let (status, said) = readiness(cluster, name).await;
            if status == 503 && said["checks"][check]["ok"] == false {
                assert_eq!((&said["ready"], &said["draining"]), (&false.into(), &false.into()), "{said:#}");
                return said["checks"][check]["reason"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("{name} never says that `{check}` fails"))
}

/// A process lives, and comes to say in its metrics whether it is ready. Connections that the database has cut may make it
/// look once more before it stays so.
async fn lives(cluster: &mut Cluster, name: &str, ready: u8) {
    let url = format!("http://{}", cluster.process(name).address());
    let alive = http().get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!(alive.status(), 200, "{name} is alive");
    let line = format!("\nshipway_ready {ready}\n");
    let said = async {
        while !http()
            .get(format!("{url}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains(&line)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("{name} never says in its metrics that `shipway_ready` is {ready}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_work_says_why_and_is_ready_again_by_itself() {
    let mut cluster = Cluster::start("ready", Shape { services: [1; 5], ..Shape::default() }).unwrap();
    for name in cluster.services() {
        assert_eq!(readiness(&mut cluster, &name).await.0, 200);
        lives(&mut cluster, &name, 1).await;
    }

    cluster.postgres().stop().unwrap();
    for (name, check) in WITHOUT_DATABASE {
        let reason = fails(&mut cluster, name, check).await;
        assert!(!reason.is_empty());
        lives(&mut cluster, name, 0).await;
    }
    cluster.postgres().start_again().unwrap();
    for name in cluster.services() {
        cluster.process(&name).wait_ready().unwrap();
        assert!(cluster.process(&name).runs(), "{name} was not started again");
        lives(&mut cluster, &name, 1).await;
    }

    // Nobody is there with whom it could renew its lease.
    cluster.process("scheduler-1").kill().unwrap();
    let reason = fails(&mut cluster, "executor-1", "scheduler").await;
    assert!(reason.contains("lease"), "{reason}");
    lives(&mut cluster, "executor-1", 0).await;
    for name in ["pipelines-1", "triggers-1"] {
        assert_eq!(readiness(&mut cluster, name).await.0, 200, "{name} needs no scheduler");
    }
    cluster.process("scheduler-1").start().unwrap();
    for name in cluster.services() {
        cluster.process(&name).wait_ready().unwrap();
    }
}
