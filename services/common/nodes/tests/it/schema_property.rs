//! The JSON Schemas accept what the parser accepts: examples, changed at random places, judged by both.

use std::{collections::BTreeMap, env};

use jsonschema::Validator;
use serde_json::{Value, json};
use shipway_documents::{DocumentType, Problem, kinds::KNOWN, pointer};
use shipway_nodes::{document::examine, schema};

use crate::examples::{around, documents, errors, nodes};

/// What a schema cannot say, by its words.
const NOT_SHAPE: &[&str] = &[
    "already the name of",
    "two triggers are called",
    "two nodes are called",
    "the secret argument",
    "the argument `",
    "no argument is called",
    "nested more than",
    "is only known inside a flow",
    "is no function",
];

fn is_shape(problem: &Problem) -> bool {
    !NOT_SHAPE.iter().any(|words| problem.message.contains(words))
}

/// SplitMix64: the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn places(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                places(item, pointer::item(&at, n), all);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                places(member, pointer::join(&at, key), all);
            }
        }
        _ => {}
    }
    all.push(at);
}

/// Values that are right somewhere and wrong elsewhere.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!("true"),
        json!("no"),
        json!(""),
        json!(" "),
        json!("x"),
        json!(0),
        json!(-1),
        json!(1),
        json!(40),
        json!("40"),
        json!("040"),
        json!("-3"),
        json!(20_000),
        json!("20000"),
        json!(1.5),
        json!("1.5"),
        json!(1e20),
        json!([]),
        json!(["a"]),
        json!([1]),
        json!([{}]),
        json!({}),
        json!({"a": 1}),
        json!("${args.VERSION}"),
        json!("a ${args.VERSION}"),
        json!("\\${x}"),
        json!("${{secrets.x}}"),
        json!("success"),
        json!("running"),
        json!("sequential"),
        json!("service"),
        json!("job"),
        json!("v1"),
        json!("fixed"),
        json!("put"),
        json!("canary"),
        json!("github"),
        json!("Release"),
        json!("Noop"),
        json!("Volume"),
        json!("RunJob"),
        json!("cron"),
        json!("git"),
        json!("string"),
        json!({"type": "fixed", "delay": "5"}),
        json!({"kind": "Noop", "spec": {}}),
        json!([{"kind": "Noop", "spec": {"fib": "51"}}]),
        json!([{"kind": "Noop"}]),
    ]
}

/// Members that mean something in one place or another.
const NAMES: &[&str] = &[
    "kind",
    "ref",
    "spec",
    "type",
    "name",
    "description",
    "condition",
    "timeoutDuration",
    "retry",
    "settings",
    "steps",
    "runsOn",
    "locks",
    "when",
    "options",
    "triggers",
    "stageId",
    "richInputs",
    "webhook",
    "arguments",
    "failurePolicy",
    "expiry",
    "nameFormat",
    "paused",
    "projectId",
    "argumentsOverride",
    "updateMode",
    "ports",
    "instances",
    "enabled",
];

fn mutate(value: &mut Value, numbers: &mut Numbers, values: &[Value]) {
    let mut all = Vec::new();
    places(value, String::new(), &mut all);
    let place = numbers.pick(&all).clone();
    let new = numbers.pick(values).clone();
    match numbers.below(4) {
        // Another value.
        0 | 1 => *value.pointer_mut(&place).unwrap() = new,
        // A member goes.
        2 => {
            let Some((parent, _)) = place.rsplit_once('/') else { return };
            let key = pointer::steps(&place).last().unwrap();
            match value.pointer_mut(parent).unwrap() {
                Value::Object(members) => drop(members.shift_remove(&key)),
                Value::Array(items) => drop(items.remove(key.parse().unwrap())),
                _ => {}
            }
        }
        // A member comes.
        _ => {
            if let Some(members) = value.pointer_mut(&place).unwrap().as_object_mut() {
                members.insert((*numbers.pick(NAMES)).to_owned(), new);
            }
        }
    }
}

fn validators() -> BTreeMap<DocumentType, Validator> {
    let each = DocumentType::ALL.iter();
    each.map(|document| (*document, jsonschema::validator_for(&schema(*document)).unwrap())).collect()
}

/// What is said where the two have different verdicts.
fn judge(validator: &Validator, document: DocumentType, value: &Value) -> Option<String> {
    let problems = examine(document, value).problems;
    let errors = errors(&problems);
    let by_parser = errors.iter().all(|problem| !is_shape(problem));
    if by_parser == validator.is_valid(value) {
        return None;
    }
    let schema = validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path()));
    let parser: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let schema: Vec<_> = schema.collect();
    Some(format!("{document}: the parser says {parser:#?}, the schema says {schema:#?} of {value}"))
}

#[test]
fn examples_are_right_by_their_schemas() {
    let validators = validators();
    for (document, value) in documents() {
        assert_eq!(judge(&validators[&document], document, &value), None);
    }
    for (name, node) in nodes() {
        for document in DocumentType::ALL {
            assert_eq!(judge(&validators[document], *document, &around(*document, &node)), None);
        }
        assert!(KNOWN.iter().any(|kind| kind.name == name));
    }
}

#[test]
fn the_schemas_accept_what_the_parser_accepts() {
    let full = env::var("SHIPWAY_FULL").is_ok_and(|full| full == "1");
    let count: u64 = if full { 200_000 } else { 4_000 };
    let (validators, values) = (validators(), values());
    let mut corpus = documents();
    for kind in KNOWN.iter().filter(|kind| kind.name != "Noop") {
        let node = &nodes()[kind.name];
        corpus.extend(kind.documents.iter().map(|document| (*document, around(*document, node))));
    }
    let (mut accepted, mut differences) = (0, Vec::new());
    for seed in 0..count {
        let mut numbers = Numbers(seed);
        let (document, value) = numbers.pick(&corpus);
        let mut value = value.clone();
        for _ in 0..=numbers.below(3) {
            mutate(&mut value, &mut numbers, &values);
        }
        differences.extend(judge(&validators[document], *document, &value));
        assert!(differences.len() < 10, "{}", differences.join("\n\n"));
        accepted += u64::from(validators[document].is_valid(&value));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    println!("SCHEMA documents={count} accepted={accepted}");
    assert!(accepted > count / 10 && accepted < count * 9 / 10, "both verdicts come up");
}
