//! Names: how long they may be, and what was probably meant.

use shipway_documents::{names, nearest};
use shipway_events::project::ResourceKind;

use super::Why;

/// Refuses a slug that is too short or too long for its kind.
pub(super) fn check_resource(slug: &str, kind: ResourceKind) -> Result<(), Why> {
    check(slug, &kind.to_string(), names::length_of(kind))
}

/// Refuses a pipeline's slug that is too short or too long.
pub(super) fn check_pipeline(slug: &str) -> Result<(), Why> {
    check(slug, "Pipeline", names::PIPELINE)
}

fn check(slug: &str, kind: &str, length: names::Length) -> Result<(), Why> {
    if (length.min..=length.max).contains(&slug.len()) {
        return Ok(());
    }
    Err(Why::NameLength { name: slug.to_owned(), kind: kind.to_owned(), most: length.max })
}

/// ` Did you mean …?`, or nothing; to be put after a sentence.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |near| format!(" Did you mean `{near}`?"))
}
