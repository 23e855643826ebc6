//! The expression language: check, types, evaluation in all phases, and what a secret leaves.

use std::borrow::Cow;

use serde_json::{Value, json};
use shipway_documents::{
    expr::{Lookup, Place, Scope, Type, TypeScope, infer, resolve, resolve_partly, resolve_template, scan},
    secret,
};
use shipway_events::{SecretRef, Timestamp};

/// Pieces of expressions.
pub(crate) const WORDS: &[&str] = &[
    "${",
    "}",
    "${{",
    "}}",
    "\\${",
    "args.",
    "refs.",
    "triggers.",
    "secrets.",
    "template.",
    "fn.",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "'",
    "\\",
    "/",
    "=>",
    "x",
    "i",
    "(x, i) => ",
    "x => ",
    "item",
    "undefined",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e308",
    "1e-7",
    "99999999999",
    "'a'",
    "''",
    "text",
    "list",
    "object",
    "pw",
    "evil",
    "later",
    "é",
    "😀",
    "\u{2028}",
    "/a+/g",
    "/(a|b)*c/",
    "/[^a-z]/i",
    "/(?=a)/",
    "/\\p{L}/u",
    "$1",
    "$<n>",
    "$&",
    "fn.map(",
    "fn.filter(",
    "fn.replace(",
    "fn.replaceAll(",
    "fn.split(",
    "fn.if(",
    "fn.eq(",
    "fn.get(",
    "fn.date(",
    "fn.randomSecret(",
    "fn.fetchSecret(",
    "secrets.a.files.F.path",
    "secrets.a.files.F.data",
    "fn.parseJSON(",
    "fn.stringifyJSON(",
    "fn.concat(",
    "fn.join(",
    "fn.slice(",
    "fn.divide(",
    "fn.search(",
    "fn.find(",
    "fn.and(",
];

struct World(Value);

impl World {
    fn new() -> Self {
        Self(json!({
            "text": "Hello, world", "n": 3, "list": ["a", "b", "c"], "yes": true, "empty": "",
            "object": {"a": {"b": [10, 20]}, "x": null}, "evil": "${args.text}", "pw": {"$secret": "override/f/PW@3"},
        }))
    }

    fn look(&self, name: &str) -> Lookup<'_> {
        Lookup::from_option(self.0.get(name), || vec!["text".to_owned(), "list".to_owned()])
    }
}

impl Scope for World {
    fn arg(&self, name: &str) -> Lookup<'_> {
        self.look(name)
    }
    fn reference(&self, reference: &str) -> Lookup<'_> {
        match reference {
            "later" => Lookup::Later,
            "skipped" => Lookup::Skipped("skipped".to_owned()),
            _ => self.look(reference),
        }
    }
    fn trigger(&self, reference: &str) -> Lookup<'_> {
        self.look(reference)
    }
    fn secret(&self, _: &str) -> Lookup<'_> {
        let data = json!({"$secret": "file/a/F@1"});
        Lookup::Value(Cow::Owned(json!({
            "values": {"A": {"$secret": "group/a/A@1"}},
            "files": {"F": {"data": data, "path": {"$file": data}, "encoding": "utf-8"}},
        })))
    }
    fn random_secret(&self, place: Place<'_>) -> Option<SecretRef> {
        Some(SecretRef { name: format!("random{}/{}", place.pointer, place.ordinal), version: 1 })
    }
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp::from_micros(1_767_604_023_045_678))
    }
}

struct Types;

impl TypeScope for Types {
    fn arg(&self, name: &str) -> Type {
        Type::of(&World::new().0[name])
    }
    fn reference(&self, _: &str) -> Type {
        Type::Any
    }
    fn trigger(&self, _: &str) -> Type {
        Type::Any
    }
}

/// A text of a document, whatever it is.
pub fn expressions(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let value = json!({"a": text, "b": [format!("${{{text}}}")]});
    let world = World::new();
    let found = scan(&value, "", false);
    let (_, inferred) = infer(&text, &Types, "/a");
    for problem in found.problems.iter().chain(&inferred) {
        let text = value.pointer(&problem.pointer).and_then(Value::as_str);
        let span = problem.span.clone().unwrap_or_default();
        assert!(text.is_some_and(|text| text.get(span).is_some()), "a problem is in the text: {problem:?}");
    }
    for reference in found.references.iter().chain(&found.container) {
        let text = value.pointer(&reference.pointer).and_then(Value::as_str);
        assert!(text.is_some_and(|text| text.get(reference.span.clone()).is_some()), "{reference:?}");
    }
    let _ = resolve_template(&value, &world, "");
    let fully = resolve(&value, &world, "");
    let partly = resolve_partly(&value, &world, "");
    if let (Ok(fully), Ok(partly)) = (&fully, partly) {
        assert_eq!(resolve(&partly, &world, "").as_ref(), Ok(fully), "in one phase and in two");
    }
    if let Ok(left) = fully
        && secret::is_secret(&left)
    {
        let names = secret::secrets_in(&left);
        let finished = secret::finish(&left, &|name| names.contains(name).then(|| "s3cret,value".to_owned()));
        assert!(
            finished.is_err() || !secret::is_secret(&finished.unwrap_or_default()),
            "all of it is finished"
        );
    }
}
