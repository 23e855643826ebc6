//! The release flow document.

use serde_json::{Map, Value, json};
use shipway_documents::{
    Problems,
    flow::{ArgumentType, Flow, TriggerSource, is_skipped},
};
use shipway_events::{
    ConcurrencyPolicy, EffectClass,
    plan::{Backoff, When},
};

fn flow(value: Value) -> Flow {
    Flow::parse(&value).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(value: Value) -> Vec<String> {
    let lines = |problems: Problems| problems.iter().map(ToString::to_string).collect();
    match Flow::parse(&value) {
        Ok(flow) => lines(flow.warnings),
        Err(problems) => lines(problems),
    }
}

fn with_steps(steps: Value) -> Value {
    json!({"apiVersion": "v1.2", "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}}})
}

#[test]
fn what_the_plan_reads_cannot_be_an_expression() {
    for (member, value, place) in [
        ("condition", json!("${args.A}"), "condition"),
        ("when", json!("${args.A}"), "when"),
        ("effect", json!("${args.A}"), "effect"),
        ("interruptible", json!("${args.A}"), "interruptible"),
        ("runNodeOnce", json!("${args.A}"), "runNodeOnce"),
        ("updateMode", json!("${args.A}"), "updateMode"),
        ("locks", json!("${args.A}"), "locks"),
        ("dependsOn", json!("${args.A}"), "dependsOn"),
        ("runsOn", json!("${args.A}"), "runsOn"),
        ("retry", json!({"maxAttempts": "${args.A}"}), "retry/maxAttempts"),
        ("retry", json!({"jitter": "${args.A}"}), "retry/jitter"),
        ("retry", json!({"backoff": "${args.A}"}), "retry/backoff"),
        ("retry", json!({"backoff": {"type": "${args.A}"}}), "retry/backoff/type"),
        ("retry", json!({"backoff": {"delay": "${args.A}"}}), "retry/backoff/delay"),
        ("settings", json!({"maxDelay": "${args.A}"}), "settings/maxDelay"),
    ] {
        let mut node = json!({"kind": "JobRun", "spec": {"jobId": "migrate"}});
        node[member] = value;
        let found = problems(with_steps(json!([node])));
        let name = place.rsplit('/').next().unwrap();
        let expected =
            format!("error: /spec/spec/steps/0/{place}: `{name}` cannot hold an expression; write ");
        let [only] = found.as_slice() else { panic!("{place}: {found:?}") };
        assert!(only.starts_with(&expected), "{only}");
    }
}

#[test]
fn the_envelope_is_read() {
    let flow = flow(with_steps(json!([{
        "kind": "JobRun",
        "ref": "migrate",
        "spec": {"jobId": "db-migrate", "unknown": {"kept": true}},
        "condition": "success",
        "timeoutDuration": "${args.T}",
        "skipNodeExecution": "${fn.eq(args.ENV, 'dev')}",
        "when": "always",
        "retry": {"maxAttempts": 5, "backoff": "exponential", "delay": 2, "maxDelay": 60},
        "effect": "keyed",
        "interruptible": false,
    }])));
    let node = &flow.root.children[0];
    assert_eq!((node.kind.as_str(), node.reference.as_str(), node.named), ("JobRun", "migrate", true));
    assert_eq!(node.pointer, "/spec/spec/steps/0");
    assert_eq!(node.spec, json!({"jobId": "db-migrate", "unknown": {"kept": true}}));
    assert_eq!(node.condition.as_deref(), Some("success"));
    assert_eq!(node.timeout, Some(json!("${args.T}")));
    assert_eq!(node.skip, Some(json!("${fn.eq(args.ENV, 'dev')}")));
    assert_eq!((node.when, node.effect, node.interruptible), (When::Always, Some(EffectClass::Keyed), false));
    let retry = node.retry.as_ref().unwrap();
    assert_eq!(
        (retry.max_attempts, retry.backoff, retry.delay, retry.max_delay),
        (5, Backoff::Exponential, 2, Some(60))
    );
    assert_eq!(flow.root.spec, json!({"type": "sequential"}));
    // What run documents carry is the same rule in other words.
    let old = with_steps(
        json!([{"kind": "Noop", "spec": {}, "settings": {"maxAttempts": 3, "backoff": {"type": "fixed", "delay": 60}}}]),
    );
    let retry = Flow::parse(&old).unwrap().root.children[0].retry.clone().unwrap();
    assert_eq!((retry.max_attempts, retry.backoff, retry.delay), (3, Backoff::Fixed, 60));
}

#[test]
fn nodes_without_a_name_get_one_that_is_free() {
    let flow = flow(with_steps(json!([
        {"kind": "Release", "spec": {"target": {"id": "api-dev"}}},
        {"kind": "Release", "spec": {"target": {"id": "api-dev"}}},
        {"kind": "Noop", "ref": "release-api-dev-2", "spec": {}},
        {"kind": "Workflow", "spec": {"type": "parallel", "steps": [
            {"kind": "JobRun", "spec": {"jobId": "${args.JOB}"}},
            {"kind": "Action", "spec": {"kind": "Service", "spec": {"type": "execute", "data": {"serviceId": "api"}}}},
        ]}},
    ])));
    let nodes = flow.nodes();
    let shown: Vec<_> = nodes.iter().map(|placed| (placed.node.reference.as_str(), placed.parent)).collect();
    assert_eq!(
        shown,
        [
            ("workflow", None),
            ("release-api-dev", Some(0)),
            ("release-api-dev-3", Some(0)),
            ("release-api-dev-2", Some(0)),
            ("workflow-2", Some(0)),
            ("job-run", Some(4)),
            ("action-api", Some(4)),
        ]
    );
}

#[test]
fn what_is_wrong_with_the_envelope_is_said() {
    let found = problems(with_steps(json!([
        {"kind": "Noop", "ref": "a", "spec": {}, "conditon": "success", "timeoutDuration": 5},
        {"kind": "Noop", "ref": "a", "spec": {}, "when": "allways"},
        {"kind": "Noop", "ref": "b c", "spec": [], "retry": {"maxAttempts": 0}},
        {"ref": "x"},
        "text",
        {"kind": "Workflow", "spec": {"type": "parallel"}},
        {"kind": "Noop", "spec": {"x": "${args.}"}, "locks": ["d b"]},
    ])));
    assert_eq!(
        found,
        [
            "warning: /spec/spec/steps/0/conditon: `conditon` is not known here and has no effect; did you mean `condition`?",
            "error: /spec/spec/steps/0/timeoutDuration: `timeoutDuration` is 5; give a number from 30 to 14400",
            "error: /spec/spec/steps/1/ref: `a` is already the name of another node; give each node its own `ref`",
            "error: /spec/spec/steps/1/when: `when` cannot be `allways`; did you mean `always`?",
            "error: /spec/spec/steps/2/ref: `b c` is no name for a node; use letters, digits, `-` and `_`",
            "error: /spec/spec/steps/2/retry/maxAttempts: `maxAttempts` is 0; give a number from 1 to 100",
            "error: /spec/spec/steps/2/spec: `spec` must be an object, not a list; write its members: `{name: value}`",
            "error: /spec/spec/steps/3: `kind` is missing; say what the node does: `kind: Build`",
            "error: /spec/spec/steps/4: a node is an object, not text; write its members: `{name: value}`",
            "error: /spec/spec/steps/5/spec: `steps` is missing; list the nodes of the workflow: `steps: []`",
            "error: /spec/spec/steps/6/locks: `d b` is no name of a lock; use letters, digits, `-` and `_`, at most 60: `locks: [database]`",
            "error: /spec/spec/steps/6/spec/x: a name after `.` was expected here, not `}`; an expression is `${args.NAME}`, `${refs.NODE.OUTPUT}` or `${fn.name(…)}`; for text write `\\${`",
        ]
    );
}

#[test]
fn a_flow_cannot_name_secrets_by_their_mark() {
    let found = problems(with_steps(
        json!([{"kind": "Noop", "spec": {"outputs": {"x": {"$secret": "addon/db/password@1"}}}}]),
    ));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("`$secret`, `$text`, `$call` and `$file` are Shipway's own names"),
        "{}",
        found[0]
    );
}

#[test]
fn both_kinds_of_triggers_are_read() {
    let mut value = with_steps(json!([]));
    value["triggers"] = json!([
        {"ref": "app", "vcsService": "github", "accountLogin": "acme", "repoUrl": "https://github.com/acme/api",
         "branchRestrictions": ["main", "release/*"], "prRestrictions": [], "pathIgnoreRules": ["docs/**"],
         "isAllowList": false, "ciIgnoreFlagsEnabled": true, "ignoreDrafts": true},
        {"kind": "vcs-push", "ref": "typed", "spec": {
            "vcs": {"vcsService": "gitlab", "repoUrl": "https://gitlab.com/acme/api"}, "branchNamePatterns": ["main"],
            "commitMessageFlags": {"enabled": true, "flags": ["[x]"]},
            "filePaths": {"enabled": true, "allowList": true, "paths": ["api/**"]}}},
        {"kind": "webhook", "ref": "hook", "spec": {"token": "a-long-random-token"}},
    ]);
    value["webhook"] = json!({"enabled": true});
    value["options"] = json!({"concurrencyPolicy": "queue", "paused": "true"});
    let flow = flow(value);
    let TriggerSource::Git(app) = &flow.triggers[0].source else { panic!() };
    assert_eq!(app.branch_restrictions, ["main", "release/*"]);
    assert_eq!(app.ci_ignore_flags.len(), 7);
    assert!(app.ignore_drafts && !app.manual_only && !app.is_allow_list);
    let TriggerSource::Git(typed) = &flow.triggers[1].source else { panic!() };
    assert_eq!(
        (typed.repo_url.as_str(), typed.vcs_service.as_str()),
        ("https://gitlab.com/acme/api", "gitlab")
    );
    assert_eq!((typed.ci_ignore_flags.as_slice(), typed.is_allow_list), (&["[x]".to_owned()][..], true));
    let TriggerSource::Webhook(hook) = &flow.triggers[2].source else { panic!() };
    assert_eq!(hook.token.as_deref(), Some("a-long-random-token"));
    assert!(flow.webhook.unwrap().enabled);
    assert_eq!(flow.options.concurrency_policy, ConcurrencyPolicy::Queue);
    assert!(flow.options.paused);
    assert!(!flow.warnings.iter().any(|problem| problem.pointer.starts_with("/options")));
}

/// What would be ignored is said: somebody relies on it.
#[test]
fn what_a_webhook_cannot_do_yet_is_said() {
    let mut value = with_steps(json!([{"kind": "Noop", "ref": "a", "spec": {}}]));
    value["triggers"] = json!([{"kind": "webhook", "ref": "hook", "spec": {"secret": "s3cret"}}]);
    value["webhook"] = json!({"enabled": true, "regenerate": true});
    assert_eq!(
        problems(value.clone()),
        [
            "unsupported: /triggers/0/spec/secret: a webhook's secret in the document is not supported yet; take it out; \
             `shipway hook rotate` gives the webhook a secret, and from then on requests have to be signed",
            "unsupported: /webhook/regenerate: another address by `regenerate` is not supported yet; take it out, and \
             give the webhook another `token`",
        ]
    );
    value["triggers"] = json!([]);
    value["webhook"]["regenerate"] = json!(false);
    assert_eq!(problems(value), Vec::<String>::new());
}

#[test]
fn broken_triggers() {
    let mut value = with_steps(json!([{"kind": "Noop", "ref": "app", "spec": {}}]));
    value["triggers"] = json!([
        {"ref": "app", "repoUrl": "https://x", "branchRestrictions": ["^main$", "${args.B}"], "branchRestriction": []},
        {"ref": "app", "repoUrl": ""},
        {"kind": "cron", "ref": "n", "spec": {}},
        {"kind": "vcs-pus", "ref": "m", "spec": {}},
        {"repoUrl": "https://x"},
    ]);
    value["webhook"] = json!({"enabled": true, "token": "short"});
    let found = problems(value);
    assert_eq!(
        found,
        [
            "error: /spec/spec/steps/0/ref: `app` is already the name of a trigger; give each node its own `ref`",
            "error: /triggers/0/branchRestrictions/0: a branch pattern cannot hold `^`; patterns are names where `*` is anything: `main`, `feature/*` and `*`",
            "error: /triggers/0/branchRestrictions/1: a branch pattern cannot hold an expression; nothing is resolved before a trigger fires",
            "error: /triggers/1/ref: two triggers are called `app`; give each its own `ref`",
            "error: /triggers/1/repoUrl: `repoUrl` is empty; name the repository whose pushes start the flow",
            "error: /triggers/2/spec: `cron` is missing; give the five fields of a schedule: `0 2 * * *`",
            "error: /triggers/3/kind: no trigger is of kind `vcs-pus`; did you mean `vcs-push`?",
            "error: /triggers/4: `ref` is missing; name it, to use its values: `${triggers.<ref>.branch}`",
            "error: /webhook/token: the token must be 32 to 256 letters, digits, `_` or `-`; leave it out, and one is made",
        ]
    );
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn arguments_are_plain_or_typed() {
    let mut value = with_steps(json!([]));
    value["arguments"] = json!({
        "PLAIN": "x",
        "OPAQUE": {"required": true, "sensitive": true},
        "COUNT": {"type": "integer", "description": "How many", "required": true},
        "STAGE": {"type": "string", "enum": ["eu", "us"], "default": "eu"},
        "FAST": {"type": "boolean", "default": false},
        "KEY": {"type": "string", "secret": true, "required": true},
        "TAGS": {"type": "array"},
    });
    let flow = flow(value);
    assert_eq!(flow.arguments.len(), 7);
    assert_eq!(flow.arguments[1].default, Some(json!({"required": true, "sensitive": true})));
    assert_eq!((flow.arguments[2].kind, flow.arguments[2].required), (ArgumentType::Integer, true));
    assert!(flow.arguments[5].secret);

    let key = json!({"$secret": "override/f/KEY@1"});
    let overrides = map(json!({"KEY": key, "PLAIN": "over", "EXTRA": 1}));
    let given = map(json!({"COUNT": "3", "FAST": "true", "TAGS": "[\"a\"]", "EXTRA": 2}));
    assert_eq!(
        flow.argument_values(&overrides, &given).unwrap(),
        map(json!({
            "PLAIN": "over", "OPAQUE": {"required": true, "sensitive": true}, "COUNT": 3, "STAGE": "eu",
            "FAST": true, "KEY": key, "TAGS": ["a"], "EXTRA": 2,
        }))
    );
    let wrong = map(json!({"STAGE": "asia", "FAST": "maybe", "TAGS": "x"}));
    let problems = flow.argument_values(&Map::new(), &wrong).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "error: /arguments/COUNT: the argument `COUNT` needs a value; give one with `-p COUNT=…` (How many)\n\
         error: /arguments/STAGE: the argument `STAGE` cannot be \"asia\"; it is one of `\"eu\"` and `\"us\"`\n\
         error: /arguments/FAST: the argument `FAST` must be true or false, not text; write `true` or `false`\n\
         error: /arguments/KEY: the argument `KEY` needs a value; give one with `-p KEY=…`\n\
         error: /arguments/TAGS: the argument `TAGS` must be a list, not text; write a list: `[a, b]`"
    );
}

#[test]
fn a_secret_argument_has_no_value_in_the_document() {
    let mut value = with_steps(json!([]));
    value["arguments"] = json!({"KEY": {"type": "string", "secret": true, "default": "hunter2"}});
    let found = problems(value);
    assert_eq!(
        found,
        [
            "error: /arguments/KEY/default: the secret argument `KEY` has its value in the document; take `default` away and set an override"
        ]
    );
}

#[test]
fn skipping_follows_javascript_but_for_the_word_false() {
    for value in [json!(true), json!("true"), json!("x"), json!(1)] {
        assert!(is_skipped(&value), "{value}");
    }
    for value in [json!(false), json!("false"), json!(""), json!(0), json!(null)] {
        assert!(!is_skipped(&value), "{value}");
    }
}

#[test]
fn nodes_are_taken_out_of_the_document() {
    let flow = flow(with_steps(json!([
        {"kind": "Noop", "ref": "a", "spec": {}},
        {"kind": "Workflow", "ref": "w", "spec": {"type": "parallel", "steps": [
            {"kind": "Noop", "ref": "b", "spec": {}},
            {"kind": "Noop", "ref": "c", "spec": {}},
            {"kind": "Noop", "ref": "d", "spec": {}},
        ]}},
        {"kind": "Noop", "ref": "e", "spec": {}},
    ])));
    let gone = ["/spec/spec/steps/0", "/spec/spec/steps/1/spec/steps/0", "/spec/spec/steps/1/spec/steps/2"];
    let left = flow.without(&gone.map(str::to_owned));
    let names: Vec<_> =
        Flow::parse(&left).unwrap().nodes().iter().map(|placed| placed.node.reference.clone()).collect();
    assert_eq!(names, ["workflow", "w", "c", "e"]);
}
