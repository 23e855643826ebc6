//! Tokens: made once, kept as a hash, counted at once and no more once they are revoked.

use shipway_contracts::{
    Channel,
    v1::{
        CreateTokenReply, CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, WhoAmIReply,
        WhoAmIRequest, tokens_client::TokensClient,
    },
};
use tonic::{Code, Request, Status};

use crate::support::{Lab, command};

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let header = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", header);
    }
    request
}

fn tokens(lab: &Lab) -> TokensClient<Channel> {
    TokensClient::new(Channel::local(lab.service().tokens_server()))
}

async fn create(lab: &Lab, by: &str, name: &str, roles: &[&str]) -> Result<CreateTokenReply, Status> {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let request = CreateTokenRequest { command: command(), name: name.to_owned(), roles };
    tokens(lab).create_token(with(by, request)).await.map(tonic::Response::into_inner)
}

async fn revoke(lab: &Lab, by: &str, token: &str) -> Result<(), Status> {
    let request = RevokeTokenRequest { command: command(), token: token.to_owned() };
    tokens(lab).revoke_token(with(by, request)).await.map(drop)
}

async fn who(lab: &Lab, token: &str) -> Result<WhoAmIReply, Status> {
    tokens(lab).who_am_i(with(token, WhoAmIRequest {})).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_token_is_shown_once_and_proves_a_name_until_it_is_revoked() {
    let lab = Lab::new().await;
    let request =
        CreateTokenRequest { command: command(), name: "bo".to_owned(), roles: vec!["lead".to_owned()] };
    let made = tokens(&lab).create_token(request.clone()).await.unwrap().into_inner();
    assert!(made.open && made.value.starts_with("shipway_") && made.value.len() == 72, "{made:?}");
    let again = tokens(&lab).create_token(request).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    assert!(again.message().contains("only once"), "{again}");

    let bo = who(&lab, &made.value).await.unwrap();
    assert_eq!((bo.name.as_str(), bo.roles, bo.proven), ("bo", vec!["lead".to_owned()], true));
    let nobody = who(&lab, "").await.unwrap();
    assert_eq!((nobody.name.as_str(), nobody.proven), ("local", false));
    assert_eq!(who(&lab, "shipway_00").await.unwrap_err().code(), Code::Unauthenticated);

    // Only its hash is in the log, and its name is who did it.
    create(&lab, &made.value, "cy", &[]).await.unwrap();
    let events = lab.events().await;
    assert!(!events.iter().any(|event| event.data.contains(&made.value[8..])));
    let by: Vec<_> = events.iter().map(|event| event.meta.actor.name()).collect();
    assert_eq!(by, ["local", "bo"]);

    let listed = tokens(&lab).list_tokens(ListTokensRequest {}).await.unwrap().into_inner();
    let names: Vec<_> = listed.tokens.iter().map(|token| (&*token.name, &*token.created_by)).collect();
    assert_eq!(names, [("bo", "local"), ("cy", "bo")]);
    revoke(&lab, &made.value, "bo").await.unwrap();
    assert_eq!(who(&lab, &made.value).await.unwrap_err().code(), Code::Unauthenticated);
    let wrong = lab.projects().list_projects(with(&made.value, Default::default())).await;
    assert!(wrong.is_ok(), "who only looks need not be known");
}

#[tokio::test]
async fn administrators_alone_make_tokens_once_there_is_one() {
    let lab = Lab::new().await;
    let second = lab.second().await;
    let ana = create(&lab, "", "ana", &["admin"]).await.unwrap();
    assert!(!ana.open);
    let refused = create(&lab, "", "bo", &["admin"]).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let bo = create(&lab, &ana.value, "bo", &["approver"]).await.unwrap();
    // Another process knows it at once, and that it is no administrator's.
    let mut there = TokensClient::new(Channel::local(second.tokens_server()));
    let request = CreateTokenRequest { command: command(), name: "cy".to_owned(), roles: Vec::new() };
    let refused = there.create_token(with(&bo.value, request.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    there.create_token(with(&ana.value, request)).await.unwrap();
    revoke(&lab, &ana.value, "bo").await.unwrap();
    let revoked = there.who_am_i(with(&bo.value, WhoAmIRequest {})).await.unwrap_err();
    assert_eq!(revoked.code(), Code::Unauthenticated);
    assert_eq!(revoke(&lab, &ana.value, "ana").await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn what_is_changed_with_a_token_is_changed_by_its_holder() {
    let lab = Lab::new().await;
    let bo = create(&lab, "", "bo", &[]).await.unwrap();
    let apply = |token: &str| with(token, crate::support::request(&[("shop.yaml", crate::support::SHOP)]));
    let refused = lab.projects().apply(apply("shipway_0")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "a mistake is not taken for nobody");
    lab.projects().apply(apply(&bo.value)).await.unwrap();
    let last = lab.events().await.pop().unwrap();
    assert_eq!(last.meta.actor.name(), "bo");
}
