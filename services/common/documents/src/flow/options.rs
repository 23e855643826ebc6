//! `options` of a document.

use serde_json::Value;
use shipway_events::ConcurrencyPolicy;

use crate::{DocumentType, Fields, Problem};

/// `options` of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What happens when it is asked for while it runs.
    pub concurrency_policy: ConcurrencyPolicy,
    /// Whether triggers start nothing.
    pub paused: bool,
    /// Whether every change of it runs it.
    pub autorun: bool,
    /// What only previews have.
    pub preview: PreviewOptions,
}

/// Options of preview templates and blueprints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreviewOptions {
    /// How previews are called: `pr-${args.pullRequestId}`.
    pub name_format: Option<String>,
    /// Whether the name goes before those of resources; else after them.
    pub prefix_name: bool,
    /// Whether the file is taken from the branch that the preview is of.
    pub use_branch_contents: bool,
    /// When a preview goes by itself.
    pub expiry: Option<Expiry>,
}

/// When a preview goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Minutes that it lives.
    pub lifetime: Option<u32>,
    /// Whether they are counted from its last run; else from its making.
    pub reset_on_update: bool,
}

/// The options that only previews have.
pub(super) const PREVIEW: &[&str] = &["nameFormat", "prefixName", "useBranchContents", "schedule", "expiry"];

const EVERYWHERE: &[&str] = &[
    "concurrencyPolicy",
    "paused",
    "autorun",
    "runOnUpdate",
    "runOnCreation",
    "runOnCreationArgumentOverrides",
];

const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The longest life of a preview: ten years of minutes.
const MOST_MINUTES: i64 = 5_256_000;

impl Options {
    pub(super) fn read(document: DocumentType, around: &mut Fields<'_, '_>) -> Self {
        let Some(value) = around.get("options") else { return Self::default() };
        let mut fields = Fields::new(value, "/options", "`options`", around.problems());
        let is_preview = matches!(document, DocumentType::Preview | DocumentType::Blueprint);
        let known: Vec<_> = EVERYWHERE.iter().chain(PREVIEW.iter().filter(|_| is_preview)).copied().collect();
        fields.known(&known);
        let word = fields.one_of("concurrencyPolicy", &["allow", "queue", "forbid", "latest", "replace"]);
        let options = Self {
            concurrency_policy: word.and_then(ConcurrencyPolicy::parse).unwrap_or_default(),
            paused: fields.boolean("paused").unwrap_or_default(),
            autorun: fields.boolean("autorun").unwrap_or_default(),
            preview: if is_preview { PreviewOptions::read(&mut fields) } else { PreviewOptions::default() },
        };
        fields.boolean("runOnUpdate");
        fields.boolean("runOnCreation");
        fields.object("runOnCreationArgumentOverrides");
        if !is_preview {
            for name in PREVIEW.iter().filter(|name| value.get(**name).is_some()) {
                let message = format!("`{name}` is an option of previews, not of {}", document.describe());
                fields.note(Problem::error(fields.at(name), message).at_key().help("take it away"));
            }
        }
        options
    }
}

impl PreviewOptions {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        if let Some(value) = fields.get("schedule") {
            let at = fields.at("schedule");
            let mut schedule = Fields::new(value, &at, "`schedule`", fields.problems());
            schedule.known(DAYS);
            for day in DAYS {
                read_day(day, &mut schedule);
            }
        }
        Self {
            name_format: fields.text("nameFormat").map(str::to_owned),
            prefix_name: fields.boolean("prefixName").unwrap_or_default(),
            use_branch_contents: fields.boolean("useBranchContents").unwrap_or_default(),
            expiry: fields.get("expiry").map(|value| Expiry::read(value, fields)),
        }
    }
}

/// Hours as `HHMM`.
fn read_day(day: &str, schedule: &mut Fields<'_, '_>) {
    let Some(value) = schedule.get(day) else { return };
    let at = schedule.at(day);
    let mut hours = Fields::new(value, &at, &format!("`{day}`"), schedule.problems());
    hours.known(&["startTime", "endTime"]);
    hours.integer("startTime", 0..=2400);
    hours.integer("endTime", 0..=2400);
}

impl Expiry {
    fn read(value: &Value, around: &mut Fields<'_, '_>) -> Self {
        let at = around.at("expiry");
        let mut fields = Fields::new(value, &at, "`expiry`", around.problems());
        fields.known(&["previewLifetime", "resetOnUpdate"]);
        let lifetime = fields.integer("previewLifetime", 1..=MOST_MINUTES);
        Self {
            lifetime: lifetime.and_then(|minutes| u32::try_from(minutes).ok()),
            reset_on_update: fields.boolean("resetOnUpdate").unwrap_or_default(),
        }
    }
}
