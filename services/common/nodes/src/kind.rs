//! What every node kind says about itself.

use serde_json::Value;
use shipway_documents::{DocumentType, flow::Node};
use shipway_events::run::NodeError;

use crate::{
    Shape, Step, StepContext, Validation,
    step::{codes, fail},
    supported,
};

/// A node kind. Adding one is a file in `kinds/` and a line in [`crate::KINDS`].
pub trait Kind: Sync {
    /// Its name in documents.
    fn name(&self) -> &'static str;

    /// The shape of its `spec`.
    fn shape(&self) -> &'static Shape;

    /// The words that `condition` may be; none where there is nothing to wait for.
    fn conditions(&self) -> &'static [&'static str] {
        &[]
    }

    /// Pointers in `spec` under which values may depend on a secret. All other fields steer.
    fn payload(&self) -> &'static [&'static str] {
        &[]
    }

    /// Notes what the shape alone cannot show.
    fn validate(&self, node: &Node, ctx: &mut Validation<'_>) {
        let _ = (node, ctx);
    }

    /// The resources that it names, where the name is no expression.
    fn uses(&self, node: &Node) -> Vec<Use> {
        let _ = node;
        Vec::new()
    }

    /// What later nodes can refer to.
    fn outputs(&self, spec: &Value) -> Outputs {
        let _ = spec;
        Outputs::default()
    }

    /// Whether what follows waits for its end; else it goes on as soon as it has started.
    fn awaited(&self, spec: &Value, condition: Option<&str>) -> bool {
        let _ = spec;
        condition.is_some() || !self.may_be_detached()
    }

    /// Whether it can be left to itself at all: work that has an end worth recording after its start.
    fn may_be_detached(&self) -> bool {
        false
    }

    /// What it asks for, now that its `spec` is resolved.
    ///
    /// # Errors
    /// Why it cannot start: a value of the wrong type, a resource that is not there, nothing to deploy. Of a kind
    /// that flows do not run: that, and what they do run.
    fn step(&self, spec: &Value, ctx: &StepContext<'_>) -> Result<Step, NodeError> {
        let _ = spec;
        let (node, kind) = (ctx.reference, self.name());
        let all = supported().join(", ");
        let message = format!("`{node}` is of kind `{kind}`, which flows do not run; they run {all}");
        Err(fail(codes::UNSUPPORTED, message))
    }

    /// Whether the place in its `spec` is a variable of a program that it starts, which can be given a secret file.
    fn takes_file(&self, place: &str) -> bool {
        let _ = place;
        false
    }

    /// The documents that stand in its `spec`, each with its place there.
    fn documents(&self, spec: &Value) -> Vec<(String, DocumentType)> {
        self.shape().documents(spec)
    }

    /// The JSON Schema of its `spec` as documents write it: every value may be an expression.
    fn config_schema(&self) -> Value {
        self.shape().published()
    }
}

/// A resource that a node names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its id in documents.
    pub slug: String,
    /// What it has to be.
    pub kind: UseKind,
    /// Where it is named.
    pub pointer: String,
    /// What it is to the flow.
    pub role: Role,
}

/// What a named resource has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseKind {
    /// A deployment service.
    Service,
    /// A job.
    Job,
    /// An addon.
    Addon,
    /// A build or combined service.
    BuildService,
}

/// What a named resource is to the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The node changes or runs it: a member of the flow's own stage.
    Member,
    /// The node promotes from it: a member of the stage before.
    PreviousMember,
    /// The node builds with it or takes its builds: stage-less.
    BuildService,
    /// The node only looks at it.
    Watched,
}

/// The paths that a node's outputs have. A path that ends with `.*` has anything below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Known as soon as it has started.
    pub always: Vec<String>,
    /// Known when it has ended well.
    pub finished: Vec<String>,
    /// Those that the format has and this version does not give.
    pub later: Vec<String>,
    /// Whether it may have others: a path that is not declared is a warning then, else an error.
    pub open: bool,
}

/// How an output path stands to a kind's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFit {
    /// Known as soon as the node has started.
    Always,
    /// Known when the node has ended well.
    Finished,
    /// In the format, and not given by this version.
    Later,
    /// Not declared, and the kind may have others.
    Open,
    /// Not declared.
    Unknown,
}

impl Outputs {
    pub(crate) fn of(always: &[&str], finished: &[&str]) -> Self {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self { always: owned(always), finished: owned(finished), ..Self::default() }
    }

    /// The same, and these when it has ended well.
    pub(crate) fn and(mut self, finished: &[&str]) -> Self {
        self.finished.extend(finished.iter().map(|path| (*path).to_owned()));
        self
    }

    /// The same, and what the format has beside that.
    pub(crate) fn and_later(mut self, later: &[&str]) -> Self {
        self.later = later.iter().map(|path| (*path).to_owned()).collect();
        self
    }

    /// The same, and maybe others.
    pub(crate) fn and_others(mut self) -> Self {
        self.open = true;
        self
    }

    /// A path, or a part of one, or anything below a `.*`.
    #[must_use]
    pub fn fit(&self, path: &[String]) -> PathFit {
        let path = path.join(".");
        let matches = |declared: &String| {
            let (stem, open) =
                declared.strip_suffix(".*").map_or((declared.as_str(), false), |stem| (stem, true));
            let below = |whole: &str, part: &str| {
                whole.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            path.is_empty() || below(stem, &path) || (open && below(&path, stem))
        };
        if path.is_empty() || self.always.iter().any(matches) {
            PathFit::Always
        } else if self.finished.iter().any(matches) {
            PathFit::Finished
        } else if self.later.iter().any(matches) {
            PathFit::Later
        } else if self.open {
            PathFit::Open
        } else {
            PathFit::Unknown
        }
    }

    /// The declared paths, those that are always known first.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let all = self.always.iter().chain(&self.finished);
        all.map(|path| path.strip_suffix(".*").unwrap_or(path)).collect()
    }
}
