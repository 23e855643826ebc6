//! What every repository is asked.

use std::time::Duration;

use shipway_repository::{Address, Allow, Commit, Git, GitError, Reference, Trouble, commits, references};

use crate::repository::Repository;

const LIMIT: Duration = Duration::from_secs(60);

fn reference(name: &str, commit: &str) -> Reference {
    Reference { name: name.to_owned(), commit: commit.to_owned() }
}

#[tokio::test]
async fn branches_tags_and_commits_are_listed_by_git_alone() {
    let repository = Repository::new();
    let first = repository.commit("First\n\nWith more to say.");
    repository.git(&["tag", "v1"]);
    repository.git(&["tag", "-a", "v2", "-m", "With a text of its own"]);
    repository.git(&["branch", "feature/#12"]);
    let second = repository.commit("Second");
    // Names that Git takes, and nobody else has to.
    repository.git(&["branch", "$(id)", &first]);
    let address = Address::parse(repository.path().to_str().unwrap(), Allow::HERE).unwrap();
    let git = Git::new(&address, None, LIMIT).unwrap();
    let all = references(&git, &address.url()).await.unwrap();
    assert_eq!(all.branches, [reference("feature/#12", &first), reference("main", &second)]);
    assert_eq!(all.tags, [reference("v1", &first), reference("v2", &first)]);
    assert_eq!(all.head, "main");
    let newest = commits(&git, &address.url(), "refs/heads/main", 50).await.unwrap();
    let shown: Vec<_> = newest.iter().map(|Commit { id, message, .. }| (&**id, &**message)).collect();
    assert_eq!(shown, [(&*second, "Second"), (&*first, "First\n\nWith more to say.")]);
    assert!(newest.iter().all(|commit| commit.author == "Ada" && commit.time > 1_600_000_000));
    let one = commits(&git, &address.url(), "refs/tags/v2", 1).await.unwrap();
    assert_eq!(one.iter().map(|commit| &commit.id).collect::<Vec<_>>(), [&first]);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::parse(folder.path().to_str().unwrap(), Allow::HERE).unwrap();
    let git = Git::new(&address, None, LIMIT).unwrap();
    let error = references(&git, &address.url()).await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Missing, "{error}");
    let repository = Repository::new();
    repository.commit("First");
    let address = Address::parse(repository.path().to_str().unwrap(), Allow::HERE).unwrap();
    let git = Git::new(&address, None, LIMIT).unwrap();
    assert!(commits(&git, &address.url(), "refs/heads/gone", 50).await.is_err());
    let nowhere = Address::parse("http://127.0.0.1:1/x", Allow::HERE).unwrap();
    let git = Git::new(&nowhere, None, LIMIT).unwrap();
    let error = references(&git, &nowhere.url()).await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Unreachable, "{error}");
    assert!(matches!(error, GitError::Failed { what: "ls-remote", .. }));
}
