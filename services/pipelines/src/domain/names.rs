//! Names: the slug that is a resource's id in documents, how long it may be, and what was probably meant.

use shipway_events::project::ResourceKind;

use super::Why;

/// The id of a name: lower case, everything but letters and digits turned into single dashes.
pub(crate) fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// Refuses a slug that is too short or too long for its kind.
pub(super) fn check_resource(slug: &str, kind: ResourceKind) -> Result<(), Why> {
    let most = match kind {
        ResourceKind::BuildService | ResourceKind::DeploymentService | ResourceKind::CombinedService => 54,
        ResourceKind::ManualJob | ResourceKind::CronJob => 52,
        ResourceKind::Addon => 39,
        ResourceKind::SecretGroup => 100,
    };
    check(slug, &kind.to_string(), most)
}

/// Refuses a pipeline's slug that is too short or too long.
pub(super) fn check_pipeline(slug: &str) -> Result<(), Why> {
    check(slug, "Pipeline", 100)
}

fn check(slug: &str, kind: &str, most: usize) -> Result<(), Why> {
    if (3..=most).contains(&slug.len()) {
        return Ok(());
    }
    Err(Why::NameLength { name: slug.to_owned(), kind: kind.to_owned(), most })
}

/// The candidate that is most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// ` Did you mean …?`, or nothing; to be put after a sentence.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |near| format!(" Did you mean `{near}`?"))
}
