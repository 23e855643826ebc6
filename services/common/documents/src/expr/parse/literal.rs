//! Texts, numbers and regular expressions.

use serde_json::Value;

use super::Parser;
use crate::{
    expr::ast::{Kind, Regex, SyntaxError},
    js,
};

impl Parser<'_> {
    /// `'…'` with the escapes of JavaScript.
    pub(super) fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        self.eat('\'');
        let mut value = String::new();
        while let Some(c) = self.next() {
            match c {
                '\'' => return Ok(value),
                '\\' => {
                    let escape = self.at - 1;
                    let Some(c) = self.next() else { break };
                    match c {
                        'n' => value.push('\n'),
                        'r' => value.push('\r'),
                        't' => value.push('\t'),
                        'b' => value.push('\u{8}'),
                        'f' => value.push('\u{c}'),
                        'v' => value.push('\u{b}'),
                        '0' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => value.push('\0'),
                        'x' => value.push(self.code(escape, 2)?),
                        'u' => value.push(self.unicode(escape)?),
                        c => value.push(c),
                    }
                }
                c => value.push(c),
            }
        }
        Err(SyntaxError::new(start..self.text.len(), "the text that starts here never ends")
            .help("close it with `'`"))
    }

    /// The character of `\xHH`, whose `\x` is read.
    fn code(&mut self, escape: usize, digits: usize) -> Result<char, SyntaxError> {
        let code = self.hex(digits).and_then(char::from_u32);
        code.ok_or_else(|| self.bad_escape(escape))
    }

    /// The character of `\uHHHH`, `\u{H…}` or a pair of surrogates, whose `\u` is read.
    fn unicode(&mut self, escape: usize) -> Result<char, SyntaxError> {
        if self.eat('{') {
            let rest = self.rest();
            let width = rest.find('}').filter(|width| (1..=6).contains(width));
            let code = width.and_then(|width| self.hex(width)).and_then(char::from_u32);
            return code.filter(|_| self.eat('}')).ok_or_else(|| self.bad_escape(escape));
        }
        let high = self.hex(4).ok_or_else(|| self.bad_escape(escape))?;
        let pair = (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u");
        if !pair {
            return char::from_u32(high).ok_or_else(|| self.bad_escape(escape));
        }
        self.at += 2;
        let low = self.hex(4).filter(|low| (0xdc00..0xe000).contains(low));
        let code = low.map(|low| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        code.and_then(char::from_u32).ok_or_else(|| self.bad_escape(escape))
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let digits = self.rest().get(..digits)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += digits.len();
        u32::from_str_radix(digits, 16).ok()
    }

    fn bad_escape(&self, escape: usize) -> SyntaxError {
        let end = self.at.max(escape + 2).min(self.text.len());
        SyntaxError::new(escape..end, "this is no character")
            .help("write `\\xHH`, `\\uHHHH` or `\\u{H…}`, or `\\\\` for a backslash")
    }

    pub(super) fn number(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let mut previous = ' ';
        while let Some(c) = self.peek() {
            let sign = matches!(c, '-' | '+') && (self.at == start || matches!(previous, 'e' | 'E'));
            if !(c.is_ascii_alphanumeric() || c == '.' || sign) {
                break;
            }
            previous = c;
            self.next();
        }
        let text = &self.text[start..self.at];
        let number = js::number(&Value::from(text)).and_then(js::from_number);
        number.map(Kind::Literal).ok_or_else(|| {
            SyntaxError::new(start..self.at, format!("`{text}` is no number"))
                .help("put text in single quotes: `'…'`")
        })
    }

    /// `/…/flags`: what stands between, and the flags.
    pub(super) fn regex(&mut self) -> Result<Regex, SyntaxError> {
        let start = self.at;
        self.eat('/');
        let (from, mut class) = (self.at, false);
        loop {
            let at = self.at;
            match self.next() {
                Some('/') if !class => {
                    let source = self.text[from..at].to_owned();
                    let flags = self.word().to_owned();
                    return Ok(Regex::new(source, flags));
                }
                Some('[') => class = true,
                Some(']') => class = false,
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.next();
                }
                Some('\n') | None => {
                    let error =
                        SyntaxError::new(start..at, "the regular expression that starts here never ends");
                    return Err(error.help("close it with `/`; a `/` in it is written `\\/`"));
                }
                Some(_) => {}
            }
        }
    }
}
