//! Branch patterns: `*` is any run of characters, `/` included; everything else is itself.

/// Whether the whole `text` fits the pattern. Takes time in the product of both lengths at worst.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit: one character later.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p + 1, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((after_star, from)) = retry {
            p = after_star;
            t = from + 1;
            retry = Some((after_star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches;

    #[test]
    fn a_star_crosses_slashes_and_nothing_else_is_special() {
        let table = [
            ("main", "main", true),
            ("main", "Main", false),
            ("main", "main2", false),
            ("main", "a/main", false),
            ("*", "anything/at/all", true),
            ("*", "", true),
            ("", "", true),
            ("", "main", false),
            ("feature/*", "feature/a", true),
            ("feature/*", "feature/a/b", true),
            ("feature/*", "feature/", true),
            ("feature/*", "feature", false),
            ("*-hotfix", "v1/2-hotfix", true),
            ("*-hotfix", "v1-hotfix2", false),
            ("a*b*c", "a/b/b/c", true),
            ("a*b*c", "acb", false),
            ("release/**/x", "release/1/2/x", true),
            ("v1.*", "v1.2", true),
            ("v1.*", "v112", false),
            ("a?c", "abc", false),
            ("[ab]", "a", false),
            ("größe/*", "größe/ß", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "`{pattern}` against `{text}`");
        }
    }

    /// The definition, word by word.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab/*]{0,8}", text in "[ab/]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
