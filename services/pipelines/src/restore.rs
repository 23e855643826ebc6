//! An earlier version of a flow becomes its newest one again.

use shipway_contracts::{
    Code, Error,
    v1::{RestoreFlowReply, RestoreFlowRequest},
};
use shipway_documents::flow::Flow as Document;
use shipway_events::Meta;

use crate::{
    change::{Shared, decide_one},
    compare,
    domain::Command,
    lookup::{self, Found},
    usable::{overridden, validate},
};

impl Shared {
    /// Puts a version back, or says whether that can be done: what was right then may name what is not there any more.
    pub(crate) async fn restore_flow(
        &self,
        request: RestoreFlowRequest,
        meta: Meta,
    ) -> Result<RestoreFlowReply, Error> {
        let RestoreFlowRequest { command, project, flow, version, reason, dry_run } = request;
        let projects = self.world.now();
        let Found::Stage(project, pipeline, flow) = lookup::flow(&projects, &project, &flow)? else {
            let message = "field `flow`: the flow of a resource has no versions; name `<pipeline>/<stage>`";
            return Err(Error::bad_request(message));
        };
        let earlier = compare::version(flow, version)?;
        let newest = flow.newest().map_or(0, |newest| newest.version);
        let refused = |why: &dyn std::fmt::Display| {
            let path = flow.path();
            let message = format!(
                "version {version} of {path} cannot be its newest again: {why}. Leave the flow as it is, or apply it changed: \
                 `shipway diff --flow {path} --from {version}` shows it"
            );
            Error::new(Code::FailedPrecondition, message)
        };
        let document = Document::parse(&earlier.document).map_err(|problems| refused(&problems))?;
        let problems = validate(project, pipeline, &flow.stage, &document, overridden(project, flow.id));
        if problems.has_errors() {
            return Err(refused(&problems));
        }
        let wish = Command::RestoreFlow { flow: flow.id, version, reason };
        if dry_run {
            let done = decide_one(&projects, project.id, &wish)?;
            let changes = done.parts.iter().any(|part| !part.events.is_empty());
            return Ok(RestoreFlowReply { version: newest + u32::from(changes), position: 0 });
        }
        let command = shipway_contracts::id("command", &command)?;
        let done = self.change(command, meta, project.id, &wish, &[]).await?;
        let known = self.world.now();
        let newest = known.flow(flow.id).and_then(|(_, flow)| flow.newest()).map_or(newest, |it| it.version);
        Ok(RestoreFlowReply { version: newest, position: done.position })
    }
}
