//! `Template`: a nested template, release flow or preview template.

use schemars::JsonSchema;
use serde_json::{Value, json};
use shipway_documents::DocumentType;

use super::{literal, parts::resource_outputs};
use crate::{Kind, Outputs, Shape};

pub(crate) struct Template;

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "this is a shape: flows do not run it")]
struct Spec {
    /// What it is
    kind: Nested,
    /// Its document
    spec: Value,
    /// The project, if not that of the workflow around it.
    project_id: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "this is a shape: flows do not run it")]
enum Nested {
    ResourceTemplate,
    ReleaseFlow,
    PreviewEnv,
}

static SHAPE: Shape = Shape::of::<Spec>();

const DOCUMENTS: &[(&str, DocumentType)] = &[
    ("ResourceTemplate", DocumentType::Template),
    ("ReleaseFlow", DocumentType::ReleaseFlow),
    ("PreviewEnv", DocumentType::Preview),
];

impl Kind for Template {
    fn name(&self) -> &'static str {
        "Template"
    }

    fn shape(&self) -> &'static Shape {
        &SHAPE
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        resource_outputs()
    }

    /// Which document it holds stands in `kind`.
    fn documents(&self, spec: &Value) -> Vec<(String, DocumentType)> {
        let kind = literal(spec, "/kind");
        let found = DOCUMENTS.iter().find(|(name, _)| Some(*name) == kind && spec.get("spec").is_some());
        found.map(|(_, document)| ("/spec".to_owned(), *document)).into_iter().collect()
    }

    fn config_schema(&self) -> Value {
        let mut schema = self.shape().published();
        let each = DOCUMENTS.iter().map(|(kind, document)| {
            json!({
                "if": { "properties": { "kind": { "const": kind } } },
                "then": { "properties": { "spec": { "$ref": format!("#/$defs/document-{document}") } } },
            })
        });
        schema["allOf"] = each.collect();
        schema
    }
}
