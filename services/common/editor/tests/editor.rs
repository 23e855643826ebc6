//! What editors show, for texts with the place marked by `|`.

use shipway_editor::{
    RenameError, TextEdit, actions, complete, definition, diagnostics, format, hover, references, rename,
};

const FLOW: &str = "\
apiVersion: v1.2
arguments:
  BRANCH: main   # what is released
  COUNT: {type: integer, default: 2, description: How many instances}
triggers:
  - ref: push
    repoUrl: https://example.com/shop.git
    branchRestrictions: [main]
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
      - kind: Build
        ref: build
        condition: success
        spec: {id: api, branch: '${args.BRANCH}', sha: '${triggers.push.sha}'}
      - kind: Release
        ref: release
        spec:
          type: deployment
          target: {kind: DeploymentService, id: web}
          data: {buildSource: \"${refs.build.id}\"}
";

/// The text without its mark, and the mark's place.
fn marked(text: &str) -> (String, usize) {
    let offset = text.find('|').expect("a mark");
    (text.replacen('|', "", 1), offset)
}

/// The flow with one place written otherwise.
fn with(old: &str, new: &str) -> String {
    assert_eq!(FLOW.matches(old).count(), 1, "{old}");
    FLOW.replace(old, new)
}

fn labels(name: &str, text: &str) -> Vec<String> {
    let (text, offset) = marked(text);
    complete(name, &text, offset).into_iter().map(|found| found.label).collect()
}

/// The text once the choice of that label has been taken.
fn taken(name: &str, text: &str, label: &str) -> String {
    let (mut text, offset) = marked(text);
    let found = complete(name, &text, offset).into_iter().find(|found| found.label == label);
    let found = found.unwrap_or_else(|| panic!("no {label} at {offset} of\n{text}"));
    text.replace_range(found.range, &found.insert);
    text
}

#[test]
fn names_in_expressions_are_completed() {
    let branch = "'${args.BRANCH}'";
    assert_eq!(labels("a.yaml", &with(branch, "'${|}'")), ["args", "refs", "triggers", "fn", "secrets"]);
    assert_eq!(labels("a.yaml", &with(branch, "'${args.|}'")), ["BRANCH", "COUNT"]);
    assert_eq!(labels("a.yaml", &with(branch, "${args.B|")), ["BRANCH", "COUNT"]);
    assert_eq!(labels("a.yaml", &with("\"${refs.build.id}\"", "\"${refs.|}\"")), ["build", "push"]);
    let outputs = labels("a.yaml", &with("\"${refs.build.id}\"", "\"${refs.build.|}\""));
    assert!(outputs.contains(&"sha".to_owned()) && outputs.contains(&"branch".to_owned()), "{outputs:?}");
    assert_eq!(labels("a.yaml", &with(branch, "'${triggers.push.|}'"))[..2], ["branch", "sha"]);
    let functions = labels("a.yaml", &with(branch, "'${fn.if(fn.e|)}'"));
    assert!(functions.contains(&"eq".to_owned()) && functions.len() > 40, "{functions:?}");
    assert_eq!(labels("a.yaml", &with(branch, "'${fn.eq(args.BRANCH, 'x|')}'")), Vec::<String>::new());
    assert!(taken("a.yaml", &with(branch, "'${args.B|}'"), "BRANCH").contains("'${args.BRANCH}'"));
}

#[test]
fn kinds_and_fields_are_completed_in_yaml() {
    let kinds = labels("a.yaml", &with("kind: Build\n", "kind: |\n"));
    assert!(kinds.contains(&"Build".to_owned()) && !kinds.contains(&"Project".to_owned()), "{kinds:?}");
    assert!(taken("a.yaml", &with("kind: Build\n", "kind: Bu|\n"), "Build").contains("- kind: Build\n"));
    let fields = labels("a.yaml", &with("        condition: success\n", "        con|\n"));
    assert!(fields.contains(&"condition".to_owned()) && !fields.contains(&"ref".to_owned()), "{fields:?}");
    let written = taken("a.yaml", &with("        condition: success\n", "        con|\n"), "condition");
    assert!(written.contains("        condition: \n"), "{written}");
    assert_eq!(labels("a.yaml", &with("condition: success", "condition: |")), ["success"]);
    let inside = labels("a.yaml", &with("{id: api, branch", "{|, branch"));
    assert!(inside.contains(&"id".to_owned()) && !inside.contains(&"branch".to_owned()), "{inside:?}");
    assert_eq!(labels("a.yaml", &with("type: sequential", "type: |"))[..2], ["sequential", "parallel"]);
    let top = labels("a.yaml", &format!("{FLOW}opt|"));
    assert!(top.contains(&"options".to_owned()) && !top.contains(&"spec".to_owned()), "{top:?}");
    assert_eq!(labels("a.yaml", &format!("{FLOW}options:\n  concurrencyPolicy: |\n")).len(), 5);
    assert_eq!(
        labels("a.yaml", &with("        ref: release\n", "        ref: release\n        dependsOn: [|]\n")),
        ["build"]
    );
}

#[test]
fn kinds_and_fields_are_completed_in_json() {
    let flow = |step: &str| {
        format!(
            "{{\n  \"apiVersion\": \"v1.2\",\n  \"spec\": {{\"kind\": \"Workflow\", \"spec\": {{\"type\": \"sequential\", \"steps\": [\n    {{{step}}}\n  ]}}}}\n}}"
        )
    };
    let kinds = labels("a.json", &flow("\"kind\": \"|\""));
    assert!(kinds.contains(&"Build".to_owned()), "{kinds:?}");
    assert!(taken("a.json", &flow("\"kind\": |"), "Build").contains("\"kind\": \"Build\""));
    assert!(taken("a.json", &flow("\"kind\": \"Bu|\""), "Build").contains("{\"kind\": \"Build\"}"));
    let fields = labels("a.json", &flow("\"kind\": \"Build\", |"));
    assert!(fields.contains(&"ref".to_owned()) && !fields.contains(&"kind".to_owned()), "{fields:?}");
    assert!(taken("a.json", &flow("|\"kind\": \"Build\""), "ref").contains("{\"ref\": \"kind\""));
    assert!(taken("a.json", &flow("\"kind\": \"Build\", \"re|\""), "ref").contains("\"ref\""));
}

#[test]
fn help_says_what_stands_there() {
    let said = |text: &str| {
        let (text, offset) = marked(text);
        hover("a.yaml", &text, offset).unwrap_or_else(|| panic!("nothing at {offset} of\n{text}")).text
    };
    assert!(
        said(&with("'${args.BRANCH}'", "'${args.BRA|NCH}'")).starts_with("argument `BRANCH` = `\"main\"`")
    );
    let typed = said(&with("'${args.BRANCH}'", "'${args.COU|NT}'"));
    assert!(
        typed.contains("integer") && typed.contains("How many instances") && typed.contains("line 4"),
        "{typed}"
    );
    let node = said(&with("\"${refs.build.id}\"", "\"${refs.bu|ild.id}\""));
    assert!(node.contains("`id` of `build` (Build)") && node.contains("line 15"), "{node}");
    assert!(
        said(&with("'${args.BRANCH}'", "'${fn.slug(args.BRANCH)}'").replace("fn.slug", "fn.sl|ug"))
            .contains("slug(")
    );
    let kind = said(&with("kind: Build\n", "kind: Bui|ld\n"));
    assert!(kind.contains("**Build**") && kind.contains("`sha`"), "{kind}");
    assert!(said(&with("condition:", "condi|tion:")).contains("What is waited for"));
    assert!(said(&with("{id: api, branch", "{id: api, bra|nch")).contains("The branch to build"));
}

#[test]
fn names_lead_to_where_they_are_given() {
    let leads = |text: &str| {
        let (text, offset) = marked(text);
        definition("a.yaml", &text, offset).map(|range| {
            let line = text[..range.start].matches('\n').count() + 1;
            (text[range].to_owned(), line)
        })
    };
    assert_eq!(leads(&with("'${args.BRANCH}'", "'${args.BRA|NCH}'")), Some(("BRANCH".into(), 3)));
    assert_eq!(leads(&with("\"${refs.build.id}\"", "\"${refs.bu|ild.id}\"")), Some(("build".into(), 15)));
    assert_eq!(leads(&with("triggers.push", "triggers.pu|sh")), Some(("push".into(), 6)));
    assert_eq!(leads(&with("id: api", "id: a|pi")), None);
    let (text, offset) = marked(&with("ref: build", "ref: bu|ild"));
    let used: Vec<_> =
        references("a.yaml", &text, offset).into_iter().map(|range| text[range].to_owned()).collect();
    assert_eq!(used, ["build", "build"]);
}

fn apply(text: &str, edits: &[TextEdit]) -> String {
    let mut text = text.to_owned();
    for edit in edits.iter().rev() {
        text.replace_range(edit.range.clone(), &edit.text);
    }
    text
}

#[test]
fn a_name_is_changed_everywhere() {
    let (text, offset) =
        marked(&with("\"${refs.build.id}\"", "\"${refs.bu|ild.id} ${fn.if(refs.build.sha, 1)}\""));
    let text = text.replace("        ref: release\n", "        ref: release\n        dependsOn: [build]\n");
    let offset = offset + "        dependsOn: [build]\n".len();
    let renamed = apply(&text, &rename("a.yaml", &text, offset, "image").unwrap());
    assert_eq!(
        renamed,
        text.replace("ref: build", "ref: image")
            .replace("refs.build.", "refs.image.")
            .replace("[build]", "[image]")
    );

    let (text, offset) = marked(&with("  BRANCH: main", "  BRA|NCH: main"));
    let renamed = apply(&text, &rename("a.yaml", &text, offset, "REF").unwrap());
    assert_eq!(renamed, text.replace("BRANCH: main", "REF: main").replace("args.BRANCH", "args.REF"));
    assert_eq!(rename("a.yaml", &text, offset, "COUNT"), Err(RenameError::Taken("COUNT".into())));
    assert_eq!(rename("a.yaml", &text, offset, "a b"), Err(RenameError::NoName("a b".into())));
    assert_eq!(rename("a.yaml", &text, 0, "x"), Err(RenameError::Nothing));
}

#[test]
fn problems_stand_at_their_words_and_can_be_mended() {
    let text = with("kind: Release\n", "kind: Relase\n").replace("refs.build.id", "refs.biuld.id");
    let found = diagnostics("a.yaml", &text);
    let words: Vec<&str> = found.iter().map(|found| &text[found.range.clone()]).collect();
    assert!(words.contains(&"Relase"), "{words:?}");
    let mut mended = text.clone();
    for action in actions("a.yaml", &text, &(0..text.len())).into_iter().rev() {
        mended.replace_range(action.edit.range.clone(), &action.edit.text);
    }
    assert_eq!(mended, FLOW);
    assert_eq!(actions("a.yaml", FLOW, &(0..FLOW.len())), []);
}

#[test]
fn form_is_one_change() {
    assert_eq!(format("a.yaml", "a:   1"), Some(TextEdit { range: 0..6, text: "a: 1\n".into() }));
    assert_eq!(format("a.yaml", "a: 1\n"), None);
    assert_eq!(format("a.yaml", "a: ["), None);
}

/// Whatever is asked at whatever place of whatever half of a text: no panic.
#[test]
fn no_place_of_no_text_breaks_anything() {
    let json = "{\"spec\": {\"kind\": \"Workflow\", \"spec\": {\"steps\": [{\"kind\": \"Noop\", \"ref\": \"é\", \"x\": \"${refs.é.}\"}]}}}";
    for (name, text) in [("a.yaml", FLOW), ("a.json", json), ("a", "é: [&a |, *a, ${")] {
        for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)).step_by(29).chain([text.len()])
        {
            let part = &text[..cut];
            for offset in
                [cut, cut / 2, cut.saturating_sub(3)].into_iter().filter(|at| part.is_char_boundary(*at))
            {
                let _ = complete(name, part, offset);
                let _ = hover(name, part, offset);
                let _ = rename(name, part, offset, "x");
                let _ = references(name, part, offset);
            }
            let _ = actions(name, part, &(0..cut));
        }
    }
}
