//! Several instances of the service on one log, and several callers at once.

use futures::future::join_all;
use serde_json::Value;
use shipway_contracts::{
    Channel,
    v1::{
        FlowForRunRequest, SetOverrideRequest, project_home_client::ProjectHomeClient,
        projects_client::ProjectsClient,
    },
};
use tonic::Code;

use crate::support::{Lab, SHOP, command};

fn wish(argument: String, value: &str) -> SetOverrideRequest {
    SetOverrideRequest {
        command: command(),
        project: "shop".into(),
        flow: "shop/development".into(),
        argument,
        value: value.into(),
        plain: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_knows_what_another_one_did_once_it_is_asked_for_that_position() {
    let lab = Lab::new().await;
    let second = lab.second().await;
    let position = lab.applied(SHOP).await.position;
    let mut home = ProjectHomeClient::new(Channel::local(second.project_home_server()));
    let asked =
        FlowForRunRequest { flow: "shop/staging".into(), at_least: position, ..FlowForRunRequest::default() };
    let there = home.flow_for_run(asked).await.unwrap().into_inner();
    assert_eq!(there, lab.flow("shop/staging").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_moment_all_count_wherever_they_are_made() {
    let lab = Lab::new().await;
    let second = lab.second().await;
    lab.applied(SHOP).await;
    let mut there = ProjectsClient::new(Channel::local(second.projects_server()));
    let seen = there.set_override(wish("FIRST".into(), "the first value")).await;
    if let Err(status) = seen {
        assert_eq!(status.code(), Code::NotFound, "the feed may still be behind");
    }
    let changes = (0..20).map(|n| {
        let mut client = if n % 2 == 0 { lab.projects() } else { there.clone() };
        async move {
            let asked = wish(format!("ARGUMENT_{n}"), "a secret value");
            // An instance that has not seen the project yet says so, and is asked again.
            loop {
                match client.set_override(asked.clone()).await {
                    Ok(reply) => return reply.into_inner().position,
                    Err(status) if status.code() == Code::NotFound => tokio::task::yield_now().await,
                    Err(status) => panic!("{status:?}"),
                }
            }
        }
    });
    let mut positions = join_all(changes).await;
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 20);
    let newest = positions.last().copied().unwrap_or_default();
    let asked = FlowForRunRequest {
        flow: "shop/development".into(),
        at_least: newest,
        ..FlowForRunRequest::default()
    };
    let flow = lab.home().flow_for_run(asked).await.unwrap().into_inner();
    let overrides: Value = serde_json::from_str(&flow.overrides_json).unwrap();
    let set = overrides.as_object().unwrap().keys().filter(|name| name.starts_with("ARGUMENT_")).count();
    assert_eq!(set, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_command_at_the_same_moment_is_carried_out_once() {
    let lab = Lab::new().await;
    let asked = crate::support::request(&[("shop.yaml", SHOP)]);
    let replies = join_all((0..6).map(|_| lab.send(asked.clone()))).await;
    assert!(replies.iter().all(|reply| *reply == replies[0] && reply.position > 0));
    assert_eq!(lab.head().await, replies[0].position);
}
