//! The expression language, written from `documents.md`: what each form and function gives, and what each
//! error says.

use std::borrow::Cow;

use serde_json::{Value, json};
use shipway_documents::expr::{Lookup, Scope, references, resolve};

pub(crate) struct World(Value);

impl World {
    pub(crate) fn new() -> Self {
        Self(json!({
            "args": {
                "branch": "main", "count": "3", "n": 2, "yes": true, "no": false, "empty": "",
                "list": ["a", "b", "c"], "object": {"a": {"b": [10, 20]}, "x": null},
                "evil": "${args.branch}", "secret": {"$secret": "override/f/KEY@2"}, "pi": 3.5, "nothing": null,
            },
            "refs": {"build": {"id": "b-1", "ports": [{"dns": "x.local"}]}},
            "triggers": {"app": {"branch": "dev", "sha": "abc"}, "bad": {"body": {"$secret": "addon/db/password@1"}}},
        }))
    }

    fn look(&self, root: &str, name: &str) -> Lookup<'_> {
        let members = self.0[root].as_object().unwrap();
        Lookup::from_option(members.get(name), || members.keys().cloned().collect())
    }
}

impl Scope for World {
    fn arg(&self, name: &str) -> Lookup<'_> {
        self.look("args", name)
    }
    fn reference(&self, reference: &str) -> Lookup<'_> {
        match reference {
            "skipped" => Lookup::Skipped("skipNodeExecution is true".into()),
            "later" => Lookup::Later,
            "owned" => Lookup::Value(Cow::Owned(json!({"k": "v"}))),
            _ => self.look("refs", reference),
        }
    }
    fn trigger(&self, reference: &str) -> Lookup<'_> {
        self.look("triggers", reference)
    }
    fn secret(&self, id: &str) -> Lookup<'_> {
        match id {
            "team" => Lookup::Value(Cow::Owned(
                json!({"values": {"KEY": {"$secret": "group/team/KEY@4"}, "PLAIN": "seen"}}),
            )),
            _ => Lookup::Missing { known: vec!["team".into()] },
        }
    }
}

fn value(text: &str) -> Value {
    resolve(&json!(text), &World::new(), "/x").unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

/// The message, the help, and the part of the text that is marked.
fn error(text: &str) -> (String, String, String) {
    let problems = resolve(&json!(text), &World::new(), "/x").expect_err(text);
    let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
    assert_eq!(problem.pointer, "/x");
    let span = problem.span.clone().unwrap();
    (problem.message.clone(), problem.help.clone().unwrap_or_default(), text[span].to_owned())
}

#[test]
fn forms() {
    let cases = [
        ("no expression, $5 and {braces}", json!("no expression, $5 and {braces}")),
        ("${args.branch}", json!("main")),
        ("${args.n}", json!(2)),
        ("${args.object}", json!({"a": {"b": [10, 20]}, "x": null})),
        ("${args.object.a.b.1}", json!(20)),
        ("${ args.branch }", json!("main")),
        ("${\n args.branch\n}", json!("main")),
        ("a-${args.branch}-${args.n}!", json!("a-main-2!")),
        ("${args.branch}${args.branch}", json!("mainmain")),
        ("${args.yes} ${args.pi} ${args.nothing} ${args.list}", json!("true 3.5 null a,b,c")),
        ("${refs.build.id}", json!("b-1")),
        ("${refs.build.ports.0.dns}", json!("x.local")),
        ("${refs.owned.k}", json!("v")),
        ("${refs.app.branch}", json!("dev")),
        ("${triggers.app.sha}", json!("abc")),
        ("\\${args.branch}", json!("${args.branch}")),
        ("\\\\${args.branch}", json!("\\${args.branch}")),
        ("a\\b \\${x} ${args.branch}", json!("a\\b ${x} main")),
        ("${{secrets.team.values.KEY}}", json!({"$secret": "group/team/KEY@4"})),
        ("${{ secrets.team.values.PLAIN }}", json!("seen")),
        ("<${{refs.build.id}}> ${args.branch}", json!("<b-1> main")),
        ("${{ github.sha }} ${{x y}} ${args.branch}", json!("${{ github.sha }} ${{x y}} main")),
        ("${args.evil}", json!("${args.branch}")),
        ("<${args.evil}>", json!("<${args.branch}>")),
        ("$${args.branch}", json!("$main")),
        ("${'it\\'s'}", json!("it's")),
        ("${'a } b'}", json!("a } b")),
        ("${-1.5}", json!(-1.5)),
        ("${1e3}", json!(1000)),
        ("${true}", json!(true)),
        ("${null}", json!(null)),
        ("${[1, 'a', [args.n], true]}", json!([1, "a", [2], true])),
        ("${[]}", json!([])),
        ("héllo ${args.branch} ✓", json!("héllo main ✓")),
    ];
    for (text, expected) in cases {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn functions() {
    let cases = [
        ("${fn.if(fn.eq(args.branch, 'main'), 3, 1)}", json!(3)),
        ("${fn.if(args.no, 1)}", json!(null)),
        ("${fn.if(args.yes, args.branch, args.not_there)}", json!("main")),
        ("${fn.not(args.missing)}", json!(true)),
        ("${fn.not(refs.skipped.id)}", json!(true)),
        ("${fn.and(args.yes, 'x', 1)}", json!(true)),
        ("${fn.and(args.yes, args.missing)}", json!(false)),
        ("${fn.or('', 0, args.no)}", json!(false)),
        ("${fn.or(args.missing, 1)}", json!(true)),
        ("${fn.or(true, fn.divide(1, 0))}", json!(true)),
        ("${fn.if('false', 1, 2)}", json!(1)),
        ("${fn.eq(1, '1')}", json!(false)),
        ("${fn.eq(1, 1.0, 1)}", json!(true)),
        ("${fn.eq(args.object, args.object)}", json!(true)),
        ("${fn.neq('a', 'b')}", json!(true)),
        ("${fn.neq('a', 'a')}", json!(false)),
        ("${fn.gt(args.count, 2)}", json!(true)),
        ("${fn.gt('10', '9')}", json!(true)),
        ("${fn.lt(1, 1)}", json!(false)),
        ("${fn.gte(1, 1)}", json!(true)),
        ("${fn.lte(2, 1)}", json!(false)),
        ("${fn.add(args.count, 1)}", json!(4)),
        ("${fn.add(0.1, 0.2)}", json!(0.1 + 0.2)),
        ("${fn.add(5)}", json!(5)),
        ("${fn.subtract(10, 3, 2)}", json!(5)),
        ("${fn.multiply(2, 3, 4)}", json!(24)),
        ("${fn.divide(7, 2)}", json!(3.5)),
        ("${fn.remainder(-7, 3)}", json!(-1)),
        ("${fn.exp(2, 10)}", json!(1024)),
        ("${fn.floor(-1.5)}", json!(-2)),
        ("${fn.ceil('1.2')}", json!(2)),
        ("${fn.toUpper('straße')}", json!("STRASSE")),
        ("${fn.toLower(args.branch)}", json!("main")),
        ("${fn.slug('Feature/Add Login!')}", json!("feature-add-login")),
        ("${fn.replace('a.b.c', '.', '-')}", json!("a-b.c")),
        ("${fn.replaceAll('a.b.c', '.', '')}", json!("abc")),
        ("${fn.split('a,b,c', ',')}", json!(["a", "b", "c"])),
        ("${fn.split('a,b,c', ',', 2)}", json!(["a", "b"])),
        ("${fn.split('é✓', '')}", json!(["é", "✓"])),
        ("${fn.split('', ',')}", json!([""])),
        ("${fn.join(args.list, '-')}", json!("a-b-c")),
        ("${fn.join([1, null, true])}", json!("1,,true")),
        ("${fn.concat(args.list, ['d'], 'e')}", json!(["a", "b", "c", "d", "e"])),
        ("${fn.get(args.object, 'a.b.0')}", json!(10)),
        ("${fn.if(fn.get(args.object, 'a.z'), 1, 2)}", json!(2)),
        ("${fn.stringifyJSON(args.object)}", json!(r#"{"a":{"b":[10,20]},"x":null}"#)),
        ("${fn.parseJSON('[1, {\"a\": 2}]')}", json!([1, {"a": 2}])),
        ("${fn.parseJSON('{')}", json!("")),
        ("${fn.toBase64('héllo')}", json!("aMOpbGxv")),
        ("${fn.fromBase64('aMOpbGxv')}", json!("héllo")),
        ("${fn.slice('héllo', 1, 3)}", json!("él")),
        ("${fn.slice('hello', -3)}", json!("llo")),
        ("${fn.slice('hello', 3, 1)}", json!("")),
        ("${fn.slice('hello', 1, -1)}", json!("ell")),
        ("${fn.slice(refs.build.id, 0, 99)}", json!("b-1")),
        ("${fn.indexOf('héllo', 'l')}", json!(2)),
        ("${fn.indexOf('a', 'z')}", json!(-1)),
        ("${fn.length('é✓')}", json!(2)),
        ("${fn.length(args.list)}", json!(3)),
        ("${fn.arrLength([])}", json!(0)),
        ("${fn.arrSlice(args.list, -2, 3)}", json!(["b", "c"])),
        ("${fn.arrSlice(args.list, 2, 1)}", json!([])),
        ("${fn.keys(args.object)}", json!(["a", "x"])),
        ("${fn.values(args.object.a)}", json!([[10, 20]])),
        ("${fn.entries(args.object.a)}", json!([["b", [10, 20]]])),
        ("x${fn.add(1e21, 0)}", json!("x1e+21")),
    ];
    for (text, expected) in &cases {
        assert_eq!(value(text), *expected, "{text}");
    }
}

#[test]
fn errors_say_what_and_where_and_what_to_do() {
    let cases = [
        ("${args.brnach}", "no argument is called `brnach`", "did you mean `branch`?", "args.brnach"),
        (
            "x ${refs.biuld.id} y",
            "no node or trigger is called `biuld`",
            "did you mean `build`?",
            "refs.biuld.id",
        ),
        ("${triggers.ap.sha}", "no trigger is called `ap`", "did you mean `app`?", "triggers.ap.sha"),
        ("${refs.build.idd}", "`build` has no `idd`", "did you mean `id`?", "refs.build.idd"),
        ("${args.branch.x}", "`branch` has no `x`", "it is text", "args.branch.x"),
        (
            "${refs.skipped.id}",
            "the node `skipped` was skipped and has no outputs: skipNodeExecution is true",
            "skip this node as well, or give another value with fn.if",
            "refs.skipped.id",
        ),
        (
            "${refs.later.id}",
            "the node `later` has not run when this is needed",
            "put this node after it",
            "refs.later.id",
        ),
        (
            "${HOME}",
            "`HOME` is not known here",
            "an expression starts with `args.`, `refs.`, `triggers.` or `fn.`; write `\\${` for text",
            "HOME",
        ),
        ("${arg.x}", "`arg` is not known here", "did you mean `args`?", "arg"),
        ("${eq(1, 2)}", "`eq` is not known here", "functions are called `fn.eq(…)`", "eq"),
        ("${args}", "`args` alone is no value", "name the argument: `args.NAME`", "args"),
        ("${args.}", "a name after `.` was expected here, not `}`", "", "}"),
        (
            "${args.branch",
            "`${` is never closed",
            "close it with `}`, or write `\\${` for text",
            "${args.branch",
        ),
        ("${}", "a value was expected here, not `}`", "", "}"),
        ("${{x}", "`${{` is never closed", "close it with `}}`", "${{x}"),
        ("${args.a b}", "`}` was expected here, not `b`", "", "b"),
        ("${args.list[0]}", "elements are named with a dot", "write `.0` for the first", "["),
        ("${fn.eq(\"a\", 'a')}", "text in an expression stands in single quotes", "use `'…'`", "\""),
        ("${fn.eq('a, 1)}", "the text that starts here never ends", "close it with `'`", "'a, 1)}"),
        (
            "${fn.eq(${args.branch}, 1)}",
            "an expression cannot stand inside another",
            "inside `${…}` write `args.NAME` or `fn.name(…)` without `${` and `}`",
            "$",
        ),
        (
            "${fn.search('a', /a)}",
            "the regular expression that starts here never ends",
            "close it with `/`; a `/` in it is written `\\/`",
            "/a)}",
        ),
        (
            "${fn.eq(1, 2) && true}",
            "`}` was expected here, not `&`",
            "there are no operators: compare with fn.eq(…) or fn.gt(…), decide with fn.if(…)",
            "&",
        ),
        (
            "${args.branch.toUpper()}",
            "values have no methods",
            "functions are called `fn.toUpper(…)`, the value being their first argument",
            "(",
        ),
        ("${fn.map(args.list, item => itme)}", "`itme` is not known here", "did you mean `item`?", "itme"),
        ("${fn.eq(1, 2}", "`,` or `)` was expected here, not `}`", "", "}"),
        ("${fn.eq(1, 2", "`(` is never closed", "close it with `)`", "(1, 2"),
        ("${fn.eq}", "`fn.eq` is not called", "write `fn.eq(…)`", "fn.eq"),
        (
            "${fn.get(args.object, 'a').b}",
            "a member of a result is taken with a function",
            "write `fn.get(…, 'path')`",
            ".",
        ),
        ("${12ab}", "`12ab` is no number", "put text in single quotes: `'…'`", "12ab"),
        ("${fn.equals(1, 2)}", "no function is called `equals`", "", "fn.equals(1, 2)"),
        (
            "${fn.toupper('a')}",
            "no function is called `toupper`",
            "did you mean `fn.toUpper`?",
            "fn.toupper('a')",
        ),
        ("${fn.add()}", "fn.add takes at least 1 argument, not 0", "", "fn.add()"),
        ("${fn.not(1, 2)}", "fn.not takes 1 argument, not 2", "", "fn.not(1, 2)"),
        ("${fn.slice('a')}", "fn.slice takes 2 to 3 arguments, not 1", "", "fn.slice('a')"),
        (
            "${fn.add(1, args.branch)}",
            "the second argument of fn.add must be a number, not the text 'main'",
            "",
            "args.branch",
        ),
        ("${fn.divide(1, 0)}", "the second argument of fn.divide is 0", "", "0"),
        (
            "${fn.remainder(1, args.empty)}",
            "the second argument of fn.remainder must be a number, not the text ''",
            "",
            "args.empty",
        ),
        ("${fn.exp(10, 999)}", "fn.exp has no finite result", "", "fn.exp(10, 999)"),
        (
            "${fn.toUpper(args.list)}",
            "the first argument of fn.toUpper must be text, not a list",
            "",
            "args.list",
        ),
        ("${fn.keys('a')}", "the first argument of fn.keys must be an object, not text", "", "'a'"),
        ("${fn.join([{}])}", "a value was expected here, not `{`", "", "{"),
        (
            "${fn.join([args.object])}",
            "the first argument of fn.join holds an object at position 0",
            "",
            "[args.object]",
        ),
        ("${fn.get(args.object, 'q')}", "fn.get found nothing at `q`", "", "fn.get(args.object, 'q')"),
        (
            "${fn.fromBase64('***')}",
            "the first argument of fn.fromBase64 is not base64: Invalid symbol 42, offset 0.",
            "",
            "'***'",
        ),
        (
            "a ${args.object}",
            "an object cannot be part of a text",
            "name a member of it, or use fn.stringifyJSON(…)",
            "${args.object}",
        ),
        (
            "${template.args.x}",
            "`template.` is only known inside a flow that is nested in a template",
            "take `template.` away",
            "${template.args.x}",
        ),
        (
            "${triggers.bad.body}",
            "what the trigger `bad` brought names a secret",
            "`$secret`, `$text`, `$call` and `$file` are Shipway's own names",
            "triggers.bad.body",
        ),
        (
            "${args.secret.x}",
            "`secret` is a secret and has no `x`",
            "use it as a whole; of one that holds JSON, `fn.get(fn.parseJSON(…), 'path')` is a part",
            "args.secret.x",
        ),
    ];
    for (text, message, help, part) in cases {
        let (found_message, found_help, found_part) = error(text);
        assert_eq!(found_message, message, "{text}");
        if !help.is_empty() {
            assert_eq!(found_help, help, "{text}");
        }
        assert_eq!(found_part, part, "{text}");
    }
}

#[test]
fn bounds_hold() {
    let nested = format!("${{{}1{}}}", "fn.not(".repeat(200), ")".repeat(200));
    assert!(error(&nested).0.contains("nested more than 32 deep"));
    let lists = format!("${{{}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(error(&lists).0.contains("nested more than 32 deep"));
    let grow = "fn.replaceAll(".repeat(12) + "'aa'" + &", 'a', 'aaaaaaaaaaaa')".repeat(12);
    assert!(error(&format!("${{{grow}}}")).0.contains("more than 1 MiB"));
    let many = json!(vec!["${fn.concat(args.list)}"; 60_000]);
    let problems = resolve(&many, &World::new(), "").expect_err("more than 100,000 steps");
    assert!(problems[0].message.contains("make too much"), "{}", problems[0].message);
}

#[test]
fn references_are_found_with_their_place() {
    let spec = json!({
        "a": "x ${fn.if(args.flag, refs.b.id, 'z')} ${triggers.t.body.x}",
        "list": ["${template.refs.outer.id}"],
        "text": "\\${args.no} ${{refs.no}}",
    });
    let found = references(&spec, "/spec");
    let shown: Vec<_> = found
        .iter()
        .map(|found| {
            let span =
                &spec.pointer(&found.pointer["/spec".len()..]).unwrap().as_str().unwrap()[found.span.clone()];
            format!(
                "{} {:?} {} {:?} {span} {} {}",
                found.pointer, found.root, found.name, found.path, found.template, found.optional
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"/spec/a Args flag [] args.flag false true"#,
            r#"/spec/a Refs b ["id"] refs.b.id false false"#,
            r#"/spec/a Triggers t ["body", "x"] triggers.t.body.x false false"#,
            r#"/spec/list/0 Refs outer ["id"] refs.outer.id true false"#,
        ]
    );
}
