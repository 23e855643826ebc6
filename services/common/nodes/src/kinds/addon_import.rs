//! `AddonImport`: fills an addon with a dump or another database.

use schemars::JsonSchema;
use serde_json::Value;
use shipway_documents::flow::Node;

use super::{literal, named};
use crate::{Kind, Outputs, Role, Shape, Use, UseKind, Validation};

pub(crate) struct AddonImport;

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "this is a shape: flows do not run it")]
struct Spec {
    /// The addon, by its id
    addon_id: String,
    /// The dump's address.
    import_url: Option<String>,
    /// The other database.
    connection_string: Option<String>,
    /// Whether all of its databases are taken (PostgreSQL, with a connection string).
    import_all_databases: Option<bool>,
    /// How the dump is packed.
    compression_type: Option<Compression>,
    /// Where the dump is, if not at an address.
    custom_destination_id: Option<String>,
    /// The project, if not the flow's.
    project_id: Option<String>,
    /// Another name of `importUrl`.
    url: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "this is a shape: flows do not run it")]
enum Compression {
    Zstd,
    Gz,
    None,
}

static SHAPE: Shape = Shape::of::<Spec>();

impl Kind for AddonImport {
    fn name(&self) -> &'static str {
        "AddonImport"
    }

    fn shape(&self) -> &'static Shape {
        &SHAPE
    }

    fn conditions(&self) -> &'static [&'static str] {
        &["success"]
    }

    fn payload(&self) -> &'static [&'static str] {
        &["/importUrl", "/url", "/connectionString"]
    }

    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let given = |name: &str| node.spec.get(name).is_some_and(|value| !value.is_null() && value != "");
        if given("url") {
            ctx.alias("url", "importUrl");
        }
        let sources = ["importUrl", "url", "connectionString"].into_iter().filter(|name| given(name)).count();
        if sources != 1 {
            let (message, help) =
                ("an import comes from one place", "give `importUrl` or `connectionString`");
            ctx.error("", message, help);
        }
        if given("importAllDatabases") && !given("connectionString") {
            ctx.error(
                "/importAllDatabases",
                "a dump has no other databases",
                "give a `connectionString`, or take it away",
            );
        }
        ctx.check_project("/projectId", literal(&node.spec, "/projectId"));
    }

    fn uses(&self, node: &Node) -> Vec<Use> {
        named(node, "/addonId", UseKind::Addon, Role::Member).into_iter().collect()
    }

    fn outputs(&self, _spec: &Value) -> Outputs {
        Outputs::of(&["id", "addonId"], &["status"]).and_others()
    }

    fn may_be_detached(&self) -> bool {
        true
    }
}
