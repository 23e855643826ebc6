//! Functions over text. Positions count Unicode scalar values.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::functions::{Failure, list, number, text};
use crate::js;

/// The longest text that a function makes, in bytes.
const MAX_TEXT: usize = 1 << 20;

pub(super) fn to_base64(args: &[Value]) -> Result<Value, Failure> {
    Ok(STANDARD.encode(text(args, 0)?).into())
}

pub(super) fn from_base64(args: &[Value]) -> Result<Value, Failure> {
    let bytes = STANDARD
        .decode(text(args, 0)?.trim())
        .map_err(|error| Failure::Argument(0, format!("is not base64: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::Whole("found bytes that are no text".into()))?;
    Ok(text.into())
}

pub(super) fn index_of(args: &[Value]) -> Result<Value, Failure> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    Ok(text.find(&part).map_or_else(|| (-1).into(), |at| text[..at].chars().count().into()))
}

/// Replaces the first `count` places.
pub(super) fn replace(args: &[Value], count: usize) -> Result<Value, Failure> {
    let (source, part, with) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let places = source.matches(part.as_str()).take(count).count();
    short(source.len().saturating_add(places.saturating_mul(with.len())))?;
    Ok(source.replacen(&part, &with, count).into())
}

pub(super) fn slice(args: &[Value]) -> Result<Value, Failure> {
    let text = text(args, 0)?;
    let (from, to) = range(args, text.chars().count())?;
    Ok(text.chars().skip(from).take(to.saturating_sub(from)).collect::<String>().into())
}

pub(super) fn split(args: &[Value]) -> Result<Value, Failure> {
    let (source, separator) = (text(args, 0)?, text(args, 1)?);
    let limit = match args.get(2) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        Some(_) => number(args, 2)?.max(0.0) as usize,
        None => usize::MAX,
    };
    let parts: Vec<Value> = if separator.is_empty() {
        source.chars().take(limit).map(|c| c.to_string().into()).collect()
    } else {
        source.split(separator.as_str()).take(limit).map(Value::from).collect()
    };
    Ok(parts.into())
}

pub(super) fn join(args: &[Value]) -> Result<Value, Failure> {
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
pub(super) fn range(args: &[Value], length: usize) -> Result<(usize, usize), Failure> {
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
    if bytes <= MAX_TEXT { Ok(()) } else { Err(Failure::Whole("would make a text of more than 1 MiB".into())) }
}
