//! How deeply JSON is nested, found before anything is made of it.

/// As deep as a body may be.
pub const DEEPEST: usize = 64;

/// Whether what may be JSON is nested no deeper than [`DEEPEST`] levels. One pass, nothing kept; whether it is JSON at
/// all is for its reader to say.
#[must_use]
pub fn is_shallow(json: &[u8]) -> bool {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_text(&mut bytes),
            _ => {}
        }
        if deepest > DEEPEST {
            return false;
        }
    }
    true
}

/// To the end of a text whose first quote was read.
fn skip_text(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_levels_and_no_more() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(is_shallow(nested(64).as_bytes()));
        assert!(!is_shallow(nested(65).as_bytes()));
        assert!(!is_shallow("{\"a\":".repeat(100_000).as_bytes()));
        let wide = format!("[{}]", vec![nested(60); 100].join(","));
        assert!(is_shallow(wide.as_bytes()));
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        let text = "[".repeat(100);
        assert!(is_shallow(format!(r#"{{"a":"{text}","b":"\"{text}"}}"#).as_bytes()));
        assert!(!is_shallow(format!(r#"{{"a":"\\",{text}"#).as_bytes()));
        assert!(is_shallow(b"\"never closed ["));
        assert!(is_shallow(b"\"ends in an escape \\"));
    }
}
