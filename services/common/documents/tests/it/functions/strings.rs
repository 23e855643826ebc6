//! Texts and regular expressions.

use serde_json::json;

use super::{gives, refuses, result};

#[test]
fn slugs_and_base64() {
    gives(&[
        ("fn.slug('Feature/Add Login!')", json!("feature-add-login")),
        ("fn.slug('  A  b  ')", json!("a-b")),
        ("fn.slug('Überraschung 1')", json!("berraschung-1")),
        ("fn.slug('---')", json!("")),
        ("fn.fromBase64(' YQ== ')", json!("a")),
    ]);
    refuses(&[
        ("fn.slug(null)", "the first argument of fn.slug must be text, not null", "null"),
        ("fn.fromBase64('/w==')", "fn.fromBase64 found bytes that are no text", "fn.fromBase64('/w==')"),
        ("fn.toBase64([1])", "the first argument of fn.toBase64 must be text, not a list", "[1]"),
        (
            "fn.toUpper(args.object)",
            "the first argument of fn.toUpper must be text, not an object",
            "args.object",
        ),
        (
            "fn.length(args.object)",
            "the first argument of fn.length must be text, not an object",
            "args.object",
        ),
        ("fn.indexOf('a', /a/)", "the second argument of fn.indexOf cannot be a regular expression", "/a/"),
        ("fn.slice('a')", "fn.slice takes 2 to 3 arguments, not 1", "fn.slice('a')"),
        ("fn.slice('a', 'b')", "the second argument of fn.slice must be a number, not the text 'b'", "'b'"),
        ("fn.split('a')", "fn.split takes 2 to 3 arguments, not 1", "fn.split('a')"),
        (
            "fn.join([fn.parseJSON('{}')])",
            "the first argument of fn.join holds an object at position 0",
            "[fn.parseJSON('{}')]",
        ),
    ]);
}

#[test]
fn what_no_linear_engine_can_do_is_named() {
    refuses(&[
        ("fn.search('a', /a(?=b)/)", "look-ahead, `(?=…)`, is not possible here", "(?="),
        ("fn.search('a', /a(?!b)/)", "negative look-ahead, `(?!…)`, is not possible here", "(?!"),
        ("fn.search('a', /(?<=b)a/)", "look-behind, `(?<=…)`, is not possible here", "(?<="),
        ("fn.search('a', /(?<!b)a/)", "negative look-behind, `(?<!…)`, is not possible here", "(?<!"),
        ("fn.search('a', /(a)\\1/)", "a back reference, `\\1`, is not possible here", "\\1"),
        ("fn.search('a', /(?<n>a)\\k<n>/)", "a back reference, `\\k<name>`, is not possible here", "\\k"),
    ]);
}

#[test]
fn broken_patterns_are_explained() {
    refuses(&[
        ("fn.search('a', /a/y)", "`y` is no flag of a regular expression here", "y"),
        ("fn.search('a', /a/gg)", "the flag `g` stands here twice", "g"),
        ("fn.search('a', /(a/)", "this `(` is never closed", "("),
        ("fn.search('a', /a)/)", "this `)` closes nothing", ")"),
        ("fn.search('a', /*a/)", "there is nothing to repeat here", "*"),
        ("fn.search('a', /a**/)", "there is nothing to repeat here", "*"),
        ("fn.search('a', /^+/)", "there is nothing to repeat here", "+"),
        ("fn.search('a', /[b-a]/)", "this range ends before it begins", "b-a"),
        ("fn.search('a', /\\p{L}/)", "`\\p` needs the flag `u`", "\\p"),
        ("fn.search('a', /\\p{Nope}/u)", "no characters have the property `Nope`", "\\p{Nope}"),
        ("fn.search('a', /\\u{110000}/u)", "this is no character", "\\u{110000}"),
        ("fn.search('a', /(?i)a/)", "no group begins like this", "(?"),
        ("fn.search('a', /(?<a>x)(?<a>y)/)", "two groups are called `a`", "(?<a>"),
        ("fn.search('a', /a{2,1}/)", "this is no regular expression", "a{2,1}"),
        ("fn.search('a', /(?:a{500}){500}/)", "the regular expression is too big", "(?:a{500}){500}"),
        (
            "fn.search('a', '(')",
            "the second argument of fn.search is no pattern: this `(` is never closed",
            "'('",
        ),
        ("/a/", "a regular expression is no value", "/a/"),
    ]);
}

#[test]
fn patterns_take_time_that_is_linear_in_the_text() {
    // Takes a backtracking engine longer than the age of the universe.
    let text = "a".repeat(5000);
    let expression = format!("fn.search('{text}', /^(a+)+$|(a|aa)*b|(.*)*x/)");
    assert_eq!(result(&expression).unwrap(), json!(0));
    let expression = format!("fn.search('{text}!', /^(a+)+$|(a|aa)*b|(.*)*x/)");
    assert_eq!(result(&expression).unwrap(), json!(-1));
}

#[test]
fn escapes_in_texts() {
    gives(&[("'\\q\\/\\`'", json!("q/`")), ("'\\u{41}'", json!("A"))]);
    refuses(&[
        ("'\\x4'", "this is no character", "\\x"),
        ("'\\u12'", "this is no character", "\\u"),
        ("'\\uD800'", "this is no character", "\\uD800"),
        ("'\\u{}'", "this is no character", "\\u{"),
        ("`a`", "text in an expression stands in single quotes", "`"),
    ]);
}
