//! Values are resolved in phases, and secrets not at all: what one phase puts in is data for the next.

use serde_json::{Value, json};
use shipway_documents::{
    expr::{Lookup, Scope, resolve, resolve_partly, resolve_template},
    secret::{Encoding, RandomShape, finish, is_secret, randoms_in, secrets_in},
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
        ("${{env.x}} ${args.a}", json!("${{env.x}} A"), json!("${{env.x}} A")),
        ("${{refs.n.id}} ${args.a}", json!("${{refs.n.id}} A"), json!("ID A")),
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

/// What is left of an expression, and what it is worth when the password is known.
fn finished(text: &str) -> (Value, Value) {
    let left = both(text).1;
    let value =
        finish(&left, &|secret| (secret.name == "override/f/PW").then(|| "a,B,cc".to_owned())).unwrap();
    (left, value)
}

#[test]
fn functions_over_secrets_are_finished_with_all_that_they_need() {
    for (text, expected) in [
        ("${fn.split(args.pw, ',')}", json!(["a", "B", "cc"])),
        ("${fn.split(args.pw, /,/g)}", json!(["a", "B", "cc"])),
        ("${fn.map(fn.split(args.pw, ','), x => fn.toUpper(x))}", json!(["A", "B", "CC"])),
        (
            "${fn.map(fn.split(args.pw, ','), (x, i) => fn.join([args.a, x, i], '-'))}",
            json!(["A-a-0", "A-B-1", "A-cc-2"]),
        ),
        ("${fn.filter(fn.split(args.pw, ','), x => fn.gt(fn.length(x), 1))}", json!(["cc"])),
        ("${fn.find(fn.split(args.pw, ','), x => fn.gte(fn.search(x, /[A-Z]/), 0))}", json!("B")),
        ("${fn.filter(['B', 'x'], x => fn.some(fn.split(args.pw, ','), y => fn.eq(x, y)))}", json!(["B"])),
        (
            "${fn.map(['x'], x => fn.map(fn.split(args.pw, ','), y => fn.join([x, y], '')))}",
            json!([["xa", "xB", "xcc"]]),
        ),
        ("${fn.map([1, 2], x => args.pw)}", json!(["a,B,cc", "a,B,cc"])),
        ("${fn.every([args.pw], x => x)}", json!(true)),
        ("${fn.if(fn.eq(args.pw, 'x'), 1, args.n)}", json!(7)),
        ("${fn.replaceAll(args.pw, /([a-z])/g, '<$1>')}", json!("<a>,B,<c><c>")),
        ("<${fn.map(fn.split(args.pw, ','), x => fn.if(args.missing, 1, x))}>", json!("<a,B,cc>")),
    ] {
        let (left, value) = finished(text);
        assert_eq!(value, expected, "{text}");
        assert!(is_secret(&left), "{text}");
        assert!(!left.to_string().contains("a,B,cc"), "{text}");
        assert_eq!(secrets_in(&left).len(), 1, "{text}");
    }
}

#[test]
fn what_a_trigger_brought_names_no_secret_in_an_arrow_function_either() {
    struct Brought;
    impl Scope for Brought {
        fn arg(&self, _: &str) -> Lookup<'_> {
            Lookup::Value(std::borrow::Cow::Owned(json!({"$secret": "override/f/PW@3"})))
        }
        fn reference(&self, _: &str) -> Lookup<'_> {
            Lookup::Missing { known: Vec::new() }
        }
        fn trigger(&self, _: &str) -> Lookup<'_> {
            Lookup::Value(std::borrow::Cow::Owned(json!({"body": {"$secret": "addon/db/password@1"}})))
        }
    }
    let text = "${fn.map(fn.split(args.pw, ','), x => triggers.t.body)}";
    let problems = resolve(&json!(text), &Brought, "/x").unwrap_err();
    assert_eq!(problems[0].message, "what the trigger `t` brought names a secret");
}

#[test]
fn an_arrow_function_over_what_comes_later_waits() {
    let text = "${fn.map(['x'], x => fn.join([x, refs.n.id], ':'))}";
    assert_eq!(both(text), (json!(text), json!(["x:ID"])));
    let text = "${fn.map(fn.split(args.pw, ','), x => fn.join([x, refs.n.id], ':'))}";
    let (partly, fully) = both(text);
    assert_eq!(partly, json!(text));
    let value = finish(&fully, &|_| Some("a,b".to_owned())).unwrap();
    assert_eq!(value, json!(["a:ID", "b:ID"]));
}

#[test]
fn random_secrets_are_found_with_how_they_are_made() {
    let mark = json!({"x": ["a", {"$text": ["u:", {"$random": {"secret": "random/f/n/x@1", "length": 8, "encoding": "hex"}}]}]});
    assert!(is_secret(&mark));
    assert_eq!(secrets_in(&mark).iter().map(ToString::to_string).collect::<Vec<_>>(), ["random/f/n/x@1"]);
    let made = randoms_in(&mark);
    let shapes: Vec<_> = made.values().collect();
    assert_eq!(shapes, [&RandomShape { length: 8, encoding: Encoding::Hex }]);
    assert_eq!(finish(&mark, &|_| Some("00ff00ff".into())).unwrap(), json!({"x": ["a", "u:00ff00ff"]}));
    assert!(finish(&mark, &|_| None).unwrap_err().to_string().contains("`random/f/n/x@1` has no value"));
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
