//! Checks a document without publishing it.

use shipway_contracts::{
    Error,
    v1::{self, CheckDocumentRequest, SourceFile, problem::Severity},
};
use shipway_documents::{self as documents, DocumentType, Problems, flow::Flow};
use shipway_nodes::{
    lint::{Knowledge, lint},
    validate::Known,
};

use crate::{
    apply::account_problems,
    lookup::{self, Found},
    usable::{overridden, stage_context},
    world::Projects,
};

/// Everything that is wrong with the document of the request, as far as these projects show it.
pub(crate) fn check(projects: &Projects, request: &CheckDocumentRequest) -> Result<Vec<v1::Problem>, Error> {
    let Some(SourceFile { name, text }) = &request.file else {
        return Err(Error::bad_request("field `file` is missing: it is the document to check"));
    };
    let document = match request.document_type.as_str() {
        "" => None,
        word => Some(DocumentType::parse(word).ok_or_else(|| unknown_type(word))?),
    };
    if request.flow.is_empty() {
        let report = lint(name, text, Knowledge { document, ..Knowledge::default() });
        return Ok(report.problems.iter().map(|problem| shown(name, problem)).collect());
    }
    let Found::Stage(project, pipeline, flow) = lookup::flow(projects, &request.project, &request.flow)?
    else {
        return Err(Error::bad_request(
            "field `flow`: the flow of an addon or a service has no document of its own",
        ));
    };
    let stage = stage_context(project, pipeline, &flow.stage);
    let known = Known { project: Some(project.slug.clone()), arguments: overridden(project, flow.id) };
    let document = document.or(Some(DocumentType::ReleaseFlow));
    let report = lint(name, text, Knowledge { document, stage: Some(&stage), known: Some(&known) });
    let accounts = accounts(projects, name, text);
    Ok(report.problems.iter().chain(&accounts).map(|problem| shown(name, problem)).collect())
}

/// What is wrong with the accounts that the flow's triggers name; nothing where there is no flow to be read.
fn accounts(projects: &Projects, name: &str, text: &str) -> Vec<documents::Problem> {
    let Ok(document) = documents::parse(name, text) else { return Vec::new() };
    let Ok(flow) = Flow::parse(&document.value) else { return Vec::new() };
    let mut problems = Problems::new();
    problems.extend(account_problems(&projects.accounts, &flow, ""));
    document.locate(&mut problems);
    problems.into_iter().collect()
}

fn unknown_type(word: &str) -> Error {
    let known = documents::list(DocumentType::ALL.iter().map(|document| document.as_str()));
    Error::bad_request(format!("field `document_type`: there is no type `{word}`; it is one of {known}"))
}

/// A problem as the API shows it.
pub(crate) fn shown(file: &str, problem: &documents::Problem) -> v1::Problem {
    let severity = match problem.severity {
        documents::Severity::Warning => Severity::Warning,
        documents::Severity::Unsupported => Severity::Unsupported,
        documents::Severity::Error => Severity::Error,
    };
    let related = problem.related.iter().map(|other| v1::problem::Related {
        pointer: other.pointer.clone(),
        message: other.message.clone(),
        line: other.line.unwrap_or(0),
        column: other.column.unwrap_or(0),
    });
    v1::Problem {
        severity: severity.into(),
        pointer: problem.pointer.clone(),
        message: problem.message.clone(),
        help: problem.help.clone().unwrap_or_default(),
        line: problem.line.unwrap_or(0),
        column: problem.column.unwrap_or(0),
        file: file.to_owned(),
        code: problem.code.to_string(),
        end_line: problem.end_line.unwrap_or(0),
        end_column: problem.end_column.unwrap_or(0),
        related: related.collect(),
    }
}
