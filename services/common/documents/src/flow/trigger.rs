//! What starts a flow: the Git list of release flows, and the typed list.

mod cron;
mod typed;

pub use cron::{CronTrigger, Missed};
pub use typed::{TypedKind, TypedTrigger};

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Code, Fields, Problem, Problems, is_expression, pointer, suggest};

/// A trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Its name in `${triggers.<ref>…}` and `${refs.<ref>…}`.
    pub reference: String,
    /// Where it stands.
    pub pointer: String,
    /// What it waits for.
    pub source: TriggerSource,
}

/// What a trigger waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerSource {
    /// A push.
    Git(GitTrigger),
    /// A request to its own address.
    Webhook(Webhook),
    /// Something else of the typed list: a pull request, a label, a release, checks, a time.
    Typed(TypedTrigger),
}

/// A push to a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitTrigger {
    /// `github`, `gitlab`, `bitbucket`, `azure` or `self-hosted`.
    pub vcs_service: String,
    /// The linked account, if named.
    pub account_login: Option<String>,
    /// The linked account as older documents name it.
    pub vcs_link_id: Option<String>,
    /// The linked account of a host of one's own.
    pub self_hosted_vcs_id: Option<String>,
    /// The repository.
    pub repo_url: String,
    /// Patterns of branches; `*` is any run of characters; none match when empty.
    pub branch_restrictions: Vec<String>,
    /// Patterns of the source branches of pull requests.
    pub pr_restrictions: Vec<String>,
    /// Rules for changed files, in the syntax of `.gitignore`.
    pub path_ignore_rules: Vec<String>,
    /// Whether those files start it, instead of being ignored.
    pub is_allow_list: bool,
    /// Texts in a commit's message that keep it from starting; none when they are switched off.
    pub ci_ignore_flags: Vec<String>,
    /// Whether drafts of pull requests start nothing.
    pub ignore_drafts: bool,
    /// Whether it only holds values for runs by hand.
    pub manual_only: bool,
    /// Whether the host hears nothing of its runs: `commitStatus: false`.
    pub silent: bool,
}

/// A request to an address of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Webhook {
    /// Whether it is on.
    pub enabled: bool,
    /// The last part of the address, if the document chooses it.
    pub token: Option<String>,
}

/// What keeps a commit from starting anything unless a trigger says otherwise.
const DEFAULT_FLAGS: &[&str] = &[
    "[skip ci]",
    "[ci skip]",
    "[no ci]",
    "[skip nf]",
    "[nf skip]",
    "[northflank skip]",
    "[skip northflank]",
];

pub(super) const SERVICES: &[&str] = &["github", "gitlab", "bitbucket", "azure", "self-hosted"];

const GIT_MEMBERS: &[&str] = &[
    "ref",
    "id",
    "type",
    "kind",
    "vcsService",
    "accountLogin",
    "vcsLinkId",
    "selfHostedVcsId",
    "repoUrl",
    "commitStatus",
    "branchRestrictions",
    "prRestrictions",
    "pathIgnoreRules",
    "isAllowList",
    "ciIgnoreFlagsEnabled",
    "ciIgnoreFlags",
    "ignoreDrafts",
    "manualOnly",
];

pub(super) fn read_all(list: &[Value], problems: &mut Problems) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    let mut names = BTreeSet::new();
    for (n, value) in list.iter().enumerate() {
        let at = pointer::item("/triggers", n);
        if let Some(trigger) = Trigger::read(value, &at, problems) {
            if !names.insert(trigger.reference.clone()) {
                let message = format!("two triggers are called `{}`", trigger.reference);
                let problem = Problem::error(pointer::join(&at, "ref"), message).code(Code::RefDuplicate);
                problems.push(problem.help("give each its own `ref`"));
            }
            triggers.push(trigger);
        }
    }
    cron::only_one(&triggers, problems);
    triggers
}

impl Trigger {
    fn read(value: &Value, at: &str, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::new(value, at, "a trigger", problems);
        // Without a name it is of no use, but what else is wrong with it is said all the same.
        let reference = fields
            .required_text("ref", "name it, to use its values: `${triggers.<ref>.branch}`")
            .map(str::to_owned);
        let pointer = at.to_owned();
        fields.text("id");
        let source = match fields.text("kind") {
            None | Some("git") => TriggerSource::Git(GitTrigger::read_legacy(&mut fields)),
            Some("vcs-push") => TriggerSource::Git(GitTrigger::read_push(value, at, problems)?),
            Some("webhook") => TriggerSource::Webhook(Webhook::read_typed(value, at, problems)),
            Some(kind) => match TypedKind::parse(kind) {
                Some(kind) => TriggerSource::Typed(TypedTrigger::read(kind, value, at, problems)?),
                None => {
                    let known: Vec<_> =
                        ["vcs-push", "webhook"].into_iter().chain(TypedKind::words()).collect();
                    let message = format!("no trigger is of kind `{kind}`");
                    let problem = Problem::error(fields.at("kind"), message).code(Code::FieldValue);
                    fields.note(problem.suggest(kind, known));
                    return None;
                }
            },
        };
        Some(Self { reference: reference?, pointer, source })
    }
}

impl GitTrigger {
    fn read_legacy(fields: &mut Fields<'_, '_>) -> Self {
        fields.known(GIT_MEMBERS);
        fields.one_of("type", &["git"]);
        let mut git = Self::read_repository(fields);
        git.branch_restrictions = patterns(fields, "branchRestrictions");
        git.pr_restrictions = patterns(fields, "prRestrictions");
        git.path_ignore_rules = fields.texts("pathIgnoreRules");
        git.is_allow_list = fields.boolean("isAllowList").unwrap_or_default();
        git.ci_ignore_flags = flags(fields, "ciIgnoreFlagsEnabled", "ciIgnoreFlags");
        git.ignore_drafts = fields.boolean("ignoreDrafts").unwrap_or_default();
        git.manual_only = fields.boolean("manualOnly").unwrap_or_default();
        git
    }

    fn read_push(value: &Value, at: &str, problems: &mut Problems) -> Option<Self> {
        let spec = typed::spec(value, at, "{vcs: {repoUrl}, branchNamePatterns}", problems)?;
        let spec_at = pointer::join(at, "spec");
        let mut fields = Fields::new(spec, &spec_at, "the `spec` of a trigger", problems);
        fields.known(&["vcs", "branchNamePatterns", "commitMessageFlags", "filePaths"]);
        let mut git = Self::read_vcs(&mut fields);
        git.branch_restrictions = patterns(&mut fields, "branchNamePatterns");
        git.read_rules(&mut fields);
        Some(git)
    }

    /// The repository of a typed trigger.
    fn read_vcs(fields: &mut Fields<'_, '_>) -> Self {
        let Some(vcs) = fields.get("vcs") else {
            fields.missing("vcs", "name the repository: `vcs: {vcsService: github, repoUrl: …}`");
            return Self::default();
        };
        let at = fields.at("vcs");
        let mut vcs = Fields::new(vcs, &at, "`vcs`", fields.problems());
        vcs.known(&["vcsService", "accountLogin", "vcsLinkId", "selfHostedVcsId", "repoUrl", "commitStatus"]);
        Self::read_repository(&mut vcs)
    }

    /// The flags and paths of a typed trigger.
    fn read_rules(&mut self, fields: &mut Fields<'_, '_>) {
        if let Some(flagged) = fields.get("commitMessageFlags") {
            let at = fields.at("commitMessageFlags");
            let mut fields = Fields::new(flagged, &at, "`commitMessageFlags`", fields.problems());
            fields.known(&["enabled", "flags"]);
            self.ci_ignore_flags = flags(&mut fields, "enabled", "flags");
        }
        if let Some(paths) = fields.get("filePaths") {
            let at = fields.at("filePaths");
            let mut fields = Fields::new(paths, &at, "`filePaths`", fields.problems());
            fields.known(&["enabled", "allowList", "paths"]);
            let (paths, is_allow_list) = (fields.texts("paths"), fields.boolean("allowList"));
            if fields.boolean("enabled").unwrap_or(true) {
                self.path_ignore_rules = paths;
                self.is_allow_list = is_allow_list.unwrap_or_default();
            }
        }
    }

    fn read_repository(fields: &mut Fields<'_, '_>) -> Self {
        let repo_url = fields.required_text("repoUrl", "name the repository whose pushes start the flow");
        let service = fields.one_of("vcsService", SERVICES).unwrap_or("self-hosted");
        Self {
            vcs_service: service.to_owned(),
            account_login: fields.text("accountLogin").map(str::to_owned),
            vcs_link_id: fields.text("vcsLinkId").map(str::to_owned),
            self_hosted_vcs_id: fields.text("selfHostedVcsId").map(str::to_owned),
            repo_url: repo_url.unwrap_or_default().to_owned(),
            silent: !fields.boolean("commitStatus").unwrap_or(true),
            ..Self::default()
        }
    }
}

impl Webhook {
    /// A webhook of the typed list, which is always on.
    fn read_typed(value: &Value, at: &str, problems: &mut Problems) -> Self {
        let spec = Fields::new(value, at, "a trigger", problems).get("spec");
        let at = pointer::join(at, "spec");
        let token = spec.and_then(|spec| {
            let mut fields = Fields::new(spec, &at, "the `spec` of a trigger", problems);
            fields.known(&["token", "secret"]);
            if fields.get("secret").is_some() {
                let message = "a webhook's secret in the document is not supported yet";
                let problem = Problem::unsupported(fields.at("secret"), message);
                fields.note(problem.help(
                    "take it out; `shipway hook rotate` gives the webhook a secret, and from then on requests have to be \
                     signed",
                ));
            }
            fields.text("token").map(str::to_owned)
        });
        Self { enabled: true, token }
    }

    pub(super) fn read(value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::new(value, "/webhook", "`webhook`", problems);
        fields.known(&["enabled", "token", "regenerate"]);
        let enabled = fields.boolean("enabled").unwrap_or_default();
        if fields.boolean("regenerate").unwrap_or_default() {
            let message = "another address by `regenerate` is not supported yet";
            let problem = Problem::unsupported(fields.at("regenerate"), message);
            fields.note(problem.help("take it out, and give the webhook another `token`"));
        }
        let token = fields.text("token").map(str::to_owned);
        if let Some(token) = &token {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if !(32..=256).contains(&token.len()) || !token.chars().all(plain) {
                fields.note(
                    Problem::error(
                        "/webhook/token",
                        "the token must be 32 to 256 letters, digits, `_` or `-`",
                    )
                    .help("leave it out, and one is made"),
                );
                return None;
            }
        }
        Some(Self { enabled, token })
    }
}

fn flags(fields: &mut Fields<'_, '_>, enabled: &str, flags: &str) -> Vec<String> {
    let given = fields.get(flags).map(|_| fields.texts(flags));
    if !fields.boolean(enabled).unwrap_or_default() {
        return Vec::new();
    }
    match given {
        Some(flags) => flags,
        None => DEFAULT_FLAGS.iter().map(|flag| (*flag).to_owned()).collect(),
    }
}

/// Branch patterns: names with `*`. A regular expression is a common mistake and would never match.
fn patterns(fields: &mut Fields<'_, '_>, key: &str) -> Vec<String> {
    let at = fields.at(key);
    if fields.get(key).is_some_and(is_expression) {
        let problem = Problem::error(at, format!("`{key}` cannot be an expression"));
        fields.note(problem.help("nothing is resolved before a trigger fires"));
        return Vec::new();
    }
    let patterns = fields.texts(key);
    for (n, pattern) in patterns.iter().enumerate() {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/*%-.#_!'();,&=+".contains(c);
        if is_expression(&Value::from(pattern.as_str())) {
            let problem = Problem::error(pointer::item(&at, n), "a branch pattern cannot hold an expression");
            fields.note(problem.help("nothing is resolved before a trigger fires"));
        } else if let Some(bad) = pattern.chars().find(|c| !allowed(*c)) {
            let problem =
                Problem::error(pointer::item(&at, n), format!("a branch pattern cannot hold `{bad}`"));
            let shown = suggest::list(["main", "feature/*", "*"]);
            fields.note(problem.help(format!("patterns are names where `*` is anything: {shown}")));
        }
    }
    patterns
}
