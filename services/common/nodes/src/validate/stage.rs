//! Whether a flow may use a resource.

use shipway_documents::{Code, Problem, list, nearest, with_article};
use shipway_events::project::ResourceKind;

use super::{Resource, StageContext};
use crate::{Role, Use, UseKind};

/// What is wrong with a node's use of a resource.
pub(super) fn check(used: &Use, stage: &StageContext<'_>) -> Option<Problem> {
    let slug = used.slug.as_str();
    if slug.contains('/') {
        let message = format!("`{slug}` is a resource of another project, which is not supported yet");
        return Some(
            Problem::unsupported(used.pointer.clone(), message)
                .code(Code::ResourceForeign)
                .help("use a resource of this project"),
        );
    }
    let Some(resource) = stage.resources.get(slug) else {
        let message = format!("there is no {} `{slug}`", word(used.kind));
        return Some(suggest(error(Code::ResourceUnknown, used, message), used, stage));
    };
    if !fits(used.kind, resource.kind) {
        let message = format!(
            "`{slug}` is {}; this must be {}",
            with_article(&resource.kind.to_string()),
            describe(used.kind)
        );
        let problem = error(Code::ResourceKind, used, message);
        let types = matches!(used.kind, UseKind::Service | UseKind::Job)
            && matches!(resource.kind.member_type(), "service" | "job")
            && resource.kind.member_type() != word(used.kind);
        return Some(if types && used.pointer.ends_with("/id") {
            problem.help(format!("write `type: {}`", resource.kind.member_type()))
        } else {
            suggest(problem, used, stage)
        });
    }
    let message = refusal(used, resource, stage)?;
    let code = match used.role {
        Role::PreviousMember => Code::StagePromotion,
        Role::Member | Role::BuildService | Role::Watched => Code::StageMember,
    };
    Some(suggest(error(code, used, message), used, stage))
}

/// Why the flow may not use a resource of the right kind in this role.
fn refusal(used: &Use, resource: &Resource<'_>, stage: &StageContext<'_>) -> Option<String> {
    let (slug, here) = (&used.slug, &stage.stage);
    let wanted = match used.role {
        Role::BuildService | Role::Watched => {
            let why = resource.unusable.as_ref().filter(|_| used.role == Role::BuildService)?;
            return Some(format!("the flow of stage {here} cannot use `{slug}`: {why}"));
        }
        Role::Member => Some(here),
        Role::PreviousMember => stage.previous.as_ref(),
    };
    let Some(wanted) = wanted else {
        return Some(format!(
            "stage {here} is the first of its pipeline: there is none before it to promote from"
        ));
    };
    if resource.stage.as_ref() == Some(wanted) && resource.unusable.is_none() {
        return None;
    }
    let why = match (&resource.unusable, &resource.stage) {
        (Some(why), _) => why.to_string(),
        (None, Some(other)) => format!("it is a member of stage {other}"),
        (None, None) => "it is a member of no stage of this pipeline".to_owned(),
    };
    Some(match used.role {
        Role::PreviousMember => {
            format!("promotion takes from the stage before, {wanted}, and not `{slug}`: {why}")
        }
        _ => format!("the flow of stage {here} cannot change `{slug}`: {why}"),
    })
}

fn error(code: Code, used: &Use, message: String) -> Problem {
    Problem::error(used.pointer.clone(), message).code(code)
}

/// Adds the name that is nearest, or those that would be right.
fn suggest(problem: Problem, used: &Use, stage: &StageContext<'_>) -> Problem {
    let right = stage
        .resources
        .iter()
        .filter(|(_, resource)| fits(used.kind, resource.kind) && refusal(used, resource, stage).is_none());
    let right: Vec<&str> = right.map(|(slug, _)| slug.as_ref()).collect();
    match nearest(&used.slug, right.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if right.is_empty() => problem.help(match used.role {
            Role::Member => format!("make {} a member of stage {} first", describe(used.kind), stage.stage),
            Role::PreviousMember => format!("no {} can be promoted from there", word(used.kind)),
            Role::BuildService | Role::Watched => format!("apply {} first", describe(used.kind)),
        }),
        None => problem.help(format!("there is {}", list(right))),
    }
}

const fn fits(wanted: UseKind, kind: ResourceKind) -> bool {
    match wanted {
        UseKind::Service => matches!(kind, ResourceKind::DeploymentService),
        UseKind::Job => matches!(kind, ResourceKind::ManualJob | ResourceKind::CronJob),
        UseKind::Addon => matches!(kind, ResourceKind::Addon),
        UseKind::BuildService => matches!(kind, ResourceKind::BuildService | ResourceKind::CombinedService),
    }
}

const fn word(kind: UseKind) -> &'static str {
    match kind {
        UseKind::Service => "service",
        UseKind::Job => "job",
        UseKind::Addon => "addon",
        UseKind::BuildService => "build service",
    }
}

const fn describe(kind: UseKind) -> &'static str {
    match kind {
        UseKind::Service => "a deployment service",
        UseKind::Job => "a job",
        UseKind::Addon => "an addon",
        UseKind::BuildService => "a build service",
    }
}
