//! `shipway.v1.Accounts`.

use std::{sync::Arc, time::Duration};

use shipway_contracts::{
    Code, Error,
    v1::{
        AccountCheck, AddAccountReply, AddAccountRequest, ChangeAccountReply, CommitStatus, GetAccountReply,
        GetAccountRequest, GetCommitStatusReply, GetCommitStatusRequest, GitCommit, GitReference,
        ListAccountsReply, ListAccountsRequest, ListCommitsReply, ListCommitsRequest, ListReferencesReply,
        ListReferencesRequest, ListRepositoriesReply, ListRepositoriesRequest, RemoveAccountRequest,
        RenameAccountRequest, Repository, TestAccountReply, TestAccountRequest, accounts_server::Accounts,
    },
};
use shipway_events::RunId;
use shipway_repository::{self as repository, Address, Credential, Git, GitError, Reference, Trouble};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{hosts, page};
use crate::{
    accounts::{named_by, refused, shown},
    change::Shared,
    domain::{Account, AccountCommand, Mention, named_account, resolve_account},
    world::Projects,
};

/// How long a repository may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most commits that are listed.
const COMMITS: u32 = 50;

/// `shipway.v1.Accounts`.
#[derive(Clone)]
pub struct AccountsApi {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Accounts for AccountsApi {
    async fn add_account(
        &self,
        request: Request<AddAccountRequest>,
    ) -> Result<Response<AddAccountReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let mut request = request.into_inner();
        let credential = Zeroizing::new(std::mem::take(&mut request.credential));
        Ok(Response::new(self.shared.link_account(&request, credential, meta).await?))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsReply>, Status> {
        let projects = self.shared.world.now();
        let mut all: Vec<_> =
            projects.accounts.values().map(|account| (account.name.clone(), shown(account))).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        let (accounts, next) = page(all.into_iter(), request.get_ref().page.as_ref());
        Ok(Response::new(ListAccountsReply { accounts, next }))
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountReply>, Status> {
        let projects = self.shared.world.now();
        let account = self.shared.account(&request.get_ref().account)?;
        let named_by = named_by(&projects, &account);
        Ok(Response::new(GetAccountReply { account: Some(shown(&account)), named_by }))
    }

    async fn rename_account(
        &self,
        request: Request<RenameAccountRequest>,
    ) -> Result<Response<ChangeAccountReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let RenameAccountRequest { command, account, name } = request.into_inner();
        let wish = AccountCommand::Rename { account: account.clone(), name: name.clone() };
        let unnamed = |projects: &Projects| {
            let known = named_account(&projects.accounts, &account).map_err(refused)?;
            not_named(&named_by(projects, known), known, "renamed")
        };
        let position = self.shared.change_account(&command, meta, &wish, unnamed).await?;
        let account = self.shared.account(&name)?;
        Ok(Response::new(ChangeAccountReply { account: Some(shown(&account)), position }))
    }

    async fn remove_account(
        &self,
        request: Request<RemoveAccountRequest>,
    ) -> Result<Response<ChangeAccountReply>, Status> {
        let meta = self.shared.meta(request.metadata()).await?;
        let RemoveAccountRequest { command, account } = request.into_inner();
        let before = self.shared.account(&account).ok();
        let wish = AccountCommand::Remove { account: account.clone() };
        let unnamed = |projects: &Projects| {
            let known = named_account(&projects.accounts, &account).map_err(refused)?;
            not_named(&named_by(projects, known), known, "removed")
        };
        let position = self.shared.change_account(&command, meta, &wish, unnamed).await?;
        Ok(Response::new(ChangeAccountReply { account: before.as_ref().map(shown), position }))
    }

    async fn test_account(
        &self,
        request: Request<TestAccountRequest>,
    ) -> Result<Response<TestAccountReply>, Status> {
        let TestAccountRequest { account, repository } = request.into_inner();
        let account = self.shared.account(&account)?;
        let mut reply = TestAccountReply::default();
        let credential = self.shared.credential(&account).await?;
        if let Ok(speaker) = hosts::speaker(&account, &credential) {
            hosts::who(&speaker, &mut reply).await?;
        }
        if !repository.is_empty() {
            let address = self.shared.address(&repository)?;
            reply.checks.push(ask(&address, &credential).await);
        }
        if reply.checks.is_empty() {
            let why = "name one to try the account with: its host cannot be asked who it is";
            return Err(Error::bad_request(format!("field `repository`: {why}")).into());
        }
        Ok(Response::new(reply))
    }

    async fn list_repositories(
        &self,
        request: Request<ListRepositoriesRequest>,
    ) -> Result<Response<ListRepositoriesReply>, Status> {
        let ListRepositoriesRequest { account, owner, page } = request.into_inner();
        let account = self.shared.account(&account)?;
        let credential = self.shared.credential(&account).await?;
        let speaker = hosts::speaker(&account, &credential)?;
        let found = hosts::repositories(&speaker, &owner, page.as_ref()).await?;
        let repositories = found
            .repositories
            .into_iter()
            .map(|one| Repository {
                name: one.name,
                url: one.url,
                default_branch: one.default_branch,
                private: one.private,
            })
            .collect();
        Ok(Response::new(ListRepositoriesReply { repositories, next: found.next }))
    }

    async fn list_references(
        &self,
        request: Request<ListReferencesRequest>,
    ) -> Result<Response<ListReferencesReply>, Status> {
        let ListReferencesRequest { account, repository } = request.get_ref();
        let address = self.shared.address(repository)?;
        let credential = self.shared.credential_for(account, &address).await?;
        let git = git(&address, credential.as_ref())?;
        let all = repository::references(&git, &address.url()).await.map_err(git_error)?;
        let listed = |all: Vec<Reference>| {
            all.into_iter().map(|one| GitReference { name: one.name, commit: one.commit }).collect()
        };
        let (branches, tags, head) = (listed(all.branches), listed(all.tags), all.head);
        Ok(Response::new(ListReferencesReply { branches, tags, head }))
    }

    async fn list_commits(
        &self,
        request: Request<ListCommitsRequest>,
    ) -> Result<Response<ListCommitsReply>, Status> {
        let ListCommitsRequest { account, repository, reference, limit } = request.get_ref();
        let address = self.shared.address(repository)?;
        let credential = self.shared.credential_for(account, &address).await?;
        let git = git(&address, credential.as_ref())?;
        let reference = match reference.as_str() {
            "" => head(&git, &address).await?,
            full if full.starts_with("refs/") => full.to_owned(),
            branch => repository::branch_ref(branch).map_err(|error| named_badly(&error))?,
        };
        let most = if *limit == 0 { COMMITS } else { (*limit).min(COMMITS) };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let found = repository::commits(&git, &address.url(), &reference, most).await.map_err(git_error)?;
        let commits = found
            .into_iter()
            .map(|commit| GitCommit {
                id: commit.id,
                author: commit.author,
                written_at: written_at(commit.time),
                message: commit.message,
            })
            .collect();
        Ok(Response::new(ListCommitsReply { commits }))
    }

    async fn get_commit_status(
        &self,
        request: Request<GetCommitStatusRequest>,
    ) -> Result<Response<GetCommitStatusReply>, Status> {
        let run: RunId = shipway_contracts::id("run", &request.get_ref().run)?;
        let Some(told) = &self.shared.told else { return Ok(Response::new(GetCommitStatusReply::default())) };
        let told = told.told(&run.to_string()).await.map_err(|error| Error::internal(&error))?;
        let status = told.map(|told| CommitStatus {
            repository: told.repository,
            commit: told.commit_id,
            state: told.state,
            outcome: told.outcome,
            note: told.note,
            tries: u32::try_from(told.tries).unwrap_or(u32::MAX),
        });
        Ok(Response::new(GetCommitStatusReply { status }))
    }
}

impl Shared {
    fn account(&self, name: &str) -> Result<Account, Error> {
        named_account(&self.world.now().accounts, name).map_err(refused).cloned()
    }

    fn address(&self, text: &str) -> Result<Address, Error> {
        Address::parse(text, self.repositories)
            .map_err(|error| Error::bad_request(format!("field `repository`: {error}")))
    }

    /// The login for a repository: of the account that is named, or of the only one that fits its host.
    async fn credential_for(&self, account: &str, address: &Address) -> Result<Option<Credential>, Error> {
        let account = if account.is_empty() {
            let mention = Mention { repository: address.url(), named: None };
            resolve_account(&self.world.now().accounts, &mention).ok().flatten().cloned()
        } else {
            Some(self.account(account)?)
        };
        match account {
            None => Ok(None),
            Some(account) => self.credential(&account).await.map(Some),
        }
    }
}

fn not_named(by: &[String], account: &Account, what: &str) -> Result<(), Error> {
    if by.is_empty() {
        return Ok(());
    }
    let named = shipway_documents::list(by.iter().map(String::as_str));
    Err(Error::new(
        Code::FailedPrecondition,
        format!(
            "the account `{}` is not {what} while documents name it: {named}; change these first",
            account.name
        ),
    ))
}

fn git<'a>(address: &'a Address, credential: Option<&Credential>) -> Result<Git<'a>, Error> {
    Git::new(address, credential, PATIENCE)
        .map_err(|error| Error::bad_request(format!("field `account`: {error}")))
}

fn named_badly(error: &repository::NameError) -> Error {
    Error::bad_request(format!("field `reference`: {error}"))
}

/// The branch that the repository is at.
async fn head(git: &Git<'_>, address: &Address) -> Result<String, Error> {
    let all = repository::references(git, &address.url()).await.map_err(git_error)?;
    let branch = match (all.head.as_str(), all.branches.as_slice()) {
        ("", [only]) => only.name.as_str(),
        ("", _) => {
            return Err(Error::bad_request(
                "field `reference` is empty, and the repository does not say which branch it is at",
            ));
        }
        (head, _) => head,
    };
    repository::branch_ref(branch).map_err(|error| named_badly(&error))
}

/// Asks a repository and says how it went.
async fn ask(address: &Address, credential: &Credential) -> AccountCheck {
    let what = "repository".to_owned();
    let asked = match Git::new(address, Some(credential), PATIENCE) {
        Ok(git) => repository::references(&git, &address.url()).await,
        Err(wrong) => Err(GitError::from(wrong)),
    };
    match asked {
        Ok(all) => {
            let said = format!(
                "{address} answers and takes the login: {} branches, {} tags",
                all.branches.len(),
                all.tags.len()
            );
            AccountCheck { what, ok: true, said }
        }
        Err(error) => AccountCheck { what, ok: false, said: error.to_string() },
    }
}

fn git_error(error: GitError) -> Error {
    let code = match error.trouble() {
        Trouble::Missing => Code::NotFound,
        Trouble::Login | Trouble::Moved => Code::FailedPrecondition,
        Trouble::Unreachable => Code::Unavailable,
        Trouble::Other => match &error {
            GitError::Address(_) | GitError::Name(_) | GitError::WrongHost(_) => Code::BadRequest,
            _ => Code::FailedPrecondition,
        },
    };
    Error::new(code, error.to_string())
}

fn written_at(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
