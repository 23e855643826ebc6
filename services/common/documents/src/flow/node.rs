//! The nodes of a flow: the envelope that every kind has.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shipway_events::{
    EffectClass,
    plan::{Backoff, Retry, When},
};

use super::Trigger;
use crate::{Code, Fields, Problem, Problems, is_expression, js, names, pointer, way_to};

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name in `${refs.<ref>…}`; made from its kind and target where the document gives none.
    pub reference: String,
    /// Whether the document gives the name.
    pub named: bool,
    /// Its kind, as written: `Build`.
    pub kind: String,
    /// Where it stands: `/spec/spec/steps/0`.
    pub pointer: String,
    /// Its `spec`; a workflow's without its steps.
    pub spec: Value,
    /// `condition`: what is waited for.
    pub condition: Option<String>,
    /// `timeoutDuration`: seconds, or an expression.
    pub timeout: Option<Value>,
    /// `retry`.
    pub retry: Option<Retry>,
    /// `when`: the fate of what came before that lets it start.
    pub when: When,
    /// `skipNodeExecution`: a value or an expression; see [`is_skipped`].
    pub skip: Option<Value>,
    /// `effect`, if the document declares it.
    pub effect: Option<EffectClass>,
    /// `runNodeOnce`: whether it runs in the first run for an environment only, which previews have.
    pub once: bool,
    /// `interruptible`; true unless the document says otherwise.
    pub interruptible: bool,
    /// `runsOn`: labels that the executor of the node must have.
    pub runs_on: Vec<String>,
    /// `locks`: names that it holds while it runs, across flows; texts with expressions over arguments or none.
    pub locks: Vec<String>,
    /// `dependsOn`, inside a workflow of type `graph`.
    pub depends_on: Vec<String>,
    /// The steps of a workflow, in order.
    pub children: Vec<Node>,
}

impl Node {
    /// Where its `spec` stands.
    #[must_use]
    pub fn spec_pointer(&self) -> String {
        pointer::join(&self.pointer, "spec")
    }
}

/// Whether a resolved `skipNodeExecution` skips: JavaScript's truth, with `"false"` for false.
#[must_use]
pub fn is_skipped(value: &Value) -> bool {
    value != "false" && js::truthy(value)
}

/// How deep workflows may be nested.
const MAX_NESTING: usize = 16;

const MEMBERS: &[&str] = &[
    "kind",
    "ref",
    "spec",
    "condition",
    "timeoutDuration",
    "skipNodeExecution",
    "runNodeOnce",
    "updateMode",
    "settings",
    "response",
    "when",
    "retry",
    "locks",
    "interruptible",
    "dependsOn",
    "runsOn",
    "effect",
    "name",
    "description",
];

pub(super) fn read_root(spec: &Value, triggers: &[Trigger], problems: &mut Problems) -> Option<Node> {
    let mut root = read(spec, "/spec", 0, problems)?;
    if root.kind != "Workflow" {
        problems.push(
            Problem::error("/spec/kind", format!("the root of a flow is a `Workflow`, not `{}`", root.kind))
                .help("put the node into the `steps` of a workflow"),
        );
    }
    let given = triggers.iter().map(|trigger| (trigger.reference.clone(), trigger.pointer.clone()));
    let mut taken: BTreeMap<String, String> = given.collect();
    claim_given(&root, &mut taken, triggers, problems);
    make_names(&mut root, &mut taken, &mut BTreeMap::new());
    Some(root)
}

fn read(value: &Value, at: &str, depth: usize, problems: &mut Problems) -> Option<Node> {
    let mut fields = Fields::new(value, at, "a node", problems);
    fields.known(MEMBERS);
    let kind = fields.required_text("kind", "say what the node does: `kind: Build`")?.to_owned();
    let reference = fields.text("ref").map(str::to_owned);
    refuse_expressions(FIXED, &mut fields);
    if fields.get("waitForCompletion").is_some_and(|value| *value != false && value != "false") {
        let message = "`waitForCompletion` is not known here and has no effect";
        let problem = Problem::warning(fields.at("waitForCompletion"), message).code(Code::FieldUnknown);
        fields.note(problem.at_key().help("say what is waited for: `condition: success`, or `running`"));
    }
    let condition =
        fields.text("condition").filter(|text| !text.is_empty() && !is_expression(&Value::from(*text)));
    fields.integer("timeoutDuration", 30..=14_400);
    let mut node = Node {
        named: reference.is_some(),
        reference: reference.unwrap_or_default(),
        pointer: at.to_owned(),
        spec: own_spec(&kind, fields.get("spec")),
        condition: condition.map(str::to_owned),
        kind,
        timeout: fields.get("timeoutDuration").cloned(),
        retry: read_retry(&mut fields),
        when: read_when(&mut fields),
        skip: fields.get("skipNodeExecution").cloned(),
        effect: fields.one_of("effect", &["keyed", "fenced", "checked", "once"]).and_then(EffectClass::parse),
        once: fields.boolean("runNodeOnce").unwrap_or_default(),
        interruptible: fields.boolean("interruptible").unwrap_or(true),
        locks: fields.texts("locks"),
        depends_on: fields.texts("dependsOn"),
        runs_on: fields.texts("runsOn"),
        children: Vec::new(),
    };
    check_reference(&node, &mut fields);
    check_labels(&node, &mut fields);
    check_locks(&node, &mut fields);
    fields.one_of("updateMode", &["put", "patch"]);
    for name in ["name", "description"] {
        fields.text(name);
    }
    if let Some(spec) = fields.get("spec").filter(|spec| !spec.is_object()) {
        let message = format!("`spec` must be an object, not {}", js::type_name(spec));
        let problem = Problem::error(fields.at("spec"), message).code(Code::FieldType);
        fields.note(problem.help(way_to("an object")));
        return None;
    }
    if holds_steps(&node.kind) {
        read_steps(&mut node, value.pointer("/spec/steps"), depth, problems);
    }
    Some(node)
}

/// Members that a run's plan reads before anything is resolved, and what to write there.
const FIXED: &[(&str, &str)] = &[
    ("condition", "write `success` or `running`"),
    ("when", "write `success`, `failure` or `always`; `skipNodeExecution` can hold an expression"),
    ("effect", "write `keyed`, `fenced`, `checked` or `once`"),
    ("interruptible", "write `true` or `false`"),
    ("runNodeOnce", "write `true` or `false`"),
    ("updateMode", "write `put` or `patch`"),
    ("locks", "write a list; the names in it can hold expressions"),
    ("dependsOn", "write a list of the nodes that go before: `dependsOn: [build]`"),
    ("runsOn", "write a list of labels: `runsOn: [gpu]`"),
];

/// The same in `retry` and its `backoff`.
const FIXED_RETRY: &[(&str, &str)] = &[
    ("maxAttempts", "write a number from 1 to 100"),
    ("backoff", "write `fixed` or `exponential`"),
    ("type", "write `fixed` or `exponential`"),
    ("delay", "write a number of seconds"),
    ("maxDelay", "write a number of seconds"),
    ("jitter", "write `true` or `false`"),
];

/// Notes expressions where nothing would resolve them: they would count as if nothing were said.
fn refuse_expressions(fixed: &[(&str, &str)], fields: &mut Fields<'_, '_>) {
    for (key, help) in fixed {
        if fields.get(key).is_some_and(is_expression) {
            let message = format!("`{key}` cannot hold an expression");
            fields.note(Problem::error(fields.at(key), message).help(*help));
        }
    }
}

/// Whether nodes of that kind have other nodes in their `steps`.
#[must_use]
pub fn holds_steps(kind: &str) -> bool {
    matches!(kind, "Workflow" | "LoopWorkflow")
}

/// The `spec` of a node without its steps: they become nodes of their own, and what is in them is not copied once for
/// every workflow around.
fn own_spec(kind: &str, spec: Option<&Value>) -> Value {
    match spec {
        Some(Value::Object(members)) if holds_steps(kind) => {
            let own = members.iter().filter(|(name, _)| *name != "steps");
            Value::Object(own.map(|(name, member)| (name.clone(), member.clone())).collect())
        }
        Some(spec) => spec.clone(),
        None => Value::Object(Map::new()),
    }
}

fn read_steps(node: &mut Node, steps: Option<&Value>, depth: usize, problems: &mut Problems) {
    let at = pointer::join(&node.spec_pointer(), "steps");
    if depth >= MAX_NESTING {
        let message = format!("workflows are nested more than {MAX_NESTING} deep");
        let problem = Problem::error(node.pointer.clone(), message);
        problems.push(problem.help("make flows of the inner ones, started by `RunTemplate` nodes"));
        return;
    }
    match steps {
        Some(Value::Array(steps)) => {
            for (n, step) in steps.iter().enumerate() {
                node.children.extend(read(step, &pointer::item(&at, n), depth + 1, problems));
            }
        }
        Some(other) => {
            let kind = js::type_name(other);
            let problem = Problem::error(at, format!("`steps` must be a list of nodes, not {kind}"));
            problems
                .push(problem.code(Code::FieldType).help("write each as an element: `steps: [{kind: …}]`"));
        }
        None => problems.push(
            Problem::error(node.spec_pointer(), "`steps` is missing")
                .code(Code::FieldMissing)
                .help("list the nodes of the workflow: `steps: []`"),
        ),
    }
}

/// A label is one word, so that it can stand in a setting.
fn check_labels(node: &Node, fields: &mut Fields<'_, '_>) {
    let fits = |label: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '=');
        !label.is_empty() && label.len() <= 63 && label.chars().all(plain)
    };
    if let Some(bad) = node.runs_on.iter().find(|label| !fits(label)) {
        let message = format!("`{bad}` is no label of an executor");
        let help = "use letters, digits, `-`, `_`, `.`, `/` and `=`, at most 63: `runsOn: [gpu]`";
        fields.note(Problem::error(fields.at("runsOn"), message).help(help));
    }
    if holds_steps(&node.kind) && !node.runs_on.is_empty() {
        let problem = Problem::error(fields.at("runsOn"), "a workflow runs on no executor");
        fields.note(problem.help("write `runsOn` on the nodes in it"));
    }
}

/// A lock's name is a part of a stream's.
fn check_locks(node: &Node, fields: &mut Fields<'_, '_>) {
    let is_text = |name: &&String| !is_expression(&Value::from(name.as_str()));
    if let Some(bad) = node.locks.iter().filter(is_text).find(|name| !is_lock_name(name)) {
        let message = format!("`{bad}` is no name of a lock");
        let help = "use letters, digits, `-` and `_`, at most 60: `locks: [database]`";
        fields.note(Problem::error(fields.at("locks"), message).help(help));
    }
}

/// Whether a text can name a lock.
#[must_use]
pub fn is_lock_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= 60 && name.chars().all(plain)
}

fn check_reference(node: &Node, fields: &mut Fields<'_, '_>) {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if node.named && (node.reference.is_empty() || !node.reference.chars().all(plain)) {
        let message = format!("`{}` is no name for a node", node.reference);
        fields.note(
            Problem::error(fields.at("ref"), message)
                .code(Code::RefInvalid)
                .help("use letters, digits, `-` and `_`"),
        );
    }
}

fn read_when(fields: &mut Fields<'_, '_>) -> When {
    match fields.one_of("when", &["success", "failure", "always"]) {
        Some("failure") => When::Failure,
        Some("always") => When::Always,
        _ => When::Success,
    }
}

/// `retry`, or the `settings` that run documents carry.
fn read_retry(fields: &mut Fields<'_, '_>) -> Option<Retry> {
    let (own, settings) = (read_retry_of("retry", fields), read_retry_of("settings", fields));
    own.or(settings)
}

fn read_retry_of(key: &str, fields: &mut Fields<'_, '_>) -> Option<Retry> {
    let (value, at) = (fields.get(key)?, fields.at(key));
    let mut inner = Fields::new(value, &at, &format!("`{key}`"), fields.problems());
    inner.known(&["maxAttempts", "backoff", "delay", "maxDelay", "jitter"]);
    refuse_expressions(FIXED_RETRY, &mut inner);
    let attempts = inner.integer("maxAttempts", 1..=100);
    let seconds = |fields: &mut Fields<'_, '_>, key: &str| {
        fields.integer(key, 0..=86_400).and_then(|seconds| u32::try_from(seconds).ok())
    };
    let (mut delay, max_delay) = (seconds(&mut inner, "delay"), seconds(&mut inner, "maxDelay"));
    let word = match inner.get("backoff") {
        Some(Value::Object(_)) => {
            let (value, at) = (inner.get("backoff")?, inner.at("backoff"));
            let mut backoff = Fields::new(value, &at, "`backoff`", inner.problems());
            refuse_expressions(FIXED_RETRY, &mut backoff);
            let inner_delay = seconds(&mut backoff, "delay");
            delay = delay.or(inner_delay);
            backoff.one_of("type", &["fixed", "exponential"])
        }
        _ => inner.one_of("backoff", &["fixed", "exponential"]),
    };
    let jitter = inner.boolean("jitter").unwrap_or_default();
    let backoff = if word == Some("exponential") { Backoff::Exponential } else { Backoff::Fixed };
    Some(Retry {
        max_attempts: attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(3),
        backoff,
        delay: delay.unwrap_or_default(),
        max_delay,
        jitter,
    })
}

/// Takes the names that nodes are given; `taken` says where each was given first.
fn claim_given(
    node: &Node,
    taken: &mut BTreeMap<String, String>,
    triggers: &[Trigger],
    problems: &mut Problems,
) {
    let name = &node.reference;
    match taken.get(name).filter(|_| node.named) {
        Some(first) => {
            let is_trigger = triggers.iter().any(|trigger| trigger.reference == *name);
            let other = if is_trigger { "a trigger" } else { "another node" };
            let message = format!("`{name}` is already the name of {other}");
            problems.push(
                Problem::error(pointer::join(&node.pointer, "ref"), message)
                    .code(Code::RefDuplicate)
                    .related(pointer::join(first, "ref"), format!("the first `{name}` is here"))
                    .help("give each node its own `ref`"),
            );
        }
        None if node.named => {
            taken.insert(name.clone(), node.pointer.clone());
        }
        None => {}
    }
    for child in &node.children {
        claim_given(child, taken, triggers, problems);
    }
}

/// Names for nodes without one: kind and target, numbered from the second on. `counts` is how many were made of
/// each so far.
fn make_names(node: &mut Node, taken: &mut BTreeMap<String, String>, counts: &mut BTreeMap<String, u32>) {
    if !node.named {
        let base = base_name(&node.kind, &node.spec);
        let count = counts.entry(base.clone()).or_insert(1);
        let mut name = base.clone();
        while taken.contains_key(&name) {
            *count += 1;
            name = format!("{base}-{count}");
        }
        taken.insert(name.clone(), node.pointer.clone());
        node.reference = name;
    }
    for child in &mut node.children {
        make_names(child, taken, counts);
    }
}

/// Where kinds name what they work on.
const TARGETS: &[&str] = &[
    "/target/id",
    "/id",
    "/jobId",
    "/addonId",
    "/spec/data/serviceId",
    "/spec/data/jobId",
    "/spec/data/addonId",
    "/name",
];

/// The name of a node that is given none.
pub(crate) fn base_name(kind: &str, spec: &Value) -> String {
    let mut name = String::new();
    for (n, c) in kind.chars().enumerate() {
        if c.is_uppercase() && n > 0 {
            name.push('-');
        }
        name.extend(c.to_lowercase());
    }
    let target = TARGETS.iter().find_map(|target| spec.pointer(target)?.as_str());
    match target.filter(|target| !target.contains("${")).map(names::slug) {
        Some(target) if !target.is_empty() => format!("{name}-{target}"),
        _ => name,
    }
}
