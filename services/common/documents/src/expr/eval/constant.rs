//! Calls whose arguments are all written out: what they give is known before a run.

use serde_json::Value;
use shipway_events::Timestamp;

use super::{Arg, Expr, Run, Trouble, failed};
use crate::expr::{
    ast::Kind,
    functions::{self, Asks, Failure, Function},
    trouble::Stop,
};

/// What a call gives, or why it gives nothing, if its arguments say it all.
pub(in crate::expr) fn constant(
    expr: &Expr,
    function: &Function,
    args: &[Expr],
) -> Option<Result<Value, Trouble>> {
    let mut given = Vec::with_capacity(args.len());
    for arg in args {
        given.push(match &arg.kind {
            Kind::Literal(value) => Arg::Value(value.clone()),
            Kind::Regex(regex) => Arg::Pattern(regex.pattern().ok()?),
            _ => return divided_by_zero(expr, function, args),
        });
    }
    let result = match function.run {
        Run::Values(run) => run(&given),
        Run::Scope(Asks::Date) => {
            let format = if given.is_empty() { None } else { Some(functions::text_of(&given, 0).ok()?) };
            let date = functions::date(Timestamp::from_micros(0), format.as_deref());
            date.map(Value::from).map_err(|message| Failure::Argument(0, message))
        }
        Run::Scope(Asks::RandomSecret) => match super::asks::shape(&given) {
            Ok(_) => return None,
            Err(failure) => Err(failure),
        },
        Run::Scope(Asks::FetchSecret) | Run::Lazy(_) | Run::Each(_) => return None,
    };
    match result {
        Ok(value) => Some(Ok(value)),
        Err(Failure::Nothing(_)) => None,
        Err(failure) => match failed(expr, function.name, args, failure) {
            Stop::Error(trouble) => Some(Err(trouble)),
            _ => None,
        },
    }
}

/// A divisor that is written out as 0 is wrong whatever is divided.
fn divided_by_zero(expr: &Expr, function: &Function, args: &[Expr]) -> Option<Result<Value, Trouble>> {
    let divides = matches!(function.name, "divide" | "remainder");
    let Some(Expr { kind: Kind::Literal(divisor), .. }) = args.get(1).filter(|_| divides) else {
        return None;
    };
    if crate::js::number(divisor) != Some(0.0) {
        return None;
    }
    match failed(expr, function.name, args, Failure::Argument(1, "is 0".into())) {
        Stop::Error(trouble) => Some(Err(trouble)),
        _ => None,
    }
}
