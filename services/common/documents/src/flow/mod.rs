//! The documents that hold nodes: a release flow, and the other types, which have the same parts.

mod argument;
mod form;
mod node;
mod options;
mod recognise;
mod rich_input;
mod top;
mod trigger;

pub use argument::{Argument, ArgumentType, unresolved};
pub use form::{Field, Form, Selector};
pub(crate) use node::base_name;
pub use node::{Node, holds_steps, is_lock_name, is_skipped};
pub use options::{Expiry, Options, PreviewOptions};
pub use recognise::recognise;
pub use rich_input::{RichInput, RichInputKind};
pub use top::{CrossProjectAccess, GitOps, members_of_documents, places_of};
pub use trigger::{
    CronTrigger, GitTrigger, Missed, Trigger, TriggerSource, TypedKind, TypedTrigger, Webhook,
};

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{Document, DocumentType, Fields, Problem, Problems, pointer, secret};

/// A release flow, or a document of another type. What is not understood is kept in [`Flow::value`].
#[derive(Clone, Debug)]
pub struct Flow {
    /// What it was read as.
    pub document_type: DocumentType,
    /// `v1.2`.
    pub api_version: String,
    /// Its name, of the types that have one.
    pub name: Option<String>,
    /// What people said about it.
    pub description: String,
    /// The arguments in their order.
    pub arguments: Vec<Argument>,
    /// What people choose from when they start it.
    pub rich_inputs: Vec<RichInput>,
    /// What happens when it is asked for while it runs, and whether it is paused.
    pub options: Options,
    /// The file that it is kept in.
    pub gitops: Option<GitOps>,
    /// What starts it, in order.
    pub triggers: Vec<Trigger>,
    /// The flow's own webhook, if the document says something of it.
    pub webhook: Option<Webhook>,
    /// The root workflow.
    pub root: Node,
    /// What takes away again what it has made.
    pub teardown: Option<Teardown>,
    /// The project that it belongs to, if it says so.
    pub project: Option<String>,
    /// The stage that a workflow belongs to.
    pub stage_id: Option<String>,
    /// Which other projects may run a workflow.
    pub cross_project_access: Option<CrossProjectAccess>,
    /// The whole document, unknown members and order kept.
    pub value: Value,
    /// What should be written otherwise.
    pub warnings: Problems,
}

/// The `teardownSpec` of a document.
#[derive(Clone, Debug)]
pub struct Teardown {
    /// It, read as a document of its own; its nodes may refer to those of the document around.
    pub flow: Box<Flow>,
    /// Where it stands: put this before its pointers.
    pub pointer: String,
    /// Whether what it belongs to stays when it fails; else that is deleted all the same.
    pub blocks: bool,
}

/// A node with its place in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The node.
    pub node: &'a Node,
    /// The index of the workflow around it; none for the root.
    pub parent: Option<u32>,
}

impl Flow {
    /// Reads a release flow: `{apiVersion, arguments, options, triggers, spec}`. Pointers are those of `value` itself;
    /// for a flow that stands inside another document see [`Problems::under`].
    ///
    /// # Errors
    /// All that is wrong with its shape; what its nodes say is for the node kinds to check.
    pub fn parse(value: &Value) -> Result<Self, Problems> {
        Self::parse_as(DocumentType::ReleaseFlow, value)
    }

    /// Reads a document of that type.
    ///
    /// # Errors
    /// As for [`Flow::parse`].
    pub fn parse_as(document: DocumentType, value: &Value) -> Result<Self, Problems> {
        match Self::examine(document, value, false) {
            (Some(flow), problems) if !problems.has_errors() => Ok(Self { warnings: problems, ..flow }),
            (_, problems) => Err(problems),
        }
    }

    /// Reads as much of a document as can be read, and says all that is wrong with its shape: for checks that go on
    /// after the first error. In a `nested` document expressions may be `${template.…}`. None where there is no root
    /// workflow to be read.
    #[must_use]
    pub fn examine(document: DocumentType, value: &Value, nested: bool) -> (Option<Self>, Problems) {
        let mut problems = Problems::new();
        let flow = Self::read(document, value, nested, &mut problems);
        problems.sort();
        (flow, problems)
    }

    fn read(document: DocumentType, value: &Value, nested: bool, problems: &mut Problems) -> Option<Self> {
        refuse_marks(value, "", problems);
        let mut fields = Fields::new(value, "", document.describe(), problems);
        top::check_places(document, value, nested, &mut fields);
        let api_version = top::api_version(&mut fields);
        let name = top::name(document, &mut fields);
        let description = top::description(document, &mut fields);
        let arguments = top::arguments(&mut fields);
        let triggers = fields.list("triggers");
        let webhook = fields.get("webhook");
        let gitops = GitOps::read(&mut fields);
        let (project, other) = (fields.text("project"), fields.text("projectId"));
        let project = project.or(other).map(str::to_owned);
        let stage_id = fields.text("stageId").map(str::to_owned);
        let cross_project_access = CrossProjectAccess::read(&mut fields);
        let options = Options::read(document, &mut fields);
        let teardown = Teardown::read(nested, &mut fields);
        let arguments: Vec<_> =
            arguments.into_iter().map(|(name, value)| Argument::read(name, value, problems)).collect();
        let triggers = trigger::read_all(triggers, problems);
        let webhook = webhook.and_then(|webhook| Webhook::read(webhook, problems));
        let rich_inputs = rich_input::read_all(value, &arguments, problems);
        let root = match value.get("spec").filter(|spec| !spec.is_null()) {
            Some(spec) => node::read_root(spec, &triggers, problems),
            None => {
                if value.is_object() {
                    let problem = Problem::error("", "`spec` is missing");
                    problems.push(problem.help(format!("give {} its root workflow: `spec: {{kind: Workflow, spec: {{type: sequential, steps: []}}}}`", document.describe().replacen("a ", "the ", 1))));
                }
                None
            }
        };
        problems.extend(top::check_expressions(value, root.as_ref(), nested));
        Some(Self {
            document_type: document,
            api_version,
            name,
            description,
            arguments,
            rich_inputs,
            options,
            gitops,
            triggers,
            webhook,
            root: root?,
            teardown,
            project,
            stage_id,
            cross_project_access,
            value: value.clone(),
            warnings: Problems::new(),
        })
    }

    /// The nodes in the order of a plan: the root first, parents before their children. The place in this
    /// list is a node's index.
    #[must_use]
    pub fn nodes(&self) -> Vec<Placed<'_>> {
        fn visit<'a>(node: &'a Node, parent: Option<u32>, all: &mut Vec<Placed<'a>>) {
            let index = u32::try_from(all.len()).ok();
            all.push(Placed { node, parent });
            for child in &node.children {
                visit(child, index, all);
            }
        }
        let mut all = Vec::new();
        visit(&self.root, None, &mut all);
        all
    }

    /// The arguments of a run: what the document says, below overrides, below what the run was given. Values
    /// for typed arguments that came as text are read as their type.
    ///
    /// # Errors
    /// Required arguments without a value, and values of the wrong type; pointers are `/arguments/<name>`.
    pub fn argument_values(
        &self,
        overrides: &Map<String, Value>,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Problems> {
        let mut values = Map::new();
        let mut problems = Problems::new();
        for argument in &self.arguments {
            let value = [given.get(&argument.name), overrides.get(&argument.name), argument.default.as_ref()];
            match value.into_iter().flatten().next() {
                Some(value) => match argument.accept(value) {
                    Ok(value) => {
                        values.insert(argument.name.clone(), value);
                    }
                    Err(problem) => problems.push(problem),
                },
                None if argument.required => problems.push(argument.missing()),
                None => {}
            }
        }
        for (name, value) in overrides.iter().chain(given) {
            if self.arguments.iter().all(|argument| argument.name != *name) {
                values.insert(name.clone(), value.clone());
            }
        }
        if problems.is_empty() { Ok(values) } else { Err(problems) }
    }

    /// The document without the nodes at these pointers.
    #[must_use]
    pub fn without(&self, pointers: &[String]) -> Value {
        let mut lists: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for pointer in pointers {
            if let Some((list, index)) = pointer.rsplit_once('/')
                && let Ok(index) = index.parse()
            {
                lists.entry(list).or_default().push(index);
            }
        }
        let mut value = self.value.clone();
        // Inner lists come after the lists around them in the order of the map; they go first.
        for (list, mut indexes) in lists.into_iter().rev() {
            indexes.sort_unstable();
            indexes.dedup();
            if let Some(items) = value.pointer_mut(list).and_then(Value::as_array_mut) {
                for index in
                    indexes.into_iter().rev().filter(|index| *index < items.len()).collect::<Vec<_>>()
                {
                    items.remove(index);
                }
            }
        }
        value
    }
}

impl Document {
    /// Reads it as a document of that type.
    ///
    /// # Errors
    /// All that is wrong with its shape, with lines and columns.
    pub fn parse_as(&self, document: DocumentType) -> Result<Flow, Problems> {
        let located = |mut problems: Problems| {
            self.locate(&mut problems);
            problems
        };
        match Flow::parse_as(document, &self.value) {
            Ok(flow) => Ok(Flow { warnings: located(flow.warnings), ..flow }),
            Err(problems) => Err(located(problems)),
        }
    }
}

impl Teardown {
    fn read(nested: bool, fields: &mut Fields<'_, '_>) -> Option<Self> {
        let (value, pointer) = (fields.get("teardownSpec")?, fields.at("teardownSpec"));
        let (flow, problems) = Flow::examine(DocumentType::Teardown, value, nested);
        fields.problems().extend(problems.under(&pointer));
        let blocks = value.get("failurePolicy").is_some_and(|policy| policy == "block");
        flow.map(|flow| Self { flow: Box::new(flow), pointer, blocks })
    }
}

/// Refuses what only Shipway may write: a document that holds the mark of a secret could read any secret.
pub(crate) fn refuse_marks(value: &Value, at: &str, problems: &mut Problems) {
    match value {
        mark if secret::is_mark(mark) => {
            problems.push(
                Problem::error(at, "`$secret`, `$text`, `$call` and `$file` are Shipway's own names")
                    .help("use an argument and give it a secret override"),
            );
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                refuse_marks(item, &pointer::item(at, n), problems);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                refuse_marks(member, &pointer::join(at, key), problems);
            }
        }
        _ => {}
    }
}
