//! What is said to a host, the same for all hosts.

/// How far what is said of a commit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Pending,
    /// It ended well.
    Success,
    /// It ended badly.
    Failure,
    /// It was stopped.
    Aborted,
    /// It never began, because another took its place. Nothing is known of the commit by it, so it is green nowhere.
    Skipped,
}

/// The status of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How far it is.
    pub state: State,
    /// What it is the status of: of each context a commit has one.
    pub context: String,
    /// What people read beside it; cut where a host takes less.
    pub description: String,
    /// The address that people are led to.
    pub target: Option<String>,
}

/// A pull or merge request, by its number in its repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull(pub u64);

/// A comment that a host has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: String,
    /// The thread that it is in, where a host has threads.
    pub thread: Option<String>,
    /// Its version, where a host wants it told.
    pub version: Option<u64>,
    /// What it says.
    pub text: String,
}

/// A text cut to so many characters, so that one can see it.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_so_that_one_can_see_it() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
