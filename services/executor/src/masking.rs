//! Secret values are masked where output is read, before it is stored or sent anywhere.
//!
//! One streaming Aho-Corasick over every common encoding of every value. Masking is a net, not a wall: a
//! program that wants to print a secret in its own encoding can.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// Shorter patterns would mask half of all output.
const SHORTEST: usize = 4;

/// Masks a stream of bytes; what may be the beginning of a secret is held back until the next bytes show.
#[derive(Clone, Default)]
pub struct Masker {
    find: Option<AhoCorasick>,
    /// Sorted, to look up whether bytes begin a pattern.
    patterns: Vec<Vec<u8>>,
    longest: usize,
    held: Vec<u8>,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masker({} patterns)", self.patterns.len())
    }
}

impl Masker {
    /// A masker of these values in every encoding that [`encodings`] knows. Values under 4 bytes are not masked.
    pub fn new<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Self {
        let patterns: BTreeSet<Vec<u8>> =
            values.into_iter().flat_map(|value| encodings(value.as_ref())).collect();
        let patterns: Vec<Vec<u8>> = patterns.into_iter().collect();
        let find = (!patterns.is_empty())
            .then(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns).ok())
            .flatten();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        Self { find, patterns, longest, held: Vec::new() }
    }

    /// Takes the next bytes of the stream and gives out what is certain.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.find.is_none() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let safe = self.begin_of_partial();
        self.take(safe)
    }

    /// The stream has ended: gives out the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(self.held.len())
    }

    /// Masks a whole text.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut masker = Self { held: Vec::new(), ..self.clone() };
        let mut bytes = masker.push(text.as_bytes());
        bytes.extend(masker.finish());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where the longest tail of the held bytes that begins a pattern starts.
    fn begin_of_partial(&self) -> usize {
        let first = (self.held.len() + 1).saturating_sub(self.longest);
        (first..self.held.len()).find(|start| self.begins(&self.held[*start..])).unwrap_or(self.held.len())
    }

    fn begins(&self, bytes: &[u8]) -> bool {
        let at = self.patterns.partition_point(|pattern| pattern.as_slice() <= bytes);
        self.patterns.get(at).is_some_and(|pattern| pattern.starts_with(bytes))
    }

    /// Gives out what starts before `safe`; a secret that starts there may end after it.
    fn take(&mut self, safe: usize) -> Vec<u8> {
        let Some(find) = &self.find else { return std::mem::take(&mut self.held) };
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        for found in find.find_iter(&self.held) {
            if found.start() >= safe {
                break;
            }
            out.extend_from_slice(&self.held[at..found.start()]);
            out.extend_from_slice(MASK.as_bytes());
            at = found.end();
        }
        if at < safe {
            out.extend_from_slice(&self.held[at..safe]);
            at = safe;
        }
        self.held.drain(..at);
        out
    }
}

/// Every form of `value` that is looked for.
fn encodings(value: &str) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let lines = value.lines().map(str::trim).filter(|line| line.len() < value.len());
    for text in std::iter::once(value).chain(lines) {
        let bytes = text.as_bytes();
        all.insert(bytes.to_vec());
        all.insert(hex::encode(bytes).into_bytes());
        all.insert(hex::encode_upper(bytes).into_bytes());
        for upper in [true, false] {
            all.insert(percent(text, upper, "%20"));
            all.insert(percent(text, upper, "+"));
        }
        all.insert(json(text));
        all.insert(text.replace('\'', r"'\''").into_bytes());
        all.insert(
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;")
                .into_bytes(),
        );
        all.extend(base64_forms(bytes));
    }
    all.retain(|pattern| pattern.len() >= SHORTEST);
    all
}

/// Base64 of bytes that stand anywhere in something longer: at each of the three alignments, the characters
/// that depend on the secret alone; and to the end, for where the secret is the end.
fn base64_forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for shift in 0..3 {
        let padded = [&[0_u8; 2][..shift], bytes].concat();
        let first = (shift * 8).div_ceil(6);
        let certain = padded.len() * 8 / 6;
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.push(text.as_bytes()[first..certain].to_vec());
            forms.push(text.as_bytes()[first..].to_vec());
        }
    }
    forms
}

fn percent(text: &str, upper: bool, space: &str) -> Vec<u8> {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push_str(space),
            _ if upper => out.push_str(&format!("%{byte:02X}")),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out.into_bytes()
}

fn json(text: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "s3cr\"et pass/word+'&<>\nsecond line";

    fn forms() -> Vec<Vec<u8>> {
        let mut forms: Vec<Vec<u8>> = vec![
            SECRET.into(),
            "second line".into(),
            hex::encode(SECRET).into(),
            json(SECRET),
            percent(SECRET, true, "%20"),
            percent(SECRET, false, "+"),
        ];
        for prefix in ["", "u", "us", "user:"] {
            forms.push(STANDARD_NO_PAD.encode(format!("{prefix}{SECRET}")).into());
            forms.push(URL_SAFE_NO_PAD.encode(format!("{prefix}{SECRET}")).into());
        }
        forms
    }

    #[test]
    fn every_encoding_is_masked_however_the_stream_is_cut() {
        for form in forms() {
            let text = [b"before ", form.as_slice(), b" after\n"].concat();
            let mut whole = Masker::new([SECRET]);
            let mut expected = whole.push(&text);
            expected.extend(whole.finish());
            let shown = String::from_utf8_lossy(&expected).into_owned();
            assert!(
                shown.contains(MASK) && shown.starts_with("before ") && shown.ends_with(" after\n"),
                "{shown}"
            );
            assert!(shown.len() < "before  after\n".len() + MASK.len() + 6, "too much is left: {shown}");
            for cut in 0..=text.len() {
                let mut masker = Masker::new([SECRET]);
                let mut out = masker.push(&text[..cut]);
                out.extend(masker.push(&text[cut..]));
                out.extend(masker.finish());
                assert_eq!(out, expected, "cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_cutting_lets_a_secret_through(
            secret in "[a-zA-Z0-9%+/=]{6,40}",
            noise in proptest::collection::vec("[a-z \\n]{0,12}", 1..6),
            pieces in proptest::collection::vec(1_usize..9, 1..80),
        ) {
            let text = noise.join(&secret);
            let mut masker = Masker::new([&secret]);
            let (mut out, mut at, mut piece) = (Vec::new(), 0, 0);
            while at < text.len() {
                let end = (at + pieces[piece % pieces.len()]).min(text.len());
                out.extend(masker.push(&text.as_bytes()[at..end]));
                (at, piece) = (end, piece + 1);
            }
            out.extend(masker.finish());
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.contains(&secret), "{out}");
            prop_assert_eq!(out, Masker::new([&secret]).mask(&text));
        }
    }

    #[test]
    fn short_values_and_no_values_change_nothing() {
        let mut masker = Masker::new(["abc"]);
        assert_eq!(masker.push(b"abcabc"), b"abcabc");
        assert_eq!(Masker::new([""; 0]).mask("anything"), "anything");
    }
}
