//! Names with their paths, calls, and arrow functions.

use serde_json::Value;

use super::{Parser, is_word};
use crate::{
    expr::ast::{Arrow, Expr, Kind, PathRoot, SyntaxError},
    suggest::nearest,
};

/// The most parameters that an arrow function has: the element and its position.
const MAX_PARAMETERS: usize = 2;

/// Words that no parameter may be called.
const TAKEN: &[&str] =
    &["args", "refs", "triggers", "secrets", "template", "fn", "true", "false", "null", "undefined"];

impl Parser<'_> {
    /// A name with its path, a call, an arrow function with one bare parameter, or a word that is a value.
    pub(super) fn named(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let word = self.word();
        if self.arrow_follows() {
            let parameters = vec![(word.to_owned(), start)];
            return Ok(Kind::Arrow(self.body(start, parameters, depth)?));
        }
        if let Some(slot) = self.parameters.iter().rposition(|name| name == word) {
            return Ok(Kind::Parameter { slot, name: word.to_owned(), path: self.path()? });
        }
        let root = match word {
            "fn" => return self.call(start, depth),
            "true" => return Ok(Kind::Literal(Value::Bool(true))),
            "false" => return Ok(Kind::Literal(Value::Bool(false))),
            "null" => return Ok(Kind::Literal(Value::Null)),
            "undefined" => return Ok(Kind::Undefined),
            _ => PathRoot::of(word).ok_or_else(|| self.unknown_root(start, word))?,
        };
        let mut path = self.path()?;
        if path.is_empty() {
            let what = match root {
                PathRoot::Args => "argument",
                PathRoot::Refs | PathRoot::Triggers => "ref",
                PathRoot::Secrets => "secret",
            };
            return Err(SyntaxError::new(start..self.at, format!("`{word}` alone is no value"))
                .help(format!("name the {what}: `{word}.NAME`")));
        }
        if self.peek() == Some('(') {
            let name = path.last().map(String::as_str).unwrap_or_default();
            return Err(self
                .error_here("values have no methods")
                .help(format!("functions are called `fn.{name}(…)`, the value being their first argument")));
        }
        let name = path.remove(0);
        Ok(Kind::Path { root, name, path })
    }

    /// The steps after a name.
    fn path(&mut self) -> Result<Vec<String>, SyntaxError> {
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
        Ok(steps)
    }

    fn unknown_root(&self, start: usize, word: &str) -> SyntaxError {
        let error = SyntaxError::new(start..self.at, format!("`{word}` is not known here"));
        let known = ["args", "refs", "triggers", "secrets", "fn"];
        match word {
            "template" => error.help("`template.` can only stand right after `${`"),
            _ if self.peek() == Some('(') => error.help(format!("functions are called `fn.{word}(…)`")),
            _ if !self.parameters.is_empty() => {
                let parameters = self.parameters.iter().map(String::as_str);
                match nearest(word, parameters.clone().chain(known)) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error.help(format!(
                        "the parameters that are known here are {}",
                        crate::suggest::list(parameters)
                    )),
                }
            }
            _ => match nearest(word, known) {
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
        let args = self.sequence('(', ')', depth, Self::argument)?;
        if matches!(self.peek(), Some('.' | '[')) {
            return Err(self
                .error_here("a member of a result is taken with a function")
                .help("write `fn.get(…, 'path')`"));
        }
        Ok(Kind::Call { function, args })
    }

    fn arrow_follows(&self) -> bool {
        self.rest().trim_start().starts_with("=>")
    }

    /// `(item, index) => …`
    pub(super) fn arrow(&mut self, start: usize, depth: usize) -> Result<Arrow, SyntaxError> {
        let mut parameters = Vec::new();
        self.eat('(');
        self.space();
        while !self.eat(')') {
            let at = self.at;
            let word = self.word();
            if word.is_empty() {
                return Err(self.unexpected("the name of a parameter"));
            }
            parameters.push((word.to_owned(), at));
            self.space();
            if !self.eat(',') && self.peek() != Some(')') {
                return Err(self.no_arrow(start));
            }
            self.space();
        }
        if !self.arrow_follows() {
            return Err(self.no_arrow(start));
        }
        self.body(start, parameters, depth)
    }

    fn no_arrow(&self, start: usize) -> SyntaxError {
        SyntaxError::new(start..self.at, "parentheses stand around the arguments of a function only")
            .help("an arrow function is written `(item, index) => …`; for anything else leave them out")
    }

    fn body(
        &mut self,
        start: usize,
        parameters: Vec<(String, usize)>,
        depth: usize,
    ) -> Result<Arrow, SyntaxError> {
        for (n, (name, at)) in parameters.iter().enumerate() {
            let error = |message: String| SyntaxError::new(*at..at + name.len(), message);
            if n >= MAX_PARAMETERS {
                return Err(error("an arrow function has at most two parameters".to_owned())
                    .help("they are the element and its position: `(item, index) => …`"));
            }
            if TAKEN.contains(&name.as_str()) || !name.starts_with(|c: char| is_word(c) && !c.is_numeric()) {
                return Err(error(format!("a parameter cannot be called `{name}`"))
                    .help("call it `item`, for example"));
            }
            if parameters[..n].iter().any(|(other, _)| other == name) {
                return Err(error(format!("two parameters are called `{name}`")));
            }
        }
        self.space();
        self.at += "=>".len();
        self.space();
        if self.peek() == Some('{') {
            return Err(self
                .error_here("the body of an arrow function is one value, without `{` and `return`")
                .help("write `(item) => fn.eq(item.name, 'x')`"));
        }
        let outer = self.parameters.clone();
        let parameters: Vec<String> = parameters.into_iter().map(|(name, _)| name).collect();
        self.parameters.extend(parameters.iter().cloned());
        let body: Result<Expr, SyntaxError> = self.expression(depth + 1);
        self.parameters.truncate(outer.len());
        let body = Box::new(body?);
        let text = self.text[start..body.span.end].to_owned();
        Ok(Arrow { parameters, body, outer, text })
    }
}
