//! What is known of values before a run: types, and calls that can never work.

use std::collections::BTreeMap;

use serde_json::json;
use shipway_documents::expr::{
    Fit, Root, Type, TypeScope, check, container_references, functions, infer, references, scan,
};

struct Types;

fn object(members: &[(&str, Type)]) -> Type {
    Type::Object(members.iter().map(|(name, own)| ((*name).to_owned(), own.clone())).collect())
}

impl TypeScope for Types {
    fn arg(&self, name: &str) -> Type {
        match name {
            "count" => Type::Number,
            "flag" => Type::Boolean,
            "word" => Type::Text,
            "list" => Type::list(Type::Number),
            "people" => Type::list(object(&[("name", Type::Text), ("age", Type::Number)])),
            _ => Type::Any,
        }
    }
    fn reference(&self, reference: &str) -> Type {
        if reference == "build" {
            object(&[("id", Type::Word), ("tags", Type::list(Type::Text))])
        } else {
            Type::Any
        }
    }
    fn trigger(&self, _: &str) -> Type {
        object(&[("branch", Type::Text)])
    }
}

fn of(text: &str) -> Type {
    let (own, problems) = infer(text, &Types, "/x");
    assert!(problems.is_empty(), "{text}: {problems:?}");
    own
}

#[test]
fn types_of_expressions() {
    let text_list = || Type::list(Type::Text);
    for (text, expected) in [
        ("plain", Type::Word),
        ("12", Type::Text),
        ("", Type::Word),
        ("${args.count}", Type::Number),
        ("${args.unknown}", Type::Any),
        ("${refs.build.id}", Type::Word),
        ("${refs.build.tags.0}", Type::Text),
        ("${refs.build.other}", Type::Any),
        ("${triggers.t.branch}", Type::Text),
        ("${secrets.db.values.X}", Type::Any),
        ("${fn.date()}", Type::Word),
        ("v${args.count}", Type::Word),
        ("1${args.count}", Type::Text),
        ("${args.count}${args.count}", Type::Text),
        ("${fn.add(args.count, 1)}", Type::Number),
        ("${fn.gt(args.count, 1)}", Type::Boolean),
        ("${fn.toUpper(args.word)}", Type::Text),
        ("${fn.toUpper('a')}", Type::Word),
        ("${fn.if(args.flag, 1, 2)}", Type::Number),
        ("${fn.if(args.flag, 1, 'two')}", Type::OneOf(vec![Type::Number, Type::Word])),
        ("${fn.if(args.flag, 1)}", Type::OneOf(vec![Type::Number, Type::Null])),
        ("${[1, 2]}", Type::list(Type::Number)),
        ("${fn.split(args.word, ',')}", text_list()),
        ("${fn.map(args.people, p => p.name)}", text_list()),
        ("${fn.map(args.list, (x, i) => i)}", Type::list(Type::Number)),
        (
            "${fn.find(args.people, p => fn.gt(p.age, 3))}",
            object(&[("name", Type::Text), ("age", Type::Number)]),
        ),
        ("${fn.get(fn.find(args.people, p => true), 'age')}", Type::Number),
        ("${fn.concat(args.list, 'a')}", Type::list(Type::OneOf(vec![Type::Number, Type::Word]))),
        ("${fn.parseJSON(args.word)}", Type::Any),
        ("${fn.fetchSecret('db')}", Type::Any),
        ("${fn.randomSecret(16)}", Type::Text),
        ("${template.args.x}", Type::Any),
        ("${{secrets.X}}", Type::Text),
        ("${broken", Type::Any),
    ] {
        assert_eq!(of(text), expected, "{text}");
    }
}

#[test]
fn whether_a_value_fits_is_known_or_depends() {
    let fits = |text: &str, wanted: &Type| of(text).fits(wanted);
    assert_eq!(fits("${args.count}", &Type::Number), Fit::Yes);
    assert_eq!(fits("${args.word}", &Type::Number), Fit::Maybe, "an argument's text may be a number's");
    assert_eq!(fits("v${args.word}", &Type::Number), Fit::No);
    assert_eq!(fits("${refs.build.id}", &Type::Number), Fit::No);
    assert_eq!(fits("${args.list}", &Type::Number), Fit::No);
    assert_eq!(fits("${args.list}", &Type::list(Type::Any)), Fit::Yes);
    assert_eq!(fits("${args.list}", &Type::list(Type::Boolean)), Fit::No);
    assert_eq!(fits("${args.people}", &Type::Object(BTreeMap::new())), Fit::No);
    assert_eq!(fits("${args.count}", &Type::Text), Fit::Yes);
    assert_eq!(fits("${args.flag}", &Type::Number), Fit::No);
    assert_eq!(fits("${fn.if(args.flag, 1, 'x')}", &Type::Number), Fit::Maybe);
    assert_eq!(fits("${fn.if(args.flag, 'y', 'x')}", &Type::Number), Fit::No);
    assert_eq!(fits("${null}", &Type::Number), Fit::Maybe, "as if the field were not there");
    assert_eq!(fits("${args.unknown}", &Type::Number), Fit::Maybe);
    assert_eq!(fits("${args.list}", &Type::Any), Fit::Yes);
    assert_eq!(fits("${args.count}", &Type::OneOf(vec![Type::Boolean, Type::Number])), Fit::Yes);
    assert_eq!(of("${fn.if(args.flag, 1, 'x')}").to_string(), "a number or text");
}

#[test]
fn calls_that_can_never_work_are_found() {
    for (text, message, part) in [
        ("${fn.add(args.list, 1)}", "the first argument of fn.add must be a number, not a list", "args.list"),
        ("${fn.add(args.flag)}", "the first argument of fn.add must be a number, not a boolean", "args.flag"),
        ("${fn.add('x', 1)}", "the first argument of fn.add must be a number, not the text 'x'", "'x'"),
        (
            "${fn.add(refs.build.id, 1)}",
            "the first argument of fn.add must be a number, not text",
            "refs.build.id",
        ),
        (
            "${fn.map(args.word, x => x)}",
            "the first argument of fn.map must be a list, not text",
            "args.word",
        ),
        ("${fn.keys(args.list)}", "the first argument of fn.keys must be an object, not a list", "args.list"),
        (
            "${fn.get(args.count, 'a')}",
            "the first argument of fn.get must be an object or a list, not a number",
            "args.count",
        ),
        ("${fn.divide(args.count, 0)}", "the second argument of fn.divide is 0", "0"),
        ("${fn.exp(10, 999)}", "fn.exp has no finite result", "fn.exp(10, 999)"),
        (
            "${fn.date('QQ')}",
            "the first argument of fn.date has `QQ`, which is no token; there is YYYY YY MMMM MMM MM M DD D dddd HH H hh h mm m ss s SSS A a Z X x, and `[text]` for text",
            "'QQ'",
        ),
        (
            "${fn.randomSecret(0)}",
            "the first argument of fn.randomSecret must be a whole number from 6 to 1024",
            "0",
        ),
        ("${fn.search(args.word, /a/)} ${args.count.x}", "`count` has no `x`", "args.count.x"),
        ("${fn.map(args.people, p => fn.add(p.name.x, 1))}", "`p` has no `name.x`", "p.name.x"),
        ("a ${refs.build}", "an object cannot be part of a text", "${refs.build}"),
        (
            "${fn.search('a', '[')}",
            "the second argument of fn.search is no pattern: this `[` is never closed",
            "'['",
        ),
    ] {
        let (_, problems) = infer(text, &Types, "/x");
        let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
        assert_eq!(problem.message, message, "{text}");
        assert_eq!(problem.pointer, "/x");
        assert_eq!(&text[problem.span.clone().unwrap()], part, "{text}");
    }
    for fine in ["${fn.add('1', args.word)}", "${fn.add(args.unknown)}", "${fn.get(fn.parseJSON('{}'), 'a')}"]
    {
        of(fine);
    }
}

#[test]
fn every_function_can_be_called_with_too_little_and_too_much() {
    for function in functions() {
        for literal in ["''", "'x'", "0", "-1", "true", "null", "[]", "['a']", "/a/", "(a) => a"] {
            for count in 0..=4 {
                let arguments = vec![literal; count].join(", ");
                // Whatever it says, it says something.
                drop(infer(&format!("${{fn.{}({arguments})}}", function.name), &Types, "/x"));
            }
        }
    }
}

#[test]
fn one_pass_finds_all() {
    let value = json!({
        "a~b": "${args.x} ${fn.nope()} ${{refs.cfg.values.A}} ${{ secrets.t.values.B }} ${{ not one",
        "c/d": ["${fn.some(args.list, x => fn.eq(x, args.y))} ${fn.filter(args.list, x => args.z)}"],
        "e": "${fn.randomSecret(8)} ${secrets.db.values.U} ${fn.fetchSecret(args.id)}",
        "f": "${{fn.toUpper(refs.q.x)}} ${{ anything else }}",
    });
    let mut closed = value.clone();
    closed["a~b"] = json!("${args.x} ${fn.nope()} ${{refs.cfg.values.A}} ${{ secrets.t.values.B }}");
    assert_eq!(scan(&value, "/s", false).problems[0].message, "`${{` is never closed");
    let found = scan(&closed, "/s", false);
    assert_eq!(found.references, references(&closed, "/s"));
    assert_eq!(found.problems, check(&closed, "/s", false));
    assert_eq!(found.container, container_references(&closed, "/s"));
    let shown = |all: &[shipway_documents::expr::Reference]| {
        all.iter()
            .map(|one| {
                format!("{} {:?} {} {} {}", one.pointer, one.root, one.name, one.path.join("."), one.optional)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&found.references),
        [
            "/s/a~0b Args x  false",
            "/s/c~1d/0 Args list  false",
            "/s/c~1d/0 Args y  false",
            "/s/c~1d/0 Args list  false",
            "/s/c~1d/0 Args z  true",
            "/s/e Secrets fn.randomSecret  false",
            "/s/e Secrets db values.U false",
            "/s/e Secrets fn.fetchSecret  false",
            "/s/e Args id  false",
        ]
    );
    assert_eq!(
        shown(&found.container),
        ["/s/a~0b Refs cfg values.A false", "/s/a~0b Secrets t values.B false", "/s/f Refs q x false"]
    );
    assert!(found.container.iter().all(|one| one.root != Root::Args));
    let cfg = &found.container[0];
    assert_eq!(&closed["a~b"].as_str().unwrap()[cfg.span.clone()], "refs.cfg.values.A");
}
