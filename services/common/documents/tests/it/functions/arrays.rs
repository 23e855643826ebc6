//! Lists and arrow functions.

use serde_json::json;

use super::{gives, refuses};

#[test]
fn arrow_functions_are_written_in_all_ways() {
    gives(&[
        ("fn.map([1, 2], x => fn.add(x, 1))", json!([2, 3])),
        ("fn.map([1, 2], (x) => fn.add(x, 1))", json!([2, 3])),
        ("fn.map([1, 2], (x,i)=>fn.add(x, i))", json!([1, 3])),
        ("fn.map([1, 2], ( x , i , ) => i)", json!([0, 1])),
        ("fn.map([1, 2], () => true)", json!([true, true])),
        ("fn.map([1, 2],\n  item =>\n    [item, args.n])", json!([[1, 2], [2, 2]])),
        ("fn.map(args.people, p => p.name)", json!(["Al", "Bo"])),
        ("fn.map([[1, [2]]], p => p.1.0)", json!([2])),
        ("fn.map([1], argsx => argsx)", json!([1])),
        ("fn.map([1], true_ => true_)", json!([1])),
        (
            "fn.map([[1, 2], [3]], row => fn.map(row, x => [x, fn.arrLength(row)]))",
            json!([[[1, 2], [2, 2]], [[3, 1]]]),
        ),
        ("fn.map([1], x => fn.map([2], x => x))", json!([[2]])),
    ]);
    refuses(&[
        ("fn.map([1], (a, b, c) => a)", "an arrow function has at most two parameters", "c"),
        ("fn.map([1], (a, a) => a)", "two parameters are called `a`", "a"),
        ("fn.map([1], args => args)", "a parameter cannot be called `args`", "args"),
        ("fn.map([1], 1)", "the second argument of fn.map must be an arrow function", "1"),
        (
            "fn.map([1], x => { return x })",
            "the body of an arrow function is one value, without `{` and `return`",
            "{",
        ),
        ("fn.map([1], x => y)", "`y` is not known here", "y"),
        ("fn.map([1], x => x).0", "a member of a result is taken with a function", "."),
        ("fn.map([1], x => x === 1)", "`,` or `)` was expected here, not `=`", "="),
        ("fn.map([1], (x))", "parentheses stand around the arguments of a function only", "(x)"),
        ("(1)", "parentheses stand around the arguments of a function only", "(1)"),
        ("x => x", "an arrow function is no value", "x => x"),
        ("[x => x]", "an arrow function is no value", "x => x"),
        ("fn.map([1], x => y => x)", "an arrow function is no value", "y => x"),
        ("fn.map([{}], x => x)", "a value was expected here, not `{`", "{"),
        ("fn.map([1], x => x.y)", "`x` has no `y`", "x.y"),
    ]);
}

#[test]
fn lists_are_needed() {
    refuses(&[
        ("fn.map('abc', x => x)", "the first argument of fn.map must be a list, not text", "'abc'"),
        (
            "fn.find(args.object, x => x)",
            "the first argument of fn.find must be a list, not an object",
            "args.object",
        ),
        ("fn.arrLength('abc')", "the first argument of fn.arrLength must be a list, not text", "'abc'"),
        (
            "fn.arrSlice([1], 'a')",
            "the second argument of fn.arrSlice must be a number, not the text 'a'",
            "'a'",
        ),
        ("fn.join('abc')", "the first argument of fn.join must be a list, not text", "'abc'"),
        (
            "fn.find([1, 2], x => fn.gt(x, 5))",
            "fn.find found no element that fits",
            "fn.find([1, 2], x => fn.gt(x, 5))",
        ),
        ("fn.filter([1])", "fn.filter takes 2 arguments, not 1", "fn.filter([1])"),
        ("fn.concat()", "fn.concat takes at least 1 argument, not 0", "fn.concat()"),
    ]);
}

#[test]
fn what_is_no_list_is_one_element_of_concat() {
    gives(&[("fn.concat('a', ['b'], null)", json!(["a", "b", null])), ("fn.concat([], [])", json!([]))]);
}
