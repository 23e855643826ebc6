//! `shipway.v1.Tokens`.

use std::sync::Arc;

use rand::Rng;
use shipway_contracts::{
    Code, Error,
    v1::{
        self, CreateTokenReply, CreateTokenRequest, ListTokensReply, ListTokensRequest, RevokeTokenReply,
        RevokeTokenRequest, WhoAmIReply, WhoAmIRequest, tokens_server::Tokens,
    },
};
use shipway_events::{
    Cause, CommandId, Meta, TokenId,
    roster::{self, Token},
};
use shipway_service_kit::Credentials;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::unproven;
use crate::{
    change::{Done, Shared, busy, world_error},
    domain::{TokenCommand, TokenRefusal, decide_token, named_token},
    world::Projects,
};

/// How often a command is decided again after somebody else changed the list of projects, accounts or tokens.
const TRIES: usize = 20;

/// What every token begins with, so that whoever searches for secrets in files finds it.
const PREFIX: &str = "shipway_";

/// `shipway.v1.Tokens`.
#[derive(Clone)]
pub struct TokensApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Tokens for TokensApi {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenReply>, Status> {
        let brought = Credentials::of(request.metadata());
        let CreateTokenRequest { command, name, roles } = request.into_inner();
        let (id, value) = (TokenId::new(Uuid::now_v7()), new_value());
        let wish = TokenCommand::Create { id, name: name.clone(), roles, hash: roster::hash(&value) };
        let done = self.shared.change_token(&command, &brought, &wish).await?;
        let projects = self.shared.world.now();
        let token = named_token(&projects.roster, &name).map_err(refused)?;
        if token.id != id {
            // The command came before, and its token is kept nowhere.
            let message = format!(
                "the token of `{name}` was made by this command before, and is answered only once; revoke it and make \
                 another"
            );
            return Err(Error::new(Code::AlreadyExists, message).into());
        }
        let (value, position, open) = (value.to_string(), done.position, projects.roster.is_open());
        Ok(Response::new(CreateTokenReply { token: Some(shown(token)), value, position, open }))
    }

    async fn list_tokens(
        &self,
        _request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensReply>, Status> {
        let roster = self.shared.people.roster().await.map_err(|why| unproven(&why))?;
        let tokens = roster.tokens().map(shown).collect();
        Ok(Response::new(ListTokensReply { tokens, open: roster.is_open() }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenReply>, Status> {
        let brought = Credentials::of(request.metadata());
        let RevokeTokenRequest { command, token } = request.into_inner();
        let before = named_token(&self.shared.world.now().roster, &token).ok().map(shown);
        let wish = TokenCommand::Revoke { token };
        let done = self.shared.change_token(&command, &brought, &wish).await?;
        Ok(Response::new(RevokeTokenReply { token: before, position: done.position }))
    }

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIReply>, Status> {
        let brought = Credentials::of(request.metadata());
        let asker = self.shared.people.asker(brought.token(), brought.says()).await;
        let asker = asker.map_err(|why| unproven(&why))?;
        let (name, proven) = (asker.actor.name().to_owned(), brought.token().is_some());
        Ok(Response::new(WhoAmIReply { name, roles: asker.roles, proven }))
    }
}

impl Shared {
    /// Carries out a command to the tokens. Whether its caller may is decided on the same tokens that it changes.
    async fn change_token(
        &self,
        command: &str,
        brought: &Credentials,
        wish: &TokenCommand,
    ) -> Result<Done, Error> {
        let command: CommandId = shipway_contracts::id("command", command)?;
        let _turn = self.turn.lock().await;
        if let Some(done) = self.replay(command).await? {
            return Ok(done);
        }
        for _ in 0..TRIES {
            let projects = self.world.refresh_some(&[]).await.map_err(world_error)?;
            let (mut done, meta) = decided(&projects, brought, wish)?;
            if self.append(command, &meta, &mut done).await? {
                return Ok(done);
            }
        }
        Err(busy())
    }
}

fn decided(projects: &Projects, brought: &Credentials, wish: &TokenCommand) -> Result<(Done, Meta), Error> {
    let asker = projects.roster.asker(brought.token(), brought.says());
    let asker = asker.map_err(|unknown| Error::new(Code::Unauthenticated, unknown.to_string()))?;
    let event = decide_token(&projects.roster, &asker, wish).map_err(refused)?;
    let trace = shipway_service_kit::current_trace();
    let meta = Meta { actor: asker.actor, cause: Cause::Request, trace };
    Ok((Done { org_version: projects.version, accounts: vec![event], ..Done::default() }, meta))
}

/// A refusal with its code.
fn refused(refusal: TokenRefusal) -> Error {
    let code = match &refusal {
        TokenRefusal::Missing { .. } => Code::NotFound,
        TokenRefusal::Taken(_) => Code::AlreadyExists,
        TokenRefusal::NotAdmin { .. } => Code::PermissionDenied,
        TokenRefusal::LastAdmin(_) => Code::FailedPrecondition,
        TokenRefusal::Name(_) | TokenRefusal::Nobody(_) | TokenRefusal::Roles | TokenRefusal::Both(_) => {
            Code::BadRequest
        }
    };
    Error::new(code, refusal.to_string())
}

/// A new token: 256 bits by chance.
fn new_value() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::rng().fill_bytes(&mut *bytes);
    let mut value = Zeroizing::new(String::with_capacity(PREFIX.len() + 64));
    value.push_str(PREFIX);
    for byte in bytes.iter() {
        value.push_str(&format!("{byte:02x}"));
    }
    value
}

/// A token for people, without itself and without its hash.
fn shown(token: &Token) -> v1::Token {
    v1::Token {
        id: token.id.to_string(),
        name: token.name.clone(),
        roles: token.roles.clone(),
        created_at: token.made_at.to_string(),
        created_by: token.made_by.clone(),
    }
}
