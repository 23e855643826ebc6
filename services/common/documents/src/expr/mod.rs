//! The expression language: `${args.NAME}`, `${refs.<ref>.<path>}`, `${triggers.<ref>.<path>}`,
//! `${secrets.<id>.<path>}` and `${fn.name(…)}`, whole values or parts of a text.
//!
//! `\${…}` stays text without its backslash, `${{…}}` is left for the time when the work starts ([`resolve`]), and
//! `${template.…}` belongs to the document around a nested flow. Values are resolved in up to three phases
//! ([`resolve_template`], [`resolve_partly`], [`resolve`]); what an earlier phase puts in is never read as an
//! expression by a later one.
//!
//! Before anything runs, [`check`] says what is wrong whatever the names stand for, [`references`] which names
//! there are, and [`infer`] what types come out; [`functions`] is the table that people read too.

mod ast;
mod budget;
mod eval;
mod functions;
mod infer;
mod parse;
mod pattern;
mod references;
mod resolve;
mod scope;
mod trouble;
mod types;
mod walk;

pub(crate) use eval::{Given, finish_call};
pub use functions::{Function, Group, Parameter, Shape, function, function_names, functions};
pub use infer::{TypeScope, infer};
pub use references::{Reference, Root, Scan, all_references, check, container_references, references, scan};
pub use resolve::{resolve, resolve_partly, resolve_template};
pub use scope::{Lookup, Place, Scope};
pub use types::{Fit, Type};
