//! What `lint` says of whole texts: nodes by themselves, templates, teardowns.

use shipway_documents::Code;
use shipway_nodes::lint::{Knowledge, lint};

/// What is said about a text, a line for each.
fn said(text: &str) -> Vec<String> {
    let report = lint("a.yaml", text, Knowledge::default());
    report.problems.iter().map(ToString::to_string).collect()
}

/// The errors among it.
fn errors(text: &str) -> Vec<String> {
    said(text).into_iter().filter(|line| line.starts_with("error: ")).collect()
}

#[test]
fn a_mistake_in_a_pipeline_is_none_of_its_flows() {
    let found = errors(
        r#"
name: Shop
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
      - { kind: Project, spec: { name: shop } }
      - { kind: BuildService, ref: builder, spec: { name: api-builder, vcsData: { projectUrl: https://x/api } } }
      - { kind: DeploymentService, ref: dev, spec: { name: api-dev } }
      - kind: Pipeline
        spec:
          name: shop
          stages:
            - name: Development
              nfObjects: [{ id: "${refs.dev.id}", type: service }]
              releaseFlow:
                kind: ReleaseFlow
                spec:
                  spec:
                    kind: Workflow
                    spec:
                      type: sequential
                      steps:
                        - kind: Release
                          spec:
                            type: build
                            origin: { id: "${template.refs.builder.id}", branch: main, build: latest }
                            target: { id: "${template.refs.dev.id}", type: service }
            - name: Production
              nfObjects: [{ id: "${refs.prdo.id}", type: service }]
"#,
    );
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert!(only.contains("no node or trigger is called `prdo`"), "{only}");
}

#[test]
fn values_of_arguments_are_no_expressions() {
    let flow = |arguments: &str| {
        format!("arguments: {arguments}\nspec: {{kind: Workflow, spec: {{type: sequential, steps: []}}}}\n")
    };
    for (arguments, place) in [
        ("{A: a, B: '${args.A}-y'}", "/arguments/B"),
        ("{A: {type: string, default: '${fn.date()}', description: 'a ${b}'}}", "/arguments/A/default"),
        ("{A: {list: [x, '${args.B}']}}", "/arguments/A/list/1"),
    ] {
        let found = said(&flow(arguments));
        let refused: Vec<_> = found.iter().filter(|line| line.starts_with("unsupported: ")).collect();
        let expected = format!(
            "unsupported: {place}: arguments with expressions are not supported yet; give the value itself"
        );
        assert_eq!(refused, [&expected], "{found:?}");
    }
}

/// Nodes that `apply` takes, each with a mistake, and what is said of it.
const DECLARED: &[(&str, &[&str])] = &[
    ("{kind: Addon, spec: {name: shop-db, type: postgresql}}", &[]),
    (
        "{kind: DeploymentService, condition: success, spec: {name: web, autoscaling: 3, ports: [{domains: x}]}}",
        &["error: /condition: ", "error: /spec/autoscaling: ", "error: /spec/ports/0/domains: "],
    ),
    (
        "{kind: CronJob, spec: {name: nightly, schedule: 3, suspended: maybe}}",
        &["error: /spec/schedule: ", "error: /spec/suspended: "],
    ),
    (
        "{kind: SecretGroup, retry: 3, when: never, spec: {name: env, restrictions: 3}}",
        &["error: /retry: ", "error: /spec/restrictions: ", "error: /when: "],
    ),
    (
        "{kind: ManualJob, spec: {name: job, runtimeEnvironment: {DB_PASSWORD: kT9xQ2vLm8}}}",
        &["warning: /spec/runtimeEnvironment/DB_PASSWORD: this looks like a secret"],
    ),
    (
        "{kind: Workflow, spec: {type: sequential, steps: [{kind: Project, spec: {name: mall, region: []}}]}}",
        &["error: /spec/steps/0/spec/region: "],
    ),
];

#[test]
fn a_node_says_the_same_by_itself_in_a_list_and_in_a_template() {
    for (node, expected) in DECLARED {
        let template =
            format!("name: Shop\nspec: {{kind: Workflow, spec: {{type: sequential, steps: [{node}]}}}}\n");
        for (text, at) in [
            ((*node).to_owned(), ""),
            (format!("- {node}\n"), "/0"),
            (format!("{{kind: Project, spec: {{name: shop}}}}\n---\n{node}\n"), "/1"),
            (template, "/spec/spec/steps/0"),
        ] {
            let found: Vec<String> =
                said(&text).iter().map(|line| line.replacen(&format!(": {at}/"), ": /", 1)).collect();
            let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
            for (line, start) in found.iter().zip(*expected) {
                assert!(line.starts_with(start), "{text}\n{line}\n{start}");
            }
        }
    }
}

#[test]
fn a_port_has_an_address_before_it_is_given_one() {
    let text = "
- {kind: DeploymentService, ref: web, spec: {name: web, ports: [{internalPort: 80}]}}
- {kind: ManualJob, spec: {name: job, runtimeEnvironment: {URL: 'http://${refs.web.ports.0.dns}'}}}
";
    assert_eq!(said(text), Vec::<String>::new());
}

#[test]
fn a_flows_overrides_are_not_in_its_document() {
    let text = "
argumentOverrides: {A: x}
arguments: {A: y}
spec: {kind: Workflow, spec: {type: sequential, steps: [{kind: Noop, spec: {outputs: {a: '${args.A}'}}}]}}
";
    let found = errors(text);
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert!(only.starts_with("error: /argumentOverrides: overrides are not part"), "{only}");
}

/// A template with a teardown of these steps.
fn with_teardown(steps: &str) -> String {
    format!(
        "
name: Shop previews
arguments: {{NAME: a, ONLY: b}}
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
      - {{kind: Addon, ref: db, spec: {{name: 'shop-${{args.NAME}}', type: postgresql}}}}
      - {{kind: OpenTofu, ref: bucket, spec: {{stateKey: x, spec: {{provider: {{}}}}}}, condition: success}}
      - {{kind: Addon, ref: other, spec: {{name: other-db, type: postgresql}}}}
teardownSpec:
  spec:
    kind: Workflow
    spec:
      type: sequential
      steps: [{steps}]
"
    )
}

#[test]
fn a_teardown_knows_the_names_of_its_document() {
    let text = with_teardown(
        "{kind: JobRun, ref: last, spec: {jobId: cleanup, runtimeEnvironment: {DB: '${refs.db.id}', O: '${args.ONLY}'}}}, \
         {kind: OpenTofuDestroy, spec: {nodeRef: bucket}, condition: success}",
    );
    let found: Vec<String> =
        said(&text).into_iter().filter(|line| !line.starts_with("unsupported: ")).collect();
    let [other, last] = found.as_slice() else { panic!("{found:#?}") };
    assert!(other.starts_with("warning: /spec/spec/steps/2/ref: nothing refers to `other`"), "{other}");
    assert!(
        last.starts_with("warning: /teardownSpec/spec/spec/steps/0/ref: nothing refers to `last`"),
        "{last}"
    );

    for (value, expected) in [
        ("${refs.dbb.id}", "no node or trigger is called `dbb`; did you mean `db`?"),
        ("${refs.bucket.nme}", "`bucket` is an OpenTofu, which has no output `nme`"),
        ("${args.NAMEE}", "no argument is called `NAMEE`; did you mean `NAME`?"),
    ] {
        let steps =
            format!("{{kind: JobRun, spec: {{jobId: cleanup, runtimeEnvironment: {{A: '{value}'}}}}}}");
        let found = said(&with_teardown(&steps));
        let place = "/teardownSpec/spec/spec/steps/0/spec/runtimeEnvironment/A: ";
        let here: Vec<_> = found.iter().filter_map(|line| line.split_once(place)).collect();
        let [(_, only)] = here.as_slice() else { panic!("{value}: {found:#?}") };
        assert!(only.starts_with(expected), "{only}");
    }
    let found = errors(&with_teardown("{kind: OpenTofuDestroy, spec: {nodeRef: buckt}}"));
    assert_eq!(
        found,
        [
            "error: /teardownSpec/spec/spec/steps/0/spec/nodeRef: no node is called `buckt`; did you mean `bucket`?"
        ]
    );
}

#[test]
fn a_teardown_by_itself_may_name_what_is_elsewhere() {
    let text = "
failurePolicy: block
spec:
  kind: Workflow
  spec:
    type: sequential
    steps: [{kind: JobRun, spec: {jobId: cleanup, runtimeEnvironment: {DB: '${refs.db.id} ${args.NAME}'}}}]
";
    let found = said(text);
    assert!(found.iter().all(|line| line.starts_with("unsupported: ")), "{found:#?}");
}

#[test]
fn a_node_of_an_iteration_has_its_own_outputs() {
    let flow = |value: &str| {
        format!(
            "
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
      - kind: LoopWorkflow
        ref: each
        spec:
          iterations: [{{region: eu}}, {{region: us}}]
          steps:
            - {{kind: JobRun, ref: one, spec: {{jobId: job}}}}
            - kind: LoopWorkflow
              ref: inner
              spec:
                iterations: [1]
                steps: [{{kind: JobRun, ref: two, condition: success, spec: {{jobId: job}}}}]
      - {{kind: Noop, spec: {{outputs: {{a: '${{refs.each.iterations.{value}}}'}}}}}}
"
        )
    };
    for right in ["0.one.id", "1.one.runName", "0.inner.iterations.0.two.status"] {
        assert_eq!(errors(&flow(right)), Vec::<String>::new(), "{right}");
    }
    for (wrong, expected) in [
        ("0.one.zz", "`one` is a JobRun, which has no output `zz`; there is "),
        (
            "0.one.status",
            "`status` of `one` is only known when it has ended; give `one` a `condition: success`",
        ),
        ("2.one.id", "the loop `each` has no iteration 2; it has those from 0 to 1"),
        ("x.one.id", "`x` is no number of an iteration; 0 is the first: `refs.each.iterations.0`"),
        ("0.inner.iterations.0.two.zz", "`two` is a JobRun, which has no output `zz`"),
        ("0.inner.iterations.1.two.id", "the loop `inner` has no iteration 1"),
    ] {
        let found = errors(&flow(wrong));
        let [only] = found.as_slice() else { panic!("{wrong}: {found:#?}") };
        let place = "error: /spec/spec/steps/1/spec/outputs/a: ";
        assert!(only.starts_with(&format!("{place}{expected}")), "{only}");
    }
}

#[test]
fn what_is_read_when_work_starts_is_checked_before() {
    let flow = |node: &str| {
        format!(
            "
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
      - {{kind: SecretInheritance, ref: cfg, spec: {{secrets: [env]}}}}
      - {{kind: JobRun, ref: run, spec: {{jobId: job, runtimeEnvironment: {{A: '${{{{refs.cfg.values.A}}}}'}}}}}}
      - {node}
"
        )
    };
    let variable = |value: &str| {
        flow(&format!("{{kind: JobRun, spec: {{jobId: job, runtimeEnvironment: {{A: '{value}'}}}}}}"))
    };
    for right in ["${{secrets.base.values.A}}", "${{args.A}}", "${{env.A}}", "${secrets.base.files.CA.data}"]
    {
        assert_eq!(errors(&variable(right)), Vec::<String>::new(), "{right}");
    }
    for (wrong, expected) in [
        ("${{refs.nope.values.A}}", "no node or trigger is called `nope`"),
        ("${{refs.run.values.A}}", "`run` is a JobRun, which has no output `values.A`"),
        (
            "${{secrets.base.valuez.A}}",
            "a secret has `values` and `files`, and no `valuez`; did you mean `values`?",
        ),
        (
            "${secrets.base.valuez.A}",
            "a secret has `values` and `files`, and no `valuez`; did you mean `values`?",
        ),
    ] {
        let found = errors(&variable(wrong));
        let [only] = found.as_slice() else { panic!("{wrong}: {found:#?}") };
        let place = "error: /spec/spec/steps/2/spec/runtimeEnvironment/A: ";
        assert!(only.starts_with(&format!("{place}{expected}")), "{only}");
    }
    let secret = "${{secrets.base.values.X}}";
    for (node, place) in [
        (format!("{{kind: JobRun, spec: {{jobId: '{secret}'}}}}"), "spec/jobId"),
        (
            format!("{{kind: JobRun, skipNodeExecution: '{secret}', spec: {{jobId: job}}}}"),
            "skipNodeExecution",
        ),
    ] {
        let found = said(&flow(&node));
        let here = format!("/spec/spec/steps/2/{place}: ");
        let found: Vec<_> = found.iter().filter(|line| line.contains(&here)).collect();
        let [only] = found.as_slice() else { panic!("{node}: {found:#?}") };
        assert!(only.contains("`base` is a secret and cannot decide what happens"), "{only}");
    }
}

#[test]
fn what_only_looks_as_if_it_meant_something_is_said() {
    let flow =
        |node: &str| format!("spec: {{kind: Workflow, spec: {{type: sequential, steps: [{node}]}}}}\n");
    let run = "spec: {templateType: release-flow-template, templateId: shop/x, ";
    for (node, place, help) in [
        (
            "{kind: JobRun, waitForCompletion: true, spec: {jobId: job}}".to_owned(),
            "waitForCompletion",
            "`condition: success`",
        ),
        (
            format!("{{kind: RunTemplate, {run}argumentOverrides: {{A: b}}}}}}"),
            "spec/argumentOverrides",
            "`arguments: {variables:",
        ),
        (
            format!("{{kind: RunTemplate, {run}argumentsOverride: {{A: b}}}}}}"),
            "spec/argumentsOverride",
            "`arguments: {variables:",
        ),
    ] {
        let found = said(&flow(&node));
        let [only] = found.as_slice() else { panic!("{node}: {found:#?}") };
        let name = place.rsplit('/').next().unwrap();
        let expected =
            format!("warning: /spec/spec/steps/0/{place}: `{name}` is not known here and has no effect; ");
        assert!(only.starts_with(&expected) && only.contains(help), "{only}");
    }
    let import = "{kind: AddonImport, spec: {addonId: db, url: 'https://x'}}";
    let report = lint("a.yaml", &flow(import), Knowledge::default());
    let alias = report.problems.iter().find(|problem| problem.pointer.ends_with("/spec/url")).unwrap();
    assert_eq!(alias.code, Code::AliasUsed);
}

#[test]
fn each_finding_has_a_way_out() {
    let noop = |value: &str| {
        format!(
            "spec: {{kind: Workflow, spec: {{type: sequential, steps: [{{kind: Noop, spec: {{outputs: {{a: \"{value}\"}}}}}}]}}}}"
        )
    };
    for (name, text) in [
        ("a.yaml", String::new()),
        ("a.json", " ".to_owned()),
        ("a.json", "// comment\n{}".to_owned()),
        ("a.json", "{\"kind\" 1}".to_owned()),
        ("a.yaml", noop("${}")),
        ("a.yaml", noop("${args.}")),
        ("a.yaml", noop("${fn.divide(1, 0)}")),
        ("a.yaml", noop("${fn.toUpper([1])}")),
        ("a.yaml", noop("${fn.slice('a')}")),
        ("a.yaml", noop("${triggers.app.sha}")),
        ("a.yaml", "spec: {kind: Workflow, condition: true, spec: {type: sequential, steps: 3}}".to_owned()),
        ("a.yaml", "spec: {kind: Workflow, spec: {type: 3, steps: [{kind: Noop, spec: 3}]}}".to_owned()),
        ("a.yaml", "{richInputs: 3, spec: {kind: Workflow, spec: {type: sequential, steps: []}}}".to_owned()),
        ("a.yaml", "{kind: Pipeline, spec: {name: a_b, preview: {}, stages: [{name: One}]}}".to_owned()),
        (
            "a.yaml",
            "{kind: Pipeline, spec: {name: abc, stages: [{name: One}, {name: one}, {name: a_b}]}}".to_owned(),
        ),
        (
            "a.yaml",
            "{kind: DeploymentService, spec: {name: abc, ports: [{name: a, protocol: UDP}, {name: a}]}}"
                .to_owned(),
        ),
        (
            "a.yaml",
            "{kind: Addon, spec: {name: abc, type: postgresql, version: '${args.A} ${refs.b.id}'}}"
                .to_owned(),
        ),
        ("a.yaml", "[3, {kind: 3}]".to_owned()),
    ] {
        let report = lint(name, &text, Knowledge::default());
        assert!(!report.problems.is_empty(), "{text}");
        for problem in &report.problems {
            assert!(problem.help.is_some(), "{text}: no way out of {problem}");
        }
    }
}

#[test]
fn an_action_that_there_is_not_is_told_once() {
    let flow = |kind: &str, action: &str, data: &str| {
        let node = format!(
            "{{kind: Action, spec: {{kind: {kind}, spec: {{type: {action}, data: {{{data}: x}}}}}}}}"
        );
        format!("spec: {{kind: Workflow, spec: {{type: sequential, steps: [{node}]}}}}\n")
    };
    for (text, expected) in [
        (flow("Service", "restat", "serviceId"), "`type` cannot be `restat`; did you mean `restart`?"),
        (flow("Job", "restart", "jobId"), "`Job` has no action `restart`; it has `execute`"),
    ] {
        let found = errors(&text);
        let [only] = found.as_slice() else { panic!("{found:#?}") };
        assert!(only.ends_with(expected), "{only}");
    }
}
