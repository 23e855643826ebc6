//! What the format's page says of each field of each kind, as a table: values that it takes and values that it does not.

use serde_json::{Value, json};
use shipway_documents::{DocumentType, kinds};
use shipway_nodes::{Outputs, PathFit, document::examine, find};

use crate::examples::{around, errors, nodes};

/// A kind, a place in its node, what it takes there, what it does not. `null` is a field that is not there.
type Row = (&'static str, &'static str, Value, Value);

fn flow_control() -> Vec<Row> {
    vec![
        ("Workflow", "/spec/type", json!(["sequential", "parallel", "graph"]), json!(["serial", 1, null])),
        ("Workflow", "/spec/steps", json!([[]]), json!([{}, "x", null, [1], [{}]])),
        (
            "Workflow",
            "/spec/context",
            json!([{"projectId": "a"}, {"projectId": "${args.P}"}, null]),
            json!([1, []]),
        ),
        ("Workflow", "/spec/failFast", json!([true, "false", null]), json!(["maybe", 2])),
        (
            "Condition",
            "/spec/kind",
            json!([
                "Service",
                "Addon",
                "BYOCCluster",
                "Build",
                "JobRun",
                "AddonBackup",
                "AddonImport",
                "VCS",
                "Http",
                "Expression"
            ]),
            json!(["Job", null, 1]),
        ),
        (
            "Condition",
            "/spec/spec/data/timeoutDuration",
            json!([30, 14_400, "${args.T}", null]),
            json!([29, 14_401, "soon"]),
        ),
        (
            "JobRun",
            "/timeoutDuration",
            json!([30, 14_400, "60", "${args.T}", null]),
            json!([29, 14_401, 30.5, "29", [], true]),
        ),
        ("JobRun", "/skipNodeExecution", json!(["true", "false", true, "${args.S}", null]), json!([])),
        ("JobRun", "/ref", json!(["a-b", "a_1", null]), json!(["", "a b", "a.b", 1])),
        ("JobRun", "/when", json!(["success", "failure", "always", null]), json!(["never", 1])),
        ("JobRun", "/effect", json!(["keyed", "fenced", "checked", "once", null]), json!(["twice", {}])),
        (
            "JobRun",
            "/retry",
            json!([{"maxAttempts": 3}, {"backoff": {"type": "fixed", "delay": 60}}, null]),
            json!([3, {"maxAttempts": 0}, {"backoff": "linear"}]),
        ),
        (
            "JobRun",
            "/settings",
            json!([{"maxAttempts": 3, "backoff": {"type": "fixed", "delay": 60}}]),
            json!(["x", {"maxAttempts": "many"}]),
        ),
        ("JobRun", "/locks", json!([["db"], [], null]), json!(["db", [1]])),
        ("JobRun", "/interruptible", json!([true, false, null]), json!(["no", 1])),
        ("JobRun", "/dependsOn", json!([["a"], null]), json!(["a", [{}]])),
        ("JobRun", "/runNodeOnce", json!([true, null]), json!([1])),
        ("JobRun", "/updateMode", json!(["put", "patch", null]), json!(["post"])),
        ("Release", "/spec/type", json!(["build", "deployment", "registry"]), json!(["image", null])),
        (
            "Release",
            "/spec/origin",
            json!([{"id": "x"}, {"imagePath": "a/b:1", "credentials": "c"}]),
            json!([null, "x", {"id": []}]),
        ),
        ("Release", "/spec/origin/type", json!(["service", "job", null]), json!(["addon"])),
        (
            "Release",
            "/spec/target",
            json!([{"id": "x", "type": "job"}]),
            json!([null, {"id": "x"}, {"type": "job"}]),
        ),
        ("Release", "/condition", json!(["running", null]), json!(["success", 1])),
    ]
}

fn loops_people_and_others() -> Vec<Row> {
    let types = [
        "template",
        "release-flow-template",
        "preview-env-template",
        "workflow",
        "preview-blueprint",
        "template-teardown",
        "workflow-teardown",
        "preview-blueprint-teardown",
    ];
    vec![
        (
            "LoopWorkflow",
            "/spec/iterations",
            json!([[], [{"region": "eu"}, "${args.REGION}"], "${fn.split(args.REGIONS, ',')}"]),
            json!([null, 3, "eu", {}]),
        ),
        ("LoopWorkflow", "/spec/steps", json!([[]]), json!([{}, "x", [1], [{}]])),
        ("LoopWorkflow", "/spec/type", json!(["sequential", "parallel", null]), json!(["graph", []])),
        ("LoopWorkflow", "/spec/maxParallel", json!([1, 1000, null]), json!([0, -1, "many"])),
        ("LoopWorkflow", "/spec/failFast", json!([true, "false", null]), json!(["maybe", 2])),
        ("LoopData", "/spec", json!([{}]), json!(["x", []])),
        ("Approval", "/spec/amount", json!([1, 50, "${args.N}"]), json!([null, 0, "two", []])),
        ("Approval", "/spec/approvers", json!([["ann", "ben"], [], null]), json!(["ann", [{}]])),
        ("Approval", "/spec/excludeAuthor", json!([true, "false", null]), json!(["perhaps"])),
        ("Approval", "/spec/timeoutDuration", json!([30, "${args.T}", null]), json!([29, "soon"])),
        ("RunTemplate", "/spec/templateType", json!(types), json!(["flow", null])),
        ("RunTemplate", "/spec/templateId", json!(["shop/production", "${args.FLOW}"]), json!([null, []])),
        (
            "RunTemplate",
            "/spec/arguments",
            json!([{"variables": [{"key": "A", "value": "b"}, {"key": "B"}]}, {"variables": []}, null]),
            json!([[], {"variables": "A"}, {"variables": [{"value": "b"}]}]),
        ),
        ("RunTemplate", "/condition", json!(["success", null]), json!(["running"])),
        (
            "SecretInheritance",
            "/spec/secrets",
            json!([["base", "${args.GROUP}"], null]),
            json!(["base", [{}]]),
        ),
        ("SecretInheritance", "/spec/configs", json!([["base"], null]), json!(["base", [{}]])),
        ("SecretInheritance", "/spec/requiredKeys", json!([["KEY"], null]), json!(["KEY", [{}]])),
        ("SecretInheritance", "/spec/requiredFiles", json!([["CERT"], null]), json!(["CERT", [{}]])),
        (
            "SecretGroup",
            "/spec/secrets/files",
            json!([{}, {"A": {"data": "eA=="}}, {"A": {"data": "${fn.toBase64(args.A)}", "encoding": "base64"}}, null]),
            json!([[], {"A": "text"}, {"A": {}}, {"A": {"data": "eA==", "encoding": "hex"}}]),
        ),
    ]
}

fn all_rows() -> Vec<Row> {
    [flow_control(), loops_people_and_others(), builds_and_actions(), resources(), team()].concat()
}

fn builds_and_actions() -> Vec<Row> {
    vec![
        ("Build", "/spec/id", json!(["a", "a/b", "${refs.x.id}"]), json!([null, {}, []])),
        ("Build", "/spec/type", json!(["service", "job", null]), json!(["addon"])),
        (
            "Build",
            "/spec/pullRequestId",
            json!([7, "7", "${triggers.t.pullRequestId}", null]),
            json!(["seven", 1.5, -1]),
        ),
        ("Build", "/spec/reuseExistingBuilds", json!([true, null]), json!(["sometimes"])),
        (
            "Build",
            "/spec/buildRuleFallThroughHandling",
            json!(["fail", "skip", "useLastBuild", null]),
            json!(["build"]),
        ),
        ("Build", "/spec/buildRules/pathIgnoreRules", json!([["a/**"], [], null]), json!(["a/**", [[]]])),
        ("Build", "/spec/buildRules/isAllowList", json!([false, null]), json!([[]])),
        ("Build", "/spec/buildOverrides/buildArguments", json!([{"A": "1"}, null]), json!([["A"], "A"])),
        ("Build", "/spec/buildOverrides/docker/dockerFilePath", json!(["/Dockerfile", null]), json!([[]])),
        ("Build", "/condition", json!(["success", null]), json!(["running"])),
        ("BuildSource", "/spec/id", json!(["a"]), json!([null])),
        (
            "BuildSource",
            "/spec/defaults",
            json!([{"branch": "b", "sha": "s", "pullRequestId": 1}, null]),
            json!(["main", {"branch": []}]),
        ),
        ("BuildSource", "/condition", json!(["success", null]), json!(["running"])),
        ("JobRun", "/spec/jobId", json!(["a"]), json!([null, []])),
        ("JobRun", "/spec/runtimeEnvironment", json!([{"A": "1", "B": 2}]), json!([[], "A"])),
        (
            "JobRun",
            "/spec/billing",
            json!([{"deploymentPlan": "p"}, null]),
            json!(["p", {"deploymentPlan": {}}]),
        ),
        (
            "JobRun",
            "/spec/deployment/docker/configType",
            json!(["default", "customEntrypoint", "customCommand", "customEntrypointCustomCommand", null]),
            json!(["customProcess"]),
        ),
        (
            "JobRun",
            "/spec/deployment/buildpack",
            json!([{"configType": "customProcess"}, {"configType": "originalEntrypointCustomCommand"}, null]),
            json!([{"configType": "custom"}]),
        ),
        ("JobRun", "/spec/deployment/storage/shmSize", json!([64, null]), json!(["much", -1])),
        ("JobRun", "/spec/deployment/internal/id", json!(["a"]), json!([null])),
        (
            "JobRun",
            "/spec/deployment/external",
            json!([{"imagePath": "a", "credentials": "c"}, null]),
            json!([{}, "a"]),
        ),
        ("JobRun", "/condition", json!(["success", null]), json!(["running"])),
        ("AddonBackup", "/spec/addonId", json!(["a"]), json!([null])),
        ("AddonBackup", "/spec/backupType", json!(["snapshot", "dump", null]), json!(["copy"])),
        ("AddonBackup", "/spec/compressionType", json!(["zstd", "gz", "none", null]), json!(["zip"])),
        (
            "AddonBackup",
            "/spec/additionalDestinations",
            json!([[{"destinationId": "a", "retentionTime": 3}], null]),
            json!(["a", [{}], [{"destinationId": "a", "retentionTime": "long"}]]),
        ),
        ("AddonImport", "/spec/addonId", json!(["a"]), json!([null])),
        ("AddonImport", "/spec/compressionType", json!(["zstd", "gz", "none", null]), json!(["zip"])),
        ("AddonImport", "/spec/importAllDatabases", json!([true, null]), json!([2])),
        ("AddonImport", "/condition", json!(["success", null]), json!(["running"])),
        (
            "Action",
            "/spec/kind",
            json!(["Service", "Job", "Addon", "AddonBackup", "VCS"]),
            json!(["Build", null]),
        ),
        (
            "Action",
            "/spec/spec/type",
            json!([
                "restart",
                "execute",
                "load",
                "restore",
                "createRepoFromSource",
                "stop",
                "confirm",
                "revert"
            ]),
            json!(["pause", null]),
        ),
        (
            "Action",
            "/spec/spec/data",
            json!([{"serviceId": "a", "command": "b", "user": "u", "group": "g", "shell": "sh"}]),
            json!([null, "a", {"command": []}]),
        ),
        ("Action", "/spec/spec/data/options/dispatchOnly", json!([true, null]), json!(["x"])),
        ("Message", "/spec/kind", json!(["SLACK", "RAW_WEBHOOK", "VCS"]), json!(["DISCORD", null])),
        ("Message", "/spec/spec/message", json!(["x", "${args.X}"]), json!([null])),
        (
            "Message",
            "/spec/spec/vcsService",
            json!(["github", "gitlab", "bitbucket", "azure", "self-hosted", "${args.X}", null]),
            json!(["sourceforge", 1]),
        ),
        (
            "Message",
            "/spec/spec/pullRequestId",
            json!(["7", 7, "${refs.web.pullRequestId}", null]),
            json!([{}]),
        ),
        ("RolloutStrategy", "/spec/name", json!(["a"]), json!([null])),
        ("RolloutStrategy", "/spec/type", json!(["canary"]), json!(["blue-green", null])),
        ("RolloutStrategy", "/spec/options/triggers/releaseFromUI", json!([true, null]), json!(["x"])),
        (
            "RolloutStrategy",
            "/spec/details/canaryStrategy",
            json!(["percentage", "header"]),
            json!(["random", null]),
        ),
        (
            "RolloutStrategy",
            "/spec/details/config",
            json!([{"canaryHeader": {"headerName": "a", "headerValue": "b"}}]),
            json!([null, {"canaryPercentage": 101}, {"canaryHeader": {}}]),
        ),
    ]
}

fn resources() -> Vec<Row> {
    let mut rows = vec![
        (
            "DeploymentService",
            "/spec/deployment/instances",
            json!([0, 3, "${args.N}", null]),
            json!([-1, "many", 1.5]),
        ),
        (
            "DeploymentService",
            "/spec/ports",
            json!([[{"name": "p", "internalPort": 80, "protocol": "HTTP/2"}], null]),
            json!([{}, [{"internalPort": 0}], [{"protocol": "SMTP"}]]),
        ),
        (
            "DeploymentService",
            "/spec/healthChecks",
            json!([[{"protocol": "TCP", "port": 80}], null]),
            json!([[{"protocol": "UDP"}]]),
        ),
        ("DeploymentService", "/spec/runtimeEnvironment", json!([{"A": 1}, null]), json!([["A"]])),
        ("DeploymentService", "/spec/deployment/releaseFlowControlled", json!([true, null]), json!(["x"])),
        (
            "BuildService",
            "/spec/vcsData",
            json!([{"projectUrl": "u", "projectType": "github", "accountLogin": "a"}]),
            json!([null, {}, "u"]),
        ),
        (
            "BuildService",
            "/spec/buildSettings",
            json!([{"dockerfile": {"dockerFilePath": "/D"}}, {"buildpack": {}}, null]),
            json!(["docker", {"dockerfile": "/D"}]),
        ),
        (
            "BuildService",
            "/spec/buildConfiguration/branchRestrictions",
            json!([["main"], null]),
            json!(["main"]),
        ),
        ("BuildService", "/spec/disabledCI", json!([true, null]), json!(["x"])),
        ("DeploymentService", "/spec/disabledCD", json!([true, null]), json!(["x"])),
        ("ManualJob", "/spec/disabledCD", json!([true, null]), json!(["x"])),
        ("CombinedService", "/spec/vcsData/projectBranch", json!(["main", null]), json!([[]])),
        ("CombinedService", "/spec/vcsData", json!([{"projectUrl": "u"}]), json!([null])),
        ("CronJob", "/spec/schedule", json!(["0 3 * * *"]), json!([null, []])),
        ("CronJob", "/spec/concurrencyPolicy", json!(["allow", "forbid", "replace", null]), json!(["queue"])),
        ("CronJob", "/spec/suspended", json!([true, null]), json!(["x"])),
        (
            "ManualJob",
            "/spec/runOnSourceChange",
            json!(["never", "cd-promote", "always", null]),
            json!(["cdPromote"]),
        ),
        ("ManualJob", "/spec/backoffLimit", json!([0, null]), json!([-1, "few"])),
        ("Job", "/spec/settings/cron", json!([{"schedule": "0 3 * * *"}, null]), json!([{}, "0 3 * * *"])),
        (
            "Job",
            "/spec/settings/runOnSourceChange",
            json!(["never", "cd-promote", "always", null]),
            json!(["x"]),
        ),
        ("Addon", "/spec/version", json!(["latest", "16", 16, "14-latest", null]), json!([[], {}])),
        (
            "Addon",
            "/spec/source",
            json!([{"addonId": "a", "backupId": "latest"}, null]),
            json!(["a", {"backupId": "b"}]),
        ),
        ("Addon", "/spec/billing/replicas", json!([1, null]), json!(["one"])),
        ("Addon", "/spec/tlsEnabled", json!([true, null]), json!(["x"])),
        ("SecretGroup", "/spec/type", json!(["secret", "config", null]), json!(["vault"])),
        (
            "SecretGroup",
            "/spec/secretType",
            json!(["environment-arguments", "environment", "arguments", null]),
            json!(["files"]),
        ),
        ("SecretGroup", "/spec/priority", json!([10, null]), json!(["high"])),
        ("SecretGroup", "/spec/restrictions/tagMatchCondition", json!(["and", "or", null]), json!(["xor"])),
        (
            "SecretGroup",
            "/spec/restrictions/nfObjects",
            json!([[{"id": "a", "type": "job"}], null]),
            json!([["a"], [{}]]),
        ),
        (
            "SecretGroup",
            "/spec/addonDependencies",
            json!([[{"addonId": "a", "keys": [{"keyName": "K", "aliases": []}]}], null]),
            json!([[{}], [{"addonId": "a", "keys": [{}]}]]),
        ),
        (
            "Volume",
            "/spec/spec",
            json!([{"storageSize": 1, "accessMode": "ReadWriteMany"}]),
            json!([null, {}, {"storageSize": "big"}]),
        ),
        ("Volume", "/spec/mounts", json!([[{"containerMountPath": "/a"}], null]), json!(["/a", [{}]])),
        ("Volume", "/spec/attachedObjects", json!([[{"id": "a"}], null]), json!([[{}]])),
        ("Subdomain", "/spec/domain", json!(["a.b"]), json!([null])),
        ("Subdomain", "/spec/name", json!(["a"]), json!([null])),
        ("SubdomainPath", "/spec/mode", json!(["prefix", "exact", "regex"]), json!(["glob", null])),
        ("SubdomainPath", "/spec/uri", json!(["/a"]), json!([null])),
        ("SubdomainPath", "/spec/subdomain", json!(["a"]), json!([null])),
        ("ResourceTag", "/spec/color", json!(["#000000", null]), json!([[]])),
        ("ExternalAddon", "/spec/spec/resourceType", json!(["s3"]), json!([null])),
        ("ExternalAddon", "/spec/usePlan", json!([true, null]), json!(["x"])),
        ("ExternalAddon", "/condition", json!(["success", null]), json!(["running"])),
        ("OpenTofu", "/spec/stateKey", json!(["a"]), json!([null])),
        ("OpenTofu", "/spec/spec/output", json!([{"a": {"value": "\\${x.y}"}}, null]), json!([[]])),
        ("OpenTofu", "/condition", json!(["success", null]), json!(["running"])),
        ("OpenTofuDestroy", "/spec/nodeRef", json!(["a"]), json!([null])),
        ("LLMModelDeployment", "/spec/spec", json!([{}]), json!([null, "x"])),
    ];
    for kind in
        ["DeploymentService", "BuildService", "CronJob", "Job", "SecretGroup", "Volume", "ResourceTag"]
    {
        rows.push((kind, "/spec/name", json!(["a", "${args.N}"]), json!([null, []])));
        rows.push((kind, "/spec/tags", json!([["t"], ["${args.previewId}"], null]), json!(["t", [[]]])));
    }
    rows
}

fn team() -> Vec<Row> {
    let flow = json!({"apiVersion": "v1.2", "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": []}}});
    let mut named = flow.clone();
    named["name"] = "abc".into();
    vec![
        ("Project", "/spec/name", json!(["a"]), json!([null])),
        ("Project", "/spec/networking/allowedIngressProjects", json!([["a"], [], null]), json!(["a"])),
        ("Pipeline", "/spec/name", json!(["a"]), json!([null])),
        (
            "Pipeline",
            "/spec/stages",
            json!([[{"name": "A"}, {"name": "B"}], null]),
            json!(["A", [{}], [{"name": "A", "nfObjects": [{"id": "a"}]}]]),
        ),
        (
            "Pipeline",
            "/spec/stages/0/releaseFlow",
            json!([{"kind": "ReleaseFlow", "spec": flow}, null]),
            json!([{}, {"spec": {}}, {"kind": "Flow", "spec": flow}, {"spec": "${args.X}"}]),
        ),
        (
            "Pipeline",
            "/spec/preview",
            json!([{"kind": "PreviewEnv", "spec": flow}, null]),
            json!([{"spec": {}}]),
        ),
        (
            "Pipeline",
            "/spec/nfObjects",
            json!([[{"id": "a", "type": "service", "stage": "A"}], null]),
            json!([[{"id": "a", "type": "service"}]]),
        ),
        (
            "Template",
            "/spec",
            json!([{"kind": "ReleaseFlow", "spec": flow}, {"kind": "PreviewEnv", "spec": flow}, {"kind": "ResourceTemplate", "spec": named}]),
            json!([null, {"kind": "ReleaseFlow"}, {"kind": "ResourceTemplate", "spec": flow}, {"kind": "Other", "spec": flow}]),
        ),
        ("WorkflowTemplate", "/spec", json!([named]), json!([null, flow])),
        ("WorkflowTemplate", "/spec/crossProjectAccess", json!([{"enabled": true}, null]), json!([true])),
        ("PreviewBlueprint", "/spec", json!([named]), json!([null, flow])),
        (
            "PreviewBlueprint",
            "/spec/options/expiry",
            json!([{"previewLifetime": 60}, null]),
            json!([60, {"previewLifetime": "soon"}]),
        ),
        ("ReleaseStage", "/spec/position", json!([0, "${args.P}"]), json!([null, "first"])),
        ("ReleaseStage", "/spec/name", json!(["a"]), json!([null])),
        ("CustomPlan", "/spec/type", json!([["deployment"]]), json!([null, "deployment"])),
        (
            "CustomDockerCredentials",
            "/spec/credentials",
            json!([{"username": "a", "password": "${args.P}"}]),
            json!([null, {"scope": {"pull": "x"}}]),
        ),
        ("CustomDockerCredentials", "/spec/provider", json!(["github"]), json!([null])),
        ("BYOCIntegration", "/spec/provider", json!(["aws"]), json!([null])),
        ("BYOCCluster", "/spec/provider", json!(["byok"]), json!([null])),
        ("BYOCCluster", "/spec/nodePools", json!([[{}], null]), json!(["a"])),
        ("BYOCRegistry", "/spec/provider", json!(["aws"]), json!([null])),
        (
            "SSHIdentity",
            "/spec/sshPublicKeys",
            json!([[{"key": "ssh-ed25519 A"}]]),
            json!([null, ["k"], [{}]]),
        ),
        ("WorkloadIdentity", "/spec/spec", json!([{}]), json!([null])),
        ("WorkloadIdentity", "/condition", json!(["success", null]), json!(["running"])),
        ("EgressIp", "/spec/spec", json!([{}]), json!([null])),
        ("LoadBalancer", "/spec/spec", json!([{}]), json!([null])),
    ]
}

/// The example with that value at that place; with nothing there for `null`.
fn put(node: &Value, place: &str, value: &Value) -> Value {
    let mut node = node.clone();
    let mut at = &mut node;
    let steps: Vec<_> = place.split('/').skip(1).collect();
    let (last, way) = steps.split_last().unwrap();
    for step in way {
        at = match step.parse::<usize>() {
            Ok(n) => &mut at[n],
            Err(_) => &mut at[*step],
        };
    }
    match at {
        Value::Object(members) if value.is_null() => drop(members.shift_remove(*last)),
        Value::Null if value.is_null() => {}
        _ => at[*last] = value.clone(),
    }
    node
}

#[test]
fn fields_take_what_the_page_says() {
    let examples = nodes();
    let rows = all_rows();
    for (kind, place, good, bad) in &rows {
        let document = kinds::find(kind).unwrap().documents[0];
        // The first documents that may hold a kind are templates; teardowns hold what nothing else does.
        let found = |value: &Value| {
            let node = put(&examples[*kind], place, value);
            let problems = examine(document, &around(document, &node)).problems;
            errors(&problems).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for value in good.as_array().unwrap() {
            assert_eq!(found(value), Vec::<String>::new(), "{kind} {place}: {value}");
        }
        for value in bad.as_array().unwrap() {
            let found = found(value);
            assert!(!found.is_empty(), "{kind} {place} takes {value}");
            // What is said is said where it is: at the field, in it, or where it is missing.
            let parent = place.rsplit_once('/').unwrap().0;
            let at = format!("/spec/spec/steps/0{parent}");
            assert!(found.iter().all(|line| line.contains(&at)), "{kind} {place} {value}: {found:?}");
        }
    }
    println!("KINDS rows={}", rows.len());
}

#[test]
fn every_described_kind_is_in_the_table() {
    let rows = all_rows();
    // `Noop` is no kind of the page.
    for kind in kinds::KNOWN.iter().filter(|kind| kind.name != "Noop") {
        assert!(rows.iter().any(|row| row.0 == kind.name), "{}", kind.name);
    }
}

#[test]
fn outputs_are_those_of_the_page() {
    let fit = |kind: &str, path: &str| {
        let node = &nodes()[kind];
        let outputs: Outputs = find(kind).unwrap().outputs(&node["spec"]);
        outputs.fit(&path.split('.').map(str::to_owned).collect::<Vec<_>>())
    };
    for (kind, path, expected) in [
        ("Build", "id", PathFit::Always),
        ("Build", "branch", PathFit::Always),
        ("Build", "sha", PathFit::Always),
        ("Build", "nfObjectId", PathFit::Always),
        ("Build", "status", PathFit::Finished),
        ("Build", "internalId", PathFit::Later),
        ("Build", "pullRequestId", PathFit::Later),
        ("Build", "registry.uri", PathFit::Later),
        ("Build", "brnach", PathFit::Unknown),
        ("BuildSource", "branch", PathFit::Always),
        ("BuildSource", "sha", PathFit::Finished),
        ("JobRun", "id", PathFit::Always),
        ("JobRun", "status", PathFit::Finished),
        ("JobRun", "concludedAt", PathFit::Later),
        ("AddonBackup", "addonId", PathFit::Always),
        ("AddonBackup", "config.addonVersion", PathFit::Later),
        ("Project", "name", PathFit::Always),
        ("DeploymentService", "id", PathFit::Always),
        ("DeploymentService", "ports.0.dns", PathFit::Always),
        ("DeploymentService", "anything", PathFit::Open),
        ("SubdomainPath", "name", PathFit::Always),
        ("ReleaseStage", "id", PathFit::Always),
        ("OpenTofu", "outputs.domain.value", PathFit::Finished),
        ("OpenTofu", "domain", PathFit::Unknown),
        ("OpenTofuDestroy", "id", PathFit::Unknown),
    ] {
        assert_eq!(fit(kind, path), expected, "{kind} {path}");
    }
    assert_eq!(DocumentType::ALL.len(), 6);
}
