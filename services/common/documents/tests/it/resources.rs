//! What `apply` declares.

use serde_json::{Map, Value, json};
use shipway_documents::{
    Document, parse,
    resources::{
        Declared, Protocol, parse_declarations, parse_declarations_at, parse_declarations_with, ports,
    },
};
use shipway_events::project::ResourceKind;

/// The pipeline of the reference's own page, with the resources around it.
const SHOP: &str = include_str!("golden/shop.json");

fn declared(value: Value) -> Vec<(String, String, Option<String>)> {
    let document = Document::from_value("a", value);
    let found = parse_declarations(&document).unwrap_or_else(|problems| panic!("{problems}"));
    found.all.iter().map(|one| (one.declared.describe(), one.slug.clone(), one.project.clone())).collect()
}

fn refused(value: Value) -> String {
    let document = Document::from_value("a", value);
    parse_declarations(&document).expect_err("refused").to_string()
}

#[test]
fn the_references_pipeline_is_declared() {
    let document = parse("shop.json", SHOP).unwrap();
    let found =
        parse_declarations(&document).unwrap_or_else(|problems| panic!("{}", document.report(problems)));
    let pipeline = found.all.last().unwrap();
    let Declared::Pipeline(stages) = &pipeline.declared else { panic!("{pipeline:?}") };
    let names: Vec<_> = stages.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["Development", "Staging", "Production"]);
    assert_eq!(stages.stages[0].members[0].slug, "api-dev");
    let flow = stages.stages[0].flow.as_ref().unwrap();
    assert_eq!(flow.pointer, "/spec/spec/steps/3/spec/stages/0/releaseFlow/spec");
    let steps = &flow.flow.root.children;
    assert_eq!(steps[0].spec["id"], "api-builder", "resolved with the template");
    assert_eq!(steps[0].spec["branch"], "${refs.app.branch}", "left for the flow's run");
    assert_eq!(steps[1].spec["target"], json!({"id": "api-dev", "type": "service"}));
    assert_eq!(pipeline.project.as_deref(), Some("shop"));
    assert!(
        found.all.iter().any(|one| matches!(one.declared, Declared::Resource(ResourceKind::BuildService)))
    );
    // The description came from the template's argument, and an override goes before it.
    assert_eq!(stages.description, "The shop in europe");
    let overrides = json!({"REGION": "asia"}).as_object().unwrap().clone();
    let found = parse_declarations_with(&document, &overrides).unwrap();
    let Declared::Pipeline(stages) = &found.all.last().unwrap().declared else { panic!() };
    assert_eq!(stages.description, "The shop in asia");
}

#[test]
fn nodes_come_alone_in_lists_and_in_workflows() {
    let addon = json!({"kind": "Addon", "ref": "db", "spec": {"name": "Shop DB", "type": "postgresql", "version": 16}});
    let row = |kind: &str, slug: &str, project: Option<&str>| {
        (kind.to_owned(), slug.to_owned(), project.map(str::to_owned))
    };
    assert_eq!(declared(addon.clone()), [row("Addon", "shop-db", None)]);
    let project = json!({"kind": "Project", "spec": {"name": "My Shop"}});
    assert_eq!(
        declared(json!([project, addon])),
        [row("project", "my-shop", None), row("Addon", "shop-db", Some("my-shop"))]
    );
    assert_eq!(
        declared(
            json!({"kind": "Workflow", "spec": {"type": "sequential", "context": {"projectId": "other"}, "steps": [
                addon,
                {"kind": "ManualJob", "spec": {"name": "one", "projectId": "third"}},
                {"kind": "Job", "spec": {"name": "two", "settings": {"cron": {"schedule": "* * * * *", "suspended": true}}}},
                {"kind": "Job", "spec": {"name": "skipped"}, "skipNodeExecution": "true"},
            ]}})
        ),
        [
            row("Addon", "shop-db", Some("other")),
            row("ManualJob", "one", Some("third")),
            row("CronJob", "two", Some("other"))
        ]
    );
}

#[test]
fn ids_of_declared_nodes_are_known_whatever_their_order() {
    let document = Document::from_value(
        "a",
        json!([
            {"kind": "SecretGroup", "spec": {"name": "secrets", "addonDependencies": [{"addonId": "${refs.db.id}", "keys": [{"keyName": "POSTGRES_URI"}]}]}},
            {"kind": "Addon", "ref": "db", "spec": {"name": "Shop DB", "type": "postgresql"}},
        ]),
    );
    let found = parse_declarations(&document).unwrap();
    assert_eq!(found.all[0].spec["addonDependencies"][0]["addonId"], "shop-db");
}

#[test]
fn rules_of_names_and_members() {
    let long = "x".repeat(40);
    for (value, expected) in [
        (
            json!({"kind": "Addon", "spec": {"name": long, "type": "postgresql"}}),
            "has 40 characters; 3 to 39 are allowed",
        ),
        (json!({"kind": "Project", "spec": {"name": "a_b"}}), "holds `_`"),
        (json!({"kind": "Project", "spec": {}}), "`name` is missing"),
        (json!({"kind": "Addn", "spec": {}}), "no node is of kind `Addn`; did you mean `Addon`?"),
        (
            json!({"kind": "Volume", "spec": {}}),
            "unsupported: /kind: declaring a `Volume` is not supported yet",
        ),
        (json!({"kind": "Build", "spec": {}}), "unsupported: /kind: declaring a `Build`"),
        (json!({"kind": "Release", "spec": {}}), "a `Release` node cannot be declared by itself"),
        (json!({"kind": "ReleaseFlow", "spec": {}}), "it is the `releaseFlow` of a stage"),
        (json!([]), "the document declares nothing"),
        (json!("x"), "a document is an object, not text"),
        (
            json!([{"kind": "Project", "spec": {"name": "abc"}}, {"kind": "Project", "spec": {"name": "ABC"}}]),
            "`abc` is declared twice",
        ),
        (
            json!({"kind": "DeploymentService", "spec": {"name": "web", "deployment": {"instances": -1}}}),
            "`instances` is -1; give a number from 0 to 100",
        ),
        (
            json!({"kind": "DeploymentService", "spec": {"name": "web", "ports": [{"name": "a", "internalPort": 70000}]}}),
            "`internalPort` is 70000",
        ),
        (
            json!({"kind": "ManualJob", "spec": {"name": "job", "deployment": {"docker": {"configType": "customCommand"}}}}),
            "`customCommand` is missing; `configType: customCommand` needs it",
        ),
        (
            json!({"kind": "DeploymentService", "spec": {"name": "web", "deployment": {"external": {"imagePath": "nginx"}}}}),
            "unsupported: /spec/deployment/external: images from registries are not run yet; a flow can give the service",
        ),
        (
            json!({"kind": "ManualJob", "spec": {"name": "job", "deployment": {"external": {"imagePath": "nginx"}}}}),
            "unsupported: /spec/deployment/external: images from registries are not run yet; a flow can give the job",
        ),
        (
            json!({"kind": "CronJob", "spec": {"name": "job", "schedule": "0 3 * * *"}}),
            "unsupported: /spec/schedule: schedules of jobs are not run yet; add `suspended: true`",
        ),
        (
            json!({"kind": "Job", "spec": {"name": "job", "settings": {"cron": {"schedule": "0 3 * * *"}}}}),
            "unsupported: /spec/settings/cron/schedule: schedules of jobs are not run yet",
        ),
        (
            json!({"kind": "CronJob", "spec": {"name": "job", "schedule": "nonsense", "suspended": true}}),
            "error: /spec/schedule: ",
        ),
        (
            json!({"kind": "Job", "spec": {"name": "job", "settings": {"cron": {}}}}),
            "error: /spec/settings/cron: `schedule` is missing",
        ),
        (json!({"kind": "BuildService", "spec": {"name": "builder"}}), "`vcsData` is missing"),
        (
            json!({"kind": "BuildService", "spec": {"name": "builder", "vcsData": {"projectUrl": "x"}, "buildArguments": {"A": {}}}}),
            "the variable `A` must be text",
        ),
        (
            json!({"kind": "Addon", "spec": {"name": "cache", "type": "redis"}}),
            "unsupported: /spec/type: addons of type `redis`",
        ),
        (
            json!({"kind": "Addon", "ref": "db", "spec": {"name": "cache", "type": "${refs.dbb.id}"}}),
            "no node or trigger is called `dbb`; did you mean `db`?",
        ),
        (
            json!({"kind": "Pipeline", "spec": {"name": "shop", "stages": [{"name": "Only"}]}}),
            "a pipeline has 2 to 20 stages, not 1",
        ),
        (
            json!({"kind": "Pipeline", "spec": {"name": "shop", "stages": [{"name": "Dev"}, {"name": "dev"}]}}),
            "two stages are called `dev`",
        ),
        (
            json!({"kind": "Pipeline", "spec": {"name": "shop", "nfObjects": [{"id": "a", "type": "service", "stage": "Prodution"}]}}),
            "no stage is called `Prodution`; did you mean `Production`?",
        ),
        (
            json!({"spec": {"kind": "Workflow", "spec": {"steps": []}}, "arguments": {"A": "${fn.randomSecret(3)}"}}),
            "arguments with expressions are not supported yet",
        ),
        (json!({"kind": "Workflow", "spec": {"steps": []}}), "the document declares nothing"),
        (
            json!({"kind": "SecretGroup", "spec": {"name": "abc", "secrets": {"files": {"A": {"data": "%%"}}}}}),
            "error: /spec/secrets/files/A/data: the data are not base64; give what is in it as base64",
        ),
        (
            json!({"kind": "SecretGroup", "spec": {"name": "abc", "secrets": {"files": {"A": {"data": "/w=="}}}}}),
            "what is in the file is not UTF-8 text; say so: `encoding: base64`",
        ),
        (
            json!({"kind": "SecretGroup", "spec": {"name": "abc", "secrets": {"files": {"A": {"encoding": "hex"}}}}}),
            "/spec/secrets/files/A: `data` is missing",
        ),
        (
            json!({"kind": "SecretGroup", "spec": {"name": "abc", "secrets": {"variables": {"A": {"$secret": "x@1"}}}}}),
            "Shipway's own names",
        ),
    ] {
        let found = refused(value.clone());
        assert!(found.contains(expected), "{value}\n{found}");
    }
}

#[test]
fn a_template_may_declare_nothing_yet() {
    for (steps, expected) in [
        (json!([]), "warning: /spec/spec/steps: the document declares nothing"),
        (
            json!([{"kind": "Project", "spec": {"name": "shop"}, "skipNodeExecution": true}]),
            "warning: the document: the document declares nothing",
        ),
    ] {
        let value = json!({"name": "Shop", "spec": {"kind": "Workflow", "spec": {"steps": steps}}});
        let found = parse_declarations(&Document::from_value("a", value)).unwrap();
        assert!(found.warnings.to_string().starts_with(expected), "{}", found.warnings);
    }
}

#[test]
fn a_bad_name_hides_nothing_else() {
    for (node, expected) in [
        (
            json!({"kind": "Addon", "spec": {"name": "x", "type": "mongodb"}}),
            vec!["/spec/name", "/spec/type"],
        ),
        (json!({"kind": "ManualJob", "spec": {"backoffLimit": -1}}), vec!["/spec", "/spec/backoffLimit"]),
        (
            json!({"kind": "Pipeline", "spec": {"name": "a_b", "stages": [{"name": "Only"}]}}),
            vec!["/spec/name", "/spec/stages"],
        ),
        (json!({"kind": "Pipeline", "spec": "x"}), vec!["/spec"]),
        (
            json!([{"kind": "Project", "spec": {}}, {"kind": "Project", "spec": {}}]),
            vec!["/0/spec", "/1/spec"],
        ),
    ] {
        let document = Document::from_value("a", node.clone());
        let problems = parse_declarations(&document).expect_err("refused");
        let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(places, expected, "{node}");
    }
}

#[test]
fn members_are_of_the_right_kind_and_in_one_stage() {
    let document = |kind: &str, member: Value| {
        json!([
            {"kind": kind, "spec": {"name": "thing", "type": "postgresql", "vcsData": {"projectUrl": "x"}}},
            {"kind": "Pipeline", "spec": {"name": "shop", "stages": [{"name": "Dev", "nfObjects": [member]}, {"name": "Prod"}]}},
        ])
    };
    let member = |kind: &str| json!({"id": "thing", "type": kind});
    for (kind, as_type, expected) in [
        ("BuildService", "service", "is a build service and cannot be a member"),
        ("CombinedService", "service", "which builds from Git itself, and cannot be a member"),
        ("Addon", "service", "`thing` is an Addon, not a service; write `type: addon`"),
    ] {
        assert!(refused(document(kind, member(as_type))).contains(expected), "{kind}");
    }
    let twice = json!({"kind": "Pipeline", "spec": {"name": "shop", "stages": [
        {"name": "Dev", "nfObjects": [member("job")]}, {"name": "Prod", "nfObjects": [member("job")]}]}});
    assert!(refused(twice).contains("`thing` is a member of two stages"));
    assert_eq!(declared(document("DeploymentService", member("service"))).len(), 2);
}

#[test]
fn three_stages_when_none_are_named() {
    let document = Document::from_value(
        "a",
        json!({"kind": "Pipeline", "spec": {"name": "shop", "nfObjects": [
        {"id": "web", "type": "service", "stage": "production"}]}}),
    );
    let found = parse_declarations_with(&document, &Map::new()).unwrap();
    let Declared::Pipeline(pipeline) = &found.all[0].declared else { panic!() };
    assert_eq!(pipeline.stages[2].name, "Production");
    assert_eq!(pipeline.stages[2].members[0].slug, "web");
}

#[test]
fn ports_have_names_and_protocols() {
    let spec = json!({"ports": [
        {"internalPort": 8080, "public": true}, {"name": "grpc", "internalPort": 9000, "protocol": "HTTP/2"}]});
    let found = ports(&spec);
    assert_eq!(
        (found[0].name.as_str(), found[0].internal, found[0].public, found[0].protocol),
        ("p01", 8080, true, Protocol::Http)
    );
    assert_eq!((found[1].name.as_str(), found[1].protocol), ("grpc", Protocol::Tcp));
}

#[test]
fn the_address_of_a_services_port_is_known_where_ports_are_given_out() {
    let document = parse(
        "shop.yaml",
        "
- kind: DeploymentService
  ref: web
  spec: { name: Shop Web, ports: [{ name: http, internalPort: 8080 }, { internalPort: 9090 }] }
- kind: ManualJob
  ref: smoke
  spec:
    name: smoke
    runtimeEnvironment: { URL: \"http://${refs.web.ports.0.dns}\", ADMIN: \"${refs.web.ports.1.dns}\" }
",
    )
    .unwrap();
    let addresses = |service: &str, port: &str| Some(format!("{service}.{port}:1"));
    let found = parse_declarations_at(&document, &Map::new(), &addresses).unwrap();
    let environment = &found.all[1].spec["runtimeEnvironment"];
    assert_eq!(*environment, json!({"URL": "http://shop-web.http:1", "ADMIN": "shop-web.p02:1"}));

    let problems = parse_declarations(&document).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().pointer, "/1/spec/runtimeEnvironment/URL");
}

#[test]
fn the_project_of_a_workflow_may_be_the_one_that_is_declared_before() {
    let document = parse(
        "shop.yaml",
        "
apiVersion: v1.2
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
      - { kind: Project, ref: project, spec: { name: Shop One } }
      - kind: Workflow
        spec:
          type: sequential
          context: { projectId: \"${refs.project.id}\" }
          steps: [{ kind: Addon, spec: { name: shop-db, type: postgresql } }]
",
    )
    .unwrap();
    let found = parse_declarations(&document).unwrap();
    assert_eq!(found.all[1].project.as_deref(), Some("shop-one"));
}

#[test]
fn secret_files_are_kept_and_it_is_said_who_gets_them() {
    let group = |files: Value| {
        let value = json!({"kind": "SecretGroup", "spec": {"name": "tls", "secrets": {"files": files}}});
        parse_declarations(&Document::from_value("a", value)).unwrap()
    };
    let files = json!({
        "CERT": {"data": "aGVsbG8=", "encoding": "utf-8"}, "KEYS": {"data": "/w==", "encoding": "base64"},
        "/etc/app.json": {"data": "e30="},
    });
    let found = group(files.clone());
    assert_eq!(found.all[0].spec["secrets"]["files"], files);
    let warnings: Vec<_> = found.warnings.iter().map(ToString::to_string).collect();
    let [whose, name] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(whose.contains("puts files of secret groups into no service and no job"), "{whose}");
    assert!(name.contains("no expression can name the file `/etc/app.json`"), "{name}");
    assert!(group(json!({})).warnings.is_empty());

    let made = group(json!({"CERT": {"data": "${fn.toBase64(fn.randomSecret(8))}"}}));
    assert!(shipway_documents::secret::is_secret(&made.all[0].spec["secrets"]["files"]["CERT"]["data"]));
}
