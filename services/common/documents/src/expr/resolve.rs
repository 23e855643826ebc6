//! A whole tree of values, its expressions replaced by what they are worth.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{
    Scope,
    ast::{Expr, Kind, Part, PathRoot},
    budget::Budget,
    eval::{Context, eval},
    parse,
    trouble::{Stop, Trouble},
    walk::Place,
};
use crate::{Code, Problem, js, secret};

/// Resolves every expression in `value`, which stands at `at`; everything must resolve. So must `${{secrets…}}` and
/// `${{refs…}}`: this is the last look before the work runs, and secrets stay names here. Any other `${{…}}` is left.
///
/// # Errors
/// Every expression that has no value, with its place.
pub fn resolve(value: &Value, scope: &dyn Scope, at: &str) -> Result<Value, Vec<Problem>> {
    run(Phase::Full, value, scope, at)
}

/// Resolves what can be resolved now; what needs a node that has not run stays as text. The result goes
/// through [`resolve`] later: what was put in now is escaped, so that it is never read as an expression.
///
/// # Errors
/// Every expression that can have no value, with its place.
pub fn resolve_partly(value: &Value, scope: &dyn Scope, at: &str) -> Result<Value, Vec<Problem>> {
    run(Phase::Partly, value, scope, at)
}

/// Resolves `${template.…}` only: all else stays as it is, to be resolved when the nested flow runs.
///
/// # Errors
/// Every `${template.…}` that has no value, with its place.
pub fn resolve_template(value: &Value, scope: &dyn Scope, at: &str) -> Result<Value, Vec<Problem>> {
    run(Phase::Template, value, scope, at)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Full,
    Partly,
    Template,
}

fn run(phase: Phase, value: &Value, scope: &dyn Scope, at: &str) -> Result<Value, Vec<Problem>> {
    let mut resolver =
        Resolver { phase, scope, budget: Budget::default(), at: Place::new(at), problems: Vec::new() };
    let value = resolver.value(value);
    if resolver.problems.is_empty() { Ok(value) } else { Err(resolver.problems) }
}

struct Resolver<'a> {
    phase: Phase,
    scope: &'a dyn Scope,
    budget: Budget,
    at: Place,
    problems: Vec<Problem>,
}

/// A part of a text after its evaluation.
enum Piece {
    /// Text, or a mark of a secret.
    Done(Value),
    /// Source text that a later phase resolves.
    Raw(Range<usize>),
}

impl Resolver<'_> {
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (n, item) in items.iter().enumerate() {
                    let before = self.at.item(n);
                    resolved.push(self.value(item));
                    self.at.back(before);
                }
                resolved.into()
            }
            mark if secret::is_mark(mark) => mark.clone(),
            Value::Object(members) => {
                let mut resolved = Map::new();
                for (key, member) in members {
                    let before = self.at.member(key);
                    resolved.insert(key.clone(), self.value(member));
                    self.at.back(before);
                }
                resolved.into()
            }
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str) -> Value {
        if !text.contains("${") {
            return text.into();
        }
        match self.parts(text) {
            Ok(value) => value,
            Err(trouble) => {
                self.problems.push(trouble.into_problem(self.at.pointer()));
                text.into()
            }
        }
    }

    fn parts(&mut self, text: &str) -> Result<Value, Trouble> {
        let parts = parse::parts(text)?;
        let at = self.at.pointer().to_owned();
        let mut cx = Context::new(self.scope, std::mem::take(&mut self.budget), &at, &parts);
        let value = self.put_in(text, &parts, &mut cx);
        self.budget = cx.budget;
        value
    }

    fn put_in(&self, text: &str, parts: &[Part], cx: &mut Context<'_>) -> Result<Value, Trouble> {
        if let [Part::Expression { span, template, expr }] = parts
            && span.len() == text.len()
        {
            if let Some(value) = self.expression(span, *template, expr, cx)? {
                return Ok(if self.phase == Phase::Full { value } else { escape(value) });
            }
            return Ok(text.into());
        }
        if let [Part::Container(span)] = parts
            && let Some(value) = self.container(text, span, cx)?
        {
            return Ok(value);
        }
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Done(text.as_str().into()),
                Part::Container(span) => match self.container(text, span, cx)? {
                    Some(value) => Piece::Done(embedded(value, span)?),
                    None => Piece::Raw(span.clone()),
                },
                Part::Expression { span, template, expr } => {
                    match self.expression(span, *template, expr, cx)? {
                        Some(value) => Piece::Done(embedded(value, span)?),
                        None => Piece::Raw(span.clone()),
                    }
                }
            });
        }
        self.put_together(text, pieces)
    }

    /// The value of an expression; none if a later phase has to find it.
    fn expression(
        &self,
        span: &Range<usize>,
        template: bool,
        expr: &Expr,
        cx: &mut Context<'_>,
    ) -> Result<Option<Value>, Trouble> {
        match (self.phase, template) {
            (Phase::Template, false) => return Ok(None),
            (Phase::Full | Phase::Partly, true) => return Err(not_nested(span)),
            _ => {}
        }
        match eval(expr, cx) {
            Ok(value) => Ok(Some(value)),
            Err(Stop::Later(..)) if self.phase == Phase::Partly => Ok(None),
            Err(Stop::Later(span, name)) => {
                Err(Trouble::new(&span, format!("the node `{name}` has not run when this is needed"))
                    .help("put this node after it"))
            }
            Err(Stop::Unresolved(trouble) | Stop::Undefined(trouble) | Stop::Error(trouble)) => Err(trouble),
            Err(Stop::Secret) => Err(Trouble::new(&expr.span, "a secret decides here")
                .help("what is decided may depend on plain arguments only")),
        }
    }

    /// The value of `${{…}}` when the work is about to run; none if it is not ours, or too early.
    fn container(
        &self,
        text: &str,
        span: &Range<usize>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Value>, Trouble> {
        let expr = parse::container(text, span).filter(|_| self.phase == Phase::Full);
        match &expr {
            Some(expr @ Expr { kind: Kind::Path { root: PathRoot::Secrets | PathRoot::Refs, .. }, .. }) => {
                self.expression(span, false, expr, cx)
            }
            _ => Ok(None),
        }
    }

    fn put_together(&self, source: &str, pieces: Vec<Piece>) -> Result<Value, Trouble> {
        let waits = pieces.iter().any(|piece| matches!(piece, Piece::Raw(_)));
        let secrets = pieces.iter().any(|piece| matches!(piece, Piece::Done(Value::Object(_))));
        if secrets && (!waits || self.phase == Phase::Full) {
            return Ok(secret::text(merged(source, pieces)));
        }
        if secrets {
            // The secret's expression is resolved again later, from the same names.
            if self.phase == Phase::Partly {
                return Ok(source.into());
            }
            return Err(Trouble::new(
                &(0..source.len()),
                "a secret of the template cannot be in one text with what is resolved later",
            )
            .help("give the nested flow an argument of its own"));
        }
        if self.phase == Phase::Full {
            let text = merged(source, pieces).into_iter().filter_map(|part| part.as_str().map(str::to_owned));
            return Ok(text.collect::<String>().into());
        }
        Ok(self.rewritten(source, pieces).unwrap_or_else(|| source.to_owned()).into())
    }

    /// The source with what is known put in; none where that would read differently.
    #[expect(clippy::unused_self, reason = "one family with its callers")]
    fn rewritten(&self, source: &str, pieces: Vec<Piece>) -> Option<String> {
        let (mut text, mut literal) = (String::new(), String::new());
        for piece in pieces {
            match piece {
                Piece::Done(value) => literal.push_str(value.as_str().unwrap_or_default()),
                Piece::Raw(_) if literal.ends_with('\\') => return None,
                Piece::Raw(span) => {
                    text.push_str(&parse::escape(&literal));
                    literal.clear();
                    text.push_str(&source[span]);
                }
            }
        }
        text.push_str(&parse::escape(&literal));
        Some(text)
    }
}

/// The pieces with neighbouring texts joined.
fn merged(source: &str, pieces: Vec<Piece>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for piece in pieces {
        let value = match piece {
            Piece::Done(value) => value,
            Piece::Raw(span) => source[span].into(),
        };
        match (all.last_mut(), value) {
            (Some(Value::String(last)), Value::String(text)) => last.push_str(&text),
            (_, value) => all.push(value),
        }
    }
    all
}

/// A value as part of a text: text, or the mark of a secret.
fn embedded(value: Value, span: &Range<usize>) -> Result<Value, Trouble> {
    if secret::file_data(&value).is_some() {
        return Err(Trouble::path_in_part(span));
    }
    if secret::is_mark(&value) {
        return Ok(value);
    }
    match js::plain_text(&value).filter(|_| !secret::is_secret(&value)) {
        Some(text) => Ok(text.into()),
        None => {
            let kind = js::type_name(&value);
            Err(Trouble::new(span, format!("{kind} cannot be part of a text"))
                .help("name a member of it, or use fn.stringifyJSON(…)"))
        }
    }
}

/// The same value after a later phase has resolved it.
fn escape(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains("${") => parse::escape(&text).into(),
        Value::Array(items) => items.into_iter().map(escape).collect::<Vec<_>>().into(),
        Value::Object(members) if !secret::is_mark(&Value::Object(members.clone())) => {
            Value::Object(members.into_iter().map(|(key, member)| (key, escape(member))).collect())
        }
        other => other,
    }
}

/// `template.` where there is no document around.
pub(super) fn not_nested(span: &Range<usize>) -> Trouble {
    Trouble::new(span, "`template.` is only known inside a flow that is nested in a template")
        .code(Code::ExprUnsupported)
        .help("take `template.` away")
}
