//! What the members of documents and nodes are for, in a line each.

/// Members of documents.
pub(crate) const DOCUMENT: &[(&str, &str)] = &[
    ("$schema", "The schema that editors check the file against"),
    ("apiVersion", "The version of the format: `v1.2`"),
    ("name", "What the document is called"),
    ("description", "What it is for, in a sentence"),
    ("arguments", "Values that a run can be given: `${args.NAME}`"),
    ("options", "What happens when it is asked for while it runs, and whether it is paused"),
    ("gitops", "The file in a repository that this document is kept in"),
    ("triggers", "What starts it: pushes, webhooks"),
    ("richInputs", "Pickers in the run dialog that fill arguments"),
    ("spec", "The root workflow"),
    ("teardownSpec", "What takes away again what the document made"),
];

/// Members of nodes.
pub(crate) const NODE: &[(&str, &str)] = &[
    ("kind", "What the node does"),
    ("ref", "Its name, for `${refs.NAME…}` and `dependsOn`"),
    ("name", "What people see"),
    ("description", "What it is for"),
    ("dependsOn", "The nodes that it waits for, in a workflow of type `graph`"),
    ("when", "Which fate of what came before lets it start: `success`, `failure` or `always`"),
    ("skipNodeExecution", "Skips it when this is true"),
    ("runsOn", "Labels that its executor must have"),
    ("locks", "Locks that are held while it runs, across flows"),
    ("interruptible", "Whether a newer run may end it in the middle"),
    ("effect", "How a repeat is made harmless: `keyed`, `fenced`, `checked` or `once`"),
    ("condition", "What is waited for; without it what follows starts at once"),
    ("timeoutDuration", "Seconds until it fails, 30 to 14400"),
    ("retry", "How often and how soon it is tried again"),
    ("spec", "What it works on"),
];

/// Members of `options`.
pub(crate) const OPTIONS: &[(&str, &str)] = &[
    ("concurrencyPolicy", "What happens to a run that is asked for while another is active"),
    ("paused", "Whether triggers start nothing"),
    ("autorun", "Whether a change of the document runs it"),
];

/// Members of `retry`.
pub(crate) const RETRY: &[(&str, &str)] = &[
    ("maxAttempts", "How often it is tried at most"),
    ("backoff", "How the wait grows: `fixed` or `exponential`"),
    ("delay", "Seconds before the second try"),
    ("maxDelay", "The longest wait, in seconds"),
    ("jitter", "Whether waits differ by chance"),
];

/// Members of an argument that says what it takes.
pub(crate) const ARGUMENT: &[(&str, &str)] = &[
    ("type", "What values it takes"),
    ("description", "What it is for; the run form shows it"),
    ("required", "Whether a run needs a value"),
    ("default", "Its value when nothing else gives one"),
    ("enum", "The only values that it takes"),
    ("secret", "Whether its values are secret"),
];

/// Members of a Git trigger.
pub(crate) const TRIGGER: &[(&str, &str)] = &[
    ("ref", "Its name, for `${triggers.NAME…}`"),
    ("kind", "What it waits for: `vcs-push` or `webhook`"),
    ("vcsService", "Where the repository is: `github`, `gitlab`, `bitbucket`, `azure` or `self-hosted`"),
    ("accountLogin", "The linked account"),
    ("repoUrl", "The repository whose pushes start the flow"),
    ("commitStatus", "Whether the host hears of the runs: `true` unless said otherwise"),
    ("branchRestrictions", "Patterns of branches; none match when empty"),
    ("prRestrictions", "Patterns of the source branches of pull requests"),
    ("pathIgnoreRules", "Rules for changed files, as in `.gitignore`"),
    ("isAllowList", "Whether those files start it instead of being ignored"),
    ("ciIgnoreFlagsEnabled", "Whether texts in a commit's message keep it from starting"),
    ("ciIgnoreFlags", "Those texts"),
    ("ignoreDrafts", "Whether drafts of pull requests start nothing"),
    ("spec", "What it waits for, for triggers with a `kind`"),
];

/// Words that a member may be, whatever kind it is of.
pub(crate) fn words(name: &str) -> &'static [&'static str] {
    match name {
        "when" => &["success", "failure", "always"],
        "effect" => &["keyed", "fenced", "checked", "once"],
        "interruptible"
        | "paused"
        | "autorun"
        | "required"
        | "secret"
        | "jitter"
        | "skipNodeExecution"
        | "isAllowList"
        | "ciIgnoreFlagsEnabled"
        | "ignoreDrafts"
        | "commitStatus" => &["true", "false"],
        "concurrencyPolicy" => &["allow", "queue", "forbid", "latest", "replace"],
        "backoff" => &["fixed", "exponential"],
        "vcsService" => &["github", "gitlab", "bitbucket", "azure", "self-hosted"],
        "apiVersion" => &["v1.2"],
        _ => &[],
    }
}
