//! From text to parts: plain text, expressions, and what is left for later. Every part has its span.

use std::ops::Range;

use serde_json::Value;

use crate::{js, suggest::nearest};

/// How deep calls and lists may be nested in an expression.
const MAX_NESTING: usize = 32;

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Text, without the backslashes of escapes.
    Text(String),
    /// An expression.
    Expression {
        /// Its place, `${` and `}` included.
        span: Range<usize>,
        /// Whether it is `${template.…}`.
        template: bool,
        /// What it says.
        expr: Expr,
    },
    /// `${{…}}`.
    Container(Range<usize>),
}

/// An expression, with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Literal(Value),
    List(Vec<Expr>),
    Path { root: PathRoot, name: String, path: Vec<String> },
    Call { function: String, args: Vec<Expr> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathRoot {
    Args,
    Refs,
    Triggers,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Right in the language, not supported by this version.
    pub(super) unsupported: bool,
}

impl SyntaxError {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None, unsupported: false }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Takes a text apart.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, SyntaxError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${").map(|found| at + found) {
        if found > at && text.as_bytes()[found - 1] == b'\\' {
            plain.push_str(&text[at..found - 1]);
            plain.push_str("${");
            at = found + 2;
            continue;
        }
        plain.push_str(&text[at..found]);
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        if text[found..].starts_with("${{") {
            let end = text[found..].find("}}").map(|end| found + end + 2).ok_or_else(|| {
                SyntaxError::new(found..text.len(), "`${{` is never closed").help("close it with `}}`")
            })?;
            parts.push(Part::Container(found..end));
            at = end;
            continue;
        }
        let mut parser = Parser { text, at: found + 2 };
        let (template, expr) = parser.whole()?;
        at = parser.at;
        parts.push(Part::Expression { span: found..at, template, expr });
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// The same text as [`parts`] reads it back, whatever is in it.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "\\${")
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    /// What stands between `${` and `}`, the `}` included.
    fn whole(&mut self) -> Result<(bool, Expr), SyntaxError> {
        let open = self.at - 2;
        self.space();
        let before = self.at;
        let template = self.word() == "template" && self.eat('.');
        if !template {
            self.at = before;
        }
        let expr = self.expression(0)?;
        self.space();
        if self.eat('}') {
            return Ok((template, expr));
        }
        if self.rest().is_empty() {
            return Err(SyntaxError::new(open..self.text.len(), "`${` is never closed")
                .help("close it with `}`, or write `\\${` for text"));
        }
        Err(self.unexpected("`}`"))
    }

    fn expression(&mut self, depth: usize) -> Result<Expr, SyntaxError> {
        self.space();
        let start = self.at;
        if depth > MAX_NESTING {
            return Err(self.error_here(format!("calls are nested more than {MAX_NESTING} deep")));
        }
        let kind = match self.peek() {
            Some('\'') => Kind::Literal(Value::String(self.string()?)),
            Some('[') => Kind::List(self.sequence('[', ']', depth)?),
            Some('-' | '0'..='9') => self.number()?,
            Some('/') => return Err(self.unsupported("regular expressions")),
            Some('(') => return Err(self.unsupported("functions as arguments, `(item) => …`,")),
            Some('"') => {
                return Err(self.error_here("text in an expression stands in single quotes").help("use `'…'`"));
            }
            Some('$') if self.rest().starts_with("${") => {
                return Err(self
                    .error_here("an expression cannot stand inside another")
                    .help("inside `${…}` write `args.NAME` or `fn.name(…)` without `${` and `}`"));
            }
            Some(c) if is_word(c) => self.named(depth)?,
            _ => return Err(self.unexpected("a value")),
        };
        self.space();
        if self.rest().starts_with("=>") {
            return Err(self.unsupported("functions as arguments, `item => …`,"));
        }
        let span = start..self.text[..self.at].trim_end().len().max(start);
        Ok(Expr { span, kind })
    }

    /// A name with its path, a call, or one of `true`, `false`, `null`.
    fn named(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let word = self.word();
        let root = match word {
            "args" => PathRoot::Args,
            "refs" => PathRoot::Refs,
            "triggers" => PathRoot::Triggers,
            "fn" => return self.call(start, depth),
            "true" => return Ok(Kind::Literal(Value::Bool(true))),
            "false" => return Ok(Kind::Literal(Value::Bool(false))),
            "null" => return Ok(Kind::Literal(Value::Null)),
            _ => return Err(self.unknown_root(start, word)),
        };
        let mut steps = Vec::new();
        while self.eat('.') {
            let step = self.word();
            if step.is_empty() {
                return Err(self.unexpected("a name after `.`"));
            }
            steps.push(step.to_owned());
        }
        if self.peek() == Some('[') {
            return Err(self.error_here("elements are named with a dot").help("write `.0` for the first"));
        }
        if steps.is_empty() {
            let what = if root == PathRoot::Args { "argument" } else { "ref" };
            return Err(SyntaxError::new(start..self.at, format!("`{word}` alone is no value"))
                .help(format!("name the {what}: `{word}.NAME`")));
        }
        let name = steps.remove(0);
        if root != PathRoot::Args && steps.is_empty() && self.peek() == Some('(') {
            return Err(self.unexpected("the end of the name"));
        }
        Ok(Kind::Path { root, name, path: steps })
    }

    fn unknown_root(&self, start: usize, word: &str) -> SyntaxError {
        let error = SyntaxError::new(start..self.at, format!("`{word}` is not known here"));
        match word {
            "secrets" => SyntaxError {
                unsupported: true,
                message: "global secrets (`secrets.…`) are not supported yet".into(),
                ..error
            }
            .help("use an argument with an override: `${args.NAME}`"),
            "template" => error.help("`template.` can only stand right after `${`"),
            _ if self.peek() == Some('(') => error.help(format!("functions are called `fn.{word}(…)`")),
            _ => match nearest(word, ["args", "refs", "triggers", "fn"]) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(
                    "an expression starts with `args.`, `refs.`, `triggers.` or `fn.`; write `\\${` for text",
                ),
            },
        }
    }

    fn call(&mut self, start: usize, depth: usize) -> Result<Kind, SyntaxError> {
        if !self.eat('.') {
            return Err(self.unexpected("`.` and the name of a function after `fn`"));
        }
        let function = self.word().to_owned();
        if function.is_empty() {
            return Err(self.unexpected("the name of a function"));
        }
        if self.peek() != Some('(') {
            return Err(SyntaxError::new(start..self.at, format!("`fn.{function}` is not called"))
                .help(format!("write `fn.{function}(…)`")));
        }
        let args = self.sequence('(', ')', depth)?;
        if self.peek() == Some('.') {
            return Err(self
                .error_here("a member of a result is taken with a function")
                .help("write `fn.get(…, 'path')`"));
        }
        Ok(Kind::Call { function, args })
    }

    fn sequence(&mut self, open: char, close: char, depth: usize) -> Result<Vec<Expr>, SyntaxError> {
        let start = self.at;
        self.eat(open);
        let mut items = Vec::new();
        self.space();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            if self.rest().trim_start().is_empty() {
                return Err(SyntaxError::new(start..self.text.len(), format!("`{open}` is never closed"))
                    .help(format!("close it with `{close}`")));
            }
            items.push(self.expression(depth + 1)?);
            self.space();
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(',') {
                if self.rest().is_empty() {
                    continue;
                }
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.at;
        self.eat('\'');
        let mut value = String::new();
        while let Some(c) = self.next() {
            match c {
                '\'' => return Ok(value),
                '\\' => match self.next() {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(c) => value.push(c),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(SyntaxError::new(start..self.text.len(), "the text that starts here never ends")
            .help("close it with `'`"))
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
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

    fn unsupported(&self, what: &str) -> SyntaxError {
        let mut error = self.error_here(format!("{what} are not supported yet"));
        error.unsupported = true;
        error
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        match self.peek() {
            Some(c) => self.error_here(format!("{wanted} was expected here, not `{c}`")),
            None => self.error_here(format!("{wanted} was expected here, but the text ends")),
        }
    }

    fn error_here(&self, message: impl Into<String>) -> SyntaxError {
        let width = self.peek().map_or(0, char::len_utf8);
        SyntaxError::new(self.at..self.at + width, message)
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}
