//! The expression at a place of a text, by its characters: it need not be finished.

use std::ops::Range;

/// A dotted name in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dotted {
    /// All of it, in bytes of the text.
    pub(crate) range: Range<usize>,
    /// Its parts: `refs`, `build`, `sha`. The last is empty after a dot.
    pub(crate) parts: Vec<String>,
    /// The part in which the place is.
    pub(crate) part: usize,
    /// How much of that part is before the place.
    pub(crate) typed: String,
}

/// The name at a place inside `${…}`; empty where nothing has been typed yet.
pub(crate) fn at(text: &str, offset: usize) -> Option<Dotted> {
    let before = text.get(..offset)?;
    let open = before.rfind("${")?;
    let content = before[open + 2..].trim_start_matches('{');
    if before[..open].ends_with('\\') || content.contains('\n') || !is_open(content) {
        return None;
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = content.trim_end_matches(is_part).len() + (offset - content.len());
    let end = offset + text[offset..].find(|c: char| !is_part(c)).unwrap_or(text.len() - offset);
    let mut whole = &text[start..end];
    let mut from = start;
    // What is meant inside a nested flow is meant by the same names.
    if let Some(rest) = whole.strip_prefix("template.")
        && offset >= start + "template.".len()
    {
        (whole, from) = (rest, start + "template.".len());
    }
    let parts: Vec<String> = whole.split('.').map(str::to_owned).collect();
    let part = text[from..offset].matches('.').count();
    let typed = text[from..offset].rsplit('.').next().unwrap_or_default().to_owned();
    Some(Dotted { range: from..end, parts, part, typed })
}

impl Dotted {
    /// The bytes of the part in which the place is.
    pub(crate) fn part_range(&self) -> Range<usize> {
        let before: usize = self.parts[..self.part].iter().map(|part| part.len() + 1).sum();
        let start = self.range.start + before;
        start..start + self.parts[self.part].len()
    }
}

/// Whether an expression that begins so has not ended, and is not inside a text of its own.
fn is_open(content: &str) -> bool {
    let (mut depth, mut quoted) = (1, false);
    for c in content.chars() {
        match c {
            '\'' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return false;
        }
    }
    !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(marked: &str) -> Option<(String, usize, String)> {
        let offset = marked.find('|').unwrap();
        let text = marked.replace('|', "");
        at(&text, offset).map(|dotted| (dotted.parts.join("."), dotted.part, dotted.typed))
    }

    fn some(parts: &str, part: usize, typed: &str) -> Option<(String, usize, String)> {
        Some((parts.to_owned(), part, typed.to_owned()))
    }

    #[test]
    fn the_name_at_a_place_is_found() {
        assert_eq!(found("a: ${|}"), some("", 0, ""));
        assert_eq!(found("a: '${refs.bu|ild.sha}'"), some("refs.build.sha", 1, "bu"));
        assert_eq!(found("a: ${refs.build.|"), some("refs.build.", 2, ""));
        assert_eq!(found("a: ${fn.if(fn.eq(args.A|, 'x'), 1, 2)}"), some("args.A", 1, "A"));
        assert_eq!(found("a: ${template.args.|}"), some("args.", 1, ""));
        assert_eq!(found("a: ${args.A}|"), None);
        assert_eq!(found("a: ${fn.eq(args.A, 'x|')}"), None);
        assert_eq!(found("a: ${args.A}\nb: |"), None);
        assert_eq!(found("a: \\${args.|}"), None);
    }
}
