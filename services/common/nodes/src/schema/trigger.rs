//! Triggers: the Git list, and the typed list.

use serde_json::{Value, json};

use super::fields::{
    boolean, described, object, one_of, required_object, required_text, text, text_like, texts, when,
};

pub(super) const SERVICES: &[&str] = &["github", "gitlab", "bitbucket", "azure", "self-hosted"];

pub(super) fn trigger() -> Value {
    let kinds = ["vcs-push", "vcs-pr", "vcs-pr-label", "vcs-release", "vcs-check-suite", "webhook", "cron"];
    let mut words: Vec<Value> = kinds.iter().map(|kind| Value::from(*kind)).collect();
    words.extend([Value::from("git"), Value::Null]);
    let each = kinds.iter().map(|kind| when("kind", &[Value::from(*kind)], typed(kind)));
    let git = when("kind", &[Value::from("git"), Value::Null], git());
    let mut trigger = required_object(
        json!({
            "ref": described(required_text(), "Its name in `${triggers.<ref>…}`."),
            "id": text(),
            "kind": described(json!({ "enum": words }), "What it waits for; a push when absent."),
        }),
        &["ref"],
    );
    trigger["allOf"] = each.chain([git]).collect();
    trigger
}

/// The repository, of either list.
fn repository() -> Value {
    json!({
        "vcsService": one_of(SERVICES),
        "accountLogin": text(),
        "vcsLinkId": text(),
        "selfHostedVcsId": text(),
        "repoUrl": required_text(),
        "commitStatus": boolean(),
    })
}

/// Names with `*`; nothing is resolved in them.
fn patterns() -> Value {
    let pattern = json!({ "type": "string", "pattern": "^[A-Za-z0-9/*%\\-.#_!'();,&=+]*$" });
    json!({ "type": ["array", "null"], "items": pattern })
}

fn git() -> Value {
    let mut properties = repository();
    for (name, schema) in [
        ("type", one_of(&["git"])),
        ("branchRestrictions", patterns()),
        ("prRestrictions", patterns()),
        ("pathIgnoreRules", texts()),
        ("isAllowList", boolean()),
        ("ciIgnoreFlagsEnabled", boolean()),
        ("ciIgnoreFlags", texts()),
        ("ignoreDrafts", boolean()),
        ("manualOnly", boolean()),
    ] {
        properties[name] = schema;
    }
    json!({ "properties": properties, "required": ["repoUrl"] })
}

fn typed(kind: &str) -> Value {
    if kind == "webhook" {
        return json!({ "properties": { "spec": object(json!({ "token": text() })) } });
    }
    let spec = if kind == "cron" {
        let schedule = text_like("^ *([A-Za-z0-9*/,-]+ +){4}[A-Za-z0-9*/,-]+ *$");
        let mut spec = required_object(
            json!({
                "cron": schedule,
                "timezone": described(text(), "A name of the IANA database: `Europe/Berlin`; UTC when absent."),
                "missed": described(one_of(&["skip", "one", "all"]), "What becomes of ticks that nobody was there for."),
            }),
            &["cron"],
        );
        spec["properties"]["cron"]["type"] = json!("string");
        spec
    } else {
        let mut properties = json!({ "vcs": required_object(repository(), &["repoUrl"]) });
        if kind != "vcs-release" {
            properties["branchNamePatterns"] = patterns();
            properties["commitMessageFlags"] = object(json!({ "enabled": boolean(), "flags": texts() }));
            properties["filePaths"] =
                object(json!({ "enabled": boolean(), "allowList": boolean(), "paths": texts() }));
            properties["ignoreDrafts"] = boolean();
        }
        if kind == "vcs-push" {
            properties["ignoreDrafts"] = json!({});
        }
        if kind == "vcs-pr-label" {
            properties["labelNamePatterns"] = texts();
            properties["branchNamePatterns"] = object(json!({ "enabled": boolean(), "names": patterns() }));
        }
        required_object(properties, &["vcs"])
    };
    json!({ "properties": { "spec": spec }, "required": ["spec"] })
}
