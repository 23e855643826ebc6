//! Truth and comparison.

use serde_json::Value;

use super::{Arg, Failure, number, value};
use crate::js;

pub(super) fn not(args: &[Arg]) -> Result<Value, Failure> {
    Ok((!js::truthy(value(args, 0)?)).into())
}

pub(super) fn eq(args: &[Arg]) -> Result<Value, Failure> {
    Ok(all_same(args).into())
}

pub(super) fn neq(args: &[Arg]) -> Result<Value, Failure> {
    Ok((!all_same(args)).into())
}

fn all_same(args: &[Arg]) -> bool {
    args.iter().skip(1).all(|arg| match (&args[0], arg) {
        (Arg::Value(a), Arg::Value(b)) => js::equal(a, b),
        (Arg::Undefined, Arg::Undefined) => true,
        _ => false,
    })
}

pub(super) fn gt(args: &[Arg]) -> Result<Value, Failure> {
    Ok((number(args, 0)? > number(args, 1)?).into())
}

pub(super) fn lt(args: &[Arg]) -> Result<Value, Failure> {
    Ok((number(args, 0)? < number(args, 1)?).into())
}

pub(super) fn gte(args: &[Arg]) -> Result<Value, Failure> {
    Ok((number(args, 0)? >= number(args, 1)?).into())
}

pub(super) fn lte(args: &[Arg]) -> Result<Value, Failure> {
    Ok((number(args, 0)? <= number(args, 1)?).into())
}
