//! The members at the top of each type of document, its options, and the form of a run.

use serde_json::{Value, json};
use shipway_documents::{
    DocumentType, Severity,
    flow::{Flow, Missed, RichInputKind, TriggerSource, TypedKind, members_of_documents, recognise},
    parse,
};

fn minimal(document: DocumentType) -> Value {
    let mut value = json!({"spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": []}}});
    if matches!(document, DocumentType::Template | DocumentType::Workflow | DocumentType::Blueprint) {
        value["name"] = "Bookshop".into();
    }
    value
}

/// What is said of a document with that member.
fn said(document: DocumentType, member: &str, value: Value) -> Vec<String> {
    let mut whole = minimal(document);
    whole[member] = value;
    Flow::examine(document, &whole, false).1.iter().map(ToString::to_string).collect()
}

/// The table of the format's page: a member, and whether a team template, release flow, preview template, workflow and
/// blueprint have it.
const TABLE: &[(&str, [bool; 5])] = &[
    ("$schema", [true, true, true, true, true]),
    ("apiVersion", [true, true, true, true, true]),
    ("arguments", [true, true, true, true, true]),
    ("argumentOverrides", [true, true, true, true, true]),
    ("options", [true, true, true, true, true]),
    ("gitops", [true, true, true, true, true]),
    ("triggers", [false, true, true, true, true]),
    ("richInputs", [false, true, false, true, false]),
    ("teardownSpec", [true, true, true, true, true]),
    ("project", [true, false, false, true, true]),
    ("stageId", [false, false, false, true, false]),
    ("crossProjectAccess", [false, false, false, true, false]),
];

#[test]
fn members_stand_where_the_page_says() {
    let right = |member: &str| match member {
        "$schema" | "project" | "stageId" => json!("x"),
        "apiVersion" => json!("v1.2"),
        "triggers" | "richInputs" => json!([]),
        "teardownSpec" => minimal(DocumentType::Teardown),
        _ => json!({}),
    };
    let types = &DocumentType::ALL[..5];
    for (member, allowed) in TABLE {
        for (document, allowed) in types.iter().zip(allowed) {
            let found = said(*document, member, right(member));
            if *allowed {
                assert!(found.is_empty(), "{document} {member}: {found:?}");
            } else {
                assert_eq!(found.len(), 1, "{document} {member}: {found:?}");
                let start = format!(
                    "error: /{member}: `{member}` has no place in {}; it belongs into ",
                    document.describe()
                );
                assert!(found[0].starts_with(&start), "{}", found[0]);
            }
        }
    }
    for (member, _) in members_of_documents() {
        let is_known = TABLE.iter().any(|(known, _)| known == member);
        let others = ["name", "description", "webhook", "failurePolicy", "spec"];
        assert!(is_known || others.contains(member), "{member}");
    }
}

#[test]
fn members_have_their_types() {
    for (document, member, value, expected) in [
        (
            DocumentType::Template,
            "name",
            json!("ab"),
            "error: /name: the name `ab` has 2 characters; 3 to 100 are allowed; such as `shop-api 2`: letters and digits, single hyphens or spaces between them, 3 to 100 in all",
        ),
        (
            DocumentType::Workflow,
            "name",
            json!("a_b c"),
            "error: /name: the name `a_b c` holds `_`; letters, digits, and single hyphens or spaces between them are allowed; such as `shop-api 2`: letters and digits, single hyphens or spaces between them, 3 to 100 in all",
        ),
        (
            DocumentType::Blueprint,
            "name",
            json!(null),
            "error: the document: `name` is missing; name it: `name: Deploy to production`",
        ),
        (
            DocumentType::ReleaseFlow,
            "name",
            json!("Bookshop"),
            "warning: /name: `name` has no place in a release flow and has no effect; it belongs into a team template, a workflow document, a preview blueprint",
        ),
        (
            DocumentType::Teardown,
            "name",
            json!("Bookshop"),
            "error: /name: `name` has no place in a teardown; it belongs into a team template, a workflow document, a preview blueprint",
        ),
        (
            DocumentType::Template,
            "description",
            json!("x".repeat(201)),
            "error: /description: `description` has 201 characters; 200 are allowed",
        ),
        (
            DocumentType::Template,
            "apiVersion",
            json!("v2"),
            "error: /apiVersion: `apiVersion` `v2` is not known; write `v1.2`",
        ),
        (
            DocumentType::Template,
            "arguments",
            json!([]),
            "error: /arguments: `arguments` must be an object, not a list; write its members: `{name: value}`",
        ),
        (
            DocumentType::Template,
            "arguments",
            json!("${args.X}"),
            "error: /arguments: `arguments` cannot be an expression; write the members themselves; their values may be expressions",
        ),
        (
            DocumentType::Template,
            "options",
            json!({"expiry": {}}),
            "error: /options/expiry: `expiry` is an option of previews, not of a team template; take it away",
        ),
        (
            DocumentType::Preview,
            "options",
            json!({"expiry": {"previewLifetime": 0}}),
            "error: /options/expiry/previewLifetime: `previewLifetime` is 0; give a number from 1 to 5256000",
        ),
        (
            DocumentType::Preview,
            "options",
            json!({"schedule": {"mon": {"startTime": 2500}}}),
            "error: /options/schedule/mon/startTime: `startTime` is 2500; give a number from 0 to 2400",
        ),
        (
            DocumentType::Workflow,
            "options",
            json!({"concurrencyPolicy": "alow"}),
            "error: /options/concurrencyPolicy: `concurrencyPolicy` cannot be `alow`; did you mean `allow`?",
        ),
        (
            DocumentType::Workflow,
            "gitops",
            json!({"filePath": "flows.json"}),
            "error: /gitops/filePath: `flows.json` is no path of a file; write it from the top of the repository: `/flows/production.json`",
        ),
        (
            DocumentType::Workflow,
            "gitops",
            json!({"vcsService": "svn"}),
            "error: /gitops/vcsService: `vcsService` cannot be `svn`; it is one of `github`, `gitlab`, `bitbucket`, `azure` and `self-hosted`",
        ),
        (
            DocumentType::Workflow,
            "crossProjectAccess",
            json!({"projects": "lab"}),
            "error: /crossProjectAccess/projects: `projects` must be a list, not text; write `projects: [lab]`",
        ),
        (
            DocumentType::Workflow,
            "argumentsOverride",
            json!({}),
            "warning: /argumentsOverride: this is called `argumentOverrides`; overrides are set beside the document: `shipway override`",
        ),
        (
            DocumentType::Teardown,
            "failurePolicy",
            json!("stop"),
            "error: /failurePolicy: `failurePolicy` cannot be `stop`; it is one of `ignore` and `block`",
        ),
        (
            DocumentType::Workflow,
            "teardownSpec",
            json!({"failurePolicy": "block"}),
            "error: /teardownSpec: `spec` is missing; give the teardown its root workflow: `spec: {kind: Workflow, spec: {type: sequential, steps: []}}`",
        ),
        (
            DocumentType::Workflow,
            "spec",
            json!({"kind": "Noop", "spec": {}}),
            "error: /spec/kind: the root of a flow is a `Workflow`, not `Noop`; put the node into the `steps` of a workflow",
        ),
    ] {
        assert_eq!(said(document, member, value.clone()), [expected], "{value}");
    }
}

#[test]
fn typed_triggers_have_their_fields() {
    let vcs = json!({"vcsService": "github", "repoUrl": "https://github.com/bookshop/web"});
    let mut value = minimal(DocumentType::Workflow);
    value["triggers"] = json!([
        {"kind": "vcs-pr", "ref": "pr", "spec": {"vcs": vcs, "branchNamePatterns": ["feature/*"], "ignoreDrafts": true}},
        {"kind": "vcs-pr-label", "ref": "label", "spec": {"vcs": vcs, "labelNamePatterns": ["preview*"], "branchNamePatterns": {"enabled": false, "names": ["x"]}}},
        {"kind": "vcs-release", "ref": "tag", "spec": {"vcs": vcs}},
        {"kind": "vcs-check-suite", "ref": "green", "spec": {"vcs": vcs, "branchNamePatterns": ["main"]}},
        {"kind": "cron", "ref": "nightly", "spec": {"cron": "0 2 * * *"}},
    ]);
    let (flow, problems) = Flow::examine(DocumentType::Workflow, &value, false);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Unsupported), "{problems}");
    let typed: Vec<_> = flow
        .unwrap()
        .triggers
        .into_iter()
        .map(|trigger| match trigger.source {
            TriggerSource::Typed(typed) => typed,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((typed[0].kind, typed[0].git.ignore_drafts), (TypedKind::PullRequest, true));
    assert_eq!(typed[0].git.pr_restrictions, ["feature/*"]);
    assert_eq!(
        (typed[1].labels.as_slice(), typed[1].git.pr_restrictions.as_slice()),
        (&["preview*".to_owned()][..], &["*".to_owned()][..])
    );
    let nightly = typed[4].schedule.as_ref().unwrap();
    assert_eq!((nightly.cron.as_str(), nightly.timezone.as_str()), ("0 2 * * *", "UTC"));
    assert_eq!(nightly.missed, Missed::Skip);

    for (trigger, expected) in [
        (
            json!({"kind": "vcs-pr", "ref": "a", "spec": {}}),
            "error: /triggers/0/spec: `vcs` is missing; name the repository: `vcs: {vcsService: github, repoUrl: …}`",
        ),
        (
            json!({"kind": "vcs-pr", "ref": "a"}),
            "error: /triggers/0: `spec` is missing; give it `spec: {vcs: {repoUrl}}`",
        ),
        (
            json!({"kind": "vcs-release", "ref": "a", "spec": {"vcs": {"repoUrl": 1}}}),
            "error: /triggers/0/spec/vcs/repoUrl: `repoUrl` must be text, not a number; write one text, in quotes where it could be taken for something else",
        ),
        (
            json!({"kind": "vcs-pr-label", "ref": "a", "spec": {"vcs": vcs, "labelNamePatterns": "x"}}),
            "error: /triggers/0/spec/labelNamePatterns: `labelNamePatterns` must be a list, not text; write `labelNamePatterns: [x]`",
        ),
        (
            json!({"kind": "vcs-check-suite", "ref": "a", "spec": {"vcs": {"vcsService": "gitlab", "repoUrl": "https://git.example.org/a/b"}}}),
            "warning: /triggers/0/spec/vcs: the trigger never fires: GitLab does not tell when all checks have passed; use a trigger on pushes, or a `webhook` trigger that its pipeline calls",
        ),
        (
            json!({"kind": "vcs-pr-label", "ref": "a", "spec": {"vcs": {"repoUrl": "git@bitbucket.org:acme/api.git"}, "labelNamePatterns": ["x"]}}),
            "warning: /triggers/0/spec/vcs: the trigger never fires: Bitbucket does not tell of labels; use `vcs-pr` with `branchNamePatterns`",
        ),
    ] {
        let found = said(DocumentType::Workflow, "triggers", json!([trigger]));
        assert!(found.iter().any(|line| line == expected), "{found:?}");
    }
}

#[test]
fn schedules_are_checked() {
    let cron = |spec: Value| json!([{"kind": "cron", "ref": "a", "spec": spec}]);
    let five = "give minute, hour, day, month and day of the week: `0 2 * * *`";
    // That they tick is for a later version: `unsupported` says so, and is no error.
    let errors = |value: Value| -> Vec<String> {
        let found = said(DocumentType::ReleaseFlow, "triggers", value);
        found.into_iter().filter(|line| line.starts_with("error: ")).collect()
    };
    for (spec, expected) in [
        (json!({"cron": "0 2 * * MON-FRI", "timezone": "Europe/Berlin", "missed": "one"}), String::new()),
        (json!({"cron": "@daily"}), format!("/triggers/0/spec/cron: `@daily` is no schedule; {five}")),
        (
            json!({"cron": "0 2 L * *"}),
            format!("/triggers/0/spec/cron: `L` cannot be in a schedule's day; {five}"),
        ),
        (
            json!({"cron": "0 24 * * *"}),
            format!("/triggers/0/spec/cron: `0 24 * * *` is no schedule: value must be in range 0..=23; found 24; {five}"),
        ),
        (
            json!({"cron": "0 0 30 2 *"}),
            "/triggers/0/spec/cron: `0 0 30 2 *` never comes: no such day is in any year; give days that there are"
                .to_owned(),
        ),
        (
            json!({"cron": "*/5 * * * *"}),
            "/triggers/0/spec/cron: `*/5 * * * *` ticks at 00:00 and again at 00:05, 5 min later; ticks must be at least \
             10 minutes apart: `*/10 * * * *`"
                .to_owned(),
        ),
        (
            json!({"cron": "0,55 0,23 * * *"}),
            "/triggers/0/spec/cron: `0,55 0,23 * * *` ticks at 23:55 and again at 00:00, 5 min later; ticks must be at \
             least 10 minutes apart: `*/10 * * * *`"
                .to_owned(),
        ),
        // No two days in a row.
        (json!({"cron": "0,55 0,23 * * MON,WED"}), String::new()),
        (
            json!({"cron": "0 2 * * *", "timezone": "Europe/Berlim"}),
            "/triggers/0/spec/timezone: there is no time zone `Europe/Berlim`; did you mean `Europe/Berlin`?".to_owned(),
        ),
        (
            json!({"cron": "0 2 * * *", "missed": "latest"}),
            "/triggers/0/spec/missed: `missed` cannot be `latest`; it is one of `skip`, `one` and `all`".to_owned(),
        ),
        (
            json!({"cron": "${args.when}"}),
            "/triggers/0/spec/cron: `cron` cannot be an expression; nothing is resolved before a trigger fires".to_owned(),
        ),
    ] {
        let found = errors(cron(spec.clone()));
        match expected.as_str() {
            "" => assert_eq!(found, [""; 0], "{spec}"),
            text => assert!(found.iter().any(|line| line.starts_with(&format!("error: {text}"))), "{found:?}"),
        }
    }
    let two = json!([
        {"kind": "cron", "ref": "a", "spec": {"cron": "0 2 * * *"}},
        {"kind": "cron", "ref": "b", "spec": {"cron": "0 3 * * *"}},
    ]);
    assert_eq!(
        errors(two),
        [
            "error: /triggers/1: a document has one trigger of kind `cron`, and `a` is it; list the times in one schedule: `0 2,14 * * *`"
        ]
    );
}

fn with_form() -> Value {
    let mut value = minimal(DocumentType::ReleaseFlow);
    value["arguments"] = json!({
        "RELEASE_BRANCH": "",
        "RELEASE_SHA": "",
        "REPLICAS": {"type": "integer", "description": "How many run", "default": 2},
        "REGION": {"type": "string", "enum": ["north", "south"], "required": true},
        "TOKEN": {"type": "string", "secret": true, "required": true},
        "NOTE": "none",
    });
    value["richInputs"] = json!([{
        "kind": "BranchCommitSelector",
        "spec": {
            "title": "Commit", "description": "What to release", "required": true,
            "inputs": {"source": "web-build"}, "outputs": {"branch": "RELEASE_BRANCH", "buildSha": "RELEASE_SHA"},
        },
    }]);
    value
}

#[test]
fn arguments_and_rich_inputs_make_a_form() {
    let flow = Flow::parse(&with_form()).unwrap();
    assert_eq!(flow.rich_inputs[0].kind, RichInputKind::BranchCommitSelector);
    let form = flow.form(&["TOKEN"]);
    assert_eq!(
        serde_json::to_value(&form).unwrap(),
        json!({
            "fields": [
                {"name": "RELEASE_BRANCH", "type": "any", "label": "Release branch", "default": "", "required": true, "secret": false},
                {"name": "RELEASE_SHA", "type": "any", "label": "Release sha", "default": "", "required": true, "secret": false},
                {"name": "REPLICAS", "type": "integer", "label": "Replicas", "help": "How many run", "default": 2, "required": false, "secret": false},
                {"name": "REGION", "type": "string", "label": "Region", "required": true, "choices": ["north", "south"], "secret": false},
                {"name": "TOKEN", "type": "string", "label": "Token", "required": false, "secret": true},
                {"name": "NOTE", "type": "any", "label": "Note", "default": "none", "required": false, "secret": false},
            ],
            "selectors": [{
                "kind": "BranchCommitSelector", "label": "Commit", "help": "What to release", "required": true,
                "source": "web-build", "fills": {"branch": "RELEASE_BRANCH", "buildSha": "RELEASE_SHA"},
            }],
        })
    );
    let given = json!({"RELEASE_BRANCH": "main", "RELEASE_SHA": ""});
    let missing: Vec<_> =
        form.missing(given.as_object().unwrap()).iter().map(|field| field.name.clone()).collect();
    assert_eq!(missing, ["RELEASE_SHA", "REGION"]);
    assert_eq!(form.fields[3].accept(&json!("north")), Ok(json!("north")));
    assert_eq!(
        form.fields[3].accept(&json!("east")),
        Err("the argument `REGION` cannot be \"east\"; it is one of `\"north\"` and `\"south\"`".to_owned())
    );
}

#[test]
fn broken_rich_inputs() {
    let mut value = with_form();
    value["richInputs"] = json!([
        {"kind": "BranchSelector", "spec": {"inputs": {"source": "b"}, "outputs": {}}},
        {"kind": "BuildSelector", "spec": {"inputs": {}, "outputs": {"branch": "RELEASE_BRNCH"}}},
        {"spec": {"inputs": {"source": "b"}, "outputs": {}}},
        {"kind": "BuildSelector"},
    ]);
    let found: Vec<_> = Flow::parse(&value).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "error: /richInputs/0/kind: no rich input is of kind `BranchSelector`; there is `BranchCommitSelector` and `BuildSelector`",
            "error: /richInputs/1/spec/inputs: `source` is missing; name the build service by its id",
            "error: /richInputs/1/spec/outputs/branch: no argument is called `RELEASE_BRNCH`; did you mean `RELEASE_BRANCH`?",
            "error: /richInputs/2: `kind` is missing; say what is chosen: `kind: BranchCommitSelector`",
            "error: /richInputs/3: `spec` is missing; give it `spec: {title, inputs: {source}, outputs}`",
        ]
    );
}

#[test]
fn a_type_is_recognised_by_schema_or_by_what_is_in_it() {
    let root = |kind: &str| json!({"kind": "Workflow", "spec": {"type": "sequential", "steps": [{"kind": kind, "spec": {}}]}});
    for (value, expected) in [
        (
            json!({"$schema": "https://x.example/v1/schemas/preview-env", "spec": {}}),
            Some(DocumentType::Preview),
        ),
        (json!({"$schema": "./release-flow.schema.json", "spec": {}}), Some(DocumentType::ReleaseFlow)),
        (json!({"spec": root("Release")}), Some(DocumentType::ReleaseFlow)),
        (json!({"spec": root("Build")}), Some(DocumentType::ReleaseFlow)),
        (json!({"spec": root("BuildSource")}), Some(DocumentType::Preview)),
        (json!({"spec": root("Project")}), Some(DocumentType::Template)),
        (json!({"spec": root("OpenTofuDestroy")}), Some(DocumentType::Teardown)),
        (json!({"spec": root("Build"), "failurePolicy": "block"}), Some(DocumentType::Teardown)),
        (json!({"name": "a", "spec": root("Volume")}), Some(DocumentType::Template)),
        (json!({"name": "a", "spec": root("Release")}), Some(DocumentType::Workflow)),
        (json!({"name": "a", "spec": root("Build"), "stageId": "s"}), Some(DocumentType::Workflow)),
        (
            json!({"name": "a", "spec": root("Build"), "options": {"expiry": {}}}),
            Some(DocumentType::Blueprint),
        ),
        (json!({"spec": root("Build"), "options": {"expiry": {}}}), Some(DocumentType::Preview)),
        (json!({"kind": "Project", "spec": {"name": "a"}}), None),
        (json!([{"kind": "Project"}]), None),
        (json!({"name": "a"}), None),
    ] {
        assert_eq!(recognise(&value), expected, "{value}");
    }
}

#[test]
fn a_file_is_read_as_a_type_with_lines() {
    let text =
        "name: Bookshop\nstageId: live\nspec:\n  kind: Workflow\n  spec: {type: sequential, steps: []}\n";
    let document = parse("shop.yaml", text).unwrap();
    assert_eq!(document.parse_as(DocumentType::Workflow).unwrap().stage_id.as_deref(), Some("live"));
    let problems = document.parse_as(DocumentType::Template).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!((problem.line, problem.column), (Some(2), Some(1)));
}

#[test]
fn a_spec_that_is_an_expression_is_no_node() {
    let mut value = minimal(DocumentType::ReleaseFlow);
    value["spec"]["spec"]["steps"] = json!([{"kind": "Noop", "spec": "${args.X}"}]);
    let problems = Flow::parse(&value).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "error: /spec/spec/steps/0/spec: `spec` must be an object, not text; write its members: `{name: value}`"
    );
}
