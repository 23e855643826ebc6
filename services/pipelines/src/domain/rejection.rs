//! Why a project does not take a change, and the way out: one variant per rule.

use std::fmt;

/// Everything that stands against a command. At least one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The reasons in the order of the document.
    pub(crate) refusals: Vec<Refusal>,
}

/// One reason, and where in the declaration it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// JSON pointer into the declaration; empty for the whole of it.
    pub(crate) pointer: String,
    /// The rule that stands against it.
    pub(crate) why: Why,
}

impl Rejection {
    /// A rejection for one reason.
    pub(crate) fn one(pointer: impl Into<String>, why: Why) -> Self {
        Self { refusals: vec![Refusal { pointer: pointer.into(), why }] }
    }

    /// `Ok` if nothing stands against it.
    pub(super) fn unless_none(refusals: Vec<Refusal>) -> Result<(), Self> {
        if refusals.is_empty() { Ok(()) } else { Err(Self { refusals }) }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.refusals.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{} {}", refusal.why, refusal.why.help())?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejection {}

/// The rules. The message says what and why; [`Why::help`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("the id of a resource of kind {kind} (the slug of its name) has 3 to {most} characters; `{name}` has {}.", .name.len())]
    NameLength { name: String, kind: String, most: usize },
    #[error("`{slug}` is of kind {now} and cannot become a {wanted}.")]
    KindChange { slug: String, now: String, wanted: String },
    #[error("port {port} of `{slug}` is already the port `{name}` of `{other}`.")]
    PortTaken { slug: String, port: u16, name: String, other: String },
    #[error(
        "`{slug}` is a member of {stage}, and a job that builds straight from Git cannot be one: {}",
        GIT_JOB
    )]
    MemberBuildsFromGit { slug: String, stage: String },
    #[error("this project has no resource `{id}`.{suggestion}")]
    NoSuchResource { id: String, suggestion: String },
    #[error(
        "`{id}` is a resource of the project `{project}`; a stage has only resources of its own project."
    )]
    OtherProject { id: String, project: String },
    #[error("`{slug}` is a BuildService: it deploys nothing, so it belongs to no stage.")]
    BuildServiceMember { slug: String },
    #[error(
        "`{slug}` is a CombinedService: it builds and deploys its own branch from Git, past any promotion, so it \
         cannot be a member of a stage."
    )]
    CombinedServiceMember { slug: String },
    #[error(
        "`{slug}` is a job that builds straight from Git, so it cannot be a member of a stage: {}",
        GIT_JOB
    )]
    GitJobMember { slug: String },
    #[error("`{slug}` is a SecretGroup: it has nothing to release, so it belongs to no stage.")]
    SecretGroupMember { slug: String },
    #[error("`{slug}` is of kind {kind}, which is a member of type `{is}`, not `{said}`.")]
    MemberType { slug: String, kind: String, is: &'static str, said: String },
    #[error("`{slug}` is already a member of {stage}; a resource is in at most one pipeline.")]
    InOtherPipeline { slug: String, stage: String },
    #[error("`{slug}` is already a member of {stage}; a resource is in one stage only.")]
    InOtherStage { slug: String, stage: String },
    #[error("`{slug}` is not a member of any stage.")]
    NotAMember { slug: String },
    #[error("{count} stages: a pipeline has the three usual ones or 2 to 20 of its own.")]
    StageCount { count: usize },
    #[error("the stage `{name}` is named twice (the case of letters does not count).")]
    StageTwice { name: String },
    #[error("`{name}` cannot be a stage's name.")]
    StageName { name: String },
    #[error("the pipeline has a stage `{name}` that the document leaves out, and apply never deletes.")]
    StageLeftOut { name: String },
    #[error("the document orders the stages {wanted}; the pipeline has them as {now}.")]
    StageOrder { wanted: String, now: String },
    #[error("this project has no pipeline `{slug}`.{suggestion}")]
    NoSuchPipeline { slug: String, suggestion: String },
    #[error("{path} has no version {version}; its newest is {newest}.")]
    NoSuchVersion { path: String, version: u32, newest: u32 },
    #[error("there is no flow `{flow}` in this project.")]
    NoSuchFlow { flow: String },
    #[error("the flow {path} cannot be read: {problem}")]
    FlowUnreadable { path: String, problem: String },
    #[error(
        "the argument `{argument}` decides what happens in {path}, so its value may not be secret: {problem}"
    )]
    SecretSteers { argument: String, path: String, problem: String },
    #[error("`{argument}` is not an argument's name.")]
    BadArgumentName { argument: String },
    #[error("the document of {path} itself says `options.paused: true`.")]
    PausedByDocument { path: String },
    #[error("there is no hook `{hook}` in this project.")]
    NoSuchHook { hook: String },
    #[error("the hook {hook} has {most} secrets that count, as many as a hook can have.")]
    HookSecrets { hook: String, most: usize },
    #[error(
        "deliveries about a repository are always signed, so that the hook {hook} keeps its newest secret."
    )]
    HookUnsigned { hook: String },
}

const GIT_JOB: &str = "what it runs is whatever the branch holds, so no stage could promise what it has.";

impl Why {
    /// The way out.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::NameLength { .. } => "Choose another name.".into(),
            Self::KindChange { .. } => "Give the new one another name.".into(),
            Self::PortTaken { .. } => "Apply again: a free port is chosen.".into(),
            Self::MemberBuildsFromGit { slug, .. } => format!(
                "Take it out of its stage first (`shipway remove-member {slug}`), or let a build service build it and \
                 name that in `deployment.internal`."
            ),
            Self::NoSuchResource { .. } => {
                "Declare it in the same files, or apply it first; `shipway resources` lists what there is.".into()
            }
            Self::OtherProject { .. } => {
                "Declare a service, job or addon of this project in its place; a flow can release what another \
                 project's build service built."
                    .into()
            }
            Self::BuildServiceMember { .. } => {
                "Leave it out of the stage: flows of every stage can name it in Build and Release nodes.".into()
            }
            Self::CombinedServiceMember { .. } => {
                "Split it into a BuildService and a DeploymentService, and make the latter the member.".into()
            }
            Self::GitJobMember { .. } => {
                "Let a BuildService build it and name that in `deployment.internal`; then it can be a member.".into()
            }
            Self::SecretGroupMember { .. } => {
                "Leave it out; `restrictions.nfObjects` of the group names the services and jobs that get it.".into()
            }
            Self::MemberType { is, .. } => format!("Write `type: {is}`."),
            Self::InOtherPipeline { slug, .. } | Self::InOtherStage { slug, .. } => {
                format!("Moving is removing and adding: `shipway remove-member {slug}` first.")
            }
            Self::NotAMember { .. } => "Nothing has to be removed; `shipway status` shows the stages.".into(),
            Self::StageCount { .. } => "Name Development, Staging and Production, or 2 to 20 other stages.".into(),
            Self::StageTwice { .. } => "Give each stage its own name.".into(),
            Self::StageName { .. } => {
                "Use 3 to 20 letters, digits, and single hyphens or spaces between them.".into()
            }
            Self::StageLeftOut { name } => {
                format!("List `{name}` too (its name is enough), or delete the pipeline first; its resources go on.")
            }
            Self::StageOrder { .. } => {
                "Keep their order: promotion goes from each stage to the next. New stages may stand anywhere.".into()
            }
            Self::NoSuchPipeline { .. } => "`shipway status` shows the pipelines.".into(),
            Self::NoSuchVersion { .. } => "`shipway diff --flow` compares the versions that there are.".into(),
            Self::NoSuchFlow { .. } => "Name it `<pipeline>/<stage>`, as `shop/production`.".into(),
            Self::FlowUnreadable { .. } => "Publish a new version of it first: `shipway apply`.".into(),
            Self::SecretSteers { .. } => "Set it with `--plain`, or use it in variables and messages only.".into(),
            Self::BadArgumentName { .. } => "Use letters, digits, `_` and `-`, at most 100.".into(),
            Self::PausedByDocument { .. } => "Take it out of the document, and `shipway apply` that.".into(),
            Self::NoSuchHook { .. } => "`shipway hooks` lists them.".into(),
            Self::HookSecrets { hook, .. } => {
                format!("End the old ones first, once the sender has the newest: `shipway hook retire {hook}`.")
            }
            Self::HookUnsigned { .. } => "Leave `--all` out: the older ones end.".into(),
        }
    }
}
