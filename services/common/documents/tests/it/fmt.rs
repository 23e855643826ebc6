//! The usual form of documents.

use proptest::prelude::*;
use shipway_documents::{fmt::format, parse};

use crate::texts::{Tape, json_text_of, yaml_text};

#[test]
fn yaml_comes_into_form_with_its_comments() {
    let before = "\
# The shop's flow.
# Ask ops first.

spec:
    spec:   # all of it

        # in order
        steps:
        - spec: {id: api, branch: '${args.BRANCH}'}   # c
          # about kind
          kind: Build


          ref:   build
          unknown: kept
        -   kind: JobRun
            spec:
                script: |-
                    one
                      two

                plain: some
                  more
                flow: [
                    1,  # first
                  ]
            # the end of it
        # nothing more
        type : sequential
    kind: Workflow
# versions
apiVersion: \"v1.2\"
arguments: {}
# the end";
    let after = "\
# The shop's flow.
# Ask ops first.

# versions
apiVersion: \"v1.2\"
arguments: {}
spec:
  kind: Workflow
  spec:   # all of it
    # nothing more
    type: sequential
    # in order
    steps:
      -
        # about kind
        kind: Build

        ref: build
        unknown: kept
        spec: {id: api, branch: '${args.BRANCH}'}   # c
      - kind: JobRun
        spec:
          script: |-
            one
              two

          plain: some
            more
          flow: [
              1,  # first
            ]
        # the end of it
# the end
";
    assert_eq!(format("a.yaml", before).unwrap(), after);
    assert_eq!(format("a.yaml", after).unwrap(), after);
    let crlf = format("a.yaml", &before.replace('\n', "\r\n")).unwrap();
    assert_eq!(crlf, after.replace('\n', "\r\n"));
}

#[test]
fn json_comes_into_form() {
    let before = "{\"spec\":{\"spec\":{\"steps\":[{\"spec\":{},\"kind\":\"Noop\", \"x\": 1.50}]},\"kind\":\"Workflow\"},\n\"apiVersion\" : \"\\u00e9\"}";
    let after = "\
{
  \"apiVersion\": \"\\u00e9\",
  \"spec\": {
    \"kind\": \"Workflow\",
    \"spec\": {
      \"steps\": [
        {
          \"kind\": \"Noop\",
          \"x\": 1.50,
          \"spec\": {}
        }
      ]
    }
  }
}
";
    assert_eq!(format("a.json", before).unwrap(), after);
    assert_eq!(format("a.json", after).unwrap(), after);
}

#[test]
fn odd_files_come_into_form() {
    let cases = [
        ("a", "a\n"),
        ("--- a # c", "--- a # c\n"),
        (
            "%YAML 1.2\n---   # d\n\n\nkind:   A\n...\n# c\n---\nkind: B",
            "%YAML 1.2\n---   # d\n\nkind: A\n...\n# c\n---\nkind: B\n",
        ),
        ("--- |\n x\n y\n", "--- |\n  x\n  y\n"),
        ("a: |+\n x\n\nb: 1", "a: |+\n  x\n\nb: 1\n"),
        ("a: |+\n x", "a: |+\n  x\n"),
        ("a: &x\n   b: 1\nc: *x\nkind: K", "a: &x\n  b: 1\nc: *x\nkind: K\n"),
        ("a:\n   # why\n   text\nb:   # c\n   'x'", "a:\n  # why\n  text\nb:   # c\n  'x'\n"),
        ("- - 1\n  - 2\n-\n  - 3\n- # c\n  x: 1", "- - 1\n  - 2\n- - 3\n- # c\n  x: 1\n"),
        ("steps:\n- 1\n# about next\nnext: 2", "next: 2\nsteps:\n  - 1\n"),
        ("? a\n:    b\n? c", "? a\n: b\n? c\n"),
        ("a: |2\n    x\n   y\n", "a: |2\n    x\n   y\n"),
    ];
    for (before, after) in cases {
        let formatted = format("a.yaml", before).unwrap_or_else(|report| panic!("{before}\n{report}"));
        if before.starts_with("steps") {
            assert!(formatted.starts_with("# about next\nnext: 2\nsteps:"), "{formatted}");
        } else {
            assert_eq!(formatted, after, "{before}");
        }
        assert_eq!(format("a.yaml", &formatted).unwrap(), formatted, "again: {before}");
    }
}

#[test]
fn what_is_no_document_is_said() {
    let report = format("a.yaml", "a: [").unwrap_err().to_string();
    assert!(report.contains("a.yaml:"), "{report}");
}

fn numbers(text: &str) -> Vec<String> {
    let found = text.split("#c").skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
    let mut found: Vec<String> = found.filter(|number: &String| !number.is_empty()).collect();
    found.sort();
    found
}

fn check(name: &str, before: &str) -> Result<(), TestCaseError> {
    let after = format(name, before).map_err(|report| TestCaseError::fail(format!("{report}\n{before}")))?;
    let (old, new) = (parse(name, before).unwrap().value, parse(name, &after).unwrap().value);
    prop_assert_eq!(old, new);
    prop_assert_eq!(numbers(before), numbers(&after), "{}\n->\n{}", before, after);
    let again = format(name, &after).map_err(|report| TestCaseError::fail(format!("{report}\n{after}")))?;
    prop_assert_eq!(&again, &after, "{}", before);
    prop_assert!(after.ends_with('\n'));
    Ok(())
}

fn cases() -> u32 {
    if std::env::var_os("SHIPWAY_FULL").is_some() { 50_000 } else { 1_500 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn form_changes_no_meaning_and_is_reached_at_once(tape in prop::collection::vec(any::<u8>(), 0..200)) {
        check("a.yaml", &yaml_text(&mut Tape::new(tape.clone())))?;
        check("a.json", &json_text_of(&mut Tape::new(tape)))?;
    }
}
