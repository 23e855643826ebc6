//! The release flow document.

mod argument;
mod node;
mod trigger;

pub use argument::{Argument, ArgumentType};
pub use node::{Node, is_lock_name, is_skipped};
pub use trigger::{GitTrigger, Trigger, TriggerSource, Webhook};

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{Fields, Problem, Problems, expr, pointer, secret};

/// A release flow. What is not understood is kept in [`Flow::value`].
#[derive(Clone, Debug)]
pub struct Flow {
    /// `v1.2`.
    pub api_version: String,
    /// The arguments in their order.
    pub arguments: Vec<Argument>,
    /// What happens when it is asked for while it runs, and whether it is paused.
    pub options: Options,
    /// What starts it, in order.
    pub triggers: Vec<Trigger>,
    /// The flow's own webhook, if the document says something of it.
    pub webhook: Option<Webhook>,
    /// The root workflow.
    pub root: Node,
    /// The whole document, unknown members and order kept.
    pub value: Value,
    /// What should be written otherwise.
    pub warnings: Problems,
}

/// `options` of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What happens when the flow is asked for while it runs.
    pub concurrency_policy: ConcurrencyPolicy,
    /// Whether triggers start nothing.
    pub paused: bool,
}

/// What happens to a run that is asked for while another run of the flow is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyPolicy {
    /// They run side by side.
    #[default]
    Allow,
    /// First in, first out.
    Queue,
    /// It is skipped.
    Forbid,
    /// Of those that wait only the newest is kept.
    Latest,
    /// The active and the waiting are aborted.
    Replace,
}

impl ConcurrencyPolicy {
    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Queue => "queue",
            Self::Forbid => "forbid",
            Self::Latest => "latest",
            Self::Replace => "replace",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Allow, Self::Queue, Self::Forbid, Self::Latest, Self::Replace]
            .into_iter()
            .find(|policy| policy.as_str() == text)
    }
}

/// A node with its place in the tree.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The node.
    pub node: &'a Node,
    /// The index of the workflow around it; none for the root.
    pub parent: Option<u32>,
}

const MEMBERS: &[&str] = &[
    "$schema",
    "apiVersion",
    "arguments",
    "argumentOverrides",
    "options",
    "gitops",
    "triggers",
    "webhook",
    "richInputs",
    "teardownSpec",
    "spec",
    "name",
    "description",
];

impl Flow {
    /// Reads `{apiVersion, arguments, options, triggers, spec}`. Pointers are those of `value` itself; for a
    /// flow that stands inside another document see [`Problems::under`].
    ///
    /// # Errors
    /// All that is wrong with its shape; what its nodes say is for the node kinds to check.
    pub fn parse(value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let flow = Self::read(value, &mut problems);
        problems.sort();
        match flow {
            Some(flow) if !problems.has_errors() => Ok(Self { warnings: problems, ..flow }),
            _ => Err(problems),
        }
    }

    fn read(value: &Value, problems: &mut Problems) -> Option<Self> {
        refuse_marks(value, "", problems);
        problems.extend(expr::check(value, "", false));
        let mut fields = Fields::new(value, "", "a release flow", problems);
        fields.known(MEMBERS);
        let api_version = fields.text("apiVersion").unwrap_or("v1.2").to_owned();
        if !matches!(api_version.as_str(), "v1" | "v1.1" | "v1.2") {
            let message = format!("`apiVersion` `{api_version}` is not known");
            fields.note(Problem::error("/apiVersion", message).help("write `v1.2`"));
        }
        if fields.get("argumentsOverride").is_some() {
            let problem = Problem::warning("/argumentsOverride", "this is called `argumentOverrides`");
            fields.note(problem.help("overrides are set beside the document: `shipway override`").at_key());
        }
        let arguments = fields.object("arguments").into_iter().flatten();
        let arguments: Vec<_> = arguments.map(|(name, value)| (name.as_str(), value)).collect();
        let options = fields.get("options").cloned();
        let triggers = fields.list("triggers");
        let webhook = fields.get("webhook");
        let Some(spec) = fields.get("spec") else {
            fields.missing("spec", "give the flow its root workflow: `spec: {kind: Workflow, spec: {type: sequential, steps: []}}`");
            return None;
        };
        let arguments: Vec<_> =
            arguments.into_iter().map(|(name, value)| Argument::read(name, value, problems)).collect();
        let options = options.map(|options| Options::read(&options, problems)).unwrap_or_default();
        let triggers = trigger::read_all(triggers, problems);
        let webhook = webhook.and_then(|webhook| Webhook::read(webhook, problems));
        let root = node::read_root(spec, &triggers, problems)?;
        Some(Self {
            api_version,
            arguments,
            options,
            triggers,
            webhook,
            root,
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

impl Options {
    fn read(value: &Value, problems: &mut Problems) -> Self {
        let mut fields = Fields::new(value, "/options", "`options`", problems);
        fields.known(&["concurrencyPolicy", "paused", "autorun", "runOnUpdate"]);
        let word = fields.one_of("concurrencyPolicy", &["allow", "queue", "forbid", "latest", "replace"]);
        let paused = fields.boolean("paused").unwrap_or_default();
        let concurrency_policy = word.and_then(ConcurrencyPolicy::parse).unwrap_or_default();
        if concurrency_policy != ConcurrencyPolicy::Allow {
            let word = concurrency_policy.as_str();
            let message = format!("the policy `{word}` is not kept yet: runs go side by side");
            problems.push(Problem::warning("/options/concurrencyPolicy", message));
        }
        Self { concurrency_policy, paused }
    }
}

/// Refuses what only Shipway may write: a document that holds the mark of a secret could read any secret.
pub(crate) fn refuse_marks(value: &Value, at: &str, problems: &mut Problems) {
    match value {
        mark if secret::is_mark(mark) => {
            problems.push(
                Problem::error(at, "`$secret`, `$text` and `$call` are Shipway's own names")
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
