//! The nearest name to one that is not known.

/// The name among `known` that `name` was most likely meant to be; none if nothing is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= tolerance(&lower, candidate))
        .min_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)))
        .map(|(_, candidate)| candidate)
}

/// Typing errors, and a name that is only the beginning or the end of the right one, are near.
fn distance(name: &str, candidate: &str) -> usize {
    let edits = strsim::osa_distance(name, candidate);
    let contained = name.len() >= 3 && (candidate.starts_with(name) || candidate.ends_with(name));
    if contained { edits.min(2) } else { edits }
}

fn tolerance(name: &str, candidate: &str) -> usize {
    match name.chars().count().max(candidate.chars().count()) {
        0..=2 => 1,
        3..=7 => 2,
        _ => 3,
    }
}

/// `a`, `b` and `c` for people, at most eight of them; "none" without any.
#[must_use]
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let shown: Vec<_> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
    match (shown.as_slice(), names.len()) {
        ([], _) => "none".to_owned(),
        ([one], 1) => one.clone(),
        ([first @ .., last], count) if count <= 8 => format!("{} and {last}", first.join(", ")),
        (shown, count) => format!("{} and {} more", shown.join(", "), count - shown.len()),
    }
}

/// The word with its article: `an Addon`, `a Build`.
#[must_use]
pub fn with_article(word: &str) -> String {
    let vowel = word.starts_with(['A', 'E', 'I', 'O', 'a', 'e', 'i', 'o']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_name() {
        let known = ["branch", "sha", "repoUrl", "build-api", "DeploymentService"];
        assert_eq!(nearest("brnach", known), Some("branch"));
        assert_eq!(nearest("repourl", known), Some("repoUrl"));
        assert_eq!(nearest("build", known), Some("build-api"));
        assert_eq!(nearest("DeploymentServce", known), Some("DeploymentService"));
        assert_eq!(nearest("nothing-like-it", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(list([]), "none");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
        assert!(list(["1", "2", "3", "4", "5", "6", "7", "8", "9"]).ends_with("`8` and 1 more"));
    }
}
