//! Rich inputs: one choice that fills several arguments.

use serde_json::Value;

use super::Argument;
use crate::{Code, Fields, Problem, Problems, pointer};

/// A choice that is made before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RichInput {
    /// What is chosen.
    pub kind: RichInputKind,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Whether a run by hand needs a choice.
    pub required: bool,
    /// The build service whose commits or builds are shown: an id, or an expression.
    pub source: String,
    /// The arguments that the choice fills, by what fills them: `branch`, `buildSha`, `buildId`.
    pub outputs: Vec<(String, String)>,
    /// Where it stands.
    pub pointer: String,
}

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RichInputKind {
    /// A branch, and a commit of it.
    BranchCommitSelector,
    /// A build.
    BuildSelector,
}

impl RichInputKind {
    /// Its name in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BranchCommitSelector => "BranchCommitSelector",
            Self::BuildSelector => "BuildSelector",
        }
    }

    /// What a choice consists of.
    #[must_use]
    pub const fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::BranchCommitSelector => &["branch", "buildSha"],
            Self::BuildSelector => &["branch", "buildId", "buildSha"],
        }
    }
}

pub(super) fn read_all(document: &Value, arguments: &[Argument], problems: &mut Problems) -> Vec<RichInput> {
    let list = document.get("richInputs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(value) = document.get("richInputs").filter(|value| !value.is_array() && !value.is_null()) {
        let kind = crate::type_name(value);
        let problem = Problem::error("/richInputs", format!("`richInputs` must be a list, not {kind}"));
        problems
            .push(problem.code(Code::FieldType).help("write each as an element: `richInputs: [{kind: …}]`"));
    }
    let each = list.iter().enumerate();
    each.filter_map(|(n, value)| {
        RichInput::read(value, &pointer::item("/richInputs", n), arguments, problems)
    })
    .collect()
}

impl RichInput {
    fn read(value: &Value, at: &str, arguments: &[Argument], problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::new(value, at, "a rich input", problems);
        fields.known(&["kind", "spec"]);
        if fields.get("kind").is_none() {
            fields.missing("kind", "say what is chosen: `kind: BranchCommitSelector`");
        }
        let kind = match fields.text("kind") {
            Some("BuildSelector") => Some(RichInputKind::BuildSelector),
            Some("BranchCommitSelector") => Some(RichInputKind::BranchCommitSelector),
            Some(other) => {
                let problem =
                    Problem::error(fields.at("kind"), format!("no rich input is of kind `{other}`"));
                fields.note(problem.suggest(other, ["BranchCommitSelector", "BuildSelector"]));
                None
            }
            None => None,
        };
        let Some(spec) = fields.get("spec") else {
            fields.missing("spec", "give it `spec: {title, inputs: {source}, outputs}`");
            return None;
        };
        let spec_at = fields.at("spec");
        let mut spec = Fields::new(spec, &spec_at, "the `spec` of a rich input", problems);
        spec.known(&["title", "description", "required", "inputs", "outputs"]);
        let title = spec.text("title").unwrap_or_default().to_owned();
        let description = spec.text("description").unwrap_or_default().to_owned();
        let required = spec.boolean("required").unwrap_or_default();
        let source = read_source(&mut spec).unwrap_or_default();
        let outputs = kind.map(|kind| read_outputs(kind, &mut spec, arguments)).unwrap_or_default();
        Some(Self { kind: kind?, title, description, required, source, outputs, pointer: at.to_owned() })
    }
}

fn read_source(spec: &mut Fields<'_, '_>) -> Option<String> {
    let Some(value) = spec.get("inputs") else {
        spec.missing("inputs", "name the build service: `inputs: {source: api-builder}`");
        return None;
    };
    let at = spec.at("inputs");
    let mut inputs = Fields::new(value, &at, "`inputs`", spec.problems());
    inputs.known(&["source"]);
    inputs.required_text("source", "name the build service by its id").map(str::to_owned)
}

fn read_outputs(
    kind: RichInputKind,
    spec: &mut Fields<'_, '_>,
    arguments: &[Argument],
) -> Vec<(String, String)> {
    let Some(value) = spec.get("outputs") else {
        spec.missing("outputs", "name the arguments that the choice fills: `outputs: {branch: BRANCH}`");
        return Vec::new();
    };
    let at = spec.at("outputs");
    let mut outputs = Fields::new(value, &at, "`outputs`", spec.problems());
    outputs.known(kind.outputs());
    let mut all = Vec::new();
    for output in kind.outputs() {
        let Some(argument) = outputs.text(output) else { continue };
        if arguments.iter().all(|known| known.name != argument) {
            let problem = Problem::error(outputs.at(output), format!("no argument is called `{argument}`"));
            let problem = problem.code(Code::ArgUnknown).help("declare it in `arguments`");
            let known: Vec<_> = arguments.iter().map(|known| known.name.as_str()).collect();
            outputs.note(problem.suggest(argument, known));
        }
        all.push(((*output).to_owned(), argument.to_owned()));
    }
    all
}
