//! From a commit to an artifact.

mod archive;
mod detect;
mod records;
mod source;

pub(crate) use archive::{Entries, Manifest, blob_failure, collect, pack, unpack};
pub(crate) use detect::{Recipe, cargo_binaries, find_program, missing_program, recipe};
pub(crate) use records::{BuildRecord, Records};
pub(crate) use source::{address, branch_ref, check_commit, git, git_environment};
