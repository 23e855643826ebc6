//! What `lint` says of whole texts: nodes by themselves, templates, teardowns.

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
