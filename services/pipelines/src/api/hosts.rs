//! What the API of an account's host is asked.

use shipway_contracts::{
    Code, Error,
    v1::{AccountCheck, Page, TestAccountReply},
};
use shipway_forge::{Account as Speaker, Client, ForgeError, HostKind, Outbound, Repositories};
use shipway_repository::Credential;

use crate::domain::Account;

/// Repositories on a page unless fewer are wanted.
const PAGE: u32 = 50;

/// The account as its host's API knows it.
pub(super) fn speaker(account: &Account, credential: &Credential) -> Result<Speaker, Error> {
    let none = |why: &str| {
        let name = &account.name;
        Error::new(
            Code::FailedPrecondition,
            format!("the host of the account `{name}` is not asked by its API: {why}"),
        )
    };
    let kind = HostKind::of(account.kind.word()).ok_or_else(|| none("hosts of its kind have none"))?;
    let token = credential.token().ok_or_else(|| none("an API takes a token, and this is a key of ssh"))?;
    Speaker::new(kind, &account.host, account.api.as_deref(), &account.login, token)
        .map_err(|refused| none(&refused.message))
}

fn client() -> Result<Client, Error> {
    // An account is a person's own choice: its host may well be in a private network.
    Outbound::new(true).map(Client::new).map_err(|error| Error::internal(&error))
}

/// Asks who the account is, where its host can be asked.
pub(super) async fn who(speaker: &Speaker, reply: &mut TestAccountReply) -> Result<(), Error> {
    let what = "api".to_owned();
    match client()?.who(speaker).await {
        Ok(None) => {}
        Ok(Some(who)) => {
            let said = format!("{} answers and takes the token", speaker.host());
            reply.checks.push(AccountCheck { what, ok: true, said });
            (reply.login, reply.scopes) = (who.login, who.scopes);
        }
        Err(refused) => reply.checks.push(AccountCheck { what, ok: false, said: refused.message }),
    }
    Ok(())
}

/// A page of the repositories that the account sees.
pub(super) async fn repositories(
    speaker: &Speaker,
    owner: &str,
    page: Option<&Page>,
) -> Result<Repositories, Error> {
    let (after, limit) = page.map_or(("", 0), |page| (page.after.as_str(), page.limit));
    let size = if limit == 0 { PAGE } else { limit };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    client()?.repositories(speaker, owner, after, size).await.map_err(refused)
}

fn refused(error: ForgeError) -> Error {
    let code = if error.transient { Code::Unavailable } else { Code::FailedPrecondition };
    Error::new(code, error.message)
}
