//! JSON and YAML text: the same values, and a place for each.

use serde_json::{Value, json};
use shipway_documents::{MAX_BYTES, parse};

fn value(name: &str, text: &str) -> Value {
    parse(name, text).unwrap_or_else(|report| panic!("{report}")).value
}

fn error(name: &str, text: &str) -> String {
    parse(name, text).expect_err(text).to_string()
}

#[test]
fn yaml_is_read_by_the_core_schema() {
    let text = "
text: hello
quoted: '5'
double: \"a\\tb\\u00e9\"
number: 5
negative: -1.5
exponent: 1e3
hex: 0xff
octal: 0o17
big: 18446744073709551615
bool: true
word: yes
nothing:
tilde: ~
version: 1.2.3
sha: 0123456789abcdef0123456789abcdef01234567
list: [1, a, {b: c}]
block: |
  one
  two
folded: >-
  one
  two
1: numeric name
";
    assert_eq!(
        value("a.yaml", text),
        json!({
            "text": "hello", "quoted": "5", "double": "a\tbé", "number": 5, "negative": -1.5, "exponent": 1000.0,
            "hex": 255, "octal": 15, "big": 18_446_744_073_709_551_615_u64, "bool": true, "word": "yes",
            "nothing": null, "tilde": null, "version": "1.2.3",
            "sha": "0123456789abcdef0123456789abcdef01234567", "list": [1, "a", {"b": "c"}],
            "block": "one\ntwo\n", "folded": "one two", "1": "numeric name",
        })
    );
}

#[test]
fn several_yaml_documents_are_a_list() {
    let document = parse("a.yaml", "kind: A\n---\nkind: B\n---\n# nothing\n---\nkind: C\n").unwrap();
    assert_eq!(document.value, json!([{"kind": "A"}, {"kind": "B"}, {"kind": "C"}]));
    let at = document.span("/2/kind").unwrap().start;
    assert_eq!((at.line, at.column), (7, 7));
}

#[test]
fn aliases_are_copies() {
    let text = "base: &b {x: [1, 2]}\nother: *b\n";
    assert_eq!(value("a.yaml", text), json!({"base": {"x": [1, 2]}, "other": {"x": [1, 2]}}));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [xxxxxxxxxxxxxxxx, xxxxxxxxxxxxxxxx]\n".to_owned();
    for n in 1..30 {
        text.push_str(&format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
    }
    assert!(error("a.yaml", &text).contains("the aliases make the document too large"));
}

#[test]
fn json_has_what_yaml_lacks() {
    assert_eq!(
        value("a.json", r#"{"a": "\ud83d\ude00 \/ é", "b": 1e2}"#),
        json!({"a": "😀 / é", "b": 100.0})
    );
    assert_eq!(value("noname", " [1]"), json!([1]));
    assert_eq!(value("noname", "a: 1"), json!({"a": 1}));
    assert_eq!(value("a.yml", "\u{feff}a: 1"), json!({"a": 1}));
}

#[test]
fn every_place_is_known_in_both() {
    let json = "{\n  \"a/b\": [1, {\"é\": \"x\", \"k\": \"y\"}],\n  \"t\": \"\\\"q\\\" ${args.x}\"\n}";
    let document = parse("a.json", json).unwrap();
    for (pointer, line, column) in [
        ("", 1, 1),
        ("/a~1b", 2, 10),
        ("/a~1b/1", 2, 14),
        ("/a~1b/1/k", 2, 30),
        ("/t", 3, 8),
        ("/a~1b/9/z", 2, 10),
    ] {
        let at = document.span(pointer).unwrap().start;
        assert_eq!((at.line, at.column), (line, column), "{pointer}");
    }
    let yaml = "a:\n  - x: 1\n    y: é ok\n  - [p, q]\n";
    let document = parse("a.yaml", yaml).unwrap();
    for (pointer, line, column) in [("/a", 2, 3), ("/a/0/y", 3, 8), ("/a/1/1", 4, 9)] {
        let at = document.span(pointer).unwrap().start;
        assert_eq!((at.line, at.column), (line, column), "{pointer}");
    }
}

#[test]
fn limits() {
    let big = format!("[\"{}\"]", "x".repeat(MAX_BYTES));
    assert!(error("a.json", &big).contains("the most is 1 MiB"));
    for name in ["a.json", "a.yaml"] {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert!(error(name, &deep).contains("nested more than 64 deep"), "{name}");
        let very_deep = "[".repeat(100_000);
        assert!(parse(name, &very_deep).is_err());
        let fine = format!("{}{}", "[".repeat(64), "]".repeat(64));
        assert!(parse(name, &fine).is_ok(), "{name}");
    }
}
