//! Values are resolved in phases, and secrets not at all: what one phase puts in is data for the next.

use serde_json::{Value, json};
use shipway_documents::{
    expr::{Lookup, Scope, resolve, resolve_partly, resolve_template},
    secret::{finish, is_secret, secrets_in},
};

/// Arguments, and nodes that have run (`Some`) or not (`None`).
struct Phase(Value, Option<Value>);

impl Scope for Phase {
    fn arg(&self, name: &str) -> Lookup<'_> {
        Lookup::from_option(self.0.get(name), Vec::new)
    }
    fn reference(&self, reference: &str) -> Lookup<'_> {
        match &self.1 {
            None => Lookup::Later,
            Some(outputs) => Lookup::from_option(outputs.get(reference), Vec::new),
        }
    }
    fn trigger(&self, _: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }
}

fn args() -> Value {
    json!({
        "a": "A", "n": 7, "dollar": "{refs.n.id}", "evil": "${refs.n.id}", "slash": "C:\\",
        "tree": {"k": ["${args.a}", 1]}, "pw": {"$secret": "override/f/PW@3"},
    })
}

/// Partly now, fully later.
fn both(text: &str) -> (Value, Value) {
    let partly = resolve_partly(&json!(text), &Phase(args(), None), "").unwrap();
    let fully = resolve(&partly, &Phase(args(), Some(json!({"n": {"id": "ID"}}))), "").unwrap();
    (partly, fully)
}

#[test]
fn what_is_put_in_now_is_no_expression_later() {
    for (text, partly, fully) in [
        ("${args.a}-${refs.n.id}", json!("A-${refs.n.id}"), json!("A-ID")),
        ("${refs.n.id}", json!("${refs.n.id}"), json!("ID")),
        ("${args.n}", json!(7), json!(7)),
        ("${fn.add(args.n, 1)}", json!(8), json!(8)),
        ("${fn.if(fn.eq(args.a, 'A'), args.n, refs.n.id)}", json!(7), json!(7)),
        ("${fn.concat(args.a, refs.n.id)}", json!("${fn.concat(args.a, refs.n.id)}"), json!(["A", "ID"])),
        ("${args.evil}", json!("\\${refs.n.id}"), json!("${refs.n.id}")),
        ("<${args.evil}> ${refs.n.id}", json!("<\\${refs.n.id}> ${refs.n.id}"), json!("<${refs.n.id}> ID")),
        ("$${args.dollar}", json!("\\${refs.n.id}"), json!("${refs.n.id}")),
        ("$${args.dollar}${refs.n.id}", json!("\\${refs.n.id}${refs.n.id}"), json!("${refs.n.id}ID")),
        ("${args.slash}${refs.n.id}", json!("${args.slash}${refs.n.id}"), json!("C:\\ID")),
        ("${args.tree}", json!({"k": ["\\${args.a}", 1]}), json!({"k": ["${args.a}", 1]})),
        ("\\${args.a} ${args.a}", json!("\\${args.a} A"), json!("${args.a} A")),
        ("\\${args.a}", json!("\\${args.a}"), json!("${args.a}")),
        ("${{secrets.x}} ${args.a}", json!("${{secrets.x}} A"), json!("${{secrets.x}} A")),
    ] {
        assert_eq!(both(text), (partly, fully), "{text}");
    }
}

#[test]
fn a_secret_stays_a_name() {
    let pw = json!({"$secret": "override/f/PW@3"});
    for (text, expected) in [
        ("${args.pw}", pw.clone()),
        ("postgres://u:${args.pw}@h", json!({"$text": ["postgres://u:", pw, "@h"]})),
        ("${fn.toBase64(args.pw)}", json!({"$call": {"fn": "toBase64", "args": [pw]}})),
        ("x${fn.toUpper(args.pw)}", json!({"$text": ["x", {"$call": {"fn": "toUpper", "args": [pw]}}]})),
        ("${fn.if(args.n, args.pw, 1)}", pw.clone()),
        ("${fn.if(args.pw, 1, 2)}", json!({"$call": {"fn": "if", "args": [pw, 1, 2]}})),
        ("${fn.or(args.pw, 1)}", json!({"$call": {"fn": "or", "args": [pw, 1]}})),
        ("\\${x}${args.pw}${args.evil}", json!({"$text": ["${x}", pw, "${refs.n.id}"]})),
    ] {
        let (partly, fully) = both(text);
        assert_eq!(fully, expected, "{text}");
        assert_eq!(partly, expected, "{text}");
        assert!(is_secret(&fully));
        assert_eq!(secrets_in(&fully).len(), 1);
    }
    // Together with what is known later it waits as the expression that it was.
    let (partly, fully) = both("${args.a}:${args.pw}@${refs.n.id}");
    assert_eq!(partly, json!("${args.a}:${args.pw}@${refs.n.id}"));
    assert_eq!(fully, json!({"$text": ["A:", {"$secret": "override/f/PW@3"}, "@ID"]}));
    assert_eq!(finish(&fully, &|_| Some("${args.a}".into())).unwrap(), json!("A:${args.a}@ID"));
}

#[test]
fn a_list_with_a_secret_is_no_text() {
    let problems = resolve(&json!("x ${[args.pw]}"), &Phase(args(), None), "").unwrap_err();
    assert_eq!(problems[0].message, "a list cannot be part of a text");
}

#[test]
fn the_outer_document_resolves_its_own_names_only() {
    let nested = json!({
        "id": "${template.refs.n.id}",
        "mixed": "${template.args.a} ${args.a} \\${x} ${{y}} ${fn.date()}",
        "evil": "${template.args.evil}",
        "dollar": "$${template.args.dollar}",
        "plain": "${refs.n.id}",
        "call": "${template.fn.toUpper(args.a)}",
        "broken later": "${whatever}",
    });
    let scope = Phase(args(), Some(json!({"n": {"id": "ID"}})));
    let mut with_unknown = nested.clone();
    let error = resolve_template(&nested, &scope, "/flow").unwrap_err();
    assert_eq!(error[0].pointer, "/flow/broken later");
    with_unknown.as_object_mut().unwrap().shift_remove("broken later");
    assert_eq!(
        resolve_template(&with_unknown, &scope, "/flow").unwrap(),
        json!({
            "id": "ID",
            "mixed": "A ${args.a} \\${x} ${{y}} ${fn.date()}",
            "evil": "\\${refs.n.id}",
            "dollar": "\\${refs.n.id}",
            "plain": "${refs.n.id}",
            "call": "A",
        })
    );
    let problems = resolve_template(&json!("${template.refs.gone.id}"), &scope, "/f").unwrap_err();
    assert_eq!(problems[0].message, "no node or trigger is called `gone`");
    let problems = resolve_template(&json!("${template.args.pw} ${args.a}"), &scope, "/f").unwrap_err();
    assert!(problems[0].message.contains("a secret of the template"));
}

#[test]
fn all_problems_come_at_once() {
    let value = json!({"a": "${args.no}", "b": ["${fn.nope()}", "ok", "${"], "c/d": "${refs.x.y}"});
    let problems = resolve(&value, &Phase(args(), Some(json!({}))), "/s").unwrap_err();
    let pointers: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/s/a", "/s/b/0", "/s/b/2", "/s/c~1d"]);
}
