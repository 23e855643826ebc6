//! Functions whose result is the scope's to say: secrets and time.

use serde_json::Value;

use super::{Context, Expr, Stop, Trouble, failed, names, values};
use crate::{
    expr::{
        Place,
        ast::{Kind, Part, PathRoot},
        functions::{self, Arg, Asks, Failure, Function},
    },
    js, secret,
};

/// How many characters a random secret may have. Logs cannot be kept free of shorter ones.
const LENGTHS: std::ops::RangeInclusive<f64> = 6.0..=1024.0;

pub(super) fn ask(
    asks: Asks,
    function: &Function,
    expr: &Expr,
    args: &[Expr],
    cx: &mut Context<'_>,
) -> Result<Value, Stop> {
    let given = values(function, args, cx)?;
    if given.iter().any(|arg| matches!(arg, Arg::Value(value) if secret::is_secret(value))) {
        let message = format!("the arguments of fn.{} may not depend on a secret", function.name);
        return Err(Stop::Error(Trouble::new(&expr.span, message).help("use a plain argument")));
    }
    let fail = |failure| failed(expr, function.name, args, failure);
    match asks {
        Asks::RandomSecret => random(shape(&given).map_err(fail)?, expr, cx).map_err(Stop::Error),
        Asks::FetchSecret => {
            let id = functions::text_of(&given, 0).map_err(fail)?;
            names::look_up(expr, PathRoot::Secrets, &id, &[], cx.scope)
        }
        Asks::Date => {
            let format =
                if given.is_empty() { None } else { Some(functions::text_of(&given, 0).map_err(fail)?) };
            let now = cx.scope.now().ok_or_else(|| {
                let trouble = Trouble::new(&expr.span, "there is no time here for fn.date");
                Stop::Error(trouble.help("it gives the time of a run's plan; use it in a flow"))
            })?;
            let date = functions::date(now, format.as_deref());
            date.map(Value::from).map_err(|message| fail(Failure::Argument(0, message)))
        }
    }
}

/// What `randomSecret` is asked for.
pub(super) fn shape(given: &[Arg]) -> Result<secret::RandomShape, Failure> {
    let length = match given.first() {
        Some(Arg::Value(length)) => js::number(length),
        _ => None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in the range")]
    let length = length
        .filter(|length| length.fract() == 0.0 && LENGTHS.contains(length))
        .map(|length| length as u32)
        .ok_or_else(|| Failure::Argument(0, "must be a whole number from 6 to 1024".into()))?;
    let encoding = match given.get(1) {
        None => secret::Encoding::Base64,
        Some(Arg::Value(Value::String(word))) if word == "base64" => secret::Encoding::Base64,
        Some(Arg::Value(Value::String(word))) if word == "hex" => secret::Encoding::Hex,
        Some(_) => return Err(Failure::Argument(1, "must be 'base64' or 'hex'".into())),
    };
    Ok(secret::RandomShape { length, encoding })
}

fn random(shape: secret::RandomShape, expr: &Expr, cx: &Context<'_>) -> Result<Value, Trouble> {
    if cx.arrows > 0 {
        return Err(random_in_arrow(&expr.span));
    }
    let place = Place { pointer: cx.at, ordinal: ordinal(cx.parts, expr) };
    let Some(secret) = cx.scope.random_secret(place) else {
        let trouble = Trouble::new(&expr.span, "no secret can be made here");
        return Err(trouble.help("fn.randomSecret stands in a field of a flow's node, a variable of a secret group, or an override"));
    };
    Ok(secret::random(&secret, shape))
}

/// One secret is kept per place in the document, whatever the element.
pub(in crate::expr) fn random_in_arrow(span: &std::ops::Range<usize>) -> Trouble {
    Trouble::new(span, "fn.randomSecret cannot stand in an arrow function")
        .help("it makes one secret per place in the document; call it outside")
}

/// How many calls of `randomSecret` stand before this one in its text.
fn ordinal(parts: &[Part], expr: &Expr) -> usize {
    fn count(expr: &Expr, before: usize) -> usize {
        match &expr.kind {
            Kind::Call { function, args } => {
                let itself = function == "randomSecret" && expr.span.start < before;
                usize::from(itself) + args.iter().map(|arg| count(arg, before)).sum::<usize>()
            }
            Kind::List(items) => items.iter().map(|item| count(item, before)).sum(),
            Kind::Arrow(arrow) => count(&arrow.body, before),
            _ => 0,
        }
    }
    let expressions = parts.iter().filter_map(|part| match part {
        Part::Expression { expr, .. } => Some(expr),
        _ => None,
    });
    expressions.map(|one| count(one, expr.span.start)).sum()
}
