//! The JSON Schema of each kind: what editors complete from.

use serde_json::{Value, json};
use shipway_nodes::KINDS;

#[test]
fn every_kind_has_a_schema_that_allows_expressions() {
    for kind in KINDS {
        let schema = kind.config_schema();
        assert_eq!(schema["type"], "object", "{}", kind.name());
        let fields = schema.get("properties").is_some_and(Value::is_object);
        assert!(fields || kind.name() == "LoopData", "{}", kind.name());
        assert!(!schema.to_string().contains("oneOf"), "a value may fit two forms: {}", kind.name());
    }
    let build = shipway_nodes::find("Build").unwrap().config_schema();
    assert_eq!(build["required"], json!(["id"]));
    let reuse = &build["properties"]["reuseExistingBuilds"]["anyOf"];
    assert_eq!(reuse[0], json!({"type": "boolean"}));
    assert_eq!(reuse[3], json!({"type": "string", "pattern": "(^|[^\\\\])\\$\\{([^{]|$)"}));
}
