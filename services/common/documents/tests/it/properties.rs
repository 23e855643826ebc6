//! What must hold for any text.

use proptest::prelude::*;
use serde_json::{Value, json};
use shipway_documents::{
    Document,
    expr::{check, references, resolve, resolve_partly},
    flow::Flow,
    json_text, parse,
    resources::parse_declarations,
};

use crate::expressions::World;

/// Text that is likely to be nearly an expression.
fn expression_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "${",
        "}",
        "{",
        "$",
        "\\",
        "args.",
        "refs.",
        "fn.",
        "template.",
        "eq(",
        "if(",
        ")",
        ",",
        "'",
        "\"",
        "branch",
        "list",
        "secret",
        "evil",
        "0",
        "-1",
        ".",
        " ",
        "[",
        "]",
        "é",
        "😀",
        "true",
        "/",
        "=>",
        "x => ",
        "(x, i) => ",
        "x",
        "map(",
        "filter(",
        "replace(",
        "randomSecret(",
        "secrets.db.",
        "undefined",
        "/a+/g",
        "/(?=",
        "${{",
        "}}",
        "\n",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "kind: ",
        "Project",
        "\n",
        "  ",
        "- ",
        "spec:\n  ",
        "name: ",
        "a",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "|",
        ">",
        "'",
        "\"",
        ": ",
        "#",
        "---\n",
        "!!str ",
        "? ",
        "<<: ",
        "\t",
        "é",
        "${args.x}",
        "%",
        "@",
        "`",
        "\r\n",
        "...\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        expression_like().prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "kind",
        "ref",
        "spec",
        "steps",
        "type",
        "name",
        "arguments",
        "triggers",
        "options",
        "retry",
        "stages",
        "x/y",
    ]);
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

/// A place in a report is a place in the text.
fn located(document: &Document, pointer: &str) {
    let at = document.span(pointer).unwrap().start;
    let line = document.source().line(at.line);
    assert!(at.column as usize <= line.chars().count() + 1, "{pointer} {at:?} {line:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_expression_parser(text in expression_like()) {
        let value = json!(text);
        let checked = check(&value, "", false);
        let _ = references(&value, "");
        let resolved = resolve(&value, &World::new(), "");
        for problem in checked.iter().chain(resolved.as_ref().err().into_iter().flatten()) {
            let span = problem.span.clone().unwrap();
            prop_assert!(text.get(span).is_some());
        }
        if let Ok(partly) = resolve_partly(&value, &World::new(), "") {
            // Nothing is later in this world or else it is still text: both ways lead to the same value.
            if let Ok(resolved) = resolved {
                prop_assert_eq!(resolve(&partly, &World::new(), "").unwrap(), resolved);
            }
        }
    }

    #[test]
    fn text_without_an_expression_is_itself(text in "[^$]{0,40}") {
        let value = json!({"a": [text, {"b": "$x"}], "n": 1});
        prop_assert_eq!(resolve(&value, &World::new(), "").unwrap(), value.clone());
        prop_assert_eq!(resolve_partly(&value, &World::new(), "").unwrap(), value);
    }

    #[test]
    fn no_text_breaks_the_readers(text in prop_oneof![yaml_like(), any::<String>()]) {
        for name in ["a.yaml", "a.json", "a"] {
            match parse(name, &text) {
                Ok(document) => {
                    located(&document, "");
                    match parse_declarations(&document) {
                        Ok(_) => {}
                        Err(problems) => { let _ = document.report(problems).to_string(); }
                    }
                }
                Err(report) => { let _ = report.to_string(); }
            }
        }
    }

    #[test]
    fn printed_json_reads_back_in_both_formats(value in any_json()) {
        let text = json_text(&value);
        let as_json = parse("a.json", &text).unwrap();
        prop_assert_eq!(json_text(&as_json.value), text.clone());
        // YAML reads JSON too, but for the escapes that only JSON has.
        if let Ok(as_yaml) = parse("a.yaml", &text) && !text.contains('\\') {
            prop_assert_eq!(&as_yaml.value, &as_json.value);
        }
    }

    #[test]
    fn no_value_breaks_the_flow_reader(value in any_json()) {
        let document = Document::from_value("a", value.clone());
        let _ = parse_declarations(&document).map_err(|problems| document.report(problems).to_string());
        match Flow::parse(&value) {
            Ok(flow) => prop_assert_eq!(flow.nodes().len(), flow.nodes().iter().map(|placed| &placed.node.reference).collect::<std::collections::BTreeSet<_>>().len()),
            Err(problems) => prop_assert!(problems.has_errors()),
        }
    }
}
