//! The usual form of a document: known members in their order, two spaces a step, one line end at the end.
//! Comments, quotes, anchors and members that are not known stay; what it says is the same.

mod json;
mod order;
mod print;
mod read;

use crate::{Document, Problem, Report, cst};

/// Brings a document into the usual form. Line ends stay as they are (`\n` or `\r\n`).
///
/// # Errors
/// What is wrong with the text; or it is written in a way that cannot be brought into form, which is rare.
pub fn format(name: &str, text: &str) -> Result<String, Report> {
    let document = crate::parse(name, text)?;
    let source = document.source();
    let formatted = cst::build(source.text(), source.is_json()).and_then(|tree| {
        let eol = if source.text().contains("\r\n") { "\r\n" } else { "\n" };
        let formatted = if source.is_json() {
            json::format(source.text(), tree.roots.first()?, eol)
        } else {
            print::format(&read::read(source.text(), &tree)?, eol)
        };
        let again = crate::parse(name, &formatted).ok()?;
        (again.value == document.value && again.source().is_json() == source.is_json()).then_some(formatted)
    });
    formatted.ok_or_else(|| refuse(&document))
}

fn refuse(document: &Document) -> Report {
    let problem = Problem::error("", "this text cannot be brought into form without changing what it says")
        .help("write unusual places in a simpler way: names in one line, no comments between a name and its value");
    document.report(problem.into())
}
