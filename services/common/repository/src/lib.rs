//! Git, with what a hostile address, ref or repository can do taken away: the only way by which Shipway runs it.
//!
//! Addresses are parsed and rebuilt, refs and commits are checked, and Git gets words and never text to parse. Its
//! configuration and environment are this crate's alone. A credential belongs to one host and is given to no other;
//! it is in no argument, no environment and no file of a disk.

mod address;
mod ask;
mod credential;
mod git;
mod memory;
mod names;
mod settings;

pub use address::{Address, AddressError, Allow};
pub use ask::{Commit, Reference, References, branches, commits, references};
pub use credential::{Credential, Secret, WrongHost};
pub use git::{Git, GitError, Trouble};
pub use memory::MemoryFile;
pub use names::{NameError, branch_ref, check_commit, check_ref, is_commit, pull_request_refs, tag_ref};
pub use settings::{HOSTS_FILE, KEY_FILE, LOCAL, environment, settings, ssh_command};
