//! Where the commit comes from: addresses, refs and commits are checked, git gets words and never text to parse,
//! and its configuration is ours alone (`shipway_repository`).

use std::{collections::BTreeMap, path::Path};

use shipway_repository::{self as repository, Address, Allow};

use crate::work::{Failure, error};

/// Reads an address. What git would take for an option or a program is refused; so are, unless `local`, repositories
/// of this machine itself.
pub(crate) fn address(text: &str, local: bool) -> Result<Address, Failure> {
    Address::parse(text, Allow::local(local)).map_err(|problem| error("bad_repository", problem.to_string()))
}

/// The full name of a branch.
pub(crate) fn branch_ref(branch: &str) -> Result<String, Failure> {
    repository::branch_ref(branch).map_err(|problem| error("bad_branch", problem.to_string()))
}

/// A full commit id.
pub(crate) fn check_commit(commit: &str) -> Result<(), Failure> {
    repository::check_commit(commit).map_err(|problem| error("bad_commit", problem.to_string()))
}

/// The words before a git command.
pub(crate) fn git(repository: &Path) -> Vec<String> {
    let mut words = vec!["git".to_owned(), format!("--git-dir={}", repository.display())];
    words.extend(repository::settings().map(str::to_owned));
    words
}

/// The environment of git. `config` is its global configuration.
pub(crate) fn git_environment(config: &Path, address: &Address) -> BTreeMap<String, String> {
    repository::environment(config, address.protocol(), repository::ssh_command(false))
}
