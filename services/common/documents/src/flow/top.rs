//! The members at the top of a document: which type has which.

use serde_json::Value;

use super::Node;
use crate::{
    Code,
    DocumentType::{self, Blueprint, Preview, ReleaseFlow, Teardown, Template, Workflow},
    Fields, Problem, expr, is_expression, names, pointer,
};

const SETUP: &[DocumentType] = &[Template, ReleaseFlow, Preview, Workflow, Blueprint];

/// The members, and the types that have them.
const MEMBERS: &[(&str, &[DocumentType])] = &[
    ("$schema", DocumentType::ALL),
    ("apiVersion", DocumentType::ALL),
    ("name", &[Template, Workflow, Blueprint]),
    ("description", &[Template, Workflow, Blueprint]),
    ("arguments", SETUP),
    ("argumentOverrides", SETUP),
    ("options", SETUP),
    ("gitops", SETUP),
    ("triggers", &[ReleaseFlow, Preview, Workflow, Blueprint]),
    ("webhook", &[ReleaseFlow, Preview, Workflow, Blueprint]),
    ("richInputs", &[ReleaseFlow, Workflow]),
    ("project", &[Template, Workflow, Blueprint]),
    ("stageId", &[Workflow]),
    ("crossProjectAccess", &[Workflow]),
    ("teardownSpec", SETUP),
    ("failurePolicy", &[Teardown]),
    ("spec", DocumentType::ALL),
];

/// The types of documents that have this member at their top; none if it is not known at all.
#[must_use]
pub fn places_of(member: &str) -> Option<&'static [DocumentType]> {
    MEMBERS.iter().find(|(name, _)| *name == member).map(|(_, documents)| *documents)
}

/// Every member that a document may have at its top, and the types that have it.
#[must_use]
pub const fn members_of_documents() -> &'static [(&'static str, &'static [DocumentType])] {
    MEMBERS
}

/// Notes members that belong into another type of document. A name where none is needed does no harm.
pub(super) fn check_places(document: DocumentType, value: &Value, nested: bool, fields: &mut Fields<'_, '_>) {
    let here = MEMBERS.iter().filter(|(_, documents)| documents.contains(&document));
    let mut known: Vec<_> = here.map(|(name, _)| *name).collect();
    known.push("argumentsOverride");
    if nested {
        known.push("projectId");
    }
    fields.known(&known);
    for (member, documents) in MEMBERS {
        if documents.contains(&document) || value.get(member).is_none() {
            continue;
        }
        let places: Vec<_> = documents.iter().map(|document| document.describe()).collect();
        let message = format!("`{member}` has no place in {}", document.describe());
        let problem = if matches!(*member, "name" | "description") && document != Teardown {
            Problem::warning(fields.at(member), format!("{message} and has no effect"))
        } else {
            Problem::error(fields.at(member), message)
        };
        fields.note(problem.at_key().help(format!("it belongs into {}", places.join(", "))));
    }
    if fields.get("argumentsOverride").is_some() {
        let problem = Problem::warning("/argumentsOverride", "this is called `argumentOverrides`");
        let problem = problem.code(Code::AliasUsed);
        fields.note(problem.help("overrides are set beside the document: `shipway override`").at_key());
    }
    for member in ["argumentOverrides", "argumentsOverride"] {
        own_object(fields, member);
    }
    if document == Teardown {
        fields.one_of("failurePolicy", &["ignore", "block"]);
    }
    fields.text("$schema");
}

pub(super) fn api_version(fields: &mut Fields<'_, '_>) -> String {
    let version = fields.text("apiVersion").unwrap_or("v1.2").to_owned();
    if !matches!(version.as_str(), "v1" | "v1.1" | "v1.2") {
        let message = format!("`apiVersion` `{version}` is not known");
        fields.note(Problem::error("/apiVersion", message).code(Code::FieldValue).help("write `v1.2`"));
    }
    version
}

const NAME: names::Length = names::Length { min: 3, max: 100 };

pub(super) fn name(document: DocumentType, fields: &mut Fields<'_, '_>) -> Option<String> {
    if !matches!(document, Template | Workflow | Blueprint) {
        return None;
    }
    let name = fields.required_text("name", "name it: `name: Deploy to production`")?;
    if !is_expression(&Value::from(name))
        && let Err(reason) = names::check(name, NAME)
    {
        let problem = Problem::error(fields.at("name"), format!("the name `{name}` {reason}"));
        fields.note(problem.code(Code::NameInvalid).help(names::example(NAME)));
    }
    Some(name.to_owned())
}

/// The most characters of a description.
const DESCRIPTION: usize = 200;

pub(super) fn description(document: DocumentType, fields: &mut Fields<'_, '_>) -> String {
    if !matches!(document, Template | Workflow | Blueprint) {
        return String::new();
    }
    let text = fields.text("description").unwrap_or_default();
    let count = text.chars().count();
    if count > DESCRIPTION {
        let problem =
            Problem::error(fields.at("description"), format!("`description` has {count} characters"));
        fields.note(problem.help(format!("{DESCRIPTION} are allowed")));
    }
    text.to_owned()
}

pub(super) fn arguments<'v>(fields: &mut Fields<'v, '_>) -> Vec<(&'v str, &'v Value)> {
    let members = own_object(fields, "arguments").and_then(Value::as_object).into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value)).collect()
}

/// An object that no expression can stand for: its members are names that expressions use.
fn own_object<'v>(fields: &mut Fields<'v, '_>, key: &str) -> Option<&'v Value> {
    let value = fields.get(key)?;
    if is_expression(value) {
        let problem = Problem::error(fields.at(key), format!("`{key}` cannot be an expression"));
        fields.note(problem.help("write the members themselves; their values may be expressions"));
        return None;
    }
    fields.object(key)?;
    Some(value)
}

/// The file that a document is kept in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitOps {
    /// The repository.
    pub repo_url: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// The file: `/shipway.json`.
    pub file_path: Option<String>,
}

impl GitOps {
    pub(super) fn read(around: &mut Fields<'_, '_>) -> Option<Self> {
        let (value, at) = (around.get("gitops")?, around.at("gitops"));
        let mut fields = Fields::new(value, &at, "`gitops`", around.problems());
        fields.known(&[
            "vcsService",
            "accountLogin",
            "vcsLinkId",
            "selfHostedVcsId",
            "repoUrl",
            "branch",
            "filePath",
            "templateSha",
        ]);
        fields.one_of("vcsService", super::trigger::SERVICES);
        for name in ["accountLogin", "vcsLinkId", "selfHostedVcsId", "templateSha"] {
            fields.text(name);
        }
        let file_path = fields.text("filePath").map(str::to_owned);
        if let Some(path) = file_path.as_ref().filter(|path| !is_file_path(path)) {
            let problem = Problem::error(fields.at("filePath"), format!("`{path}` is no path of a file"));
            fields.note(problem.help("write it from the top of the repository: `/flows/production.json`"));
        }
        Some(Self {
            repo_url: fields.text("repoUrl").map(str::to_owned),
            branch: fields.text("branch").map(str::to_owned),
            file_path,
        })
    }
}

fn is_file_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let mut parts = path.split('/');
    parts.next() == Some("")
        && path.len() > 1
        && parts.all(|part| !part.is_empty() && part.chars().all(plain))
}

/// Which other projects may run a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrossProjectAccess {
    /// Whether any may.
    pub enabled: bool,
    /// Which may, or which may not.
    pub projects: Vec<String>,
    /// Whether `projects` are those that may.
    pub is_allow_list: bool,
}

impl CrossProjectAccess {
    pub(super) fn read(around: &mut Fields<'_, '_>) -> Option<Self> {
        let (value, at) = (around.get("crossProjectAccess")?, around.at("crossProjectAccess"));
        let mut fields = Fields::new(value, &at, "`crossProjectAccess`", around.problems());
        fields.known(&["enabled", "projects", "isAllowList"]);
        Some(Self {
            enabled: fields.boolean("enabled").unwrap_or_default(),
            projects: fields.texts("projects"),
            is_allow_list: fields.boolean("isAllowList").unwrap_or_default(),
        })
    }
}

/// What is wrong with expressions whatever their names stand for. Documents in nodes are documents of their own, with
/// expressions of their own, and are left out.
pub(super) fn check_expressions(value: &Value, root: Option<&Node>, nested: bool) -> Vec<Problem> {
    let mut places = Vec::new();
    if let Some(root) = root {
        inner_documents(root, &mut places);
    }
    if places.is_empty() {
        return expr::check(value, "", nested);
    }
    let mut outer = value.clone();
    for place in places {
        if let Some(inner) = outer.pointer_mut(&place) {
            inner.take();
        }
    }
    expr::check(&outer, "", nested)
}

fn inner_documents(node: &Node, places: &mut Vec<String>) {
    let at = node.spec_pointer();
    match node.kind.as_str() {
        "WorkflowTemplate" | "PreviewBlueprint" => places.push(at),
        "Template" => places.push(pointer::join(&at, "spec")),
        "Pipeline" => {
            let stages = node.spec.get("stages").and_then(Value::as_array).map_or(0, Vec::len);
            places.extend((0..stages).map(|n| format!("{at}/stages/{n}/releaseFlow/spec")));
            places.push(format!("{at}/preview/spec"));
        }
        _ => {}
    }
    for child in &node.children {
        inner_documents(child, places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_the_top() {
        assert!(is_file_path("/northflank.json") && is_file_path("/a/b-c/d_e.yaml"));
        for path in ["", "/", "a.json", "/a//b", "/a b", "/a/"] {
            assert!(!is_file_path(path), "{path}");
        }
    }
}
