//! Functions over text. Positions count Unicode scalar values.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Arg, Failure, list, number, text};
use crate::{
    expr::pattern::{self, Found, Pattern},
    js, names,
};

/// The longest text that a function makes, in bytes.
const MAX_TEXT: usize = 1 << 20;

pub(super) fn to_base64(args: &[Arg]) -> Result<Value, Failure> {
    Ok(STANDARD.encode(text(args, 0)?).into())
}

pub(super) fn from_base64(args: &[Arg]) -> Result<Value, Failure> {
    let bytes = STANDARD
        .decode(text(args, 0)?.trim())
        .map_err(|error| Failure::Argument(0, format!("is not base64: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::Whole("found bytes that are no text".into()))?;
    Ok(text.into())
}

pub(super) fn slug(args: &[Arg]) -> Result<Value, Failure> {
    Ok(names::slug(&text(args, 0)?).into())
}

pub(super) fn to_upper(args: &[Arg]) -> Result<Value, Failure> {
    Ok(text(args, 0)?.to_uppercase().into())
}

pub(super) fn to_lower(args: &[Arg]) -> Result<Value, Failure> {
    Ok(text(args, 0)?.to_lowercase().into())
}

pub(super) fn index_of(args: &[Arg]) -> Result<Value, Failure> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    Ok(position_of(&text, text.find(&part)))
}

pub(super) fn search(args: &[Arg]) -> Result<Value, Failure> {
    let text = text(args, 0)?;
    let pattern = match &args[1] {
        Arg::Pattern(pattern) => pattern.clone(),
        _ => {
            let source = self::text(args, 1)?;
            let compiled = pattern::compile(&source, "");
            compiled
                .map(Arc::new)
                .map_err(|error| Failure::Argument(1, format!("is no pattern: {}", error.message)))?
        }
    };
    fits(&text)?;
    Ok(position_of(&text, pattern.regex.find(&text).map(|found| found.start())))
}

fn position_of(text: &str, at: Option<usize>) -> Value {
    at.map_or_else(|| (-1).into(), |at| text[..at].chars().count().into())
}

/// Replaces the first place that fits, or all with the flag `g`.
pub(super) fn replace(args: &[Arg]) -> Result<Value, Failure> {
    let all = matches!(&args[1], Arg::Pattern(pattern) if pattern.global);
    replaced(args, if all { usize::MAX } else { 1 })
}

pub(super) fn replace_all(args: &[Arg]) -> Result<Value, Failure> {
    replaced(args, usize::MAX)
}

fn replaced(args: &[Arg], count: usize) -> Result<Value, Failure> {
    let (source, with) = (text(args, 0)?, text(args, 2)?);
    let mut out = Replaced { source: &source, with: &with, out: String::new(), at: 0 };
    match &args[1] {
        Arg::Pattern(pattern) => {
            fits(&source)?;
            let named = pattern.regex.capture_names().flatten().next().is_some();
            for captures in pattern.regex.captures_iter(&source).take(count) {
                let Some(range) = captures.get(0).map(|found| found.range()) else { continue };
                out.put(&Found { range, groups: Some(&captures), named })?;
            }
        }
        _ => {
            let part = text(args, 1)?;
            for (at, _) in source.match_indices(part.as_str()).take(count) {
                out.put(&Found { range: at..at + part.len(), groups: None, named: false })?;
            }
        }
    }
    out.end()
}

struct Replaced<'a> {
    source: &'a str,
    with: &'a str,
    out: String,
    at: usize,
}

impl Replaced<'_> {
    fn put(&mut self, found: &Found<'_>) -> Result<(), Failure> {
        self.out.push_str(&self.source[self.at..found.range.start]);
        pattern::expand(self.with, self.source, found, &mut self.out);
        self.at = found.range.end;
        short(self.out.len())
    }

    fn end(mut self) -> Result<Value, Failure> {
        self.out.push_str(&self.source[self.at..]);
        short(self.out.len())?;
        Ok(self.out.into())
    }
}

pub(super) fn slice(args: &[Arg]) -> Result<Value, Failure> {
    let text = text(args, 0)?;
    let (from, to) = range(args, text.chars().count())?;
    Ok(text.chars().skip(from).take(to.saturating_sub(from)).collect::<String>().into())
}

pub(super) fn split(args: &[Arg]) -> Result<Value, Failure> {
    let source = text(args, 0)?;
    let limit = match args.get(2) {
        Some(_) => limit(number(args, 2)?),
        None => usize::MAX,
    };
    let parts: Vec<Value> = match &args[1] {
        Arg::Pattern(pattern) => {
            fits(&source)?;
            split_by(&source, pattern, limit)
        }
        _ => {
            let separator = text(args, 1)?;
            if separator.is_empty() {
                source.chars().take(limit).map(|c| c.to_string().into()).collect()
            } else {
                source.split(separator.as_str()).take(limit).map(Value::from).collect()
            }
        }
    };
    Ok(parts.into())
}

/// JavaScript takes the limit modulo 2^32, so that a negative one is none in practice.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the remainder is from 0 to 2^32"
)]
fn limit(limit: f64) -> usize {
    limit.trunc().rem_euclid(4_294_967_296.0) as usize
}

/// As `String.prototype.split` with a regular expression: groups become parts too.
fn split_by(source: &str, pattern: &Pattern, limit: usize) -> Vec<Value> {
    if source.is_empty() {
        return if pattern.regex.is_match(source) { Vec::new() } else { vec!["".into()] };
    }
    let (mut parts, mut from) = (Vec::new(), 0);
    for captures in pattern.regex.captures_iter(source) {
        let Some(found) = captures.get(0) else { continue };
        // An empty match at the beginning or the end of a part separates nothing.
        if found.end() == from || found.start() >= source.len() {
            continue;
        }
        parts.push(source[from..found.start()].into());
        let groups = captures.iter().skip(1);
        parts.extend(groups.map(|group| group.map_or(Value::Null, |group| group.as_str().into())));
        from = found.end();
    }
    parts.push(source[from..].into());
    parts.truncate(limit);
    parts
}

pub(super) fn join(args: &[Arg]) -> Result<Value, Failure> {
    let items = list(args, 0)?;
    let separator = if args.len() > 1 { text(args, 1)? } else { ",".to_owned() };
    let mut parts = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let part = if item.is_null() { Some(String::new()) } else { js::plain_text(item) };
        let kind = js::type_name(item);
        parts.push(part.ok_or_else(|| Failure::Argument(0, format!("holds {kind} at position {n}")))?);
    }
    short(parts.iter().map(String::len).sum::<usize>().saturating_add(items.len() * separator.len()))?;
    Ok(parts.join(&separator).into())
}

/// The positions that the second and third argument name; negative ones count from the end.
pub(super) fn range(args: &[Arg], length: usize) -> Result<(usize, usize), Failure> {
    let from = position(number(args, 1)?, length);
    let to = if args.len() > 2 { position(number(args, 2)?, length) } else { length };
    Ok((from, to))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the length, which is far below 2^53"
)]
fn position(at: f64, length: usize) -> usize {
    let at = at.trunc();
    let at = if at < 0.0 { length as f64 + at } else { at };
    at.clamp(0.0, length as f64) as usize
}

fn short(bytes: usize) -> Result<(), Failure> {
    if bytes <= MAX_TEXT {
        Ok(())
    } else {
        Err(Failure::Whole("would make a text of more than 1 MiB".into()))
    }
}

/// Whether a text is short enough for a regular expression.
fn fits(text: &str) -> Result<(), Failure> {
    if text.len() <= pattern::MAX_TEXT {
        Ok(())
    } else {
        Err(Failure::Argument(0, "is longer than the 256 KiB that a regular expression is applied to".into()))
    }
}
