//! From JavaScript's way of writing a regular expression to that of the crate `regex`.

use std::fmt::Write as _;

use super::{Flags, PatternError, class};

/// JavaScript's white space, which is not quite Unicode's.
pub(super) const SPACE: &str =
    r"\t\n\x{b}\x{c}\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}";

pub(super) fn translate(source: &str, flags: Flags) -> Result<String, PatternError> {
    let mut translator = Translator { source, at: 0, flags, out: String::new(), open: Vec::new() };
    translator.run()?;
    Ok(translator.out)
}

pub(super) struct Translator<'a> {
    pub(super) source: &'a str,
    pub(super) at: usize,
    pub(super) flags: Flags,
    pub(super) out: String,
    /// Where groups were opened that are not closed.
    open: Vec<usize>,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), PatternError> {
        // Whether what was read last can be repeated.
        let mut repeatable = false;
        while let Some(c) = self.peek() {
            let start = self.at;
            let was_repeatable = std::mem::replace(&mut repeatable, true);
            match c {
                '*' | '+' | '?' | '{' => {
                    if self.quantifier(was_repeatable)? {
                        repeatable = false;
                        continue;
                    }
                    self.next();
                    self.literal(c);
                }
                '(' => {
                    self.open_group()?;
                    repeatable = false;
                }
                ')' => {
                    self.next();
                    if self.open.pop().is_none() {
                        return Err(self
                            .error(start, "this `)` closes nothing")
                            .help("write `\\)` for text"));
                    }
                    self.out.push(')');
                }
                '|' => {
                    self.next();
                    self.out.push('|');
                    repeatable = false;
                }
                '^' | '$' => {
                    self.next();
                    self.out.push_str(match (c, self.flags.multiline) {
                        ('^', true) => "(?m:^)",
                        ('^', false) => r"\A",
                        (_, true) => "(?m:$)",
                        (_, false) => r"\z",
                    });
                    repeatable = false;
                }
                '.' => {
                    self.next();
                    self.out.push_str(if self.flags.dot_all { "(?s:.)" } else { r"[^\n\r\x{2028}\x{2029}]" });
                }
                '[' => class::translate(self)?,
                '\\' => repeatable = self.escape()?,
                c => {
                    self.next();
                    self.literal(c);
                }
            }
        }
        self.open.pop().map_or(Ok(()), |start| {
            Err(PatternError::new(start..start + 1, "this `(` is never closed").help("close it with `)`"))
        })
    }

    /// Reads `*`, `+`, `?`, `{n}`, `{n,}` or `{n,m}`, also lazy; false if a `{` is text here.
    fn quantifier(&mut self, repeatable: bool) -> Result<bool, PatternError> {
        let start = self.at;
        let rest = &self.source[start..];
        let width = if rest.starts_with('{') { braces(rest) } else { Some(1) };
        let Some(width) = width else { return Ok(false) };
        if !repeatable {
            return Err(PatternError::new(start..start + width, "there is nothing to repeat here")
                .help("write `\\` before it for text"));
        }
        self.at += width;
        let lazy = self.source[self.at..].starts_with('?');
        self.at += usize::from(lazy);
        self.out.push_str(&self.source[start..self.at]);
        Ok(true)
    }

    fn open_group(&mut self) -> Result<(), PatternError> {
        let start = self.at;
        let rest = &self.source[start..];
        let named = |what: &str, width: usize| {
            Err(PatternError::new(start..start + width, format!("{what} is not possible here")).help(
                "regular expressions take time that is linear in the text; capture more and use fn.replace, or test twice with fn.and",
            ))
        };
        let prefix = if rest.starts_with("(?=") {
            return named("look-ahead, `(?=…)`,", 3);
        } else if rest.starts_with("(?!") {
            return named("negative look-ahead, `(?!…)`,", 3);
        } else if rest.starts_with("(?<=") {
            return named("look-behind, `(?<=…)`,", 4);
        } else if rest.starts_with("(?<!") {
            return named("negative look-behind, `(?<!…)`,", 4);
        } else if rest.starts_with("(?:") {
            "(?:"
        } else if let Some(after) = rest.strip_prefix("(?<") {
            let name = after.find('>').map(|end| &after[..end]);
            let fits = |name: &&str| {
                name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            let Some(name) = name.filter(fits) else {
                return Err(PatternError::new(start..start + 3, "the name of a group is letters and digits")
                    .help("write `(?<name>…)`"));
            };
            let text = format!("(?<{name}>");
            if self.out.contains(&text) {
                let message = format!("two groups are called `{name}`");
                return Err(PatternError::new(start..start + text.len(), message));
            }
            &rest[..text.len()]
        } else if rest.starts_with("(?") {
            return Err(PatternError::new(start..start + 2, "no group begins like this")
                .help("there is `(…)`, `(?:…)` and `(?<name>…)`"));
        } else {
            "("
        };
        self.out.push_str(prefix);
        self.at += prefix.len();
        self.open.push(start);
        Ok(())
    }

    /// An escape outside of `[…]`; whether it can be repeated.
    fn escape(&mut self) -> Result<bool, PatternError> {
        let start = self.at;
        self.next();
        let Some(c) = self.peek() else {
            return Err(self.error(start, "the text ends after a backslash"));
        };
        match c {
            // ASCII words as in JavaScript; a boundary that is none is not to be had in ASCII alone.
            'b' => self.take(r"(?-u:\b)"),
            'B' => self.take(r"\B"),
            'd' => self.take("[0-9]"),
            'D' => self.take("[^0-9]"),
            'w' => self.take("(?-i:[0-9A-Za-z_])"),
            'W' => self.take("(?-i:[^0-9A-Za-z_])"),
            's' => self.take(&format!("[{SPACE}]")),
            'S' => self.take(&format!("[^{SPACE}]")),
            '1'..='9' | 'k' => {
                self.next();
                let what = if c == 'k' { "`\\k<name>`".to_owned() } else { format!("`\\{c}`") };
                let error = self.error(start, format!("a back reference, {what}, is not possible here"));
                return Err(error.help("regular expressions take time that is linear in the text"));
            }
            'p' | 'P' => {
                let property = self.property(start)?;
                self.out.push_str(&property);
            }
            _ => {
                let c = self.character(start)?;
                self.literal(c);
            }
        }
        Ok(!matches!(c, 'b' | 'B'))
    }

    fn take(&mut self, translated: &str) {
        self.next();
        self.out.push_str(translated);
    }

    /// `\p{…}`, whose backslash is read.
    pub(super) fn property(&mut self, start: usize) -> Result<String, PatternError> {
        let letter = self.next().unwrap_or('p');
        if !self.flags.unicode {
            return Err(self.error(start, format!("`\\{letter}` needs the flag `u`")).help("write `/…/u`"));
        }
        let rest = &self.source[self.at..];
        let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
        let fits = |name: &&str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'='))
        };
        let Some(name) = name.filter(fits) else {
            return Err(self
                .error(start, format!("`\\{letter}` is followed by a property"))
                .help("write `\\p{L}` for letters, for example"));
        };
        self.at += name.len() + 2;
        let property = format!("\\{letter}{{{name}}}");
        if regex::Regex::new(&property).is_err() {
            return Err(self.error(start, format!("no characters have the property `{name}`")));
        }
        Ok(property)
    }

    /// The character that an escape stands for, whose backslash at `start` is read.
    pub(super) fn character(&mut self, start: usize) -> Result<char, PatternError> {
        let Some(c) = self.next() else {
            return Err(self.error(start, "the text ends after a backslash"));
        };
        let code = match c {
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            'f' => return Ok('\u{c}'),
            '0' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => return Ok('\0'),
            'c' => self.next().filter(char::is_ascii_alphabetic).map(|letter| u32::from(letter) % 32),
            'x' => self.hex(2),
            'u' if self.source[self.at..].starts_with('{') => {
                let width = self.source[self.at..].find('}').filter(|end| (2..=7).contains(end));
                self.at += 1;
                let code = width.and_then(|end| self.hex(end - 1));
                self.at += usize::from(code.is_some());
                code
            }
            'u' => self.hex(4),
            '0'..='9' => None,
            c => return Ok(c),
        };
        let code = match code {
            Some(high @ 0xd800..0xdc00) if self.source[self.at..].starts_with("\\u") => {
                self.at += 2;
                let low = self.hex(4).filter(|low| (0xdc00..0xe000).contains(low));
                low.map(|low| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
            }
            code => code,
        };
        code.and_then(char::from_u32).ok_or_else(|| self.error(start, "this is no character"))
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let digits = self.source[self.at..].get(..digits)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += digits.len();
        u32::from_str_radix(digits, 16).ok()
    }

    fn literal(&mut self, c: char) {
        push(c, &mut self.out);
    }

    /// An error from `start` to here.
    pub(super) fn error(&self, start: usize, message: impl Into<String>) -> PatternError {
        PatternError::new(start..self.at.max(start + 1).min(self.source.len()), message)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }
}

/// A character that means itself, inside of `[…]` too.
pub(super) fn push(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
    }
}

/// How long `{n}`, `{n,}` or `{n,m}` is at the beginning of `rest`; none if a `{` stands for itself.
fn braces(rest: &str) -> Option<usize> {
    let end = rest.find('}')?;
    let (from, to) = rest[1..end].split_once(',').unwrap_or((&rest[1..end], ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!from.is_empty() && digits(from) && digits(to)).then_some(end + 1)
}
