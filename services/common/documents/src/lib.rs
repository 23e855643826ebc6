//! The flow document: parsing, expressions, functions and their errors. Pure.
//!
//! Text becomes a [`Document`] (a JSON value whose every place has a line and a column), a document becomes
//! a [`flow::Flow`] or a list of [`resources::Declaration`]s, and [`expr`] resolves what is written
//! `${…}` in either. Whatever is wrong is a [`Problem`]: where, what, and what to do, all of them at once.

mod code;
mod cst;
pub mod diff;
pub mod edit;
pub mod expr;
mod fields;
pub mod flow;
pub mod fmt;
mod js;
pub mod kinds;
pub mod names;
pub mod pointer;
mod problem;
mod report;
pub mod resources;
pub mod schedule;
pub mod secret;
mod source;
mod suggest;

pub use code::{Code, UnknownCode};
pub use fields::{Fields, is_expression, way_to};
pub use js::{json_text, number_text, plain_text, truthy, type_name};
pub use kinds::{DocumentType, Support};
pub use problem::{Problem, Problems, Related, Severity};
pub use report::Report;
pub use source::{Document, MAX_BYTES, MAX_DEPTH, Position, Source, Span, parse};
pub use suggest::{list, nearest, with_article};
