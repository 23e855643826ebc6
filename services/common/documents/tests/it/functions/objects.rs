//! Objects and JSON.

use serde_json::json;

use super::{gives, refuses};

#[test]
fn get_walks_objects_and_lists() {
    gives(&[
        ("fn.get(args.object, 'a.b.1')", json!(20)),
        ("fn.get(args.people, '1.name')", json!("Bo")),
        ("fn.eq(fn.get(args.object, 'a.b.9'), undefined)", json!(true)),
        ("fn.eq(fn.get(args.object, 'a.b.x'), undefined)", json!(true)),
        ("fn.eq(fn.get('text', 'length'), undefined)", json!(true)),
        ("fn.eq(fn.get(args.object, 'x.y'), undefined)", json!(true)),
        ("fn.if(fn.get(args.object, 'x'), 1, 2)", json!(2)),
    ]);
    refuses(&[
        ("fn.get(args.object, 'q')", "fn.get found nothing at `q`", "fn.get(args.object, 'q')"),
        ("fn.toUpper(fn.get(args.object, 'q'))", "fn.get found nothing at `q`", "fn.get(args.object, 'q')"),
        ("fn.get(args.object)", "fn.get takes 2 arguments, not 1", "fn.get(args.object)"),
        ("fn.get(args.object, [])", "the second argument of fn.get must be text, not a list", "[]"),
    ]);
}

#[test]
fn members_keep_their_order() {
    gives(&[
        ("fn.keys(fn.parseJSON('{\"b\":1,\"10\":2,\"a\":3}'))", json!(["b", "10", "a"])),
        ("fn.values(fn.parseJSON('{\"b\":1,\"a\":[2]}'))", json!([1, [2]])),
        ("fn.entries(fn.parseJSON('{\"b\":1}'))", json!([["b", 1]])),
    ]);
    refuses(&[
        ("fn.keys([1])", "the first argument of fn.keys must be an object, not a list", "[1]"),
        ("fn.values('a')", "the first argument of fn.values must be an object, not text", "'a'"),
        ("fn.entries(null)", "the first argument of fn.entries must be an object, not null", "null"),
    ]);
}

#[test]
fn json_that_cannot_be_read_is_the_empty_text() {
    gives(&[
        ("fn.parseJSON('nope')", json!("")),
        ("fn.parseJSON('1e999')", json!("")),
        ("fn.stringifyJSON(fn.parseJSON('{\"b\": 1.0, \"a\": 1e21}'))", json!("{\"b\":1,\"a\":1e+21}")),
        ("fn.parseJSON(1)", json!(1)),
    ]);
    refuses(&[
        ("fn.parseJSON([])", "the first argument of fn.parseJSON must be text, not a list", "[]"),
        ("fn.stringifyJSON(undefined)", "`undefined` is no value", "undefined"),
    ]);
}
