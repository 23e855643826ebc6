//! Compares versions of a flow with each other, or with a text that may become one.

use serde_json::Value;
use shipway_contracts::{
    Error,
    v1::{DiffFlowReply, DiffFlowRequest, SourceFile},
};
use shipway_documents::{diff::diff, parse};

use crate::{
    domain::{Flow, FlowVersion},
    lookup::{self, Found},
    world::Projects,
};

/// What differs between the two sides of the request.
pub(crate) fn compare(projects: &Projects, request: &DiffFlowRequest) -> Result<DiffFlowReply, Error> {
    let flow = || stage_flow(projects, &request.project, &request.flow);
    let (to, to_version) = match &request.to_file {
        Some(file) => (read(file)?, 0),
        None => {
            let found = version(flow()?, request.to_version)?;
            (found.document.clone(), found.version)
        }
    };
    let (from, from_version) = match (&request.from_file, request.from_version) {
        (Some(file), _) => (read(file)?, 0),
        // Nothing comes before the first version: all of it is new.
        (None, 0) if to_version == 1 => (Value::Null, 0),
        (None, 0) => {
            let found = version(flow()?, to_version.saturating_sub(1))?;
            (found.document.clone(), found.version)
        }
        (None, wanted) => {
            let found = version(flow()?, wanted)?;
            (found.document.clone(), found.version)
        }
    };
    let difference_json =
        serde_json::to_string(&diff(&from, &to)).map_err(|error| Error::internal(&error))?;
    Ok(DiffFlowReply { difference_json, from_version, to_version })
}

/// The flow of a stage; those of addons and services have no document of their own.
pub(crate) fn stage_flow<'a>(projects: &'a Projects, project: &str, flow: &str) -> Result<&'a Flow, Error> {
    match lookup::flow(projects, project, flow)? {
        Found::Stage(_, _, flow) => Ok(flow),
        _ => Err(Error::bad_request("field `flow`: the flow of a resource has no document of its own")),
    }
}

/// A version of a flow; 0 for the newest.
pub(crate) fn version(flow: &Flow, wanted: u32) -> Result<&FlowVersion, Error> {
    let found = match wanted {
        0 => flow.newest(),
        wanted => flow.versions.iter().map(AsRef::as_ref).find(|known| known.version == wanted),
    };
    let newest = flow.newest().map_or(0, |newest| newest.version);
    found.ok_or_else(|| match newest {
        0 => lookup::unpublished(flow),
        newest => {
            Error::not_found(format!("{} has no version {wanted}; its newest is {newest}", flow.path()))
        }
    })
}

fn read(file: &SourceFile) -> Result<Value, Error> {
    match parse(&file.name, &file.text) {
        Ok(document) => Ok(document.value),
        Err(report) => Err(Error::bad_request(report.to_string())),
    }
}
