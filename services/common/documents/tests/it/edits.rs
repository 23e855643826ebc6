//! Edits of texts: what they say, and that they leave everything else as it is.

use proptest::prelude::*;
use serde_json::{Value, json};
use shipway_documents::edit::{Edit, Patch, Text};

use crate::texts::{Tape, json_text_of, pointers, yaml_text};

fn text(name: &str, text: &str) -> Text {
    Text::parse(name, text).unwrap_or_else(|report| panic!("{report}\n{text}"))
}

fn edited(before: &str, edits: &[Edit]) -> String {
    let mut text = text(if before.starts_with(['{', '[']) { "a.json" } else { "a.yaml" }, before);
    for edit in edits {
        text.apply(edit).unwrap_or_else(|problem| panic!("{problem}\n{before}"));
    }
    text.to_text()
}

fn set(at: &str, value: Value) -> Edit {
    Edit::Set { at: at.to_owned(), value }
}

fn insert(at: &str, value: Value) -> Edit {
    Edit::Insert { at: at.to_owned(), value, before: None }
}

fn before(at: &str, value: Value, before: &str) -> Edit {
    Edit::Insert { at: at.to_owned(), value, before: Some(before.to_owned()) }
}

fn remove(at: &str) -> Edit {
    Edit::Remove { at: at.to_owned() }
}

fn moved(from: &str, to: &str) -> Edit {
    Edit::Move { from: from.to_owned(), to: to.to_owned(), before: None }
}

fn rename(at: &str, name: &str) -> Edit {
    Edit::Rename { at: at.to_owned(), name: name.to_owned() }
}

/// A flow as somebody wrote it, with all that must survive.
const FLOW: &str = "\
# The shop's flow.
apiVersion: v1.2
arguments:
    BRANCH: 'main'   # what is released
spec:
    kind: Workflow
    spec:
        type: sequential
        steps:
        # Builds first.
        - kind: Build
          ref: build   # used below

          spec: {id: api, branch: '${args.BRANCH}'}
        - kind: JobRun
          spec:
              jobId: migrate
        # Last.
        - kind: Noop
";

#[test]
fn a_value_changes_and_nothing_else() {
    let cases = [
        (set("/arguments/BRANCH", json!("dev")), "BRANCH: 'main'", "BRANCH: 'dev'"),
        (set("/apiVersion", json!("v1")), "apiVersion: v1.2\n", "apiVersion: v1\n"),
        (set("/spec/spec/steps/0/ref", json!("b")), "ref: build   #", "ref: b   #"),
        (set("/spec/spec/steps/0/spec/id", json!("a, b")), "{id: api,", "{id: 'a, b',"),
        (set("/spec/spec/steps/1/spec/jobId", json!(5)), "jobId: migrate", "jobId: 5"),
        (set("/spec/spec/steps/1/spec", json!({})), "spec:\n              jobId: migrate\n", "spec: {}\n"),
        (
            set("/spec/spec/steps/2/spec", json!({"a": [1, "${x}"]})),
            "- kind: Noop\n",
            "- kind: Noop\n          spec:\n              a:\n              - 1\n              - '${x}'\n",
        ),
        (set("/arguments/BRANCH", json!("one\ntwo")), "BRANCH: 'main'   #", "BRANCH: \"one\\ntwo\"   #"),
        (
            insert("/spec/spec/steps/1", json!({"kind": "Noop", "spec": {"outputs": {"a": "b"}}})),
            "        - kind: JobRun",
            "        - kind: Noop\n          spec:\n              outputs:\n                  a: b\n        - kind: JobRun",
        ),
        (
            insert("/spec/spec/steps/0", json!({"kind": "Noop"})),
            "        # Builds first.\n",
            "        - kind: Noop\n        # Builds first.\n",
        ),
        (
            insert("/spec/spec/steps/-", json!("x")),
            "        - kind: Noop\n",
            "        - kind: Noop\n        - x\n",
        ),
        (
            before("/spec/spec/steps/0/when", json!("always"), "spec"),
            "\n          spec: {id",
            "\n          when: always\n          spec: {id",
        ),
        (remove("/spec/spec/steps/2"), "        # Last.\n        - kind: Noop\n", ""),
        (remove("/spec/spec/steps/1/kind"), "- kind: JobRun\n          spec", "- spec"),
        (remove("/spec/spec/steps/0/spec/id"), "{id: api, branch", "{branch"),
        (
            remove("/arguments/BRANCH"),
            "arguments:\n    BRANCH: 'main'   # what is released\n",
            "arguments: {}\n",
        ),
        (rename("/arguments/BRANCH", "A B: c"), "BRANCH: 'main'", "'A B: c': 'main'"),
    ];
    for (edit, old, new) in cases {
        assert_eq!(FLOW.matches(old).count(), 1, "{old}");
        assert_eq!(edited(FLOW, std::slice::from_ref(&edit)), FLOW.replace(old, new), "{edit:?}");
        let crlf = FLOW.replace('\n', "\r\n");
        let expected = FLOW.replace(old, new).replace('\n', "\r\n");
        assert_eq!(edited(&crlf, std::slice::from_ref(&edit)), expected, "{edit:?} with CRLF");
    }
}

#[test]
fn a_node_moves_with_its_comments() {
    let expected = FLOW.replace("        # Last.\n        - kind: Noop\n", "").replace(
        "        # Builds first.\n",
        "        # Last.\n        - kind: Noop\n        # Builds first.\n",
    );
    assert_eq!(edited(FLOW, &[moved("/spec/spec/steps/2", "/spec/spec/steps/0")]), expected);
    let deeper = "\
a:
- kind: W
  steps:
  - x
# why
- kind: B   # c
  spec:
    t: |
      one

      two
";
    let expected = "\
a:
- kind: W
  steps:
  # why
  - kind: B   # c
    spec:
      t: |
        one

        two
  - x
";
    assert_eq!(edited(deeper, &[moved("/a/1", "/a/0/steps/0")]), expected);
    assert_eq!(edited(expected, &[moved("/a/0/steps/0", "/a/1")]), deeper);
}

#[test]
fn json_keeps_its_form() {
    let pretty = "{\n\t\"a\": [1, 2],\n\t\"b\": {\n\t\t\"c\": \"x\"\n\t}\n}\n";
    let cases = [
        (set("/a/0", json!("\u{e9}")), "[1, 2]", "[\"\u{e9}\", 2]"),
        (set("/a", json!([3])), "[1, 2]", "[3]"),
        (set("/b/c", json!({"d": []})), "\"x\"", "{\n\t\t\t\"d\": []\n\t\t}"),
        (insert("/a/1", json!({"x": 1})), "[1, 2]", "[1, { \"x\": 1 }, 2]"),
        (insert("/a/-", json!(3)), "[1, 2]", "[1, 2, 3]"),
        (
            insert("/b/d", json!({"e": [true]})),
            "\"x\"\n",
            "\"x\",\n\t\t\"d\": {\n\t\t\t\"e\": [\n\t\t\t\ttrue\n\t\t\t]\n\t\t}\n",
        ),
        (before("/z", json!(null), "a"), "{\n\t\"a\"", "{\n\t\"z\": null,\n\t\"a\""),
        (remove("/b"), ",\n\t\"b\": {\n\t\t\"c\": \"x\"\n\t}", ""),
        (remove("/a"), "\t\"a\": [1, 2],\n", ""),
        (remove("/a/1"), ", 2", ""),
        (remove("/b/c"), "{\n\t\t\"c\": \"x\"\n\t}", "{}"),
        (rename("/b/c", "d"), "\"c\"", "\"d\""),
        (moved("/b/c", "/d"), ",\n\t\"b\": {\n\t\t\"c\": \"x\"\n\t}\n", ",\n\t\"b\": {},\n\t\"d\": \"x\"\n"),
    ];
    for (edit, old, new) in cases {
        assert_eq!(pretty.matches(old).count(), 1, "{old}");
        assert_eq!(edited(pretty, std::slice::from_ref(&edit)), pretty.replace(old, new), "{edit:?}");
    }
    assert_eq!(
        edited(r#"{"a":[1],"b":2}"#, &[insert("/a/-", json!({"c": 1})), set("/d", json!([]))]),
        r#"{"a":[1,{"c":1}],"b":2,"d":[]}"#
    );
}

#[test]
fn comments_anchors_and_odd_forms_survive() {
    let cases = [
        // An anchor that nothing uses is kept.
        ("a: &x 1 # c\n", set("/a", json!(2)), "a: &x 2 # c\n"),
        ("a: &x # c\n  b: 1\n", set("/a", json!(2)), "a: &x 2 # c\n"),
        // A comment beside a value stays beside it, whatever the value becomes.
        ("a: 1 # c\nb: 2\n", set("/a", json!({"x": 1})), "a: # c\n  x: 1\nb: 2\n"),
        ("a: # c\n  x: 1 # d\nb: 2\n", set("/a", json!("t")), "a: t # c\nb: 2\n"),
        ("- 1 # c\n- 2\n", set("/0", json!({"x": 1, "y": 2})), "- x: 1 # c\n  y: 2\n- 2\n"),
        ("a: |- # c\n  one\n  two\nb: 1\n", set("/a", json!(3)), "a: 3 # c\nb: 1\n"),
        ("a: |- # c\n  one\nb: 1\n", set("/a", json!([3])), "a: # c\n  - 3\nb: 1\n"),
        ("a: >+\n  one\n\n# d\n", set("/a", json!("x\ny\n")), "a: |\n  x\n  y\n# d\n"),
        ("a:\nb: # c\n", set("/a", json!("x")), "a: x\nb: # c\n"),
        ("a:\nb: # c\n", set("/b", json!([1])), "a:\nb: # c\n  - 1\n"),
        ("a: {b: , c}\n", set("/a/c", json!(1)), "a: {b: , c: 1}\n"),
        ("a: {b: , c}\n", set("/a/b", json!(1)), "a: {b: 1 , c}\n"),
        (
            "a: [\n  1, # one\n  2 # two\n]\n",
            insert("/a/-", json!(3)),
            "a: [\n  1, # one\n  2, # two\n  3\n]\n",
        ),
        ("a: [\n  1, # one\n  2 # two\n]\n", remove("/a/1"), "a: [\n  1 # one\n]\n"),
        ("a: [\n  1, # one\n  # about two\n  2,\n]\n", remove("/a/1"), "a: [\n  1, # one\n]\n"),
        ("a: [\n  1,\n]\n", insert("/a/-", json!("x")), "a: [\n  1,\n  x,\n]\n"),
        ("- - 1\n  - 2\n- 3\n", remove("/0/0"), "- - 2\n- 3\n"),
        ("- - 1\n  - 2\n- 3\n", insert("/0/0", json!(0)), "- - 0\n  - 1\n  - 2\n- 3\n"),
        ("- a: 1 # x\n  # about b\n  b: 2\n", remove("/0/a"), "-\n  # about b\n  b: 2\n"),
        ("# head\na: 1\nb: 2", remove("/a"), "# head\nb: 2"),
        ("a: 1\nb: 2", remove("/b"), "a: 1\n"),
        ("a: 1\nb: 2", insert("/c", json!(3)), "a: 1\nb: 2\nc: 3"),
        (
            "a: 1\n--- # second\nb: 2\n...\n",
            insert("/1/c", json!(3)),
            "a: 1\n--- # second\nb: 2\nc: 3\n...\n",
        ),
        ("--- &r\na: 1\n", set("/a", json!(2)), "--- &r\na: 2\n"),
        ("\u{feff}a: 1\n", set("/a", json!(2)), "\u{feff}a: 2\n"),
        ("? a\n: 1\n? b\n", set("/b", json!(2)), "? a\n: 1\n? b\n: 2\n"),
        ("a: \"x\"\nb: 'y'\nc: 'z'\n", set("/a", json!("q")), "a: \"q\"\nb: 'y'\nc: 'z'\n"),
        ("a: one\n  two\nb: 1\n", set("/a", json!("x")), "a: x\nb: 1\n"),
        // Below an alias the value is written out.
        ("a: &x {b: 1}\nc: *x # c\n", set("/c/b", json!(2)), "a: &x {b: 1}\nc: # c\n  b: 2\n"),
        ("a: &x [1]\nc: *x\n", insert("/c/-", json!(2)), "a: &x [1]\nc:\n  - 1\n  - 2\n"),
        ("a: &x [1]\nc: *x\nd: *x\n", remove("/c"), "a: &x [1]\nd: *x\n"),
        ("a: &x [1]\nc: *x\n", rename("/a", "b"), "b: &x [1]\nc: *x\n"),
    ];
    for (before, edit, after) in cases {
        let mut text = text("a.yaml", before);
        let result = text.apply(&edit);
        assert!(result.is_ok(), "{before}\n{edit:?}\n{result:?}");
        assert_eq!(text.to_text(), after, "{edit:?}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_said() {
    let cases = [
        ("a: &x {b: 1}\nc: *x\n", set("/a/b", json!(2)), "this is part of `&x`, which line 2 uses too"),
        ("a: &x {b: 1}\nc: *x\n", remove("/a"), "this is part of `&x`, which line 2 uses too"),
        ("a:\n  z: &x {b: 1}\nc: *x\n", remove("/a"), "this is part of `&x`, which line 3 uses too"),
        ("a: 1\n---\nb: 1\n", remove("/1"), "whole documents of a file are not added"),
        ("a: 1\n", set("/b/c", json!(2)), "there is nothing at `/b/c`"),
        ("a: [1]\n", insert("/a/3", json!(2)), "the list has no place 3; it has 1 items"),
        ("a: 1\n", insert("/a/b", json!(2)), "nothing can be put into a number"),
        ("a: 1\nb: 2\n", rename("/a", "b"), "there is a `b` beside it already"),
        ("a: 1\n", insert("/a", json!(2)), "`a` is there already"),
        ("a: {b: 1}\n", moved("/a", "/a/b"), "a value cannot be moved into itself"),
        ("a: 1\n", remove(""), "the whole document is in nothing"),
    ];
    for (before, edit, message) in cases {
        let mut text = text("a.yaml", before);
        let problem = text.apply(&edit).expect_err(before);
        assert!(problem.message.contains(message), "{problem}");
        assert!(
            problem.help.is_some() || message.contains("nothing can") || message.contains("itself"),
            "{problem}"
        );
        assert_eq!(text.to_text(), before);
    }
}

#[test]
fn edits_are_read_from_json() {
    let edit: Edit = serde_json::from_value(json!({"op": "insert", "at": "/a/-", "value": 1})).unwrap();
    assert_eq!(edit, insert("/a/-", json!(1)));
    assert_eq!(
        serde_json::to_value(moved("/a", "/b")).unwrap(),
        json!({"op": "move", "from": "/a", "to": "/b"})
    );
}

/// An edit of something in the document.
fn any_edit(tape: &mut Tape, value: &Value) -> Edit {
    let places = pointers(value);
    let at = tape.pick(&places).clone();
    let new = tape.value(2);
    match tape.below(6) {
        0 => Edit::Set { at, value: new },
        1 => Edit::Remove { at },
        2 => Edit::Rename { at, name: tape.name() },
        3 => Edit::Move { from: at, to: inside(tape, value, &places), before: None },
        _ => Edit::Insert { at: inside(tape, value, &places), value: new, before: None },
    }
}

/// A place for something new.
fn inside(tape: &mut Tape, value: &Value, places: &[String]) -> String {
    let around = tape.pick(places);
    match value.pointer(around) {
        Some(Value::Array(items)) => format!("{around}/{}", tape.below(items.len() + 1)),
        _ => format!("{around}/{}", tape.name()),
    }
}

/// The edit means the same on the text as on the value, and the text is the old one but for one place.
fn check(name: &str, before: &str, tape: &mut Tape) -> Result<(), TestCaseError> {
    let mut text = text(name, before);
    let value = text.document().value.clone();
    let edit = any_edit(tape, &value);
    let mut wanted = value.clone();
    let possible = edit.apply(&mut wanted);
    match (possible, text.apply(&edit)) {
        (Err(_), Ok(_)) => prop_assert!(false, "done, but impossible: {edit:?}\n{before}"),
        (Err(_), Err(_)) => prop_assert_eq!(text.to_text(), before),
        (Ok(()), Err(problem)) => {
            let shared = problem.message.contains("which line");
            prop_assert!(shared, "{problem}\n{edit:?}\n{before}");
        }
        (Ok(()), Ok(patch)) => {
            let after = text.to_text();
            prop_assert_eq!(&shipway_documents::parse(name, &after).unwrap().value, &wanted);
            let mut patched = before.to_owned();
            patched.replace_range(patch.range.clone(), &patch.text);
            prop_assert_eq!(&patched, &after);
            untouched(before, &after, &edit, &value)?;
            // An alias that had to be written out is replaced.
            if !before.contains(" *a") {
                only_there(&value, &edit, &patch)?;
            }
        }
    }
    Ok(())
}

/// Every comment that does not belong to what was taken away is still there, in order; and a text that only had
/// something added still has all its lines.
fn untouched(before: &str, after: &str, edit: &Edit, value: &Value) -> Result<(), TestCaseError> {
    let comments = |text: &str| -> Vec<String> {
        let numbers =
            text.split("#c").skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
        // Texts with `#c` in them have no number.
        numbers.filter(|number: &String| !number.is_empty()).collect()
    };
    let (old, new) = (comments(before), comments(after));
    let kept = || old.iter().all(|comment| new.contains(comment));
    match edit {
        Edit::Insert { .. } | Edit::Rename { .. } => prop_assert!(kept(), "{edit:?}\n{before}\n->\n{after}"),
        Edit::Set { at, .. } if value.pointer(at).is_none_or(|old| !old.is_array() && !old.is_object()) => {
            prop_assert!(kept(), "{edit:?}\n{before}\n->\n{after}");
        }
        _ => {}
    }
    Ok(())
}

/// What is added only adds, what is taken away only takes away: in a list or an object with something else in it.
fn only_there(value: &Value, edit: &Edit, patch: &Patch) -> Result<(), TestCaseError> {
    let around = edit.at().rsplit_once('/').and_then(|(around, _)| value.pointer(around));
    let others = match around {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(members)) => members.len(),
        _ => 0,
    };
    match edit {
        Edit::Insert { .. } if others > 0 => prop_assert!(patch.range.is_empty(), "{edit:?} {patch:?}"),
        Edit::Remove { .. } if others > 1 => prop_assert!(patch.text.is_empty(), "{edit:?} {patch:?}"),
        _ => {}
    }
    Ok(())
}

fn cases() -> u32 {
    if std::env::var_os("SHIPWAY_FULL").is_some() { 50_000 } else { 1_500 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn an_edit_of_yaml_is_the_edit_of_its_value(tape in prop::collection::vec(any::<u8>(), 0..160)) {
        let mut tape = Tape::new(tape);
        let text = yaml_text(&mut tape);
        check("a.yaml", &text, &mut tape)?;
    }

    #[test]
    fn an_edit_of_json_is_the_edit_of_its_value(tape in prop::collection::vec(any::<u8>(), 0..160)) {
        let mut tape = Tape::new(tape);
        let text = json_text_of(&mut tape);
        check("a.json", &text, &mut tape)?;
    }
}

#[test]
fn what_is_removed_takes_the_empty_lines_that_a_text_above_would_keep() {
    for head in ["|+", ">+", "|1+", "|+1"] {
        let before = format!("type: {head}\n x\n\nkind: 0\n\n\nref: y\n");
        let mut text = text("a.yaml", &before);
        text.apply(&Edit::Remove { at: "/kind".to_owned() }).unwrap();
        assert_eq!(text.to_text(), format!("type: {head}\n x\n\nref: y\n"));
    }
    let mut text = text("a.yaml", "type: |\n x\nkind: 0\n\nref: y\n");
    text.apply(&Edit::Remove { at: "/kind".to_owned() }).unwrap();
    assert_eq!(text.to_text(), "type: |\n x\n\nref: y\n", "elsewhere they stay");
}
