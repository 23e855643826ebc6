//! From text to parts. No text is searched for words: what stands between `${` and `}` is read from left to right.

mod literal;
mod names;

use serde_json::Value;

use super::ast::{Arrow, Expr, Kind, Part, SyntaxError};

/// How deep calls, lists and arrow functions may be nested in an expression.
const MAX_NESTING: usize = 32;

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
        let mut parser = Parser::new(text, found + 2);
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

/// What stands between `${{` and `}}`, if it is an expression; its spans are those of the whole text.
pub(super) fn container(text: &str, span: &std::ops::Range<usize>) -> Option<Expr> {
    let mut parser = Parser::new(&text[..span.end - 2], span.start + 3);
    let expr = parser.expression(0).ok()?;
    parser.space();
    parser.rest().is_empty().then_some(expr)
}

/// An arrow function that stands alone; `outer` are the parameters that are known around it.
pub(super) fn arrow(text: &str, outer: &[String]) -> Option<Arrow> {
    let mut parser = Parser::new(text, 0);
    parser.parameters = outer.to_vec();
    match parser.argument(0).ok()?.kind {
        Kind::Arrow(arrow) if parser.rest().is_empty() => Some(arrow),
        _ => None,
    }
}

/// The same text as [`parts`] reads it back, whatever is in it.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "\\${")
}

/// What stands between the braces.
const FORMS: &str =
    "an expression is `${args.NAME}`, `${refs.NODE.OUTPUT}` or `${fn.name(…)}`; for text write `\\${`";

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The parameters of the arrow functions around, outermost first.
    parameters: Vec<String>,
}

impl<'a> Parser<'a> {
    const fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, parameters: Vec::new() }
    }

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
        let expr = self.argument(depth)?;
        let what = match &expr.kind {
            Kind::Arrow(_) => "an arrow function",
            Kind::Regex(_) => "a regular expression",
            _ => return Ok(expr),
        };
        Err(SyntaxError::new(expr.span, format!("{what} is no value"))
            .help("it can only be an argument of a function that takes one"))
    }

    /// A value, or what only a function can take.
    fn argument(&mut self, depth: usize) -> Result<Expr, SyntaxError> {
        self.space();
        let start = self.at;
        if depth > MAX_NESTING {
            return Err(self.error_here(format!("calls are nested more than {MAX_NESTING} deep")));
        }
        let kind = match self.peek() {
            Some('\'') => Kind::Literal(Value::String(self.string()?)),
            Some('[') => Kind::List(self.sequence('[', ']', depth, Self::expression)?),
            Some('-' | '0'..='9') => self.number()?,
            Some('/') => Kind::Regex(self.regex()?),
            Some('(') => Kind::Arrow(self.arrow(start, depth)?),
            Some('"') => {
                return Err(self
                    .error_here("text in an expression stands in single quotes")
                    .help("use `'…'`"));
            }
            Some('`') => {
                return Err(self
                    .error_here("text in an expression stands in single quotes")
                    .help("use `'…'`, and fn.join(['a', args.b], '') to put texts together"));
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
        let span = start..self.text[..self.at].trim_end().len().max(start);
        Ok(Expr { span, kind })
    }

    fn sequence(
        &mut self,
        open: char,
        close: char,
        depth: usize,
        item: fn(&mut Self, usize) -> Result<Expr, SyntaxError>,
    ) -> Result<Vec<Expr>, SyntaxError> {
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
            items.push(item(self, depth + 1)?);
            self.space();
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(',') {
                if self.rest().is_empty() {
                    continue;
                }
                let error = self.unexpected(&format!("`,` or `{close}`"));
                let is_end = self.peek() == Some('}');
                return Err(if is_end {
                    error.help(format!("close it with `{close}` first"))
                } else {
                    error
                });
            }
        }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        let Some(c) = self.peek() else {
            let error = self.error_here(format!("{wanted} was expected here, but the text ends"));
            return error.help(FORMS);
        };
        let error = self.error_here(format!("{wanted} was expected here, not `{c}`"));
        let help = match c {
            '=' | '!' | '<' | '>' | '&' | '|' | '?' => {
                "there are no operators: compare with fn.eq(…) or fn.gt(…), decide with fn.if(…)"
            }
            '+' | '*' | '%' | '-' | '/' => {
                "there are no operators: calculate with fn.add(…), put texts together with fn.join([…], '')"
            }
            '{' => "an object cannot be written here; take it from an argument, or use fn.parseJSON('{…}')",
            _ => FORMS,
        };
        error.help(help)
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
