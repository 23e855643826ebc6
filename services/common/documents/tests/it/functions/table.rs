//! The table that lint, completion and the guide read.

use shipway_documents::expr::{Group, Shape, function, function_names, functions};

/// The list of `documents.md`.
const SPEC: &[(Group, &[&str])] = &[
    (Group::General, &["randomSecret", "date", "fetchSecret"]),
    (
        Group::String,
        &[
            "toBase64",
            "fromBase64",
            "slug",
            "indexOf",
            "search",
            "replace",
            "replaceAll",
            "slice",
            "length",
            "toUpper",
            "toLower",
            "split",
            "join",
        ],
    ),
    (Group::Boolean, &["not", "or", "and", "if", "eq", "neq", "gt", "lt", "gte", "lte"]),
    (Group::Maths, &["add", "subtract", "multiply", "divide", "remainder", "exp", "floor", "ceil"]),
    (Group::Objects, &["get", "stringifyJSON", "parseJSON", "entries", "values", "keys"]),
    (Group::Arrays, &["find", "concat", "some", "every", "filter", "map", "arrSlice", "arrLength"]),
];

#[test]
fn all_48_functions_are_there_in_their_groups() {
    let found: Vec<_> = functions().iter().map(|function| (function.group, function.name)).collect();
    let wanted: Vec<_> =
        SPEC.iter().flat_map(|(group, names)| names.iter().map(|name| (*group, *name))).collect();
    assert_eq!(found, wanted);
    assert_eq!(found.len(), 48);
    assert_eq!(function_names().len(), 48);
}

#[test]
fn each_has_lines_in_a_table_of_what_it_gives() {
    let javascript = include_str!("javascript.txt");
    let general = include_str!("general.rs");
    let strings = include_str!("strings.rs");
    for name in functions().iter().map(|function| function.name) {
        let in_engine = javascript.lines().filter(|line| line.starts_with(&format!("fn.{name}("))).count();
        let own = [general, strings]
            .iter()
            .map(|text| text.matches(&format!("\"fn.{name}(")).count())
            .sum::<usize>();
        assert!(in_engine + own >= 3 || ["keys", "values", "entries", "find"].contains(&name), "{name}");
        assert!(in_engine + own > 0, "{name}");
    }
}

#[test]
fn each_is_described() {
    for function in functions() {
        let name = function.name;
        assert!(function.doc.ends_with('.') && !function.doc.contains('\n'), "{name}");
        let mut optional = false;
        for (n, parameter) in function.parameters.iter().enumerate() {
            assert!(parameter.optional || !optional, "{name}: what is needed stands first");
            optional = parameter.optional;
            assert!(!parameter.variadic || n + 1 == function.parameters.len(), "{name}");
            assert_eq!(function.parameter(n), Some(parameter));
        }
        assert!(function.min() >= 1 || name == "date", "{name}");
    }
}

#[test]
fn signatures_read_as_they_are_written() {
    for (name, signature) in [
        ("slice", "slice(text, start, end?)"),
        ("randomSecret", "randomSecret(length, encoding?)"),
        ("date", "date(format?)"),
        ("and", "and(value, …)"),
        ("eq", "eq(a, b, …)"),
        ("subtract", "subtract(a, b?, …)"),
        ("if", "if(condition, then, else?)"),
        ("map", "map(list, function)"),
    ] {
        assert_eq!(function(name).unwrap().signature(), signature);
    }
}

#[test]
fn what_is_boolean_secret_or_an_arrow_function_is_known() {
    let booleans = |name: &str| (0..4).map(|n| function(name).unwrap().is_boolean(n)).collect::<Vec<_>>();
    assert_eq!(booleans("if"), [true, false, false, false]);
    assert_eq!(booleans("and"), [true; 4]);
    assert_eq!(booleans("eq"), [false; 4]);
    let secret: Vec<_> = functions().iter().filter(|f| f.is_secret()).map(|f| f.name).collect();
    assert_eq!(secret, ["randomSecret", "fetchSecret"]);
    let arrows = functions().iter().filter(|f| f.parameters.iter().any(|p| p.shape == Shape::Function));
    assert_eq!(arrows.map(|f| f.name).collect::<Vec<_>>(), ["find", "some", "every", "filter", "map"]);
    assert_eq!(function("randomString").map(|f| f.name), None);
}
