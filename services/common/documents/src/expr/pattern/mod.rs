//! Regular expressions as JavaScript writes them, run in time that is linear in the text.
//!
//! What JavaScript writes is translated to what the crate `regex` reads. What no linear engine can do,
//! look-around and back references, is an error that names the construct. Texts are Unicode scalar values
//! throughout, so the flag `u` only allows `\p{…}`.

mod class;
mod translate;

use std::ops::Range;

use regex::RegexBuilder;

/// The longest source of a pattern, in bytes.
pub(super) const MAX_SOURCE: usize = 1000;
/// The most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 256 << 10;
/// The longest text that a pattern is applied to, in bytes.
pub(super) const MAX_TEXT: usize = 256 << 10;

/// A compiled regular expression.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) regex: regex::Regex,
    /// The flag `g`.
    pub(super) global: bool,
}

/// Where in the source of a pattern something is wrong, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatternError {
    /// In bytes of the source; from its end on, the flags.
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl PatternError {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What the letters after the closing `/` say.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    global: bool,
    insensitive: bool,
    multiline: bool,
    dot_all: bool,
    unicode: bool,
}

impl Flags {
    /// Reads `gimsu`; the span of an error counts from the beginning of the flags.
    fn parse(flags: &str) -> Result<Self, PatternError> {
        let mut all = Self::default();
        for (at, flag) in flags.char_indices() {
            let span = at..at + flag.len_utf8();
            let slot = match flag {
                'g' => &mut all.global,
                'i' => &mut all.insensitive,
                'm' => &mut all.multiline,
                's' => &mut all.dot_all,
                'u' => &mut all.unicode,
                _ => {
                    let message = format!("`{flag}` is no flag of a regular expression here");
                    return Err(PatternError::new(span, message).help(
                        "there is `g` (all), `i` (either case), `m` (lines), `s` (`.` takes all), `u`",
                    ));
                }
            };
            if std::mem::replace(slot, true) {
                return Err(PatternError::new(span, format!("the flag `{flag}` stands here twice")));
            }
        }
        Ok(all)
    }
}

/// Compiles what stands between `/` and `/`.
pub(super) fn compile(source: &str, flags: &str) -> Result<Pattern, PatternError> {
    let flags = Flags::parse(flags).map_err(|error| {
        let (start, end) = (error.span.start + source.len(), error.span.end + source.len());
        PatternError { span: start + 1..end + 1, ..error }
    })?;
    let whole = 0..source.len();
    if source.len() > MAX_SOURCE {
        let message = format!("the regular expression is longer than {MAX_SOURCE} bytes");
        return Err(PatternError::new(whole, message));
    }
    let translated = translate::translate(source, flags)?;
    let compiled = RegexBuilder::new(&translated)
        .case_insensitive(flags.insensitive)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(2 * MAX_COMPILED)
        .nest_limit(50)
        .build();
    match compiled {
        Ok(regex) => Ok(Pattern { regex, global: flags.global }),
        Err(regex::Error::CompiledTooBig(_)) => {
            let error = PatternError::new(whole, "the regular expression is too big");
            Err(error.help("repeat smaller parts, or less often"))
        }
        Err(_) => Err(PatternError::new(whole, "this is no regular expression")),
    }
}

/// The text of a replacement: `$1`, `$<name>`, `$&`, `` $` ``, `$'` and `$$` as in JavaScript.
pub(super) fn expand(template: &str, text: &str, found: &Found<'_>, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let (value, taken) = found.reference(text, &rest[at + 1..]).unwrap_or(("$", 0));
        out.push_str(value);
        rest = &rest[at + 1 + taken..];
    }
    out.push_str(rest);
}

/// One match, for a replacement.
#[derive(Clone, Debug)]
pub(super) struct Found<'t> {
    /// The match as a whole.
    pub(super) range: Range<usize>,
    /// Its groups, if a regular expression found it.
    pub(super) groups: Option<&'t regex::Captures<'t>>,
    /// The names of its groups, if it has any.
    pub(super) named: bool,
}

impl<'t> Found<'t> {
    /// What stands for the beginning of `rest`, which follows a `$`, and how much of it that takes.
    fn reference<'r>(&self, text: &'r str, rest: &'r str) -> Option<(&'r str, usize)>
    where
        't: 'r,
    {
        match rest.as_bytes().first()? {
            b'$' => Some(("$", 1)),
            b'&' => Some((&text[self.range.clone()], 1)),
            b'`' => Some((&text[..self.range.start], 1)),
            b'\'' => Some((&text[self.range.end..], 1)),
            b'0'..=b'9' => self.numbered(rest),
            b'<' if self.named => {
                let end = rest.find('>')?;
                let group = self.groups?.name(&rest[1..end]);
                Some((group.map_or("", |group| group.as_str()), end + 1))
            }
            _ => None,
        }
    }

    /// `$1` to `$99`: two digits if there are so many groups, else one; text if there is none.
    fn numbered<'r>(&self, rest: &str) -> Option<(&'r str, usize)>
    where
        't: 'r,
    {
        let groups = self.groups?;
        for digits in [2, 1] {
            let number = rest.get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let Some(number) = number.and_then(|text| text.parse::<usize>().ok()) else { continue };
            if (1..groups.len()).contains(&number) {
                return Some((groups.get(number).map_or("", |group| group.as_str()), digits));
            }
        }
        None
    }
}
