//! Numbers that are written as text: which texts are one, as a check and as a pattern for schemas.

use std::fmt::Write as _;

/// The most digits of a number that is written as text: all of them fit into a double.
const MOST: usize = 15;

/// Whether a text is a whole number as JSON writes it: no leading zeros, nothing around it.
pub(crate) fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text == "0" || (is_digits(digits) && !digits.starts_with('0'))
}

/// Whether a text is a number, with or without a fraction.
pub(crate) fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    text.split_once('.').map_or_else(|| is_digits(text), |(whole, part)| is_digits(whole) && is_digits(part))
}

fn is_digits(text: &str) -> bool {
    (1..=MOST).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit())
}

/// The pattern of [`is_number`].
pub(crate) const NUMBER: &str = "^-?[0-9]{1,15}(\\.[0-9]{1,15})?$";

/// The pattern of [`is_whole`] in a range.
pub(crate) fn digits(low: Option<i64>, high: Option<i64>) -> String {
    match (low, high) {
        (None, None) => "^(0|-?[1-9][0-9]{0,14})$".to_owned(),
        (Some(0), None) => "^(0|[1-9][0-9]{0,14})$".to_owned(),
        // Negative bounds do not come up in documents: 0 or more, or none at all.
        (low, high) => {
            let bound = |bound: Option<i64>, none| bound.map_or(none, |n| u64::try_from(n).unwrap_or(none));
            let mut options = Vec::new();
            between(bound(low, 0), bound(high, 999_999_999_999_999), &mut options);
            format!("^({})$", options.join("|"))
        }
    }
}

/// Patterns that together are the numbers from `low` to `high`: cut where the number of digits changes and
/// where all that follows is any digit.
fn between(low: u64, high: u64, options: &mut Vec<String>) {
    let mut from = low;
    while from <= high {
        // The longest run of free digits at the end that starts at `from` and stays within `high`.
        let mut step = 1;
        while from != 0 && from.is_multiple_of(step * 10) && from + step * 10 - 1 <= high {
            step *= 10;
        }
        let free = step.to_string().len() - 1;
        let fixed = (from / step).to_string();
        let (head, last) = fixed.split_at(fixed.len() - 1);
        // Neighbours that differ in the last fixed digit only are one class.
        let first: u64 = last.parse().unwrap_or_default();
        let mut to = first;
        while to < 9 && from + (to - first + 2) * step - 1 <= high {
            to += 1;
        }
        let mut option = head.to_owned();
        let _ = match to - first {
            0 => write!(option, "{last}"),
            _ => write!(option, "[{first}-{to}]"),
        };
        let _ = match free {
            0 => Ok(()),
            1 => write!(option, "[0-9]"),
            free => write!(option, "[0-9]{{{free}}}"),
        };
        options.push(option);
        from += (to - first + 1) * step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_numbers() {
        for text in ["0", "-1", "70", "123456789012345"] {
            assert!(is_whole(text) && is_number(text), "{text}");
        }
        assert!(!is_whole("007") && !is_whole("-0"));
        assert!(is_number("0.5") && is_number("-3.25") && !is_whole("0.5"));
        for text in ["", "-", " 1", "1e3", "+1", "0x1", "1.", ".5", "1234567890123456", "NaN"] {
            assert!(!is_whole(text) && !is_number(text), "{text}");
        }
    }

    #[test]
    fn ranges_are_patterns() {
        assert_eq!(digits(Some(1), Some(9)), "^([1-9])$");
        assert_eq!(digits(Some(0), Some(100)), "^([0-9]|[1-9][0-9]|100)$");
        let mut options = Vec::new();
        between(30, 14_400, &mut options);
        assert_eq!(
            options,
            ["[3-9][0-9]", "[1-9][0-9]{2}", "[1-9][0-9]{3}", "1[0-3][0-9]{3}", "14[0-3][0-9]{2}", "14400"]
        );
    }
}
