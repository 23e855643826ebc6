//! Numbers: IEEE doubles, never infinite and never none.

use serde_json::Value;

use super::{Arg, Failure, number};
use crate::js;

pub(super) fn add(args: &[Arg]) -> Result<Value, Failure> {
    fold(args, |a, b| a + b)
}

pub(super) fn subtract(args: &[Arg]) -> Result<Value, Failure> {
    fold(args, |a, b| a - b)
}

pub(super) fn multiply(args: &[Arg]) -> Result<Value, Failure> {
    fold(args, |a, b| a * b)
}

pub(super) fn divide(args: &[Arg]) -> Result<Value, Failure> {
    by(args, |a, b| a / b)
}

pub(super) fn remainder(args: &[Arg]) -> Result<Value, Failure> {
    by(args, |a, b| a % b)
}

pub(super) fn exp(args: &[Arg]) -> Result<Value, Failure> {
    fold(args, f64::powf)
}

pub(super) fn floor(args: &[Arg]) -> Result<Value, Failure> {
    finite(number(args, 0)?.floor())
}

pub(super) fn ceil(args: &[Arg]) -> Result<Value, Failure> {
    finite(number(args, 0)?.ceil())
}

fn fold(args: &[Arg], step: fn(f64, f64) -> f64) -> Result<Value, Failure> {
    let mut result = number(args, 0)?;
    for n in 1..args.len() {
        result = step(result, number(args, n)?);
    }
    finite(result)
}

fn by(args: &[Arg], step: fn(f64, f64) -> f64) -> Result<Value, Failure> {
    let (a, b) = (number(args, 0)?, number(args, 1)?);
    if b == 0.0 { Err(Failure::Argument(1, "is 0".into())) } else { finite(step(a, b)) }
}

fn finite(number: f64) -> Result<Value, Failure> {
    js::from_number(number).ok_or_else(|| Failure::Whole("has no finite result".into()))
}
