//! Applying files.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shipway_contracts::v1::{
    self, ApplyRequest, ListPipelinesRequest, ListProjectsRequest, ListResourcesRequest, Page, Resource,
};
use shipway_documents::Severity;
use shipway_nodes::lint::{Knowledge, lint};

use crate::support::{Lab, SHOP, lines, request};

async fn resources(lab: &Lab) -> Vec<Resource> {
    let asked = ListResourcesRequest { project: "shop".into(), page: None };
    lab.projects().list_resources(asked).await.unwrap().into_inner().resources
}

#[tokio::test]
async fn a_shop_is_made_once_and_then_nothing_changes() {
    let lab = Lab::new().await;
    let reply = lab.applied(SHOP).await;
    assert_eq!(
        lines(&reply.changes),
        [
            "create Project shop: For tests",
            "create BuildService shop-builder",
            "create Addon shop-db",
            "create DeploymentService web-dev",
            "create DeploymentService web",
            "create ManualJob smoke",
            "create SecretGroup shop-env",
            "create Pipeline shop: stages Development, Staging, Production",
            "create Member shop/Development web-dev",
            "create Member shop/Development smoke",
            "create Member shop/Staging web",
            "create Member shop/Staging shop-db",
            "create Flow shop/development: version 1",
            "create Flow shop/staging: version 1",
            "create Hook file:///srv/shop.git",
            "create Hook shop/staging",
        ]
    );
    assert_eq!(reply.projects, ["shop"]);
    assert_eq!(reply.position, lab.head().await);

    let again = lab.applied(SHOP).await;
    assert!(lines(&again.changes).iter().all(|line| line.starts_with("unchanged ")), "{again:#?}");
    assert_eq!((again.changes.len(), again.position, again.hooks.len()), (8, 0, 0));
    assert_eq!(lab.head().await, reply.position);

    let before = resources(&lab).await;
    let lab = lab.restarted().await;
    assert_eq!(resources(&lab).await, before);
    let after = lab.applied(SHOP).await;
    assert_eq!(after.position, 0, "{:#?}", lines(&after.changes));
}

#[tokio::test]
async fn what_was_declared_can_be_listed() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let projects =
        lab.projects().list_projects(ListProjectsRequest { page: None }).await.unwrap().into_inner();
    assert_eq!((projects.projects[0].slug.as_str(), projects.projects[0].name.as_str()), ("shop", "Shop"));

    let found = resources(&lab).await;
    let stages: Vec<(&str, &str)> = found.iter().map(|r| (r.slug.as_str(), r.stage.as_str())).collect();
    assert_eq!(
        stages,
        [
            ("shop-builder", ""),
            ("shop-db", "shop/Staging"),
            ("shop-env", ""),
            ("smoke", "shop/Development"),
            ("web", "shop/Staging"),
            ("web-dev", "shop/Development"),
        ]
    );
    let asked =
        ListResourcesRequest { project: "shop".into(), page: Some(Page { after: String::new(), limit: 4 }) };
    let page = lab.projects().list_resources(asked).await.unwrap().into_inner();
    assert_eq!((page.resources.len(), page.next.as_str()), (4, "smoke"));

    let asked = ListPipelinesRequest { project: String::new(), page: None };
    let pipelines = lab.pipelines().list_pipelines(asked).await.unwrap().into_inner().pipelines;
    let stages: Vec<(&str, u32, usize)> =
        pipelines[0].stages.iter().map(|s| (s.name.as_str(), s.flow_version, s.members.len())).collect();
    assert_eq!(stages, [("Development", 1, 2), ("Staging", 1, 2), ("Production", 0, 0)]);
}

#[tokio::test]
async fn ports_are_given_once_and_other_documents_can_refer_to_them() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let found = resources(&lab).await;
    let port =
        |slug: &str| found.iter().find(|r| r.slug == slug).unwrap().ports.values().next().copied().unwrap();
    let (dev, web, db) = (port("web-dev"), port("web"), port("shop-db"));
    assert!(dev != web && web != db && dev != db);
    let smoke = found.iter().find(|r| r.slug == "smoke").unwrap();
    let spec: Value = serde_json::from_str(&smoke.spec_json).unwrap();
    assert_eq!(spec["runtimeEnvironment"]["URL"], json!(format!("http://127.0.0.1:{dev}/")));

    // Somebody listens on a given port by now, and the range is another: it is kept.
    let _listening = std::net::TcpListener::bind(("127.0.0.1", u16::try_from(dev).unwrap())).unwrap();
    let lab = lab.restarted().await;
    let more = SHOP.replacen("protocol: HTTP }]", "protocol: HTTP }, { name: admin, internalPort: 9 }]", 1);
    lab.applied(&more).await;
    let found = resources(&lab).await;
    let ports = &found.iter().find(|r| r.slug == "web-dev").unwrap().ports;
    assert_eq!(ports["http"], dev);
    assert_eq!(ports.len(), 2);
}

#[tokio::test]
async fn everything_wrong_is_told_at_once_with_its_place_and_nothing_is_done() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let head = lab.head().await;
    let broken = "kind: Addon\nspec: { name: shop-db\n";
    let bad = "\
kind: DeploymentService
spec: { name: shop-db }
---
kind: SecretGroup
spec:
  name: other-env
  addonDependencies:
    - addonId: shop-bd
      keys: [{ keyName: POSTGRES_URL }]
---
kind: Pipeline
spec:
  name: second
  stages:
    - name: Development
      nfObjects: [{ id: web-dev, type: service }, { id: nothing, type: job }, { id: smoke, type: service }]
    - name: Staging
      releaseFlow:
        kind: ReleaseFlow
        spec:
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps: [{ kind: JobRun, spec: { jobId: smoke } }]
";
    let only_text = lab.send(request(&[("a.yaml", broken), ("b.yaml", bad)])).await;
    assert_eq!(only_text.problems.iter().map(|p| p.file.as_str()).collect::<Vec<_>>(), ["a.yaml"]);

    let reply = lab.send(request(&[("b.yaml", bad)])).await;
    let told: Vec<String> = reply
        .problems
        .iter()
        .map(|p| format!("{}:{}:{} {} | {}", p.file, p.line, p.column, p.message, p.help))
        .collect();
    assert_eq!(
        told,
        [
            "b.yaml:1:7 `shop-db` is of kind Addon and cannot become a DeploymentService | Give the new one another name.",
            "b.yaml:8:16 there is no addon `shop-bd` | did you mean `shop-db`?",
            "b.yaml:9:25 an addon of type postgresql has no key `POSTGRES_URL` | did you mean `POSTGRES_URI`?",
            "b.yaml:16:19 `web-dev` is already a member of shop/Development; a resource is in at most one pipeline | \
             Moving is removing and adding: `shipway remove-member web-dev` first.",
            "b.yaml:16:51 this project has no resource `nothing` | Declare it in the same files, or apply it first; \
             `shipway resources` lists what there is.",
            "b.yaml:16:79 `smoke` is of kind ManualJob, which is a member of type `job`, not `service` | Write `type: job`.",
        ],
        "{told:#?}"
    );
    assert!(reply.changes.is_empty() && reply.position == 0);
    assert_eq!(lab.head().await, head);
}

#[tokio::test]
async fn a_flow_is_checked_against_its_stage_when_it_is_published() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let head = lab.head().await;
    let changed = SHOP
        .replace("target: { id: web, type: service }", "target: { id: web-dev, type: service }")
        .replace("addonId: shop-db, backupType", "addonId: shop-dv, backupType")
        .replace("${refs.app.sha}", "${refs.ap.sha}");
    let reply = lab.apply(&changed).await;
    let told: Vec<String> =
        reply.problems.iter().map(|p| format!("{} {}: {}", p.line, p.pointer, p.message)).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("/spec/stages/0/releaseFlow/spec/spec/spec/steps/0/spec/sha: "), "{told:#?}");
    assert!(
        told[1].contains("/spec/stages/1/releaseFlow/spec/spec/spec/steps/0/spec/addonId: "),
        "{told:#?}"
    );
    assert!(told[2].contains("/steps/1/spec/steps/0/spec/target/id: "), "{told:#?}");
    assert!(reply.problems.iter().all(|problem| problem.line > 0 && !problem.help.is_empty()));
    assert_eq!(lab.head().await, head);
}

#[tokio::test]
async fn a_dry_run_decides_everything_and_keeps_nothing() {
    let lab = Lab::new().await;
    let dry = ApplyRequest { dry_run: true, command: String::new(), ..request(&[("shop.yaml", SHOP)]) };
    let reply = lab.send(dry).await;
    assert!(reply.problems.is_empty(), "{:#?}", reply.problems);
    assert_eq!((reply.position, reply.hooks.len(), lab.head().await), (0, 0, 0));
    let real = lab.applied(SHOP).await;
    assert_eq!(lines(&reply.changes), lines(&real.changes));
}

#[tokio::test]
async fn a_command_that_comes_again_is_answered_the_same_and_changes_nothing() {
    let lab = Lab::new().await;
    let asked = request(&[("shop.yaml", SHOP)]);
    let first = lab.send(asked.clone()).await;
    let changed = lab.applied(&SHOP.replace("MODE: dev", "MODE: other")).await;
    assert_eq!(lines(&changed.changes)[0], "update DeploymentService web-dev");
    let head = lab.head().await;
    let again = lab.send(asked.clone()).await;
    assert_eq!(again, first);
    let lab = lab.restarted().await;
    assert_eq!(lab.send(asked).await, first);
    assert_eq!(lab.head().await, head);
}

#[tokio::test]
async fn a_document_belongs_to_the_project_that_is_named() {
    let lab = Lab::new().await;
    let alone = "kind: Addon\nspec: { name: blog-db, type: postgresql }\n";
    let reply = lab.apply(alone).await;
    assert!(reply.problems[0].message.contains("names no project"), "{:?}", reply.problems);
    lab.applied(SHOP).await;
    lab.applied(alone).await;
    lab.applied("kind: Project\nspec: { name: Blog }\n").await;
    let reply = lab.apply("kind: Addon\nspec: { name: third-db, type: postgresql }\n").await;
    assert!(reply.problems[0].help.contains("`blog` and `shop`"), "{:?}", reply.problems);
    let reply = lab.apply("kind: Addon\nspec: { name: third-db, type: postgresql, projectId: blgo }\n").await;
    assert!(reply.problems[0].help.contains("`blog`"), "{:?}", reply.problems);
    let named = ApplyRequest { project: "blog".into(), ..request(&[("a.yaml", alone)]) };
    assert_eq!(lines(&lab.send(named).await.changes), ["create Addon blog-db"]);
    let member = "\
kind: Pipeline
spec:
  name: blog
  projectId: blog
  stages:
    - { name: Development, nfObjects: [{ id: web, type: service }] }
    - { name: Production, nfObjects: [{ id: shop/web, type: service }] }
";
    let reply = lab.apply(member).await;
    let told: Vec<&str> = reply.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "`web` is a resource of the project `shop`; a stage has only resources of its own project",
            "`shop/web` is a resource of the project `shop`; a stage has only resources of its own project",
        ]
    );
}

#[tokio::test]
async fn overrides_do_not_belong_into_a_document() {
    let lab = Lab::new().await;
    let changed = SHOP.replace(
        "arguments: { GREETING: \"\"",
        "argumentOverrides: { GREETING: canary }\n          arguments: { GREETING: \"\"",
    );
    let reply = lab.apply(&changed).await;
    assert_eq!(reply.problems.len(), 1, "{:?}", reply.problems);
    assert!(reply.problems[0].pointer.ends_with("/argumentOverrides"));
    assert_eq!(lab.head().await, 0);
}

/// What a document says by itself is judged alike before and while it is applied.
#[tokio::test]
async fn what_lint_refuses_is_not_applied() {
    let lab = Lab::new().await;
    lab.applied("kind: Project\nspec: { name: shop }\n").await;
    let flow = |rest: &str| {
        format!(
            "{{kind: Pipeline, spec: {{name: shop, stages: [{{name: Dev, releaseFlow: {{spec: {{{rest}spec: {{kind: Workflow, spec: {{type: sequential, steps: []}}}}}}}}}}, {{name: Prod}}]}}}}"
        )
    };
    for node in [
        "{kind: DeploymentService, spec: {name: web, deployment: {instances: 1}}}".to_owned(),
        "{kind: DeploymentService, condition: success, spec: {name: web, autoscaling: 3}}".to_owned(),
        "{kind: DeploymentService, spec: {name: web, deployment: {external: {imagePath: nginx}}}}".to_owned(),
        "{kind: SecretGroup, retry: 3, spec: {name: env, restrictions: 3}}".to_owned(),
        "{kind: CronJob, spec: {name: nightly, schedule: nonsense}}".to_owned(),
        "{kind: BuildService, spec: {name: bld, vcsData: {projectUrl: x}, disabledCI: maybe}}".to_owned(),
        "{kind: Addon, spec: {name: shop-db, type: mongodb}}".to_owned(),
        flow(""),
        flow("argumentOverrides: {A: b}, arguments: {A: a}, "),
        flow("arguments: {A: '${args.B}'}, "),
    ] {
        let template =
            format!("name: Shop\nspec: {{kind: Workflow, spec: {{type: sequential, steps: [{node}]}}}}\n");
        for text in [format!("- {node}\n"), template] {
            let refused = |problems: Vec<(bool, String)>| -> BTreeSet<String> {
                problems.into_iter().filter(|(warns, _)| !warns).map(|(_, pointer)| pointer).collect()
            };
            let report = lint("shop.yaml", &text, Knowledge::default());
            let said = report.problems.into_iter();
            let linted = refused(said.map(|one| (one.severity == Severity::Warning, one.pointer)).collect());
            let said = lab.apply(&text).await.problems.into_iter();
            let applied = refused(
                said.map(|one| (one.severity() == v1::problem::Severity::Warning, one.pointer)).collect(),
            );
            assert_eq!(linted, applied, "{text}");
        }
    }
}

/// The pipeline of the reference's own page, with the resources that it names.
#[tokio::test]
async fn the_references_example_is_taken() {
    let lab = Lab::new().await;
    let node =
        |kind: &str, reference: &str, spec: Value| json!({"kind": kind, "ref": reference, "spec": spec});
    let flow = json!({
        "apiVersion": "v1.2",
        "options": {"concurrencyPolicy": "queue", "paused": false},
        "triggers": [{"ref": "app", "vcsService": "github", "repoUrl": "https://github.com/acme/api",
            "branchRestrictions": ["main"], "prRestrictions": []}],
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [
            {"kind": "Build", "ref": "b", "condition": "success", "spec": {
                "id": "${template.refs.builder.id}", "type": "service",
                "branch": "${refs.app.branch}", "sha": "${refs.app.sha}"}},
            {"kind": "Release", "spec": {"type": "build",
                "origin": {"id": "${refs.b.nfObjectId}", "branch": "${refs.b.branch}", "build": "${refs.b.id}"},
                "target": {"id": "${template.refs.api-dev.id}", "type": "service"}}}]}},
    });
    let pipeline = json!({"name": "shop", "stages": [
        {"name": "Development", "nfObjects": [{"id": "${refs.api-dev.id}", "type": "service"}],
            "releaseFlow": {"kind": "ReleaseFlow", "spec": flow}},
        {"name": "Staging"}, {"name": "Production"}]});
    let document = json!([
        node("Project", "project", json!({"name": "acme"})),
        node(
            "BuildService",
            "builder",
            json!({"name": "api-builder",
            "vcsData": {"projectUrl": "https://github.com/acme/api", "projectType": "github"},
            "buildSettings": {"dockerfile": {"dockerFilePath": "/Dockerfile", "dockerWorkDir": "/"}},
            "buildConfiguration": {"branchRestrictions": ["main", "release/*"], "prRestrictions": ["*"]},
            "disabledCI": true})
        ),
        node(
            "DeploymentService",
            "api-dev",
            json!({"name": "API dev", "billing": {"deploymentPlan": "nf-compute-20"}})
        ),
        node("Pipeline", "release", pipeline),
    ]);
    let reply = lab.send(request(&[("acme.json", &document.to_string())])).await;
    let errors: Vec<_> = reply.problems.iter().filter(|problem| problem.severity == 1).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let flow = lab.flow("acme/shop/development").await.unwrap();
    let published: Value = serde_json::from_str(&flow.document_json).unwrap();
    assert_eq!(published["spec"]["spec"]["steps"][1]["spec"]["target"]["id"], "api-dev");
    assert_eq!(published["spec"]["spec"]["steps"][1]["spec"]["origin"]["id"], "${refs.b.nfObjectId}");
}

/// The file that `shipway up --demo` applies.
#[tokio::test]
async fn the_demo_is_taken() {
    let lab = Lab::new().await;
    let text = include_str!("../../../shipway/demo/shop.yaml");
    let arguments = [("REPOSITORY".to_owned(), "file:///srv/shop.git".to_owned())].into();
    let reply = lab.send(ApplyRequest { arguments, ..request(&[("shop.yaml", text)]) }).await;
    let errors: Vec<_> = reply.problems.iter().filter(|problem| problem.severity == 1).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for stage in ["development", "staging", "production"] {
        assert_eq!(lab.flow(&format!("shop/{stage}")).await.unwrap().version, 1);
    }
}
