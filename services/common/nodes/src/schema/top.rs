//! The members at the top of a document.

use serde_json::{Map, Value, json};
use shipway_documents::{
    DocumentType,
    flow::{RichInputKind, members_of_documents},
};

use super::{
    fields::{
        boolean, described, expression, integer, list, members, object, one_of, required_object,
        required_text, text, text_like, texts, when,
    },
    trigger::{self, SERVICES},
};

pub(super) fn document(document: DocumentType) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["spec"];
    for (member, documents) in members_of_documents() {
        let schema = if documents.contains(&document) {
            if *member == "name" {
                required.push("name");
            }
            described(self::member(member, document), about(member))
        } else if matches!(*member, "name" | "description") && document != DocumentType::Teardown {
            // Of no effect, and no harm.
            continue;
        } else {
            Value::Bool(false)
        };
        properties.insert((*member).to_owned(), schema);
    }
    properties.insert(
        "argumentsOverride".into(),
        described(object(json!({})), "Another name of `argumentOverrides`."),
    );
    properties.insert("projectId".into(), text());
    json!({ "type": "object", "properties": properties, "required": required })
}

/// One line for people.
fn about(member: &str) -> &'static str {
    match member {
        "$schema" => "The address of this schema.",
        "apiVersion" => "The version of the format: `v1.2`.",
        "name" => "Its name.",
        "description" => "What it is for.",
        "arguments" => {
            "Values that expressions use as `${args.<name>}`: plain, or `{type, description, required, default, enum, secret}`."
        }
        "argumentOverrides" => "Values over those of `arguments`; kept beside the document.",
        "options" => "What happens when it is asked for while it runs, and what starts it by itself.",
        "gitops" => "The file that it is kept in.",
        "triggers" => "What starts it.",
        "webhook" => "Its own webhook.",
        "richInputs" => "Choices that fill several arguments.",
        "project" => "The project that it belongs to.",
        "stageId" => "The stage that it belongs to.",
        "crossProjectAccess" => "Which other projects may run it.",
        "teardownSpec" => "What takes away again what it has made.",
        "failurePolicy" => "Whether what it belongs to is deleted although it failed.",
        _ => "The root workflow.",
    }
}

fn member(member: &str, document: DocumentType) -> Value {
    match member {
        "apiVersion" => json!({ "enum": ["v1.2", "v1.1", "v1", null] }),
        "name" => json!({ "anyOf": [
            { "type": "string", "pattern": "^[a-zA-Z0-9]+([- ][a-zA-Z0-9]+)*$", "minLength": 3, "maxLength": 100 },
            expression(),
        ] }),
        "description" => json!({ "type": ["string", "null"], "maxLength": 200 }),
        "arguments" => json!({ "type": ["object", "null"], "additionalProperties": argument() }),
        "argumentOverrides" => object(json!({})),
        "options" => options(document),
        "gitops" => gitops(),
        "triggers" => list(&trigger::trigger()),
        "webhook" => object(json!({
            "enabled": boolean(),
            "token": text_like("^[A-Za-z0-9_-]{32,256}$"),
            "regenerate": boolean(),
        })),
        "richInputs" => json!({ "type": ["array", "null"], "items": rich_input() }),
        "crossProjectAccess" => {
            object(json!({ "enabled": boolean(), "projects": texts(), "isAllowList": boolean() }))
        }
        "teardownSpec" => json!({ "anyOf": [{ "$ref": "#/$defs/document-teardown" }, { "type": "null" }] }),
        "failurePolicy" => one_of(&["ignore", "block"]),
        "spec" => json!({ "allOf": [
            { "$ref": format!("#/$defs/node-{document}") },
            { "properties": { "kind": { "const": "Workflow" } } },
        ] }),
        _ => text(),
    }
}

/// An object with these members only is a typed argument; everything else is a value of its own.
fn argument() -> Value {
    let names = ["type", "description", "required", "default", "enum", "secret"];
    let types = ["string", "number", "integer", "boolean", "array", "object"];
    json!({ "anyOf": [
        {
            "type": "object",
            "properties": {
                "type": described(one_of(&types), "What values it takes."),
                "description": described(text(), "What it is for."),
                "required": described(boolean(), "Whether a run needs a value for it."),
                "default": described(json!({}), "Its value when nothing else gives one."),
                "enum": described(list(&json!(true)), "The only values that it takes."),
                "secret": described(boolean(), "Whether its values are secret."),
            },
        },
        { "not": { "type": "object", "minProperties": 1, "propertyNames": { "enum": names } } },
    ] })
}

fn options(document: DocumentType) -> Value {
    let is_preview = matches!(document, DocumentType::Preview | DocumentType::Blueprint);
    let day = || object(json!({ "startTime": integer(0, 2400), "endTime": integer(0, 2400) }));
    let days = members(["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(|name| (name, day())));
    let expiry = json!({ "previewLifetime": integer(1, 5_256_000), "resetOnUpdate": boolean() });
    let previews = [
        ("nameFormat", described(text(), "How previews are called: `pr-${args.pullRequestId}`.")),
        ("prefixName", described(boolean(), "Whether that goes before the names of resources.")),
        ("useBranchContents", described(boolean(), "Whether the file is taken from the preview's branch.")),
        ("schedule", described(object(days), "The hours in which triggers start previews, as HHMM.")),
        ("expiry", described(object(expiry), "When a preview goes by itself.")),
    ];
    let everywhere = [
        (
            "concurrencyPolicy",
            described(
                one_of(&["allow", "queue", "forbid", "latest", "replace"]),
                "What happens when it is asked for while it runs.",
            ),
        ),
        ("paused", described(boolean(), "Whether triggers start nothing.")),
        ("autorun", described(boolean(), "Whether every change of it runs it.")),
        ("runOnUpdate", described(boolean(), "Another name of `autorun`, in older documents.")),
        ("runOnCreation", described(boolean(), "Whether it is run when it has been made.")),
        (
            "runOnCreationArgumentOverrides",
            json!({ "anyOf": [{ "type": ["object", "null"] }, expression()] }),
        ),
    ];
    let previews =
        previews.map(|(name, schema)| (name, if is_preview { schema } else { Value::Bool(false) }));
    object(members(everywhere.into_iter().chain(previews)))
}

fn gitops() -> Value {
    object(json!({
        "vcsService": one_of(SERVICES),
        "accountLogin": text(),
        "vcsLinkId": text(),
        "selfHostedVcsId": text(),
        "repoUrl": text(),
        "branch": text(),
        "filePath": text_like("^(/[A-Za-z0-9._-]+)+$"),
        "templateSha": text(),
    }))
}

fn rich_input() -> Value {
    let kinds = [RichInputKind::BranchCommitSelector, RichInputKind::BuildSelector];
    let outputs = kinds.iter().map(|kind| {
        let outputs = members(kind.outputs().iter().map(|name| (*name, text())));
        let outputs = json!({ "type": "object", "properties": outputs });
        let then = json!({ "properties": { "spec": { "properties": { "outputs": outputs } } } });
        when("kind", &[Value::from(kind.as_str())], then)
    });
    let spec = json!({
        "title": text(),
        "description": text(),
        "required": boolean(),
        "inputs": required_object(json!({ "source": required_text() }), &["source"]),
        "outputs": { "type": "object" },
    });
    let mut input = required_object(
        json!({
            "kind": { "enum": kinds.map(RichInputKind::as_str) },
            "spec": required_object(spec, &["inputs", "outputs"]),
        }),
        &["kind", "spec"],
    );
    input["allOf"] = outputs.collect();
    input
}
