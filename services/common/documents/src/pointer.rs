//! JSON pointers (RFC 6901): how a place in a document is named.

/// The pointer of a member of `parent`.
#[must_use]
pub fn join(parent: &str, key: &str) -> String {
    let mut pointer = String::with_capacity(parent.len() + 1 + key.len());
    pointer.push_str(parent);
    pointer.push('/');
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
    pointer
}

/// The pointer of an element of the list `parent`, 0 for the first.
#[must_use]
pub fn item(parent: &str, index: usize) -> String {
    format!("{parent}/{index}")
}

/// The steps of a pointer, unescaped; none for the empty pointer, which is the whole document.
pub fn steps(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

/// Whether `pointer` is `parent` or something in it.
#[must_use]
pub fn is_within(pointer: &str, parent: &str) -> bool {
    pointer.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_and_read_back() {
        let pointer = item(&join(&join("", "a/b"), "~x"), 3);
        assert_eq!(pointer, "/a~1b/~0x/3");
        assert_eq!(steps(&pointer).collect::<Vec<_>>(), ["a/b", "~x", "3"]);
        assert_eq!(steps("").count(), 0);
    }

    #[test]
    fn within_counts_whole_steps() {
        assert!(is_within("/a/b", "/a"));
        assert!(is_within("/a", "/a"));
        assert!(!is_within("/ab", "/a"));
    }
}
