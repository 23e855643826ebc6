//! What people are asked for, and what editors check with.

use serde_json::{Value, json};
use shipway_contracts::v1::{GetFormRequest, GetSchemaRequest};
use tonic::Code;

use crate::support::{Lab, SHOP};

#[tokio::test]
async fn a_form_has_a_field_for_each_argument_and_knows_the_overrides() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let asked = GetFormRequest { project: String::new(), flow: "shop/development".into() };
    let form = async || -> Value {
        let reply = lab.pipelines().get_form(asked.clone()).await.unwrap().into_inner();
        assert_eq!((reply.path.as_str(), reply.version), ("shop/development", 1));
        serde_json::from_str(&reply.form_json).unwrap()
    };
    let fields = json!([
        {"name": "GREETING", "type": "any", "label": "Greeting", "default": "", "required": false, "secret": false},
        {"name": "LEVEL", "type": "integer", "label": "Level", "default": 1, "required": false, "secret": false},
    ]);
    assert_eq!(form().await, json!({ "fields": fields }));
    let unknown = GetFormRequest { flow: "shop/nothing".into(), ..asked };
    assert_eq!(lab.pipelines().get_form(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn schemas_are_served_by_type() {
    let lab = Lab::new().await;
    let schema =
        async |word: &str| lab.pipelines().get_schema(GetSchemaRequest { document_type: word.into() }).await;
    let reply = schema("preview-env").await.unwrap().into_inner();
    assert_eq!(reply.document_type, "preview");
    let schema_json: Value = serde_json::from_str(&reply.schema_json).unwrap();
    assert_eq!(schema_json["$ref"], "#/$defs/document-preview");
    let refused = schema("flow").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("`flow` is none of `template`"), "{}", refused.message());
}
