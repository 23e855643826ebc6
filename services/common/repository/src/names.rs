//! Refs and commits: names and nothing else.

/// The longest name of a ref.
const LONGEST: usize = 255;

/// A text that is not the name that it was to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not {what}")]
pub struct NameError {
    /// The text, without control characters and cut where it is long.
    pub shown: String,
    /// What it was to be.
    pub what: &'static str,
}

/// The full name of a branch.
///
/// # Errors
/// [`NameError`]: it is no branch's name.
pub fn branch_ref(branch: &str) -> Result<String, NameError> {
    is_name(branch).then(|| format!("refs/heads/{branch}")).ok_or_else(|| bad(branch, "the name of a branch"))
}

/// The full name of a tag.
///
/// # Errors
/// [`NameError`]: it is no tag's name.
pub fn tag_ref(tag: &str) -> Result<String, NameError> {
    is_name(tag).then(|| format!("refs/tags/{tag}")).ok_or_else(|| bad(tag, "the name of a tag"))
}

/// Checks the full name of a branch or tag.
///
/// # Errors
/// [`NameError`]: it is none.
pub fn check_ref(reference: &str) -> Result<(), NameError> {
    let name = reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/tags/"));
    if name.is_some_and(is_name) {
        Ok(())
    } else {
        Err(bad(reference, "the full name of a branch or tag: refs/heads/… or refs/tags/…"))
    }
}

/// The refs under which hosts keep a pull request's newest commit, whoever's repository it comes from: GitHub's, Gitea's
/// and Forgejo's, GitLab's, Bitbucket Data Center's. Azure DevOps has the merge with the target alone, whose second parent
/// it is. A repository has one of them, or none.
#[must_use]
pub fn pull_request_refs(number: u64) -> [String; 4] {
    [
        format!("refs/pull/{number}/head"),
        format!("refs/merge-requests/{number}/head"),
        format!("refs/pull-requests/{number}/from"),
        format!("refs/pull/{number}/merge"),
    ]
}

/// Whether it is a full commit id in lower case.
#[must_use]
pub fn is_commit(commit: &str) -> bool {
    matches!(commit.len(), 40 | 64)
        && commit.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

/// Checks a full commit id.
///
/// # Errors
/// [`NameError`]: it is none.
pub fn check_commit(commit: &str) -> Result<(), NameError> {
    if is_commit(commit) { Ok(()) } else { Err(bad(commit, "a full commit id of 40 or 64 hex digits")) }
}

/// What `git check-ref-format` takes, of characters that mean nothing to a shell, a refspec or an option. The
/// first is a letter or digit.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/-+#@=,%".contains(c);
    name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
        && !name.contains("..")
        && !name.contains("//")
        && !name.ends_with(['/', '.'])
        && !name.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"))
}

fn bad(text: &str, what: &'static str) -> NameError {
    NameError { shown: text.chars().take(80).flat_map(char::escape_debug).collect(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        for good in ["main", "feature/x-1.2", "fix/#12", "v1.0+build", "renovate/@scope-1", "1"] {
            assert_eq!(branch_ref(good), Ok(format!("refs/heads/{good}")));
            assert_eq!(tag_ref(good), Ok(format!("refs/tags/{good}")));
            assert_eq!(check_ref(&format!("refs/tags/{good}")), Ok(()));
        }
        for bad in [
            "refs/remotes/x",
            "refs/heads/",
            "refs/heads/-x",
            "heads/x",
            "HEAD",
            "+refs/heads/x",
            "refs/heads/a:b",
        ] {
            assert!(check_ref(bad).is_err(), "{bad}");
        }
        assert!(check_commit(&"a1".repeat(20)).is_ok() && check_commit(&"a1".repeat(32)).is_ok());
        for bad in ["HEAD", "abc", "--output=x", &"G".repeat(40), &"A".repeat(40), &"a".repeat(41), ""] {
            assert!(check_commit(bad).is_err(), "{bad}");
        }
        assert!(!branch_ref("a\nb").unwrap_err().to_string().contains('\n'));
    }
}
