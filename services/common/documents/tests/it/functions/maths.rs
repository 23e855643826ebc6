//! Numbers.

use super::refuses;

#[test]
fn what_is_no_number_is_named() {
    refuses(&[
        ("fn.add(1, 'two')", "the second argument of fn.add must be a number, not the text 'two'", "'two'"),
        ("fn.add('')", "the first argument of fn.add must be a number, not the text ''", "''"),
        ("fn.add('0x10')", "the first argument of fn.add must be a number, not the text '0x10'", "'0x10'"),
        (
            "fn.add('Infinity')",
            "the first argument of fn.add must be a number, not the text 'Infinity'",
            "'Infinity'",
        ),
        ("fn.subtract(1, null)", "the second argument of fn.subtract must be a number, not null", "null"),
        (
            "fn.multiply(1, 2, true)",
            "the third argument of fn.multiply must be a number, not a boolean",
            "true",
        ),
        ("fn.divide(1, 0)", "the second argument of fn.divide is 0", "0"),
        ("fn.divide(1, -0)", "the second argument of fn.divide is 0", "-0"),
        ("fn.divide(1, '0.0')", "the second argument of fn.divide is 0", "'0.0'"),
        ("fn.divide(0, 0)", "the second argument of fn.divide is 0", "0"),
        ("fn.divide('x', 1)", "the first argument of fn.divide must be a number, not the text 'x'", "'x'"),
        ("fn.remainder(1, 0)", "the second argument of fn.remainder is 0", "0"),
        (
            "fn.remainder(1, 'y')",
            "the second argument of fn.remainder must be a number, not the text 'y'",
            "'y'",
        ),
        ("fn.exp(10, 309)", "fn.exp has no finite result", "fn.exp(10, 309)"),
        ("fn.exp(-1, 0.5)", "fn.exp has no finite result", "fn.exp(-1, 0.5)"),
        ("fn.exp(0, -1)", "fn.exp has no finite result", "fn.exp(0, -1)"),
        ("fn.multiply(1e308, 10)", "fn.multiply has no finite result", "fn.multiply(1e308, 10)"),
        ("fn.floor([])", "the first argument of fn.floor must be a number, not a list", "[]"),
        (
            "fn.ceil(args.object)",
            "the first argument of fn.ceil must be a number, not an object",
            "args.object",
        ),
        ("fn.floor(1, 2)", "fn.floor takes 1 argument, not 2", "fn.floor(1, 2)"),
    ]);
}
