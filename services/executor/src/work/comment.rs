//! Comments on pull requests: one for each node of a run, which a repeat finds and changes.

use shipway_forge::{Client, ForgeError, Pull, Put};
use shipway_nodes::workload::Comment;

use super::{Attempt, Failure, Success, error, receivers, transient, values};
use crate::assignment::SecretsError;

/// The code of a comment that may be made later.
const FAILED: &str = "comment_failed";

pub(super) async fn run(attempt: &Attempt<'_>, work: &Comment) -> Result<Success, Failure> {
    let project = attempt.given.project;
    let (message, _) = attempt.finish(project, &work.message).await?;
    let account = attempt.host.secrets.account(project, attempt.given.fence).await;
    let account = account.map_err(|failure| match failure {
        SecretsError::Unavailable(_) => transient("no_account", failure.to_string()),
        SecretsError::Refused(why) => error("no_account", why),
    })?;
    let client = Client::new(attempt.host.outbound.clone());
    let (text, pull) = (values::text(&message), Pull(work.pull_request));
    let mut patience = receivers::Patience::new(attempt);
    loop {
        let key = &attempt.given.effect_key;
        let putting = client.put_comment(&account, &work.repository, pull, key, &text);
        match receivers::tell(attempt, async { Ok(putting.await) }).await? {
            Ok(put) => {
                let done = match put {
                    Put::Added => "commented on",
                    Put::Changed => "changed the comment on",
                    Put::Same => "the comment was there already on",
                };
                attempt.note(&format!("{done} pull request {} of {}", work.pull_request, account.host()));
                return Ok(Success::default());
            }
            Err(ForgeError { message, retry_after: Some(wait), .. }) => {
                patience.wait(attempt, account.host(), wait, message, FAILED).await?;
            }
            Err(ForgeError { message, transient: true, .. }) => return Err(transient(FAILED, message)),
            Err(ForgeError { message, .. }) => return Err(error("comment_refused", message)),
        }
    }
}
