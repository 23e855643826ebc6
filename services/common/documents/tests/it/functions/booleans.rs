//! Truth and comparison.

use serde_json::json;

use super::{gives, refuses};

#[test]
fn what_has_no_value_counts_as_false_where_a_boolean_is_expected() {
    gives(&[
        ("fn.not(args.missing)", json!(true)),
        ("fn.and(args.missing, true)", json!(false)),
        ("fn.or(args.missing, 1)", json!(true)),
        ("fn.if(args.missing, 1, 2)", json!(2)),
        ("fn.if(args.object.a.missing, 1, 2)", json!(2)),
        ("fn.not(fn.find([1], x => fn.eq(x, 2)))", json!(true)),
        ("fn.some(args.people, p => p.missing)", json!(false)),
        ("fn.every(args.people, p => p.missing)", json!(false)),
        ("fn.not(undefined)", json!(true)),
    ]);
    refuses(&[
        ("fn.eq(args.missing, 1)", "no argument is called `missing`", "args.missing"),
        ("fn.if(true, args.missing)", "no argument is called `missing`", "args.missing"),
        ("undefined", "`undefined` is no value", "undefined"),
        ("fn.if(false, 1, undefined)", "`undefined` is no value", "undefined"),
    ]);
}

#[test]
fn no_more_is_looked_at_than_decides() {
    gives(&[
        ("fn.or(true, fn.divide(1, 0))", json!(true)),
        ("fn.and(false, fn.divide(1, 0))", json!(false)),
        ("fn.if(true, 1, fn.divide(1, 0))", json!(1)),
        ("fn.if(false, fn.divide(1, 0), 1)", json!(1)),
        ("fn.if(false, 1)", json!(null)),
        ("fn.some([1, 0], x => fn.divide(1, x))", json!(true)),
        ("fn.every([0, 1], x => fn.gt(x, 0))", json!(false)),
    ]);
}

#[test]
fn comparison_is_of_numbers() {
    refuses(&[
        ("fn.gt('b', 'a')", "the first argument of fn.gt must be a number, not the text 'b'", "'b'"),
        ("fn.lt(1, 'a')", "the second argument of fn.lt must be a number, not the text 'a'", "'a'"),
        ("fn.gte(null, 1)", "the first argument of fn.gte must be a number, not null", "null"),
        ("fn.lte(1, [1])", "the second argument of fn.lte must be a number, not a list", "[1]"),
        ("fn.gt(1, true)", "the second argument of fn.gt must be a number, not a boolean", "true"),
        ("fn.gt(1)", "fn.gt takes 2 arguments, not 1", "fn.gt(1)"),
        ("fn.eq(1)", "fn.eq takes at least 2 arguments, not 1", "fn.eq(1)"),
        ("fn.and()", "fn.and takes at least 1 argument, not 0", "fn.and()"),
        ("fn.if(1)", "fn.if takes 2 to 3 arguments, not 1", "fn.if(1)"),
        ("fn.eq(1, x => x)", "the second argument of fn.eq cannot be an arrow function", "x => x"),
        ("fn.eq(1, /a/)", "the second argument of fn.eq cannot be a regular expression", "/a/"),
    ]);
}
