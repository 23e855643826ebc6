//! What is done with bytes from outside, as plain functions that any bytes can be thrown at.
//!
//! A body panics when something is wrong, and gives nothing otherwise. [`TARGETS`] is the list of them;
//! `tests/fuzz.rs` drives each with mutations of its examples, and a fuzzer of any kind can call it.

mod deliveries;
mod documents;
mod expressions;
pub mod mutate;

pub use deliveries::{azure, bitbucket, bitbucket_dc, forgejo, gitea, github, gitlab, verify};
pub use documents::{json, schema, yaml};
pub use expressions::expressions;

/// A body with what its inputs are made from.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What is done with the bytes.
    pub body: fn(&[u8]),
    /// Inputs that are right, or nearly: separated by [`SEPARATOR`] lines.
    pub examples: &'static [&'static str],
    /// Pieces that mean something to it.
    pub words: &'static [&'static str],
}

/// The line between two examples of one file.
pub const SEPARATOR: &str = "=====";

/// All bodies.
pub const TARGETS: &[Target] = &[
    Target {
        name: "expressions",
        body: expressions,
        examples: &[include_str!("../corpus/expressions.txt")],
        words: expressions::WORDS,
    },
    Target {
        name: "json",
        body: json,
        examples: &[include_str!("../corpus/json.txt")],
        words: documents::JSON,
    },
    Target {
        name: "yaml",
        body: yaml,
        examples: &[include_str!("../corpus/yaml.txt")],
        words: documents::YAML,
    },
    Target {
        name: "schema",
        body: schema,
        examples: &[include_str!("../corpus/schema.txt")],
        words: documents::JSON,
    },
    Target {
        name: "github",
        body: github,
        examples: &[include_str!("../corpus/github.txt")],
        words: deliveries::BODY,
    },
    Target {
        name: "gitlab",
        body: gitlab,
        examples: &[include_str!("../corpus/gitlab.txt")],
        words: deliveries::BODY,
    },
    Target {
        name: "gitea",
        body: gitea,
        examples: &[include_str!("../corpus/gitea.txt")],
        words: deliveries::BODY,
    },
    Target {
        name: "forgejo",
        body: forgejo,
        examples: &[include_str!("../corpus/forgejo.txt")],
        words: deliveries::BODY,
    },
    Target {
        name: "bitbucket",
        body: bitbucket,
        examples: &[include_str!("../corpus/bitbucket.txt")],
        words: deliveries::BODY,
    },
    Target {
        name: "bitbucket-dc",
        body: bitbucket_dc,
        examples: &[include_str!("../corpus/bitbucket-dc.txt")],
        words: deliveries::BODY,
    },
    Target {
        name: "azure",
        body: azure,
        examples: &[include_str!("../corpus/azure.txt")],
        words: deliveries::BODY,
    },
    Target {
        name: "verify",
        body: verify,
        examples: &[include_str!("../corpus/verify.txt")],
        words: deliveries::HEADERS,
    },
];
