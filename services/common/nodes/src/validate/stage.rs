//! Whether a flow may use a resource.

use shipway_documents::{Problem, list, nearest};
use shipway_events::project::ResourceKind;

use super::StageContext;
use crate::{Role, Use, UseKind};

pub(super) fn check(used: &Use, stage: &StageContext) -> Option<Problem> {
    let slug = used.slug.as_str();
    let error = |message: String| Problem::error(used.pointer.clone(), message);
    if slug.contains('/') {
        let message = format!("`{slug}` is a resource of another project, which is not supported yet");
        return Some(
            Problem::unsupported(used.pointer.clone(), message).help("use a resource of this project"),
        );
    }
    let found = match used.role {
        Role::BuildService => {
            if stage.build_services.contains(slug) {
                return None;
            }
            None
        }
        Role::Member => stage.members.get(slug),
        Role::PreviousMember => stage.previous.as_ref().and_then(|previous| previous.members.get(slug)),
        Role::Watched => match stage.members.get(slug) {
            None if stage.others.contains_key(slug) || in_previous(slug, stage) => return None,
            found => found,
        },
    };
    if let Some(kind) = found {
        return wrong_type(used, *kind).map(|(message, help)| error(message).help(help));
    }
    let known = known(used, stage);
    let problem = match used.role {
        Role::PreviousMember => promotion(slug, stage, &error),
        Role::BuildService => match stage.members.get(slug).copied().or_else(|| previous_kind(slug, stage)) {
            Some(kind) => error(format!("`{slug}` is a {kind}, not a build service")),
            None => error(format!("there is no build service `{slug}`")),
        },
        _ if in_previous(slug, stage) => {
            let before = stage.previous.as_ref().map(|previous| previous.stage.as_str()).unwrap_or_default();
            error(format!(
                "`{slug}` is a member of stage {before}; the flow of stage {} changes its own members only",
                stage.stage
            ))
        }
        _ if stage.build_services.contains(slug) => {
            error(format!("`{slug}` is a build service; this must be {}", describe(used.kind)))
        }
        _ => match stage.others.get(slug) {
            Some(why) => error(format!("the flow of stage {} cannot use `{slug}`: {why}", stage.stage)),
            None => error(format!("there is no {} `{slug}` in stage {}", word(used.kind), stage.stage)),
        },
    };
    Some(match nearest(slug, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => problem.help(format!("there is no {} that it could be", word(used.kind))),
        None => problem.help(format!("there is {}", list(known))),
    })
}

fn promotion(slug: &str, stage: &StageContext, error: &dyn Fn(String) -> Problem) -> Problem {
    let Some(previous) = &stage.previous else {
        return error(format!(
            "stage {} is the first of its pipeline; there is nothing before it to promote from",
            stage.stage
        ));
    };
    if stage.members.contains_key(slug) {
        return error(format!(
            "`{slug}` is a member of this stage; promotion takes from the stage before, {}",
            previous.stage
        ));
    }
    match stage.others.get(slug) {
        Some(why) => error(format!(
            "promotion takes from the stage before, {}; `{slug}` is not in it: {why}",
            previous.stage
        )),
        None => error(format!("there is no `{slug}` in the stage before, {}", previous.stage)),
    }
}

fn in_previous(slug: &str, stage: &StageContext) -> bool {
    previous_kind(slug, stage).is_some()
}

fn previous_kind(slug: &str, stage: &StageContext) -> Option<ResourceKind> {
    stage.previous.as_ref()?.members.get(slug).copied()
}

/// The names that would be right.
fn known<'a>(used: &Use, stage: &'a StageContext) -> Vec<&'a str> {
    let fitting = |members: &'a std::collections::BTreeMap<String, ResourceKind>| {
        let fits = members.iter().filter(|(_, kind)| wrong_type(used, **kind).is_none());
        fits.map(|(slug, _)| slug.as_str()).collect()
    };
    match used.role {
        Role::BuildService => stage.build_services.iter().map(String::as_str).collect(),
        Role::Member | Role::Watched => fitting(&stage.members),
        Role::PreviousMember => {
            stage.previous.as_ref().map(|previous| fitting(&previous.members)).unwrap_or_default()
        }
    }
}

fn wrong_type(used: &Use, kind: ResourceKind) -> Option<(String, String)> {
    let right = match used.kind {
        UseKind::Service => kind == ResourceKind::DeploymentService,
        UseKind::Job => matches!(kind, ResourceKind::ManualJob | ResourceKind::CronJob),
        UseKind::Addon => kind == ResourceKind::Addon,
        UseKind::BuildService => matches!(kind, ResourceKind::BuildService | ResourceKind::CombinedService),
    };
    let slug = &used.slug;
    (!right).then(|| {
        let help = if used.pointer.ends_with("/id") && matches!(used.kind, UseKind::Service | UseKind::Job) {
            format!("write `type: {}`", kind.member_type())
        } else {
            "name another resource".to_owned()
        };
        (format!("`{slug}` is a {kind}; this must be {}", describe(used.kind)), help)
    })
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
