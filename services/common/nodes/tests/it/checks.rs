//! What is said about a flow before anything runs: kinds, shapes, conditions, references.

use serde_json::{Value, json};
use shipway_documents::{DocumentType, flow::Flow};
use shipway_nodes::{
    document::examine,
    validate::{Known, validate_flow_with},
};

use crate::world::{check, document, said, staging, without_unused};

/// All lines, shortened to the step.
fn lines(steps: Value) -> Vec<String> {
    check(steps).iter().map(|problem| problem.to_string().replace("/spec/spec/steps", "")).collect()
}

fn build() -> Value {
    json!({"kind": "Build", "ref": "build", "spec": {"id": "builder", "type": "service", "branch": "${triggers.app.branch}", "sha": "${refs.app.sha}"}, "condition": "success"})
}

#[test]
fn a_whole_flow_without_a_fault() {
    let found = lines(json!([
        build(),
        {"kind": "AddonBackup", "ref": "backup", "spec": {"addonId": "db"}, "condition": "success"},
        {"kind": "Workflow", "spec": {"type": "parallel", "steps": [
            {"kind": "Release", "ref": "job", "spec": {"type": "build", "origin": {"id": "${refs.build.nfObjectId}", "branch": "${refs.build.branch}", "build": "${refs.build.id}"}, "target": {"id": "migrate", "type": "job"}}},
            {"kind": "Release", "ref": "web", "spec": {"type": "deployment", "origin": {"id": "web-dev", "type": "service"}, "target": {"id": "web-stage", "type": "service"}}, "condition": "running", "timeoutDuration": 60},
        ]}},
        {"kind": "JobRun", "ref": "migrate-run", "spec": {"jobId": "migrate", "runtimeEnvironment": {"T": "${args.TOKEN}", "D": "${refs.web.digest}"}}, "condition": "success"},
        {"kind": "Action", "spec": {"kind": "Service", "spec": {"type": "execute", "data": {"serviceId": "web-stage", "command": "bin/smoke"}}}},
        {"kind": "Action", "spec": {"kind": "AddonBackup", "spec": {"type": "restore", "data": {"addonId": "db", "backupId": "${refs.backup.id}"}, "condition": "success"}}, "skipNodeExecution": "${fn.eq(args.BRANCH, 'x')}"},
        {"kind": "Condition", "spec": {"kind": "Service", "spec": {"type": "running", "data": {"serviceId": "web-dev"}}}},
        {"kind": "Message", "spec": {"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "https://x/${args.TOKEN}", "message": "Ran ${refs.migrate-run.id} ${triggers.hook.body.note}"}}},
        {"kind": "Noop", "ref": "noop", "spec": {"outputs": {"a": {"b": 1}}}},
        {"kind": "Noop", "spec": {"sleepMs": "${refs.noop.a.b}"}},
    ]));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn kinds() {
    for (node, expected) in [
        (
            json!({"kind": "Relase", "spec": {}}),
            "error: /kind: no node is of kind `Relase`; did you mean `Release`?",
        ),
        (
            json!({"kind": "AddonImport", "spec": {"addonId": "db", "importUrl": "https://x"}}),
            "unsupported: /kind: the node `addon-import-db` is of kind `AddonImport`, which is not supported yet; supported are Workflow, Build, Release, JobRun, AddonBackup, Action, Condition, Message, Noop, LoopWorkflow, LoopData, Approval, RunTemplate, SecretInheritance",
        ),
        (
            json!({"kind": "DeploymentService", "spec": {}}),
            "error: /kind: a release flow cannot hold `DeploymentService` nodes; declare the DeploymentService beside the flow, with `shipway apply`; it may stand in a team template, a preview template or a preview blueprint",
        ),
        (
            json!({"kind": "Addon", "spec": {}}),
            "error: /kind: a release flow cannot hold `Addon` nodes; declare the Addon beside the flow, with `shipway apply`; it may stand in a team template, a preview template or a preview blueprint",
        ),
        (
            json!({"kind": "OpenTofuDestroy", "spec": {}}),
            "error: /kind: a release flow cannot hold `OpenTofuDestroy` nodes; it may stand in a teardown",
        ),
        (
            json!({"kind": "RunJob", "spec": {"jobId": "migrate"}}),
            "warning: /kind: `RunJob` is another name of `JobRun`; write `kind: JobRun`",
        ),
    ] {
        assert_eq!(said(node), [expected]);
    }
}

#[test]
fn conditions() {
    for (node, expected) in [
        (
            json!({"kind": "JobRun", "spec": {"jobId": "migrate"}, "condition": "running"}),
            "error: /condition: `JobRun` nodes cannot wait for `running`; write `condition: success`",
        ),
        (
            json!({"kind": "Message", "spec": {"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "http://x", "message": ""}}, "condition": "success"}),
            "error: /condition: `Message` nodes cannot wait for `success`; take `condition` away: it is done when it has ended",
        ),
    ] {
        assert_eq!(said(node), [expected]);
    }
}

#[test]
fn shapes_are_checked_around_expressions() {
    let found = said(
        json!({"kind": "Release", "spec": {"type": "biuld", "origin": {"id": ["x"], "branche": "main"}, "target": {"type": "service"}}}),
    );
    assert_eq!(
        found,
        [
            "warning: /spec/origin/branche: `branche` is not known here and has no effect; did you mean `branch`?",
            "error: /spec/origin/id: `id` must be text, not a list; write one text, in quotes where it could be taken for something else",
            "error: /spec/target: `id` is missing; `id`: the member of this stage, by its id",
            "error: /spec/type: `type` cannot be `biuld`; did you mean `build`?",
        ]
    );
    let found =
        said(json!({"kind": "Noop", "spec": {"fib": "${args.BRANCH}", "sleepMs": "soon", "outputs": []}}));
    assert_eq!(
        found,
        [
            "error: /spec/outputs: `outputs` must be an object, not a list; write its members: `{name: value}`",
            "error: /spec/sleepMs: `sleepMs` must be a whole number, not text; write it in digits, such as `2`"
        ]
    );
}

#[test]
fn each_kind_says_what_it_needs() {
    for (node, expected) in [
        (
            json!({"kind": "Workflow", "spec": {"type": "${fn.toLower('GRAPH')}", "steps": [{"kind": "Noop", "spec": {}}]}}),
            "error: /spec/type: the `type` of a workflow cannot be an expression; write `sequential`, `parallel` or `graph`",
        ),
        (
            json!({"kind": "Workflow", "spec": {"steps": [{"kind": "Noop", "spec": {}}]}}),
            "error: /spec: `type` is missing; `type`: `sequential`, `parallel` or `graph`",
        ),
        (
            json!({"kind": "Workflow", "spec": {"type": "sequential", "failFast": true, "steps": [{"kind": "Noop", "spec": {}}]}}),
            "error: /spec/failFast: `failFast` has a meaning only where steps go on side by side; a `sequential` workflow always ends with the first failure",
        ),
        (
            json!({"kind": "LoopWorkflow", "spec": {"iterations": [{}], "maxParallel": 2, "steps": [{"kind": "Noop", "spec": {}}]}}),
            "error: /spec/maxParallel: `maxParallel` has a meaning only where iterations go on side by side; add `type: parallel`, or take it away",
        ),
        (
            json!({"kind": "Approval", "spec": {"amount": 2, "approvers": ["ana", "ana"]}}),
            "warning: /spec/amount: 2 different people have to approve and only 1 is named; that is enough only if they are roles that several people have; else add approvers, or ask for fewer",
        ),
        (
            json!({"kind": "RunTemplate", "spec": {"templateType": "workflow", "templateId": "x"}}),
            "unsupported: /spec/templateType: running a `workflow` is not supported yet; supported is `release-flow-template`, with the flow as `templateId`",
        ),
        (
            json!({"kind": "Build", "spec": {"id": "builder"}}),
            "error: /spec: `branch` is missing; say what to build: `branch: ${triggers.<ref>.branch}`, or `pullRequestId`",
        ),
        (
            json!({"kind": "Build", "spec": {"id": "builder", "branch": "a", "pullRequestId": 1}}),
            "error: /spec/pullRequestId: a build is of a branch or of a pull request, not of both; take one of them away",
        ),
        (
            json!({"kind": "Build", "spec": {"id": "builder", "branch": "a", "sha": "HEAD"}}),
            "error: /spec/sha: `HEAD` is no commit; give 40 hex digits, or leave `sha` out for the newest",
        ),
        (
            json!({"kind": "Build", "spec": {"id": "builder", "branch": "a", "buildRules": {}}}),
            "unsupported: /spec/buildRules: `buildRules` are not supported yet; put path rules on the flow's trigger: `pathIgnoreRules`",
        ),
        (
            json!({"kind": "Release", "spec": {"type": "build", "origin": {}, "target": {"id": "web-stage", "type": "service"}}}),
            "error: /spec/origin: `id` is missing; name the build service by its id",
        ),
        (
            json!({"kind": "Release", "spec": {"type": "registry", "origin": {"imagePath": "x"}, "target": {"id": "web-stage", "type": "service"}}}),
            "unsupported: /spec/type: releasing an image from a registry needs a container runtime, which this version has not; release a build: `type: build`",
        ),
        (
            json!({"kind": "JobRun", "spec": {"jobId": "migrate", "runtimeFiles": {"/a": {}}}}),
            "unsupported: /spec/runtimeFiles: `runtimeFiles` is not supported yet; use `runtimeEnvironment`",
        ),
        (
            json!({"kind": "AddonBackup", "spec": {"addonId": "db", "customDestinationId": "s3"}}),
            "unsupported: /spec/customDestinationId: `customDestinationId` is not supported yet; backups are kept in the data folder",
        ),
        (
            json!({"kind": "Action", "spec": {"kind": "Service", "spec": {"type": "execute", "data": {"serviceId": "web-stage"}}}}),
            "error: /spec/spec/data: `command` is missing; `Service` `execute` needs it",
        ),
        (
            json!({"kind": "Action", "spec": {"kind": "Job", "spec": {"type": "restart", "data": {"jobId": "migrate"}}}}),
            "error: /spec/spec/type: `Job` has no action `restart`; it has `execute`",
        ),
        (
            json!({"kind": "Action", "spec": {"kind": "Service", "spec": {"type": "execute", "data": {"serviceId": "web-stage", "command": "a", "shell": "bash"}}}}),
            "unsupported: /spec/spec/data/shell: `shell` is not supported yet; wrap the command: `sh -c \"…\"`",
        ),
        (
            json!({"kind": "Action", "spec": {"kind": "VCS", "spec": {"type": "createRepoFromSource", "data": {}}}}),
            "unsupported: /spec/kind: making a repository is not supported yet; supported are Service execute, Service restart, Service stop, Job execute, Addon restart, Addon confirm, Addon revert, AddonBackup load, AddonBackup restore",
        ),
        (
            json!({"kind": "Condition", "spec": {"kind": "Build", "spec": {"type": "success", "data": {}}}}),
            "error: /spec/spec/data: `buildId` is missing; a condition on `Build` needs it",
        ),
        (
            json!({"kind": "Condition", "spec": {"kind": "Http", "spec": {"type": "success", "data": {"url": "x"}}}}),
            "error: /spec/spec/data/url: `x` is no address; start it with `http://` or `https://`",
        ),
        (
            json!({"kind": "Condition", "spec": {"kind": "Addon", "spec": {"type": "success", "data": {"addonId": "db"}}}}),
            "error: /spec/spec/type: a condition on `Addon` cannot wait for `success`; write `running`",
        ),
        (
            json!({"kind": "Message", "spec": {"kind": "SLACK", "spec": {"message": "x"}}}),
            "error: /spec/spec: `webhookUrl` is missing; say where the message goes",
        ),
        (
            json!({"kind": "Message", "spec": {"kind": "VCS", "spec": {"vcsService": "github", "repoUrl": "https://github.com/acme/api", "message": "x"}}}),
            "error: /spec/spec: `pullRequestId` is missing; say which pull request: `${refs.<trigger>.pullRequestId}` is the one that started the run",
        ),
        (
            json!({"kind": "Message", "spec": {"kind": "VCS", "spec": {"vcsService": "self-hosted", "repoUrl": "https://git.acme.org/acme/api", "pullRequestId": 7, "message": "x"}}}),
            "error: /spec/spec: `selfHostedVcsId` is missing; name the host that is your own, or the account by `accountLogin`",
        ),
        (
            json!({"kind": "Message", "spec": {"kind": "VCS", "spec": {"vcsService": "github", "repoUrl": "https://github.com/acme/api", "pullRequestId": "main", "message": "x"}}}),
            "error: /spec/spec/pullRequestId: `main` is no pull request; give its number, as its address shows it",
        ),
        (
            json!({"kind": "Noop", "spec": {}, "dependsOn": ["x"]}),
            "error: /dependsOn: `dependsOn` only has a meaning in a workflow of `type: graph`; write `type: graph` there, or take `dependsOn` away: the order of the steps says what waits",
        ),
    ] {
        assert_eq!(said(node.clone()), [expected], "{node}");
    }
}

#[test]
fn references_must_be_known_by_then() {
    let noop = |text: &str| json!({"kind": "Noop", "ref": "n", "spec": {"outputs": {"x": text}}});
    for (steps, expected) in [
        (
            json!([noop("${refs.buidl.id}"), build()]),
            "error: /0/spec/outputs/x: no node or trigger is called `buidl`; did you mean `build`?",
        ),
        (
            json!([noop("${refs.build.id}"), build()]),
            "error: /0/spec/outputs/x: the node `build` has not run when this is needed; put this node after it, in a `sequential` workflow",
        ),
        (
            json!([noop("${refs.n.x}")]),
            "error: /0/spec/outputs/x: `n` is this node itself; name a node that runs before it",
        ),
        (
            json!([noop("${refs.workflow.x}")]),
            "error: /0/spec/outputs/x: this node is a step of `workflow`, which has not ended when this is needed; name a node that runs before it",
        ),
        (
            json!([build(), noop("${refs.build.brnach}")]),
            "error: /1/spec/outputs/x: `build` is a Build, which has no output `brnach`; did you mean `branch`?",
        ),
        (
            json!([build(), noop("${refs.build.id.x}")]),
            "error: /1/spec/outputs/x: `build` is a Build, which has no output `id.x`; did you mean `id`?",
        ),
        (
            json!([noop("${triggers.ap.branch}")]),
            "error: /0/spec/outputs/x: no trigger is called `ap`; did you mean `app`?",
        ),
        (
            json!([noop("${triggers.app.brnch}")]),
            "error: /0/spec/outputs/x: the trigger `app` has no `brnch`; did you mean `branch`?",
        ),
        (
            json!([noop("${refs.hook.bdy.x}")]),
            "error: /0/spec/outputs/x: the trigger `hook` has no `bdy.x`; there is `body`",
        ),
        (
            json!([noop("${args.BRANHC}")]),
            "error: /0/spec/outputs/x: no argument is called `BRANHC`; did you mean `BRANCH`?",
        ),
        (
            json!([noop("${args.elsewhere}")]),
            "warning: /0/spec/outputs/x: the argument `elsewhere` is not declared; without a value it keeps the run from starting; declare it: `arguments: {elsewhere: …}`",
        ),
        (
            json!([noop("${fn.not(args.BRANHC)}")]),
            "warning: /0/spec/outputs/x: the argument `BRANHC` is not declared; without a value it counts as false; declare it: `arguments: {BRANHC: …}`",
        ),
    ] {
        assert_eq!(lines(steps.clone()), [expected], "{steps}");
    }
}

#[test]
fn steps_side_by_side_do_not_see_each_other() {
    let mut started = build();
    started.as_object_mut().unwrap().remove("condition");
    let noop = |text: &str| json!({"kind": "Noop", "spec": {"outputs": {"x": text}}});
    let found = lines(json!([
        {"kind": "Workflow", "spec": {"type": "parallel", "steps": [started, noop("${refs.build.id}")]}},
        noop("${refs.build.id} ${refs.build.sha}"),
        noop("${refs.build.digest}"),
    ]));
    assert_eq!(
        found,
        [
            "error: /0/1/spec/outputs/x: `build` runs at the same time as this node: it may not have ended when this is needed; put this node after it, in a `sequential` workflow".replace("/0/1/", "/0/spec/steps/1/"),
            "error: /2/spec/outputs/x: `digest` of `build` is only known when it has ended; give `build` a `condition: success`".to_owned(),
        ]
    );
}

#[test]
fn secrets_do_not_steer() {
    for (node, place) in [
        (
            json!({"kind": "Noop", "spec": {}, "skipNodeExecution": "${fn.eq(args.TOKEN, 'x')}"}),
            "/skipNodeExecution",
        ),
        (json!({"kind": "Noop", "spec": {}, "timeoutDuration": "${args.TOKEN}"}), "/timeoutDuration"),
        (json!({"kind": "JobRun", "spec": {"jobId": "${args.TOKEN}"}}), "/spec/jobId"),
        (
            json!({"kind": "Action", "spec": {"kind": "Service", "spec": {"type": "execute", "data": {"serviceId": "web-stage", "command": "x ${args.TOKEN}"}}}}),
            "/spec/spec/data/command",
        ),
    ] {
        let found = said(node);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0],
            format!(
                "error: {place}: the argument `TOKEN` is secret and cannot decide what happens; secrets may be in variables, build arguments, messages and addresses of messages only"
            )
        );
    }
}

#[test]
fn overrides_and_the_project_can_be_known() {
    let flow = Flow::parse(&document(json!([
        {"kind": "Noop", "spec": {"outputs": {"x": "${args.OVER}"}}},
        {"kind": "JobRun", "spec": {"jobId": "migrate", "projectId": "other"}},
        {"kind": "JobRun", "spec": {"jobId": "migrate", "projectId": "shop", "runtimeEnvironment": {"K": "${args.OVER}"}}},
    ])))
    .unwrap();
    let known = Known { project: Some("shop".into()), arguments: [("OVER".to_owned(), true)].into() };
    let found = without_unused(validate_flow_with(&flow, &staging(), &known));
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "error: /spec/spec/steps/0/spec/outputs/x: the argument `OVER` is secret and cannot decide what happens; secrets may be in variables, build arguments, messages and addresses of messages only",
            "error: /spec/spec/steps/1/spec/projectId: `other` is another project; a flow works in its own, `shop`; take it away",
        ]
    );
}

#[test]
fn the_path_of_a_secret_file_is_for_a_jobs_run() {
    let group = json!({"kind": "SecretInheritance", "ref": "cfg", "spec": {"secrets": ["env"]}});
    let job = |value: &str| json!({"kind": "JobRun", "spec": {"jobId": "migrate", "runtimeEnvironment": {"CA": value}}});
    let message = |value: &str| json!({"kind": "Message", "spec": {"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "https://x", "message": value}}});
    let said = |node: Value| {
        let found = lines(json!([group, node]));
        found.into_iter().filter(|line| !line.contains("nothing uses")).collect::<Vec<_>>()
    };
    for path in ["${secrets.tls.files.CA.path}", "${refs.cfg.files.CA.path}"] {
        assert_eq!(said(job(path)), Vec::<String>::new());
        let found = said(message(path));
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert!(
            only.starts_with("error: /1/spec/spec/message: the secret file `CA` has no path here"),
            "{only}"
        );
    }
    for data in ["${fn.fromBase64(secrets.tls.files.CA.data)}", "${refs.cfg.files.CA.data}"] {
        assert_eq!(said(message(data)), Vec::<String>::new());
        assert_eq!(said(job(data)), Vec::<String>::new());
    }
}

#[test]
fn run_node_once_is_for_preview_blueprints() {
    let once = |kind: &str, spec: Value| json!({"kind": kind, "runNodeOnce": true, "spec": spec});
    let job = once("JobRun", json!({"jobId": "migrate"}));
    assert_eq!(
        lines(json!([job])),
        [
            "unsupported: /0/runNodeOnce: `runNodeOnce` is for preview blueprints: in a release flow nodes run every time; \
          take it away; what may leave a node out here is `skipNodeExecution`"
        ]
    );
    let not = json!({"kind": "JobRun", "runNodeOnce": false, "spec": {"jobId": "migrate"}});
    assert_eq!(lines(json!([not])), Vec::<String>::new());

    let said = |document: DocumentType, node: &Value| {
        let examined = examine(document, &crate::examples::around(document, node));
        let said =
            examined.problems.iter().map(ToString::to_string).filter(|line| line.contains("runNodeOnce"));
        let once = examined.flow.unwrap().root.children[0].once;
        (once, said.collect::<Vec<_>>())
    };
    for (kind, spec) in [
        ("JobRun", json!({"jobId": "migrate"})),
        ("AddonBackup", json!({"addonId": "db"})),
        ("AddonImport", json!({"addonId": "db", "importUrl": "https://x"})),
        ("Message", json!({"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "https://x", "message": "x"}})),
        ("Action", json!({"kind": "Service", "spec": {"type": "restart", "data": {"serviceId": "web"}}})),
    ] {
        assert_eq!(said(DocumentType::Blueprint, &once(kind, spec)), (true, Vec::new()), "{kind}");
    }
    let (_, found) = said(DocumentType::Blueprint, &once("Noop", json!({})));
    assert_eq!(
        found,
        [
            "warning: /spec/spec/steps/0/runNodeOnce: `runNodeOnce` has no effect: `Noop` nodes run every time; it is for \
          `AddonBackup`, `AddonImport`, `JobRun`, `Action` and `Message` nodes"
        ]
    );
    for document in
        [DocumentType::Preview, DocumentType::Workflow, DocumentType::Template, DocumentType::Teardown]
    {
        let (_, found) = said(document, &job);
        assert!(found[0].starts_with("unsupported: ") && found[0].contains(document.describe()), "{found:?}");
    }
}

#[test]
fn a_secret_is_a_group_of_the_project() {
    let job = |value: &str| json!([{"kind": "JobRun", "spec": {"jobId": "migrate", "runtimeEnvironment": {"A": value}}}]);
    assert_eq!(lines(job("${secrets.tls.values.KEY}")), Vec::<String>::new());
    assert_eq!(
        lines(job("${secrets.tsl.values.KEY}")),
        ["error: /0/spec/runtimeEnvironment/A: no secret is called `tsl`; did you mean `tls`?"]
    );
    assert_eq!(
        lines(job("${secrets.db.values.KEY}")),
        ["error: /0/spec/runtimeEnvironment/A: no secret is called `db`; there is `tls`"],
        "an addon is none"
    );
}

#[test]
fn nodes_of_iterations_are_those_of_the_loop() {
    let looped = json!({"kind": "LoopWorkflow", "ref": "each", "spec": {"iterations": [{"n": 1}], "steps": [
        {"kind": "Workflow", "spec": {"type": "parallel", "steps": [{"kind": "JobRun", "ref": "warm", "spec": {"jobId": "migrate"}}]}},
    ]}});
    let other = json!({"kind": "Noop", "ref": "other", "spec": {}});
    let reader = |value: &str| json!({"kind": "Noop", "spec": {"outputs": {"a": value}}});
    assert_eq!(
        lines(json!([looped, reader("${refs.each.iterations.0.warm.id}")])),
        Vec::<String>::new(),
        "and `warm` is used"
    );
    for (name, help) in [("wram", "did you mean `warm`?"), ("other", "there is `workflow-2` and `warm`")] {
        let found = lines(json!([looped, other, reader(&format!("${{refs.each.iterations.0.{name}.id}}"))]));
        let expected =
            format!("error: /2/spec/outputs/a: no node in the loop `each` is called `{name}`; {help}");
        assert!(found.contains(&expected), "{found:?}");
    }
}
