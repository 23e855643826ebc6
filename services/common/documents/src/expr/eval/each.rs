//! Functions that apply an arrow function to the elements of a list.

use serde_json::Value;

use super::{Context, Stop, Trouble, arrow, eval, failed, truth};
use crate::{
    expr::{
        ast::{Arrow, Expr},
        functions::{Each, Failure, Function},
    },
    js, secret,
};

pub(super) fn apply(
    each: Each,
    function: &Function,
    expr: &Expr,
    args: &[Expr],
    cx: &mut Context<'_>,
) -> Result<Value, Stop> {
    let (Some(list), Some(arrow)) = (args.first(), arrow(args)) else {
        return Err(failed(
            expr,
            function.name,
            args,
            Failure::Whole("takes a list and an arrow function".into()),
        ));
    };
    let list = eval(list, cx)?;
    if secret::is_mark(&list) {
        return Err(Stop::Secret);
    }
    let Value::Array(items) = list else {
        let failure = Failure::Argument(0, format!("must be a list, not {}", js::type_name(&list)));
        return Err(failed(expr, function.name, args, failure));
    };
    let depth = cx.parameters.len();
    cx.arrows += 1;
    let result = over(each, expr, arrow, items, cx);
    cx.arrows -= 1;
    cx.parameters.truncate(depth);
    result
}

fn over(
    each: Each,
    expr: &Expr,
    arrow: &Arrow,
    items: Vec<Value>,
    cx: &mut Context<'_>,
) -> Result<Value, Stop> {
    let mut kept = Vec::new();
    for (n, item) in items.into_iter().enumerate() {
        enter(arrow, &item, n, cx);
        if each == Each::Map {
            kept.push(match eval(&arrow.body, cx) {
                Err(Stop::Undefined(_)) => Value::Null,
                value => value?,
            });
            continue;
        }
        let holds = truth(&arrow.body, cx)?.ok_or(Stop::Secret)?;
        match each {
            Each::Some if holds => return Ok(true.into()),
            Each::Every if !holds => return Ok(false.into()),
            Each::Find if holds => return Ok(item),
            Each::Filter if holds => kept.push(item),
            _ => {}
        }
    }
    match each {
        Each::Some => Ok(false.into()),
        Each::Every => Ok(true.into()),
        Each::Filter | Each::Map => Ok(kept.into()),
        Each::Find => {
            let trouble = Trouble::new(&expr.span, "fn.find found no element that fits");
            Err(Stop::Undefined(
                trouble.help("say what is used instead: `fn.if(fn.some(…), fn.find(…), 'unknown')`"),
            ))
        }
    }
}

/// Gives the parameters of an arrow function their values.
fn enter(arrow: &Arrow, item: &Value, n: usize, cx: &mut Context<'_>) {
    cx.parameters.truncate(arrow.outer.len());
    let values = [item.clone(), Value::from(n)];
    cx.parameters.extend(values.into_iter().take(arrow.parameters.len()));
}
