//! What the kinds that act on what runs ask an executor for.

use serde_json::{Value, json};
use shipway_events::{plan::BackupPin, project::ResourceKind};
use shipway_nodes::{Step, Workload};

use crate::world::{World, artifact, shown};

#[test]
fn addon_and_its_backups() {
    let mut world = World::new();
    let addon = json!({
        "addon": "db", "engine": "postgresql", "version": "16", "port": 20003, "timeoutSeconds": 600,
        "credentials": {"database": "db", "password": {"$secret": "addon/db/password@1"}, "username": "shipway"},
    });
    let mut start = addon.clone();
    start["work"] = json!("addon");
    assert_eq!(shown(&world.work("Addon", json!({"addonId": "db"}))), start);
    assert_eq!(shown(&world.work("Addon", json!({"name": "DB", "type": "postgresql"}))), start);
    let work = world.work("AddonBackup", json!({"addonId": "db", "compressionType": "gz"}));
    assert_eq!(
        shown(&work),
        json!({"work": "backup", "addon": addon, "backup": "bk-0190aaaabbbb000000fe-3", "backupType": "snapshot", "compression": "gz"})
    );

    let restore = |backup: &str| json!({"kind": "AddonBackup", "spec": {"type": "restore", "data": {"addonId": "db", "backupId": backup}}});
    assert_eq!(
        world.refused("Action", restore("bk-1")),
        "no_backup: the addon `db` has no finished backup `bk-1`; make one with an `AddonBackup` node with `condition: success`"
    );
    for id in ["bk-0190aaaabbbb00000001-2", "bk-0190aaaabbbb00000001-10"] {
        world.backups.insert(id.into(), BackupPin { addon: "db".into(), digest: format!("sha256:{id}") });
    }
    let Workload::Restore(found) = world.work("Action", restore("latest")) else { panic!() };
    assert_eq!(
        (found.backup.as_str(), found.pin.digest.as_str()),
        ("bk-0190aaaabbbb00000001-10", "sha256:bk-0190aaaabbbb00000001-10")
    );
    assert_eq!((found.addon.timeout_seconds, found.only_load), (3600, false));
    let mut load = restore("latest");
    load["spec"]["type"] = json!("load");
    let Workload::Restore(load) = world.work("Action", load) else { panic!() };
    assert_eq!((load.backup, load.only_load), (found.backup, true));

    world.resources.get_mut("db").unwrap().spec["type"] = json!("redis");
    assert_eq!(
        world.refused("Addon", json!({"addonId": "db"})),
        "unsupported: the addon `db` is of type `redis`; this version runs `postgresql`"
    );
    world.resources.get_mut("db").unwrap().ports.clear();
    assert!(world.refused("Addon", json!({})).starts_with("bad_spec: `spec.addonId` is missing"));
}

#[test]
fn action() {
    let mut world = World::new();
    let execute = |command: Value| json!({"kind": "Service", "spec": {"type": "execute", "data": {"serviceId": "web-dev", "command": command}}});
    assert!(
        world
            .refused("Action", execute(json!("ls")))
            .starts_with("nothing_deployed: nothing runs at `web-dev`")
    );
    world.released.insert("web-dev".into(), artifact("b-1"));
    let Workload::Exec(exec) = world.work("Action", execute(json!("sh -c \"echo $A\""))) else { panic!() };
    assert_eq!(exec.command, ["sh", "-c", "echo $A"]);
    assert_eq!((exec.timeout_seconds, exec.dispatch_only, exec.environment.len()), (600, false, 2));
    let mut later = execute(json!("ls"));
    later["spec"]["data"]["options"] = json!({"dispatchOnly": true});
    later["spec"]["data"]["timeoutDuration"] = json!("45");
    let Workload::Exec(exec) = world.work("Action", later) else { panic!() };
    assert_eq!((exec.timeout_seconds, exec.dispatch_only), (45, true));

    let job =
        json!({"kind": "Job", "spec": {"type": "execute", "data": {"jobId": "migrate", "command": "bin/x"}}});
    world.deployed.insert("migrate".into(), artifact("b-2"));
    let Workload::Job(job) = world.work("Action", job) else { panic!() };
    assert_eq!((job.artifact.build.as_str(), job.job_run.as_str()), ("b-2", "jr-0190aaaabbbb000000fe-3"));

    for (kind, data, slug) in
        [("Service", json!({"serviceId": "web-dev"}), "web-dev"), ("Addon", json!({"addonId": "db"}), "db")]
    {
        let spec = json!({"kind": kind, "spec": {"type": "restart", "data": data, "condition": "running"}});
        let Workload::Restart(restart) = world.work("Action", spec) else { panic!() };
        assert_eq!((restart.target.slug.as_str(), restart.wait, restart.timeout_seconds), (slug, true, 600));
    }
    let stop = json!({"kind": "Service", "spec": {"type": "stop", "data": {"serviceId": "web-dev"}}});
    let Workload::Release(stopped) = world.work("Action", stop.clone()) else { panic!() };
    assert_eq!(
        (stopped.artifact.build.as_str(), stopped.service.map(|spec| spec.instances)),
        ("b-1", Some(0))
    );
    world.released.remove("web-dev");
    assert!(world.refused("Action", stop).starts_with("nothing_deployed: nothing runs at `web-dev`"));
    world.released.insert("web-dev".into(), artifact("b-1"));
    for (act, fate) in [("confirm", "letGo"), ("revert", "putBack")] {
        let kept = json!({"kind": "Addon", "spec": {"type": act, "data": {"addonId": "db"}}});
        assert_eq!(shown(&world.work("Action", kept))["fate"], fate);
    }
    for (spec, expected) in [
        (execute(json!("a 'b")), "bad_spec: `spec.spec.data.command`: a `'` in the command is never closed"),
        (
            execute(json!({"$secret": "x@1"})),
            "secret_in_spec: `spec.spec.data.command` of the Action depends on a secret",
        ),
        (execute(Value::Null), "bad_spec: `spec.spec.data.command` is missing"),
        (
            json!({"kind": "Addon", "spec": {"type": "execute", "data": {}}}),
            "unsupported: the action Execute on Addon is not supported; supported are Service execute",
        ),
        (
            json!({"kind": "Servic", "spec": {"type": "execute", "data": {}}}),
            "bad_spec: the values of this Action do not fit: `spec.kind`: `kind` cannot be `Servic`; did you mean `Service`?",
        ),
    ] {
        let found = world.refused("Action", spec);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn condition() {
    let mut world = World::new();
    let service = json!({"kind": "Service", "spec": {"type": "running", "data": {"serviceId": "web-dev", "timeoutDuration": 60}}});
    assert_eq!(
        shown(&world.work("Condition", service)),
        json!({"work": "await", "watch": {"watch": "service", "target": "web-dev"}, "timeoutSeconds": 60})
    );
    world.timeout_seconds = Some(90);
    let addon = json!({"kind": "Addon", "spec": {"type": "running", "data": {"addonId": "db"}}});
    assert_eq!(
        shown(&world.work("Condition", addon)),
        json!({"work": "await", "watch": {"watch": "addon", "target": "db"}, "timeoutSeconds": 90})
    );
    world.timeout_seconds = None;
    let http = json!({"kind": "Http", "spec": {"data": {"url": {"$text": ["https://x/", {"$secret": "a@1"}]}, "status": "204", "body": "ok"}}});
    assert_eq!(
        shown(&world.work("Condition", http)),
        json!({"work": "await", "watch": {"watch": "http", "url": {"$text": ["https://x/", {"$secret": "a@1"}]}, "status": 204, "body": "ok"}, "timeoutSeconds": 600})
    );
    for (spec, expected) in [
        (
            json!({"kind": "Http", "spec": {"data": {"url": "ftp://x"}}}),
            "bad_spec: `spec.spec.data.url` is no address",
        ),
        (
            json!({"kind": "AddonImport", "spec": {"data": {"addonId": "db", "importId": "i"}}}),
            "unsupported: waiting for AddonImport is not supported; supported are `Service`, `Addon`, `Build`, `JobRun`, `AddonBackup`, `Http` and `Expression`",
        ),
        (json!({"kind": "Service", "spec": {"data": {}}}), "bad_spec: `spec.spec.data.serviceId` is missing"),
        (
            json!({"kind": "Service", "spec": {"data": {"serviceId": "web-dev", "timeoutDuration": 3}}}),
            "bad_spec: the values of this Condition do not fit: `spec.spec.data.timeoutDuration`: `timeoutDuration` is 3; give a number from 30 to 14400",
        ),
    ] {
        let found = world.refused("Condition", spec);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn message() {
    let world = World::new();
    let raw = json!({"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "http://127.0.0.1:1/x", "message": {"digest": "sha256:x"}}});
    assert_eq!(
        shown(&world.work("Message", raw)),
        json!({"work": "message", "channel": "rawWebhook", "url": "http://127.0.0.1:1/x", "message": {"digest": "sha256:x"}})
    );
    let slack = json!({"kind": "SLACK", "spec": {"webhookUrl": {"$secret": "a@1"}, "message": "hi"}});
    assert_eq!(shown(&world.work("Message", slack))["channel"], "slack");
    let comment = json!({"kind": "VCS", "spec": {"vcsService": "self-hosted", "selfHostedVcsId": "git", "accountLogin": "bot", "repoUrl": "https://git.acme.org/acme/api", "pullRequestId": 7, "message": {"$secret": "a@1"}}});
    assert_eq!(
        shown(&world.work("Message", comment)),
        json!({"work": "comment", "service": "self-hosted", "repository": "https://git.acme.org/acme/api", "pullRequest": 7, "account": "bot", "selfHosted": "git", "message": {"$secret": "a@1"}})
    );
    for (spec, expected) in [
        (json!({"kind": "VCS", "spec": {"message": "x"}}), "bad_spec: `spec.spec.vcsService` is missing"),
        (
            json!({"kind": "VCS", "spec": {"vcsService": "github", "repoUrl": "https://github.com/acme/api", "pullRequestId": "", "message": "x"}}),
            "no_pull_request: there is no pull request to comment on: the run was not started by one",
        ),
        (
            json!({"kind": "VCS", "spec": {"vcsService": "github", "repoUrl": "https://github.com/acme/api", "pullRequestId": "main", "message": "x"}}),
            "bad_spec: `spec.spec.pullRequestId` is `main`, which is no number of a pull request",
        ),
        (
            json!({"kind": "SLACK", "spec": {"integrationInternalId": "ops", "message": "x"}}),
            "unsupported: integrations of a team are not supported",
        ),
        (
            json!({"kind": "RAW_WEBHOOK", "spec": {"message": "x"}}),
            "bad_spec: `spec.spec.webhookUrl` is missing",
        ),
        (
            json!({"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "x", "message": "x"}}),
            "bad_spec: `spec.spec.webhookUrl` is no address",
        ),
        (
            json!({"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "http://x"}}),
            "bad_spec: the values of this Message do not fit: `spec.spec`: `message` is missing",
        ),
    ] {
        let found = world.refused("Message", spec);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn secret_groups_are_handed_on_by_name() {
    let mut world = World::new();
    for (slug, environment) in [
        ("base", json!({"A": "1", "KEY": {"$secret": "group/base/KEY@1"}, "MORE": {"x": 1, "list": [1, 2]}})),
        ("prod", json!({"KEY": {"$secret": "group/prod/KEY@3"}, "MORE": {"y": 2, "list": [3]}})),
    ] {
        let data = json!({"$secret": format!("file/{slug}/CERT@1")});
        let mut files = json!({"CERT": {"data": data}});
        files[format!("OF-{slug}")] = json!({"data": data, "encoding": "base64"});
        world.add(slug, ResourceKind::SecretGroup, json!({"name": slug, "secrets": {"files": files}}));
        world.resources.get_mut(slug).unwrap().environment = environment.as_object().unwrap().clone();
    }
    let inherit = |spec: Value| match world.step("SecretInheritance", spec) {
        Ok(Step::Done { outputs }) => Value::Object(outputs),
        other => panic!("{other:?}"),
    };
    // Of equal names the last counts; objects are merged, lists and secrets replaced.
    let both = inherit(json!({"secrets": ["base", "prod"], "requiredKeys": ["KEY"]}));
    let expected = json!({
        "A": "1", "KEY": {"$secret": "group/prod/KEY@3"}, "MORE": {"x": 1, "y": 2, "list": [3]},
    });
    assert_eq!(both["values"], expected);
    let file = |slug: &str, encoding: &str| {
        let data = json!({"$secret": format!("file/{slug}/CERT@1")});
        json!({"data": data, "path": {"$file": data}, "encoding": encoding})
    };
    let expected = json!({
        "CERT": file("prod", "utf-8"), "OF-base": file("base", "base64"), "OF-prod": file("prod", "base64"),
    });
    assert_eq!(both["files"], expected);
    assert_eq!(
        inherit(json!({"secrets": ["base"], "requiredFiles": ["CERT"]}))["files"]["CERT"],
        file("base", "utf-8")
    );
    // Settings come after secrets.
    let settings = inherit(json!({"secrets": ["prod"], "configs": ["base"]}));
    assert_eq!(settings["values"]["KEY"], json!({"$secret": "group/base/KEY@1"}));

    let refused = |spec: Value| world.refused("SecretInheritance", spec);
    assert_eq!(
        refused(json!({"secrets": ["base"], "requiredKeys": ["KEY", "TOKEN"]})),
        "missing_key: the secret groups have no `TOKEN`; set it there, or take it out of `requiredKeys`"
    );
    assert_eq!(
        refused(json!({"secrets": ["base"], "requiredFiles": ["CERT", "OF-prod"]})),
        "missing_key: the secret groups have no file `OF-prod`; set it there, or take it out of `requiredFiles`"
    );
    // A group for some resources only hands on nothing.
    let base = world.resources.get_mut("base").unwrap();
    base.spec["restrictions"] = json!({"restricted": true});
    let refused = |spec: Value| world.refused("SecretInheritance", spec);
    let found = refused(json!({"secrets": ["base"], "requiredFiles": ["CERT"]}));
    assert!(found.contains("have no file `CERT`"), "{found}");
    let other = refused(json!({"secrets": ["web-dev"]}));
    assert!(other.contains("`web-dev`"), "{other}");
}
