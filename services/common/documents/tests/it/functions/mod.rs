//! Every function, written from `documents.md` and the decided edge cases: what it gives, and what it refuses.

mod arrays;
mod booleans;
mod general;
mod javascript;
mod maths;
mod objects;
mod strings;
mod table;

use serde_json::{Value, json};
use shipway_documents::{
    Problem,
    expr::{Lookup, Place, Scope, resolve},
};
use shipway_events::{SecretRef, Timestamp};

/// A scope with a bit of everything, at 2026-01-05T09:07:03.045Z.
pub(crate) struct World(Value);

impl World {
    pub(crate) fn new() -> Self {
        Self(json!({
            "args": {
                "text": "Hello", "n": 2, "list": ["a", "b", "c"],
                "object": {"a": {"b": [10, 20]}, "x": null},
                "people": [{"name": "Al", "age": 30, "admin": true}, {"name": "Bo", "age": 25}],
                "pw": {"$secret": "override/f/PW@3"},
            },
            "secrets": {
                "db": {"values": {"URL": {"$secret": "group/db/URL@2"}, "PORT": {"$secret": "group/db/PORT@1"}}, "files": {
                    "CA": {"data": {"$secret": "file/db/CA@1"}, "path": {"$file": {"$secret": "file/db/CA@1"}}, "encoding": "utf-8"},
                }},
            },
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
    fn reference(&self, _: &str) -> Lookup<'_> {
        Lookup::Later
    }
    fn trigger(&self, _: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }
    fn secret(&self, id: &str) -> Lookup<'_> {
        self.look("secrets", id)
    }
    fn random_secret(&self, place: Place<'_>) -> Option<SecretRef> {
        Some(SecretRef { name: format!("random{}/{}", place.pointer, place.ordinal), version: 1 })
    }
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp::from_micros(1_767_604_023_045_678))
    }
}

/// The value of an expression, without `${` and `}`.
pub(crate) fn result(expression: &str) -> Result<Value, Vec<Problem>> {
    resolve(&json!(format!("${{{expression}}}")), &World::new(), "/f")
}

/// What each expression gives.
fn gives(cases: &[(&str, Value)]) {
    for (expression, expected) in cases {
        match result(expression) {
            Ok(value) => assert_eq!(value, *expected, "{expression}"),
            Err(problems) => panic!("{expression}: {problems:?}"),
        }
    }
}

/// What each expression is refused for, and the part of it that is marked.
fn refuses(cases: &[(&str, &str, &str)]) {
    for (expression, message, part) in cases {
        let problems = result(expression).expect_err(expression);
        let [problem] = problems.as_slice() else { panic!("{expression}: {problems:?}") };
        assert_eq!(problem.message, *message, "{expression}");
        let span = problem.span.clone().unwrap();
        assert_eq!(&expression[span.start - 2..span.end - 2], *part, "{expression}");
    }
}
